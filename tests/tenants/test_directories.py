"""Directories: each kind, asked from both kinds of session; cached, bounded, and what happens when one fails."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import URL, select

from manybase import (
    AsyncSession,
    ConfigurationError,
    Database,
    Databases,
    DirectoryUnavailable,
    Session,
    TenantDirectory,
    TenantTable,
    UnknownTenant,
)
from manybase import answers as answers_module
from tests.sessions import SessionKind
from tests.shop import FAST
from tests.tenants.conftest import Run
from tests.tenants.customers import Crm, Customer, Shared

ONE = select(1).execution_options(database="crm")


class Asked:
    """A directory of one tenant that counts its questions, and fails, or waits, when told to."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.known: dict[str, Any] = {"acme": True}
        self.fails = False
        self.open = threading.Event()
        self.open.set()

    def find(self, name: str) -> Any:
        self.questions.append(name)
        assert self.open.wait(20)
        if self.fails:
            raise RuntimeError("s3cret!")
        return self.known.get(name)

    async def find_async(self, name: str) -> Any:
        await asyncio.sleep(0)
        return self.find(name)


def declare(folder: Path, tenants: Any, **options: Any) -> Databases:
    crm = Database("crm", f"sqlite:///{folder}/crm_{{tenant}}.db", models=Crm, tenants=tenants)
    return Databases(crm, engine_options=FAST, **options)


def ask(session: Session) -> Any:
    return session.scalar(ONE)


@pytest.fixture
def asked() -> Iterator[Asked]:
    found = Asked()
    yield found
    found.open.set()


