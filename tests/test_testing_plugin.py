"""@pytest.mark.rollback, in real runs of pytest, with each of the plugins that run async tests."""

import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.test_documents import python_of

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
OURS, ANYIO, ASYNCIO = "manybase.testing.plugin", "anyio.pytest_plugin", "pytest_asyncio.plugin"
MODES = ("-o", "asyncio_default_fixture_loop_scope=function", "--asyncio-mode")
Run = Callable[..., pytest.RunResult]

PROJECT = """
from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, mapped_column
from manybase import Model

class Shop(Model, database="shop"): ...
class Audit(Model, database="audit"): ...

class Order(Shop):
    id: Mapped[int] = mapped_column(primary_key=True)

class Entry(Audit):
    id: Mapped[int] = mapped_column(primary_key=True)

def write(session):
    session.add_all([Order(), Entry()])
    session.commit()

def count(session):
    return [session.scalar(select(func.count()).select_from(model)) for model in (Order, Entry)]
"""
CONFTEST = """
import pytest
from manybase import Database, Databases, Session
from project import count

@pytest.fixture(scope="session")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("databases")
    databases = Databases(*(Database(name, f"sqlite:///{folder / name}.db") for name in ("shop", "audit")))
    databases.create_all()
    yield databases
    with Session(databases) as session:
        assert [0, 0] == count(session)
    assert [0, 0] == [databases.engine(name).pool.checkedout() for name in databases.names]
    databases.dispose()
"""
ASYNC_TESTS = """
import pytest, pytest_asyncio
from manybase import AsyncSession
from project import count, write

anyio_backend = pytest.fixture(lambda: "asyncio", scope=ANYIO_SCOPE)

@ASYNC_FIXTURE
async def session(databases):
    async with AsyncSession(databases) as session:
        await session.run_sync(write)
        yield session

@ASYNC_TEST
@pytest.mark.rollback
async def test_with_rows_of_a_fixture(session):
    assert [1, 1] == await session.run_sync(count)

@pytest.mark.parametrize("number", range(2))
@ASYNC_TEST
@pytest.mark.rollback
async def test_with_rows_of_its_own(databases, number):
    async with AsyncSession(databases) as session:
        assert [0, 0] == await session.run_sync(count)
        await session.run_sync(write)
    async with AsyncSession(databases) as session:
        assert [1, 1] == await session.run_sync(count)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs tests in a process of its own, with these plugins and no others. A row that is left is an error there."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(project=PROJECT)
    pytester.makeconftest(CONFTEST)

    def run(tests: str, *options: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        pytester.makepyfile(test_project=tests)
        chosen = [option for plugin in (OURS, *plugins) for option in ("-p", plugin)]
        return pytester.runpytest_subprocess("-W", "error", "--strict-markers", *chosen, *options, timeout=120)

    return run


def test_entry_point() -> None:
    """pytest finds the plugin where the package says it is."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]

    assert {"manybase": OURS} == declared
    assert hasattr(import_module(OURS), "pytest_configure")


def test_sync_tests(run: Run) -> None:
    """What a marked test and its fixtures commit is gone for the next one, also after a failure."""
    result = run(
        """
        import pytest
        from manybase import Session
        from project import count, write

        pytestmark = pytest.mark.rollback

        @pytest.fixture
        def rows(databases):
            with Session(databases) as session:
                write(session)

        @pytest.mark.parametrize("number", range(3))
        def test_write(databases, rows, number):
            with Session(databases) as session:
                write(session)
                assert [2, 2] == count(session)
                assert number != 1
        """
    )

    result.assert_outcomes(passed=2, failed=1)


def test_test_without_the_mark(run: Run) -> None:
    """What it writes stays, and it needs no fixture `databases`."""
    result = run(
        """
        from manybase import Session
        from project import Entry, Order, count, write

        def test_write(databases):
            with Session(databases) as session:
                write(session)

        def test_delete(databases):
            with Session(databases) as session:
                assert [1, 1] == count(session)
                session.query(Order).delete()
                session.query(Entry).delete()
                session.commit()

        def test_nothing():
            pass
        """
    )

    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("scope", ["function", "module"])
