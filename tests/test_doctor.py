"""What the doctor concludes from the facts of databases, and what it finds in SQLite files."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from manybase import Database, Databases
from manybase.doctor import Facts, Finding, adiagnose, conclude, diagnose
from manybase.doctor import facts as facts_module
from tests.commands import Commands, commands
from tests.test_secrets import TRACE, url

__all__ = ["commands"]

Diagnose = Callable[[Databases], list[Finding]]
SLOTS = {"slots": 100, "pool": 15}


@pytest.fixture(params=["sync", "async"])
def diagnosed(request: pytest.FixtureRequest) -> Diagnose:
    """Both faces of it."""
    return diagnose if request.param == "sync" else lambda databases: asyncio.run(adiagnose(databases))


def told(findings: list[Finding]) -> list[tuple[str | None, str, str]]:
    return [(each.database, each.level, each.topic) for each in findings]


def postgresql(name: str, **known: Any) -> Facts:
    known = {**SLOTS, "prepares": known.get("slots") != 0, **known}
    return Facts(name, "app", "postgresql", make_url(f"postgresql://{name}/shop"), answers=True, **known)


def mysql(name: str, *, prepares: bool = True, **known: Any) -> Facts:
    return Facts(name, "app", "mysql", make_url(f"mysql://{name}/shop"), answers=True, prepares=prepares, **known)


def file(name: str, *obstacles: str) -> Facts:
    facts = Facts(name, "app", "sqlite", make_url(f"sqlite:///{name}.db"), answers=True, prepares=False)
    facts.attachable, facts.obstacles = True, list(obstacles)
    return facts


def oracle(name: str) -> Facts:
    return Facts(name, "app", "oracle", make_url(f"oracle://{name}/shop"), prepares=False)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([postgresql("a"), postgresql("b")], [("a", "ok", "coordinator")]),
        ([postgresql("a"), mysql("b"), mysql("c")], [("b", "ok", "coordinator")]),
        ([postgresql("a", slots=0), postgresql("b")], [("a", "warn", "prepare"), ("a", "ok", "coordinator")]),
        ([postgresql("a"), mysql("b"), file("c")], [("c", "warn", "coordinator")]),
        ([postgresql("a", loses_decisions="no"), postgresql("b")], [("a", "warn", "coordinator")]),
        ([postgresql("a"), postgresql("b", loses_decisions="no")], [("a", "ok", "coordinator")]),
        (
            [postgresql("a", slots=0), postgresql("b", slots=0)],
            [("a", "fail", "prepare"), ("b", "fail", "prepare"), (None, "warn", "atomicity")],
        ),
        ([postgresql("a", slots=0), file("b")], [("a", "fail", "prepare"), (None, "warn", "atomicity")]),
        ([file("a"), file("b")], [(None, "ok", "journal")]),
        ([file("a", "journal_mode=wal"), file("b")], [(None, "warn", "journal"), (None, "warn", "atomicity")]),
        ([file("a"), file("b"), postgresql("c")], [(None, "ok", "journal"), ("a", "warn", "coordinator")]),
        ([oracle("a"), postgresql("b")], [("a", "warn", "coordinator")]),
        ([oracle("a"), file("b")], [(None, "warn", "atomicity")]),
        ([mysql("a", prepares=False), postgresql("b")], [("a", "ok", "coordinator")]),
        ([mysql("a"), mysql("b", prepares=False)], [("b", "fail", "prepare"), ("a", "ok", "coordinator")]),
        ([file("a"), mysql("b", prepares=False)], [("b", "fail", "prepare"), ("a", "warn", "coordinator")]),
        ([postgresql("a", slots=14), postgresql("b")], [("a", "warn", "slots"), ("a", "ok", "coordinator")]),
        ([postgresql("a", pool=None), postgresql("b")], [("a", "warn", "slots"), ("a", "ok", "coordinator")]),
        ([postgresql("a", prepares=None), postgresql("b")], []),
        ([postgresql("a", slots=0)], []),
    ],
)
def test_together(facts: list[Facts], expected: list[tuple[str | None, str, str]]) -> None:
    """Who decides, who cannot prepare, and what that means for a commit over all."""
    findings = [each for each in conclude(facts) if each.topic != "connection"]

    assert expected == told(findings)


def test_databases_of_one_server() -> None:
    """They share its slots."""
    facts = [postgresql("a", slots=20), postgresql("b", slots=20)]
    facts[1].url = facts[0].url

    (finding,) = [each for each in conclude(facts) if each.topic == "slots"]

    assert "on the server of a, b, and each process of this application may want up to 30" in finding.message


def test_files(tmp_path: Path, diagnosed: Diagnose) -> None:
    """Their journal modes are told, and the one by which a commit over both is refused; no file is made."""
    sqlite3.connect(tmp_path / "wal.db").execute("PRAGMA journal_mode = wal").connection.close()
    sqlite3.connect(tmp_path / "plain.db").execute("CREATE TABLE a (b)").connection.close()
    databases = Databases(*(Database(name, f"sqlite:///{tmp_path / name}.db") for name in ("wal", "plain", "none")))

    findings = diagnosed(databases)

    assert (None, "warn", "journal") in told(findings)
    assert "wal has journal_mode=wal." in next(each.message for each in findings if each.topic == "journal")
    assert not (tmp_path / "none.db").exists()


def test_file_that_may_lose_commits(tmp_path: Path, diagnosed: Diagnose) -> None:
    """Of the settings with which the declared engine connects."""
    (tmp_path / "a.db").touch()

    def off(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()

    options = {"pool_events": [(off, "connect")]}
    databases = Databases(
        Database("a", f"sqlite:///{tmp_path / 'a.db'}", engine_options=options),
        Database("b", f"sqlite:///{tmp_path / 'b.db'}"),
    )

    assert ("a", "warn", "durability") in told(diagnosed(databases))


def test_single_database(tmp_path: Path, diagnosed: Diagnose) -> None:
    """Nothing about commits over several."""
    databases = Databases(Database("a", f"sqlite:///{tmp_path / 'a.db'}"), Database("cache", "sqlite://"))

    assert [("a", "ok", "connection"), ("cache", "ok", "connection")] == told(diagnosed(databases))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_database_that_does_not_answer(tmp_path: Path, diagnosed: Diagnose, scheme: str) -> None:
    """One finding, with the kind of failure and no secret."""
    databases = Databases(Database("a", url(scheme)), Database("b", f"sqlite:///{tmp_path / 'b.db'}"))

    findings = diagnosed(databases)

    assert [("a", "fail", "connection")] == told([each for each in findings if each.database == "a"])
    assert "does not answer (unreachable)" in findings[0].message
    assert TRACE not in repr(findings)


def test_database_without_a_url(diagnosed: Diagnose) -> None:
    """The variables are named that may hold it."""
    (finding,) = diagnosed(Databases(Database("nowhere")))

    assert "fail" == finding.level
    assert "Set MANYBASE_NOWHERE_URL or NOWHERE_DATABASE_URL" in finding.message


@pytest.mark.parametrize(("hours", "level"), [(0, None), (0.9, None), (2, "warn"), (-2, "warn"), (25, "fail")])
def test_clock(hours: float, level: str | None) -> None:
    """An hour apart is told; a day breaks commits."""
    found = list(facts_module.clock_difference(postgresql("a"), lambda: time.time() + hours * 3600))

    assert ([] if level is None else [level]) == [each.level for each in found]


@pytest.mark.parametrize(
    ("urls", "options", "code"),
    [
        ({"shop": "sqlite:///shop.db"}, (), 0),
        ({"shop": "sqlite:///shop.db", "down": url()}, (), 1),
        ({"shop": "sqlite:///shop.db", "down": url()}, ("-d", "shop"), 0),
        ({"wal": "sqlite:///wal.db", "shop": "sqlite:///shop.db"}, (), 0),
        ({"wal": "sqlite:///wal.db", "shop": "sqlite:///shop.db"}, ("--strict",), 1),
    ],
)
def test_command(commands: Commands, urls: dict[str, str], options: tuple[str, ...], code: int) -> None:
    """`manybase doctor` fails for what is broken, with --strict also for a warning."""
    sqlite3.connect(commands.folder / "wal.db").execute("PRAGMA journal_mode = wal").connection.close()
    app = commands.declare(**urls)

    ran = commands("doctor", "--app", app, *options)
    as_json = commands("doctor", "--app", app, *options, "--json")

    assert [code, code] == [ran.code, as_json.code]
    assert ["level", "database", "topic"] == ran.out.split()[:3]
    findings = [Finding(**each) for each in as_json.json["findings"]]
    assert "shop" in {each.database for each in findings}
    assert TRACE not in ran.out + ran.err + as_json.out


@pytest.mark.parametrize(
    ("urls", "code", "statuses"),
    [
        ({"shop": "sqlite:///shop.db"}, 0, ["ok"]),
        ({"shop": "sqlite:///shop.db", "down": url()}, 3, ["ok", "fail"]),
        ({"down": url()}, 1, ["fail"]),
    ],
)
def test_ping(commands: Commands, urls: dict[str, str], code: int, statuses: list[str]) -> None:
    """`manybase ping` tells which databases answer, and how fast."""
    app = commands.declare(**urls)

    ran, as_json = commands("ping", "--app", app), commands("ping", "--app", app, "--json")

    assert [code, code] == [ran.code, as_json.code]
    assert statuses == [each["status"] for each in as_json.json["databases"]]
    assert TRACE not in ran.out + ran.err + as_json.out