KINDS: dict[str, Callable[[], Any]] = {
    "set": lambda: {"acme"},
    "tuple": lambda: ("acme",),
    "iterator": lambda: iter(["acme"]),
    "mapping": lambda: {"acme": {"plan": "large"}},
    "read-only mapping": lambda: MappingProxyType({"acme": None}),
    "function": lambda: Asked().find,
    "directory": lambda: TenantDirectory(Asked().find),
    "function that says True or False": lambda: "acme".__eq__,
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(tmp_path: Path, run: Run, kind: str) -> None:
    """Each knows one tenant, and nobody else."""
    databases = declare(tmp_path, KINDS[kind]())

    assert 1 == run(databases, ask, tenant="acme")
    with pytest.raises(UnknownTenant, match="globex"):
        run(databases, ask, tenant="globex")
    databases.dispose()


def test_async_function(tmp_path: Path, session_kind: SessionKind, run: Run, asked: Asked) -> None:
    """It serves async sessions; a sync one cannot await it, and says so."""
    databases = declare(tmp_path, asked.find_async)

    if session_kind.asyncio:
        assert 1 == run(databases, ask, tenant="acme")
        return
    with pytest.raises(ConfigurationError, match="async"):
        run(databases, ask, tenant="acme")


def test_changed_later(tmp_path: Path, run: Run) -> None:
    """A set or dict counts as it is at the moment."""
    names = {"acme"}
    databases = declare(tmp_path, names)
    databases.tenants.add("crm", "globex", None, databases)

    assert ({"acme", "globex"}, 1) == (names, run(databases, ask, tenant="globex"))
    databases.tenants.remove("crm", "globex", databases)
    with pytest.raises(UnknownTenant):
        run(databases, ask, tenant="globex")
    databases.dispose()


def test_shard_that_is_not_declared(tmp_path: Path, run: Run) -> None:
    """A directory that names a wrong one is a fault of the configuration, not of the client."""
    shards = {"eu": f"sqlite:///{tmp_path}/{{tenant}}.db"}
    databases = Databases(Database("crm", shards=shards, models=Crm, tenants={"acme": "mars"}))

    with pytest.raises(ConfigurationError, match="not declared"):
        run(databases, ask, tenant="acme")


def test_believed(tmp_path: Path, run: Run, asked: Asked) -> None:
    """One question for many sessions, about those who are nobody too."""
    databases = declare(tmp_path, asked.find)
    for _ in range(3):
        run(databases, ask, tenant="acme")
        with pytest.raises(UnknownTenant):
            run(databases, ask, tenant="nobody")

    assert ["acme", "nobody"] == asked.questions
    databases.dispose()


def test_believed_no_longer(tmp_path: Path, run: Run, asked: Asked) -> None:
    """After ``believed`` seconds it is asked again."""
    databases = declare(tmp_path, TenantDirectory(asked.find, believed=0))
    run(databases, ask, tenant="acme")
    del asked.known["acme"]

    with pytest.raises(UnknownTenant):
        run(databases, ask, tenant="acme")
    databases.dispose()


def test_single_flight(tmp_path: Path, session_kind: SessionKind, asked: Asked) -> None:
    """Ten sessions of a tenant that nobody knows yet ask once."""
    databases = declare(tmp_path, asked.find)
    asked.open.clear()

    def one() -> None:
        with Session(databases, tenant="acme") as session:
            ask(session)

    async def main() -> None:
        async def each() -> None:
            async with AsyncSession(databases, tenant="acme") as session:
                await session.run_sync(ask)

        tasks = [asyncio.create_task(each()) for _ in range(10)]
        while not asked.questions:
            await asyncio.sleep(0.01)
        asked.open.set()
        await asyncio.gather(*tasks)
        await databases.adispose()

    if session_kind.asyncio:
        asyncio.run(main())
    else:
        threads = [threading.Thread(target=one) for _ in range(10)]
        for each in threads:
            each.start()
        asked.open.set()
        for each in threads:
            each.join()

    assert ["acme"] == asked.questions
    databases.dispose()


def test_down(tmp_path: Path, run: Run, asked: Asked) -> None:
    """Who was known stays known, anybody else gets an error that repeats nothing of what failed."""
    databases = declare(tmp_path, TenantDirectory(asked.find, believed=0))
    run(databases, ask, tenant="acme")
    asked.fails = True
    del asked.questions[:]

    assert 1 == run(databases, ask, tenant="acme")
    assert 1 == run(databases, ask, tenant="acme")
    assert ["acme"] == asked.questions  # it is not asked again at once
    with pytest.raises(DirectoryUnavailable) as caught:
        run(databases, ask, tenant="globex")
    assert ("crm", False) == (caught.value.database, "s3cret" in str(caught.value))
    databases.dispose()


def test_slow(
    tmp_path: Path, session_kind: SessionKind, run: Run, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits longer for it than he must, and nothing is kept of it."""
    monkeypatch.setattr(answers_module, "PATIENCE", 0.2)
    databases = declare(tmp_path, asked.find)
    asked.open.clear()
    if session_kind.asyncio:
        threading.Timer(1, asked.open.set).start()  # a thread that asyncio.run waits for

    started = time.monotonic()
    with pytest.raises(DirectoryUnavailable):
        run(databases, ask, tenant="acme")

    assert time.monotonic() - started < 5
    asked.open.set()
    assert 1 == run(databases, ask, tenant="acme")
    databases.dispose()


def test_bounded(tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that clients made up push nobody out who is known, and fill no memory."""
    monkeypatch.setattr(answers_module, "KEPT", 1_000)
    databases = declare(tmp_path, asked.find)
    answers = databases.tenants._answers["crm"]
    databases.engine("crm", tenant="acme")

    for number in range(100):
        with pytest.raises(UnknownTenant):
            databases.engine("crm", tenant=f"n{number}")

    assert (1, 10) == (len(answers._known), len(answers._nobody))
    assert 101 == len(asked.questions)
    databases.engine("crm", tenant="acme")
    assert 101 == len(asked.questions)


class TestTables:
    """The customers of a database that all share."""

    def declare(self, url: URL | str, folder: Path, tenants: Any) -> Databases:
        databases = Databases(
            Database("crm", f"sqlite:///{folder}/crm_{{tenant}}.db", models=Crm, tenants=tenants),
            Database("shared", url, models=Shared),
            engine_options={},
        )
        databases.create_all("shared")
        return databases

    @pytest.mark.parametrize("given", [Customer.slug, Customer.__table__.c.slug, TenantTable(Customer.slug)])
    def test_in_every_kind_of_database(self, server_url: URL, tmp_path: Path, run: Run, given: Any) -> None:
        """Also where the database is blind to case: a tenant is called as its row says."""
        databases = self.declare(server_url, tmp_path, given)
        databases.tenants.add("crm", "acme", None, databases)
        databases.tenants.add("crm", "acme", None, databases)
        with Session(databases) as session:
            session.add(Customer(slug="GLOBEX"))
            session.commit()

        assert 1 == run(databases, ask, tenant="acme")
        with pytest.raises(UnknownTenant):
            run(databases, ask, tenant="globex")
        databases.tenants.remove("crm", "acme", databases)
        with pytest.raises(UnknownTenant):
            run(databases, ask, tenant="acme")
        databases.dispose()

    def test_shards(self, tmp_path: Path, run: Run) -> None:
        """Its rows say where each lives."""
        shards = {shard: f"sqlite:///{tmp_path}/{shard}_{{tenant}}.db" for shard in ("eu", "us")}
        tenants = TenantTable(Customer.slug, shard=Customer.shard)
        databases = Databases(
            Database("crm", shards=shards, models=Crm, tenants=tenants),
            Database("shared", f"sqlite:///{tmp_path}/shared.db", models=Shared),
        )
        databases.create_all("shared")
        databases.tenants.add("crm", "acme", "us", databases)

        assert 1 == run(databases, ask, tenant="acme")
        assert [("acme", "us")] == list(databases.tenants.names("crm", databases))
        assert (tmp_path / "us_acme.db").exists()
        databases.dispose()

    def test_down(self, tmp_path: Path, run: Run) -> None:
        """A database that does not answer is a directory that does not answer."""
        databases = Databases(
            Database("crm", f"sqlite:///{tmp_path}/crm_{{tenant}}.db", models=Crm, tenants=Customer.slug),
            Database("shared", "postgresql://nobody@127.0.0.1:1/shared", models=Shared),
        )

        with pytest.raises(DirectoryUnavailable):
            run(databases, ask, tenant="acme")
        databases.dispose()
