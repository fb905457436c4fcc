"""The commands of migrations on SQLite files: what they say, as text and as JSON, and how they exit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.projects import DOWN, Project, commands, project
from tests.test_secrets import TRACE

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

COMMANDS = [
    ("init",),
    ("revision", "-m", "more"),
    ("upgrade",),
    ("downgrade", "-1"),
    ("current",),
    ("history",),
    ("heads",),
    ("check",),
    ("check", "--lint"),
    ("stamp", "head"),
    ("merge",),
    ("status",),
    ("status", "--quick"),
    ("setup",),
]
NAME = 'Column("name", String(50))'


def test_from_the_models_to_the_tables(project: Project) -> None:
    """Directories, revisions, tables: three commands, and the fourth finds nothing to do."""
    steps = [project("init"), project("revision", "-m", "users"), project("upgrade"), project("status")]

    assert [0, 0, 0, 0] == [each.code for each in steps]
    assert f"shop: made {project.folder / 'migrations' / 'shop'}" in steps[0].out
    assert {"users"} == project.tables("shop") == project.tables("audit")
    assert "Nothing to do: every history has its directory.\n" == project("init").out
    assert ["shop: no changes", "audit: no changes"] == project("revision", "-m", "again").out.splitlines()
    assert "Nothing to do: 2 databases.\n" == project("upgrade").out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_one_document(project: Project, command: tuple[str, ...]) -> None:
    """With --json, stdout is one document for each command, whatever an env.py or a revision prints."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", "print('printed')", "print('printed')")
    assert 0 == project("upgrade").code

    ran = project(*command, "--json")

    assert [0, dict] == [ran.code, type(ran.json)]
    assert "error" not in ran.json


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] not in ("init", "revision")], ids=" ".join)
def test_history_without_a_directory(project: Project, command: tuple[str, ...]) -> None:
    """The command that makes it is named."""
    ran, as_json = project(*command), project(*command, "--json")

    assert [2, 2, ""] == [ran.code, as_json.code, ran.out]
    assert "Make it: manybase init." in ran.err
    assert "Make it: manybase init." in as_json.json["error"]


def test_upgrade(project: Project) -> None:
    """A line for each database that had something to do, a count of the others, and the same as a document."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", 'op.create_table("t", sa.Column("id", sa.Integer))', 'op.drop_table("t")')
    project("upgrade", "-d", "audit")

    ran = project("upgrade")

    line, idle = ran.out.splitlines()
    assert [0, ""] == [ran.code, ran.err]
    assert line.startswith("shop: 2 revisions, now at r2 (")
    assert "Nothing to do: 1 database." == idle
    document = project("upgrade", "--json").json
    assert {"shop", "audit"} == {each["database"] for each in document["done"]}
    assert [[], [], False] == [document["failed"], document["pending"], document["interrupted"]]


def test_upgrade_to_a_revision(project: Project) -> None:
    """Of one database, as far as it is told; a document tells from where to where."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", 'op.create_table("t", sa.Column("id", sa.Integer))')

    document = project("upgrade", "r1", "-d", "shop", "--json").json

    (done,) = document["done"]
    assert ["shop", [], ["r1"], ["r1"]] == [done[each] for each in ("database", "before", "after", "revisions")]
    assert [{"users"}, set()] == [project.tables("shop"), project.tables("audit")]


@pytest.mark.parametrize("revision", ["-1", "base", "r1-1"])
def test_downgrade(project: Project, revision: str) -> None:
    """A number of steps needs no `--` before it."""
    project.users("shop")
    project("upgrade", "-d", "shop")

    ran = project("downgrade", revision, "-d", "shop", "--yes")

    assert [0, ""] == [ran.code, ran.err]
    assert ran.out.startswith("shop: 1 revision, now at base (")


