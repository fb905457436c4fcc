"""`manybase in-doubt`, where no server is needed."""

import sys

import pytest
from sqlalchemy import create_engine

from manybase import decision
from manybase.cli import printing
from manybase.gid import new_transaction
from tests.commands import Commands, commands
from tests.test_secrets import TRACE, url

__all__ = ["commands"]

DOWN = "@127.0.0.1:1/shop"
SCHEMES = ["postgresql+psycopg", "postgresql+asyncpg", "mysql+pymysql", "mysql+asyncmy"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("command", [("in-doubt",), ("in-doubt", "resolve")], ids=" ".join)
def test_database_that_does_not_answer(commands: Commands, command: tuple[str, ...], scheme: str) -> None:
    """It is named, the exit code says that this is not the whole answer, and no secret is told."""
    app = commands.declare(audit="sqlite:///audit.db", shop=url(scheme, end=DOWN))

    ran, as_json = commands(*command, "--app", app), commands(*command, "--app", app, "--json")

    assert [3, 3] == [ran.code, as_json.code]
    assert "Did not answer: shop." in ran.out
    assert ["shop"] == as_json.json["unreachable"]
    assert TRACE not in ran.out + ran.err + as_json.out + as_json.err


def test_named_database(commands: Commands) -> None:
    """Only that one is asked."""
    app = commands.declare(audit="sqlite:///audit.db", shop=url(end=DOWN))

    ran = commands("in-doubt", "--app", app, "-d", "audit")

    assert [0, "Nothing is in doubt.\n"] == [ran.code, ran.out]


def test_database_that_is_not_declared(commands: Commands) -> None:
    """The message names those that are."""
    ran = commands("in-doubt", "--app", commands.declare(audit="sqlite:///audit.db"), "-d", "audti")

    assert [2, ""] == [ran.code, ran.out]
    assert "Database 'audti' is not declared. Declared: audit." in ran.err


def test_nothing_to_resolve(commands: Commands) -> None:
    """It says so."""
    app = commands.declare(audit="sqlite:///audit.db", shop="sqlite:///shop.db")

    ran, as_json = (
        commands("in-doubt", "resolve", "--app", app),
        commands("in-doubt", "resolve", "--app", app, "--json"),
    )

    assert [0, "Nothing was there to be ended.\n"] == [ran.code, ran.out]
    assert {"resolutions": [], "unreachable": [], "forgotten": 0} == as_json.json


@pytest.mark.parametrize("text", ["1234", "0" * 27 + "'", "G" * 28])
def test_text_that_is_no_id(commands: Commands, text: str) -> None:
    """It is refused before anybody is asked."""
    ran = commands("in-doubt", "resolve", text, "--app", commands.declare(audit="sqlite:///audit.db"))

    assert [2, ""] == [ran.code, ran.out]
    assert "That is no id of a transaction" in ran.err


@pytest.mark.parametrize(
    ("decided", "outcome", "said"),
    [
        ("commit", "committed", "Transaction {} is committed.\n"),
        ("abort", "rolled back", "Transaction {} is rolled back.\n"),
        (None, None, "Nothing is known of transaction {}: no database has it prepared or decided."),
    ],
)
def test_transaction_that_has_ended(commands: Commands, decided: str | None, outcome: str | None, said: str) -> None:
    """What its coordinator knows is told."""
    transaction = new_transaction()
    engine = create_engine(f"sqlite:///{commands.folder / 'audit.db'}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        decision.create(connection)
        if decided is not None:
            record = decision.row(decision.SQLITE, transaction, decided, "shop", unless_there=False)
            connection.exec_driver_sql(record)
    engine.dispose()
    app = commands.declare(shop="sqlite:///shop.db", audit="sqlite:///audit.db")

    ran = commands("in-doubt", "resolve", transaction, "--app", app)
    as_json = commands("in-doubt", "resolve", transaction, "--app", app, "--json")

    assert [0, 0] == [ran.code, as_json.code]
    assert said.format(transaction) in ran.out
    assert [transaction, outcome] == [as_json.json["transaction_id"], as_json.json["outcome"]]


def test_transaction_nobody_can_tell_of(commands: Commands) -> None:
    """While a database is silent, nothing is claimed."""
    app = commands.declare(audit="sqlite:///audit.db", shop=url(end=DOWN))

    ran = commands("in-doubt", "resolve", "0" * 28, "--app", app)

    assert 3 == ran.code
    assert f"How transaction {'0' * 28} ended cannot be told yet." in ran.out


def test_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells are shown as they are, even those that look like markup."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    printing.table(["name", "why"], [["shop", "[bold]no[/bold]"], ["audit", None]])

    out = capsys.readouterr().out
    assert "[bold]no[/bold]" in out
    assert "audit" in out


def test_table_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns, and nothing else."""
    printing.table(["name", "why"], [["shop", "no"], ["warehouse", None]])

    assert "name       why\nshop       no\nwarehouse\n" == capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (90, "2 min"), (7200, "2 h"), (5 * 86_400, "5 d")])
def test_age(seconds: float, text: str) -> None:
    """As people say it."""
    assert text == printing.age(seconds)
