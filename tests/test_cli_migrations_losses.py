"""What loses data is shown before anything is changed, and somebody has to agree."""

import pytest

from tests.commands import commands
from tests.projects import Project, project
from tests.terminals import CTRL_C

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

QUESTION = "Go on? [y/N]"


@pytest.fixture
def losing(project: Project) -> Project:
    """Both databases are at r1; in shop, r2 would drop the table, in audit it makes another one."""
    project.users("shop", "audit")
    assert 0 == project("upgrade").code
    project.revision("shop", "r2", "r1", 'op.drop_table("users")')
    project.revision("audit", "r2", "r1", 'op.create_table("tags", sa.Column("id", sa.Integer))')
    return project


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_nobody_there_to_agree(losing: Project, isolation: str) -> None:
    """It is refused with what would be lost, and nothing is changed in any database."""
    ran = losing("upgrade", "--isolation", isolation)

    heading, line = ran.out.splitlines()
    assert 1 == ran.code
    assert ["database", "revision", "where", "what", "happens", "safer"] == heading.split()
    assert ["shop", "r2", "table", "users"] == line.split()[:4]
    assert "Nothing was changed. The pending revisions of shop would lose data: shop: table users (r2)." in ran.err
    assert "--yes" in ran.err
    assert [{"users"}, {"users"}] == [losing.tables("shop"), losing.tables("audit")]


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_refusal_as_json(losing: Project, isolation: str) -> None:
    """The document has the error and the risks."""
    ran = losing("upgrade", "--json", "--isolation", isolation)

    assert [1, ["shop"]] == [ran.code, ran.json["databases"]]
    assert "would lose data" in ran.json["error"]
    (risk,) = ran.json["risks"]
    assert [["shop"], "r2", "data loss", "table users"] == [
        risk[each] for each in ("databases", "revision", "kind", "where")
    ]
    assert risk["message"]
    assert risk["safer"]


def test_consent(losing: Project) -> None:
    """With --yes it goes on, and still shows what is lost."""
    ran = losing("upgrade", "--yes")

    assert 0 == ran.code
    assert "table users" in ran.out
    assert [set(), {"users", "tags"}] == [losing.tables("shop"), losing.tables("audit")]


def test_consent_as_json(losing: Project) -> None:
    """The document tells what was lost."""
    ran = losing("upgrade", "--yes", "--json")

    assert [0, 1] == [ran.code, len(ran.json["risks"])]


def test_downgrade(losing: Project) -> None:
    """To go back loses data too."""
    losing.revision("audit", "r2", "r1", "pass", 'op.drop_table("users")')
    losing("upgrade", "-d", "audit")

    refused, agreed = losing("downgrade", "-1", "-d", "audit"), losing("downgrade", "-1", "-d", "audit", "--yes")

    assert [1, 0] == [refused.code, agreed.code]
    assert "would lose data: audit: table users (r2)" in refused.err


def test_setup(losing: Project) -> None:
    """It asks as upgrade does."""
    refused, agreed = losing("setup"), losing("setup", "--yes")

    assert [1, 0] == [refused.code, agreed.code]
    assert "would lose data: shop: table users (r2)" in refused.err


def test_nothing_lost(losing: Project) -> None:
    """Nobody is asked, and nothing is shown, about other databases than those that are named."""
    ran = losing("upgrade", "-d", "audit")

    assert 0 == ran.code
    assert "users" not in ran.out


def test_many_databases(project: Project) -> None:
    """A risk that they share is one line."""
    names = [f"d{number:02}" for number in range(30)]
    shared = ", ".join(f"Database({name!r}, 'sqlite:///{name}.db', migrations='one')" for name in names)
    project.write(f"from manybase import Database, Databases\ndatabases = Databases({shared})")
    project.users("../one")
    assert 0 == project("upgrade").code
    project.revision("../one", "r2", "r1", 'op.drop_table("users")')

    ran = project("upgrade")

    assert [1, 2] == [ran.code, len(ran.out.splitlines())]
    assert "and 20 more" in ran.out
    (risk,) = project("upgrade", "--json").json["risks"]
    assert names == risk["databases"]


@pytest.mark.parametrize(
    ("answer", "code", "tables"),
    [("y\n", 0, set()), ("n\n", 1, {"users"}), ("\n", 1, {"users"}), ("\x04", 1, {"users"})],
)
def test_question(losing: Project, answer: str, code: int, tables: set[str]) -> None:
    """On a terminal it asks, and only a yes is one."""
    with losing.on_terminal("upgrade") as terminal:
        shown = terminal.until(QUESTION)
        before = losing.tables("shop")
        terminal.type(answer)
        ended = terminal.end()

    assert "table users" in shown
    assert [code, {"users"}, tables] == [ended, before, losing.tables("shop")]
    assert ("Nothing was changed." in terminal.text) is bool(code)


def test_interrupted_at_the_question(losing: Project) -> None:
    """Nothing is changed."""
    with losing.on_terminal("upgrade") as terminal:
        terminal.until(QUESTION)
        terminal.type(CTRL_C)
        ended = terminal.end()

    assert [130, {"users"}] == [ended, losing.tables("shop")]
    assert "Still to do: shop, audit." in terminal.text
    assert "Traceback" not in terminal.text


def test_json_on_a_terminal(losing: Project) -> None:
    """Nobody is asked: one document is what was wanted."""
    with losing.on_terminal("upgrade", "--json") as terminal:
        ended = terminal.end()

    assert 1 == ended
    assert QUESTION not in terminal.text