def test_async_tests_run_by_anyio(run: Run, scope: str) -> None:
    """Rows are undone whether each test has an event loop of its own, or all share one."""
    result = run(
        async_tests(ANYIO_SCOPE=repr(scope), ASYNC_FIXTURE="pytest.fixture", ASYNC_TEST="pytest.mark.anyio"),
        plugins=(ANYIO,),
    )

    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("scope", ["function", "session"])
def test_async_tests_run_by_pytest_asyncio_in_strict_mode(run: Run, scope: str) -> None:
    """Rows are undone whether each test has an event loop of its own, or all share one."""
    result = run(
        async_tests(
            ASYNC_FIXTURE=f"pytest_asyncio.fixture(loop_scope={scope!r})",
            ASYNC_TEST=f"pytest.mark.asyncio(loop_scope={scope!r})",
        ),
        *MODES,
        "strict",
        plugins=(ASYNCIO,),
    )

    result.assert_outcomes(passed=3)


def test_async_tests_run_by_pytest_asyncio_in_auto_mode(run: Run) -> None:
    """Nothing but the mark is needed."""
    result = run(
        async_tests(ASYNC_FIXTURE="pytest.fixture", ASYNC_TEST="pytest.mark.filterwarnings('error')"),
        *MODES,
        "auto",
        plugins=(ASYNCIO,),
    )

    result.assert_outcomes(passed=3)


def async_tests(**names: str) -> str:
    tests = ASYNC_TESTS
    for name, value in ({"ANYIO_SCOPE": "'function'"} | names).items():
        tests = tests.replace(name, value)
    return tests


@pytest.mark.parametrize("scope", ["function", "module"])
def test_sync_tests_of_an_async_application(run: Run, scope: str) -> None:
    """Rows are undone whether the application starts for each test, or runs on through all of them."""
    result = run(
        f"""
        from typing import Annotated
        import pytest
        from fastapi import FastAPI
        from fastapi.testclient import TestClient
        from manybase import AsyncSession
        from manybase.fastapi import lifespan, session_dependency
        from project import Entry, Order, count

        @pytest.fixture(scope={scope!r})
        def client(databases):
            app = FastAPI(lifespan=lifespan(databases))
            SessionDep = Annotated[AsyncSession, session_dependency(databases)]

            @app.post("/orders")
            async def order(session: SessionDep) -> None:
                session.add_all([Order(), Entry()])

            @app.get("/orders")
            async def orders(session: SessionDep) -> list[int]:
                return await session.run_sync(count)

            with TestClient(app) as client:
                yield client

        @pytest.mark.rollback
        @pytest.mark.parametrize("number", range(3))
        def test_order(client, number):
            assert [0, 0] == client.get("/orders").json()
            client.post("/orders")
            assert [1, 1] == client.get("/orders").json()
        """
    )

    result.assert_outcomes(passed=3)


MARKED = """
import pytest

@pytest.mark.rollback
def test_marked(): pass
"""


@pytest.mark.parametrize(
    ("conftest", "message"),
    [
        ("", "*needs a fixture `databases` that returns your Databases*"),
        ("import pytest; databases = pytest.fixture(lambda: 1, name='databases')", "*must return Databases, not int*"),
    ],
)
def test_fixture_that_is_missing_or_wrong(run: Run, pytester: pytest.Pytester, conftest: str, message: str) -> None:
    """The error names it."""
    pytester.makeconftest(conftest)

    result = run(MARKED)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_block_in_a_marked_test(run: Run) -> None:
    """A second rollback() of the same databases is refused, and the error names the mark."""
    result = run(
        """
        import pytest
        from manybase.testing import rollback

        @pytest.mark.rollback
        def test_twice(databases):
            with rollback(databases):
                pass
        """
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pytest.mark.rollback*"])


def test_manual(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of the manual's page pass."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_page=python_of((ROOT / "docs" / "testing.md").read_text()))

    result = pytester.runpytest_subprocess("-W", "error", "-p", OURS, "-p", ANYIO, timeout=120)

    result.assert_outcomes(passed=4)