def test_downgrade_with_a_wrong_option(project: Project) -> None:
    """It is not taken for a revision."""
    project.users("shop", "audit")

    first, second = project("downgrade", "--jbos", "-1"), project("downgrade", "--jbos")

    assert [2, 2] == [first.code, second.code]
    assert "There is no option --jbos." in second.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("upgrade", "nosuch"), "Can't locate revision identified by 'nosuch'"),
        (("downgrade", "nosuch"), "Can't locate revision identified by 'nosuch'"),
        (("stamp", "nosuch"), "Can't locate revision identified by 'nosuch'"),
        (("merge", "nosuch", "other"), "Can't locate revision identified by 'nosuch'"),
        (("revision", "--empty", "--head", "nosuch"), "Can't locate revision identified by 'nosuch'"),
        (("upgrade", "-d", "nosuch"), "Database 'nosuch' is not declared. Declared: shop, audit."),
        (("status", "-d", "nosuch"), "Database 'nosuch' is not declared. Declared: shop, audit."),
        (("upgrade", "--jobs", "0"), "--jobs"),
        (("upgrade", "--isolation", "magic"), "--isolation"),
    ],
)
def test_what_is_not_there(project: Project, command: tuple[str, ...], said: str) -> None:
    """It is not understood, and the message names it."""
    project.users("shop", "audit")
    for name in ("shop", "audit"):
        project.revision(name, "r2", None, "pass")

    ran = project(*command)

    assert [2, ""] == [ran.code, ran.out]
    assert said in ran.err
    if "--" not in said:
        assert said in project(*command, "--json").json["error"]


