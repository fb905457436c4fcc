"""`manybase explain`."""

from __future__ import annotations

from pathlib import Path

import pytest

from manybase.cli.application import add_to_path, imported
from tests.commands import Commands, commands
from tests.test_secrets import PASSWORD, TRACE, url

__all__ = ["commands"]

PROGRAM = """
from sqlalchemy import func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from manybase import Database, Databases, Session

class Shop(DeclarativeBase): ...  # not Model, whose classes know those of other tests by their names
class Log(DeclarativeBase): ...

class User(Shop):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

class Event(Log):
    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]

databases = Databases(Database("shop", {shop!r}, models=Shop), Database("log", {log!r}, models=Log))
events = select(User.name, Event.id).join(Event, Event.user_id == User.id).where(User.id == 1)
users = select(User)
locked = events.with_for_update()
rename = update(User).values(name="x")
number = 3

class Reports:
    events = events

def by_name():
    return events.where(User.name == {secret!r})

def needs(argument):
    return events

def fails():
    raise ValueError({secret!r})
"""


def program(commands: Commands, shop: str = "sqlite:///shop.db", log: str = "sqlite:///log.db") -> str:
    return commands.module(PROGRAM.format(shop=shop, log=log, secret=PASSWORD))


@pytest.mark.parametrize("name", ["events", "by_name", "Reports.events"])
def test_plan(commands: Commands, name: str) -> None:
    """A statement, or what returns one, is explained without a database that is there."""
    module = program(commands)

    ran = commands("explain", f"{module}:{name}", "--app", f"{module}:databases")

    assert [0, ""] == [ran.code, ran.err]
    assert ran.out.startswith("2 fragments, then Python: it does all that is left\n  _f0 shop (primary)\n")
    assert TRACE not in ran.out
    assert not (commands.folder / "shop.db").exists()


def test_analyze(commands: Commands) -> None:
    """It runs once, and its numbers are told."""
    module = program(commands)
    prepare(module)

    ran = commands("explain", f"{module}:events", "--analyze", "--app", f"{module}:databases")

    assert [0, ""] == [ran.code, ran.err]
    assert "result: 2 rows, fetched 3 rows, " in ran.out


def prepare(module: str) -> None:
    """A user with two events, where the program declares its databases."""
    add_to_path(Path.cwd())
    found = imported(module)
    found.databases.create_all()
    with found.Session(found.databases) as session:
        session.add_all([found.User(id=1, name="ann"), found.Event(user_id=1), found.Event(user_id=1)])
        session.commit()
    found.databases.dispose()


def test_json(commands: Commands) -> None:
    """One document."""
    module = program(commands)

    ran = commands("explain", f"{module}:events", "--json", "--app", f"{module}:databases")

    assert 0 == ran.code
    assert ["shop", "log"] == [each["database"] for each in ran.json["fragments"]]
    assert ("python", False) == (ran.json["executor"], ran.json["analyzed"])


def test_statement_of_one_database(commands: Commands) -> None:
    """It says so."""
    module = program(commands)

    ran = commands("explain", f"{module}:users", "--app", f"{module}:databases")

    assert 0 == ran.code
    assert "One database answers it\n  _f0 shop (primary)\n    SELECT " in ran.out


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("{}:nothing", "'nothing' of module '{}' is not there."),
        ("{}:number", "is of type int, and neither a SELECT nor returns one."),
        ("{}:rename", "is of type Update, and neither a SELECT nor returns one."),
        ("{}:needs", "raises TypeError when it is called without arguments."),
        ("{}:fails", "raises ValueError when it is called without arguments."),
        ("nowhere:events", "Module 'nowhere' cannot be imported."),
        ("{}", "The statement is not written as module:name. Write it as in shop.reports:best_customers."),
        (url(), "The statement is not written as module:name."),
    ],
)
def test_statement_that_is_none(commands: Commands, statement: str, said: str) -> None:
    """The message says what is there, without a secret; nothing runs."""
    module = program(commands)

    ran = commands("explain", statement.format(module), "--app", f"{module}:databases")
    as_json = commands("explain", statement.format(module), "--json", "--app", f"{module}:databases")

    assert [2, "", 2] == [ran.code, ran.out, as_json.code]
    assert said.format(module) in ran.err
    assert said.format(module) in as_json.json["error"]
    assert TRACE not in ran.err + as_json.out


def test_statement_that_cannot_be_answered(commands: Commands) -> None:
    """The error of the statement, and a failure."""
    module = program(commands)

    ran = commands("explain", f"{module}:locked", "--app", f"{module}:databases")
    as_json = commands("explain", f"{module}:locked", "--json", "--app", f"{module}:databases")

    assert [1, "", 1] == [ran.code, ran.out, as_json.code]
    assert ran.err.startswith("FOR UPDATE cannot be answered over several databases")
    assert ran.err.strip() == as_json.json["error"]


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql+asyncpg", "mysql+asyncmy"])
def test_database_that_does_not_answer(commands: Commands, scheme: str) -> None:
    """A plan needs none; an analysis fails, and tells no secret."""
    module = program(commands, shop=url(scheme, end="@127.0.0.1:1/shop"))

    planned = commands("explain", f"{module}:by_name", "--app", f"{module}:databases")
    analyzed = commands("explain", f"{module}:by_name", "--analyze", "--app", f"{module}:databases")

    assert [0, 1] == [planned.code, analyzed.code]
    assert TRACE not in planned.out + planned.err + analyzed.out + analyzed.err
    assert "Traceback" not in analyzed.err


def test_terminal(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is a tree."""
    module = program(commands)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    ran = commands("explain", f"{module}:events", "--app", f"{module}:databases")

    assert 0 == ran.code
    assert "├── " in ran.out
