"""`manybase in-doubt` with transactions that are really in doubt."""

import pytest
from sqlalchemy import URL

from manybase import Session
from manybase.testing import fail_at
from tests.commands import Commands, commands
from tests.ledgers import ledgers, rows, write
from tests.servers.server import PASSWORD

__all__ = ["commands"]

FACES = {"sync": ("psycopg", "pymysql"), "async": ("asyncpg", "asyncmy")}


@pytest.fixture
def urls(postgresql_url: URL, mariadb_url: URL) -> dict[str, URL]:
    return {
        "first": postgresql_url.set(drivername="postgresql+psycopg"),
        "second": mariadb_url.set(drivername="mysql+pymysql"),
    }


@pytest.fixture
def transaction(urls: dict[str, URL]) -> str:
    """One that is committed, and not finished in the first database."""
    databases = ledgers(urls)
    databases.create_all()
    with Session(databases) as session:
        write(session, "first", "second")
        with fail_at("finishing"):
            session.commit()
    databases.dispose()
    (transaction,) = databases.unfinished.transactions
    return transaction


@pytest.fixture(params=FACES.values(), ids=list(FACES))
def app(request: pytest.FixtureRequest, commands: Commands, urls: dict[str, URL]) -> str:
    """The same databases, through drivers of one kind only."""
    schemes = (f"{backend}+{driver}" for backend, driver in zip(("postgresql", "mysql"), request.param, strict=True))
    named = {name: url.set(drivername=scheme) for (name, url), scheme in zip(urls.items(), schemes, strict=True)}
    return commands.declare(**{name: url.render_as_string(hide_password=False) for name, url in named.items()})


def test_list(commands: Commands, app: str, transaction: str) -> None:
    """The transaction, where it is in doubt, who decides, and what that has decided."""
    ran, as_json = commands("in-doubt", "--app", app), commands("in-doubt", "--app", app, "--json")

    heading, line = ran.out.splitlines()
    assert [0, 0] == [ran.code, as_json.code]
    assert ["transaction", "database", "coordinator", "age", "decided", "why"] == heading.split()
    assert [transaction, "first", "second"] == line.split()[:3]
    assert "commit" == line.split()[-1]
    (found,) = as_json.json["in_doubt"]
    assert ["first", "second", "commit"] == [found["database"], found["coordinator"], found["decided"]]
    assert PASSWORD not in ran.out + as_json.out


def test_young_one(commands: Commands, app: str, transaction: str) -> None:
    """It is left to the process that began it; nothing is left open for that."""
    ran = commands("in-doubt", "resolve", "--app", app)

    assert [0, "Nothing was there to be ended.\n"] == [ran.code, ran.out]
    assert transaction in commands("in-doubt", "--app", app).out


@pytest.mark.parametrize("named", [True, False], ids=["named", "all"])
def test_resolve(commands: Commands, app: str, urls: dict[str, URL], transaction: str, named: bool) -> None:
    """It ends as it was decided; once more, there is nothing to do, and the outcome is still known."""
    which = [transaction] if named else ["--min-age", "0"]

    ran = commands("in-doubt", "resolve", *which, "--app", app)

    assert 0 == ran.code
    assert [transaction, "first", "committed"] == ran.out.splitlines()[1].split()
    assert (f"Transaction {transaction} is committed." in ran.out) is named
    databases = ledgers(urls)
    with Session(databases) as session:
        assert {"first": 1, "second": 1} == rows(session)
    databases.dispose()
    if named:
        assert "committed" == commands("in-doubt", "resolve", transaction, "--app", app, "--json").json["outcome"]


def test_coordinator_that_is_gone(commands: Commands, urls: dict[str, URL], transaction: str, sqlite_url: URL) -> None:
    """It stays in doubt, and the reason is told."""
    only = urls["first"].render_as_string(hide_password=False)
    app = commands.declare(first=only, third=f"sqlite:///{sqlite_url.database}")

    ran = commands("in-doubt", "resolve", transaction, "--app", app)

    assert 3 == ran.code
    assert "left   its coordinator 'second' is not declared here" in ran.out
    assert f"How transaction {transaction} ended cannot be told yet." in ran.out