def test_revision_that_the_database_holds_and_the_history_lacks(project: Project) -> None:
    """That is no misunderstanding: it has failed, and `status` shows it."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", "pass")
    project("upgrade")
    (project.folder / "migrations" / "shop" / "versions" / "r2.py").unlink()

    ran, status = project("upgrade"), project("status", "--quick")

    assert 1 == ran.code
    assert "Can't locate revision identified by 'r2'" in ran.err
    assert 1 == status.code
    assert "r2 (unknown)" in status.out


def test_several_heads(project: Project) -> None:
    """It fails and offers what joins them; after that, it goes on."""
    project.users("shop", "audit")
    project.revision("shop", "left", "r1", "pass")
    project.revision("shop", "right", "r1", "pass")

    ran = project("upgrade")

    assert 1 == ran.code
    assert "Join them: manybase merge heads" in ran.err
    assert "shop: left, right" in project("heads").out
    merged = project("merge", "-m", "joined").out.splitlines()
    assert merged[0].startswith("shop: wrote ")
    assert "audit: it has a single head" == merged[1]
    assert 0 == project("upgrade").code


def test_merge_of_some(project: Project) -> None:
    """Those that are named, of several."""
    project.users("shop")
    for each in ("r2", "r3", "r4"):
        project.revision("shop", each, "r1", "pass")

    (made,) = project("merge", "r2", "r3", "-d", "shop", "--json").json["done"]

    heads = project("heads", "-d", "shop", "--json").json["histories"][0]["heads"]
    assert {"r4", made["revision"]} == set(heads)


def test_database_that_is_down(project: Project) -> None:
    """Nothing is begun; with --keep-going the others are done. No password, no URL, no traceback."""
    project.declare(shop="sqlite:///shop.db", down=DOWN)
    project.users("shop", "down")

    first = project("upgrade")
    as_json = project("upgrade", "--json")
    going = project("upgrade", "--keep-going")

    assert [1, 1, 3] == [first.code, as_json.code, going.code]
    assert "Database 'down' failed." in first.err
    assert "Done: none. Failed: down. Not begun: shop." in first.err
    (failed,) = as_json.json["failed"]
    assert ["down", "MigrationFailed", ["shop"]] == [failed["database"], failed["kind"], as_json.json["pending"]]
    assert "Failed: down." in as_json.json["error"]
    assert going.out.startswith("shop: 1 revision, now at r1")
    assert {"users"} == project.tables("shop")
    every = [first, as_json, going]
    assert not [each for each in every if TRACE in each.out + each.err or "Traceback" in each.err]


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] not in ("init", "merge", "heads", "history")])
def test_no_database_answers(project: Project, command: tuple[str, ...]) -> None:
    """It has failed, and names them."""
    project.declare(down=DOWN)
    project.users("down")

    ran, as_json = project(*command), project(*command, "--json")

    assert {1, 3} >= {ran.code} == {as_json.code}
    assert "'down'" in ran.err
    assert "down" in as_json.json["error"]
    assert TRACE not in ran.out + ran.err + as_json.out


def test_revision_that_fails(project: Project) -> None:
    """The revision is named, what was done before stays, and running again goes on."""
    project.users("shop")
    project.revision("shop", "r2", "r1", 'op.execute("SELECT nonsense FROM nowhere")')

    ran, as_json = project("upgrade", "-d", "shop"), project("upgrade", "-d", "shop", "--json")

    assert [1, ""] == [ran.code, ran.out]
    assert "Database 'shop' failed in revision r2. OperationalError: no such table: nowhere." in ran.err
    assert ["r2", []] == [as_json.json["failed"][0][each] for each in ("revision", "applied")]
    project.revision("shop", "r2", "r1", "pass")
    assert ["r2"] == project("upgrade", "-d", "shop", "--json").json["done"][0]["revisions"]


def test_canary(project: Project) -> None:
    """Where the first database fails, no other is begun, --keep-going or not."""
    project.users("audit")
    project.revision("shop", "r1", None, 'op.execute("nonsense")')

    ran = project("upgrade", "--canary", "1", "--json")

    assert [1, ["audit"]] == [ran.code, ran.json["pending"]]
    assert set() == project.tables("audit")


def test_current(project: Project) -> None:
    """The revision of each, and whether that is its head."""
    project.users("shop", "audit")
    project("upgrade", "-d", "shop")

    assert ["shop: r1 (head)", "audit: base"] == project("current").out.splitlines()
    assert [["r1"], []] == [each["current"] for each in project("current", "--json").json["databases"]]


def test_history(project: Project) -> None:
    """The newest first, with what each is based on."""
    project.users("shop", "audit")
    project.revision("shop", "r2", "r1", "pass")

    lines = project("history", "-d", "shop").out.splitlines()

    assert ["shop:", "  r1 -> r2 (head): Revision r2", "  base -> r1: Revision r1"] == lines
    (history,) = project("history", "-d", "shop", "--json").json["histories"]
    assert ["r2", "r1"] == [each["revision"] for each in history["revisions"]]
    assert [["r1"], []] == [each["down_revisions"] for each in history["revisions"]]


def test_status(project: Project) -> None:
    """Where each is, what it lacks, and how it differs from its models; it fails where not all is well."""
    project.declare(
        'Table("tags", audit, Column("id", Integer, primary_key=True))',
        shop="sqlite:///shop.db",
        audit="sqlite:///audit.db",
        third="sqlite:///third.db",
    )
    project.users("shop", "audit", "third")
    project("upgrade", "-d", "shop", "-d", "audit")

    ran, quick = project("status"), project("status", "--quick")
    document = project("status", "--json").json

    assert [1, 1] == [ran.code, quick.code]
    assert [
        ["database", "current", "head", "pending", "lock", "drift"],
        ["shop", "r1", "r1", "0", "none"],
        ["audit", "r1", "r1", "0", "1", "difference"],
        ["third", "base", "r1", "1", "1", "difference"],
    ] == [line.split() for line in ran.out.splitlines()]
    assert ["database", "current", "head", "pending", "lock"] == quick.out.splitlines()[0].split()
    assert [True, True, False] == [each["at_head"] for each in document["databases"]]
    assert [0, 1, 1] == [len(each["drift"]) for each in document["databases"]]
    assert [0, 1, 1] == [project("status", "-d", name).code for name in ("shop", "audit", "third")]
    assert 0 == project("status", "--quick", "-d", "audit").code


def test_status_where_one_does_not_answer(project: Project) -> None:
    """It is in the table, and the exit code tells that this is not the whole answer."""
    project.declare(shop="sqlite:///shop.db", down=DOWN)
    project.users("shop", "down")
    project("upgrade", "-d", "shop")

    ran, as_json = project("status"), project("status", "--json")

    assert [3, 3] == [ran.code, as_json.code]
    assert ["down", "does", "not", "answer"] == ran.out.splitlines()[2].split()
    assert "Did not answer: down." == as_json.json["error"]
    assert TRACE not in ran.out + ran.err + as_json.out


def test_status_of_a_database_without_models(project: Project) -> None:
    """There is nothing to compare it with, and nothing is wrong with that."""
    project.write(
        "from manybase import Database, Databases\ndatabases = Databases(Database('bare', 'sqlite:///bare.db'))"
    )
    project.users("bare")  # models of other tests in this process claim usual names
    project("upgrade")

    ran = project("status")

    assert 0 == ran.code
    assert "not comparable" in ran.out
    assert [0, None] == [project("check").code, project("status", "--json").json["databases"][0]["drift"]]


def test_check(project: Project) -> None:
    """What would bring a database to its models; it fails where there is something."""
    project.users("shop", "audit")
    project("upgrade")
    clean = project("check")
    project.declare(f"shop.tables['users'].append_column({NAME})", shop="sqlite:///shop.db", audit="sqlite:///audit.db")

    ran = project("check")

    assert [0, ["shop: no drift", "audit: no drift"]] == [clean.code, clean.out.splitlines()]
    assert 1 == ran.code
    assert [
        "shop: differs from its models",
        "  op.add_column('users', sa.Column('name', sa.String(length=50), nullable=True))",
        "audit: no drift",
    ] == ran.out.splitlines()
    assert [1, 0] == [len(each["differences"]) for each in project("check", "--json").json["databases"]]


def test_check_of_one_that_is_down(project: Project) -> None:
    """The others are told."""
    project.declare(shop="sqlite:///shop.db", down=DOWN)
    project.users("shop", "down")
    project("upgrade", "-d", "shop")

    ran = project("check")

    assert [3, "shop: no drift\n"] == [ran.code, ran.out]
    assert "'down'" in ran.err


def test_lint(project: Project) -> None:
    """The risks of what is pending, of any kind, once for the databases that share them."""
    project.users("shop", "audit")
    project("upgrade")
    for name in ("shop", "audit"):
        project.revision(name, "r2", "r1", 'op.drop_table("users")')

    ran, as_json = project("check", "--lint"), project("check", "--lint", "--json")

    assert 0 == ran.code  # the models and the databases agree
    lines = [line for line in ran.out.splitlines() if "table users" in line]
    assert ["shop", "audit"] == [line.split()[0] for line in lines]
    assert ["data loss", "data loss"] == [each["kind"] for each in as_json.json["risks"]]
    project("upgrade", "--yes")
    assert "No risks in what is pending." in project("check", "--lint").out


def test_stamp(project: Project) -> None:
    """The databases are said to be there, and nothing else in them changes."""
    project.users("shop", "audit")

    ran = project("stamp", "head")

    assert [0, ""] == [ran.code, ran.err]
    assert {"shop: now at r1", "audit: now at r1"} == set(ran.out.splitlines())
    assert set() == project.tables("shop")
    assert [["r1"], []] == [
        project("stamp", "base", "-d", "shop", "--json").json["done"][0][each] for each in ("before", "after")
    ]


def test_sql(project: Project) -> None:
    """It is printed for each database, and nothing is done."""
    project.users("shop", "audit")

    ran, as_json = project("upgrade", "--sql"), project("upgrade", "--sql", "--json")

    assert [0, ""] == [ran.code, ran.err]
    assert ["-- Database shop", "-- Database audit"] == [each for each in ran.out.splitlines() if "Database" in each]
    assert 2 == ran.out.count("CREATE TABLE users")
    assert ["shop", "audit"] == [each["database"] for each in as_json.json["databases"]]
    assert not (project.folder / "shop.db").exists()
    backwards = project("downgrade", "base", "--sql")
    assert [2, True] == [backwards.code, "from:to" in backwards.err]
    assert "DELETE FROM alembic_version" in project("downgrade", "r1:base", "--sql", "-d", "shop").out


def test_revision(project: Project) -> None:
    """Each history gets one where its models and its database differ; one that fails is told with what was written."""
    project.declare(shop="sqlite:///shop.db", down=DOWN, audit="sqlite:///audit.db")

    ran = project("revision", "-m", "users", "--json")

    assert 3 == ran.code
    (done,) = ran.json["done"]
    assert "def upgrade()" in Path(done["path"]).read_text()
    assert [["down"], ["audit"]] == [[each["database"] for each in ran.json["failed"]], ran.json["pending"]]
    assert "Failed: down." in ran.json["error"]


def test_empty_revision(project: Project) -> None:
    """With all that Alembic lets one say of it."""
    project.users("shop")
    project.revision("shop", "r2", "r1", "pass")

    ran = project(
        *("revision", "-m", "mine", "--empty", "-d", "shop", "--rev-id", "mine", "--head", "r1", "--splice"),
        *("--branch-label", "side", "--depends-on", "r2"),
    )

    assert [0, ""] == [ran.code, ran.err]
    (history,) = project("history", "-d", "shop", "--json").json["histories"]
    mine = next(each for each in history["revisions"] if each["revision"] == "mine")
    assert [["r1"], ["side"], ["r2"]] == [mine[each] for each in ("down_revisions", "branch_labels", "depends_on")]


def test_revision_where_nothing_declares_models(project: Project) -> None:
    """It says how to write one all the same."""
    project.write(
        "from manybase import Database, Databases\ndatabases = Databases(Database('bare', 'sqlite:///bare.db'))"
    )

    ran = project("revision", "-m", "nothing")

    assert [2, ""] == [ran.code, ran.out]
    assert "--empty" in ran.err


def test_setup(project: Project) -> None:
    """Databases that are missing are made, all come to their heads, and the second time there is nothing to do."""
    project.declare(shop="sqlite:///below/shop.db", audit="sqlite:///audit.db")
    project.users("shop", "audit")

    first, second = project("setup"), project("setup", "--json")

    assert [0, 0, ""] == [first.code, second.code, first.err]
    assert "Created: shop, audit." in first.out.splitlines()
    assert (project.folder / "below" / "shop.db").exists()
    assert [[], 2] == [second.json["created"], len(second.json["done"])]


def test_setup_where_one_is_down(project: Project) -> None:
    """Nothing is upgraded; with --keep-going the others are."""
    project.declare(shop="sqlite:///shop.db", down=DOWN)
    project.users("shop", "down")

    first, going = project("setup", "--json"), project("setup", "--keep-going", "--json")

    assert [1, 3] == [first.code, going.code]
    assert ["down"] == [each["database"] for each in going.json["failed"]]
    assert "users" in project.tables("shop")


def test_alembic_that_is_missing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr("manybase.cli.migrating.find_spec", lambda name: None)

    ran, as_json = project("upgrade"), project("upgrade", "--json")

    assert [2, 2, ""] == [ran.code, as_json.code, ran.out]
    assert "pip install 'manybase[migrations]'" in ran.err
    assert "pip install 'manybase[migrations]'" in as_json.json["error"]


def test_database_of_somebody_else(project: Project) -> None:
    """It is not migrated, and to name it is a misunderstanding."""
    project.write(
        "from manybase import Database, Databases\n"
        "databases = Databases(Database('shop', 'sqlite:///shop.db'), "
        "Database('theirs', 'sqlite:///theirs.db', manage_schema=False))"
    )
    project.users("shop")

    every, theirs = project("upgrade", "--json"), project("upgrade", "-d", "theirs")

    assert [0, ["shop"]] == [every.code, [each["database"] for each in every.json["done"]]]
    assert 2 == theirs.code
    assert "manage_schema=False" in theirs.err


def test_help_of_commands(commands: Commands) -> None:
    """All of them are named, and neither SQLAlchemy nor Alembic nor the migrations are imported for that."""
    program = (
        "import sys\nfrom manybase.cli import main\ntry:\n    main([{}'--help'])\nexcept SystemExit:\n    pass\n"
        "print([each for each in sys.modules if each.startswith(('alembic', 'manybase.migrations', 'manybase.cli.m'))])"
    )
    for command in ("", "'upgrade', "):
        source = [sys.executable, "-W", "error", "-c", program.format(command)]
        done = subprocess.run(source, capture_output=True, text=True, check=True)
        assert "['manybase.cli.migrating']" == done.stdout.splitlines()[-1]
        if not command:
            assert [each for each in COMMANDS if each[0] not in done.stdout] == []
        else:
            assert "--look" not in done.stdout


def test_as_a_module(project: Project) -> None:
    """`python -m manybase.cli` is `manybase`."""
    project.users("shop", "audit")

    with project.started("current", "--json", stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=60)

    document: Any = json.loads(out)
    assert [0, ["shop", "audit"]] == [process.returncode, [each["database"] for each in document["databases"]]]
