"""Migrations over the parts of tenants: which are meant, who goes first, what stops it, and how thousands are told."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from manybase import Database, Databases, PartlyMigrated, PendingMigrations, UnknownTenant, lifecycle
from manybase.errors import ConfigurationError
from manybase.migrations import Silent, downgrade, require, status, upgrade
from tests.commands import commands
from tests.migrations.revisions import write_chain, write_revision
from tests.projects import Project, project
from tests.tenants.living import Settle, every_kind, make_home

pytestmark = pytest.mark.once

__all__ = ["commands", "make_home", "project"]

APPLICATION = """
from manybase import Database, Databases
tenants = [f"t{{number:03}}" for number in range({count})]
databases = Databases(
    Database("shop", "sqlite:///shop.db"),
    Database("crm", "sqlite:///tenants/{{tenant}}.db", tenants=tenants),
    {options}
)
"""


@pytest.fixture
def many(project: Project) -> Project:
    """A shop, and a file for each of 320 tenants."""
    (project.folder / "tenants").mkdir()
    project.write(APPLICATION.format(count=320, options="max_connections=6"))
    write_chain(project.folder / "migrations" / "shop", 1)
    write_chain(project.folder / "migrations" / "crm", 2)
    return project


def declared(folder: Path, *tenants: str, **options: object) -> Databases:
    (folder / "tenants").mkdir(exist_ok=True)
    return Databases(
        Database("shop", f"sqlite:///{folder / 'shop.db'}"),
        Database("crm", f"sqlite:///{folder / 'tenants'}/{{tenant}}.db", tenants=[*tenants]),
        migrations=folder / "migrations",
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def three(tmp_path: Path) -> Databases:
    write_chain(tmp_path / "migrations" / "shop", 1)
    write_chain(tmp_path / "migrations" / "crm", 2)
    return declared(tmp_path, "acme", "bolt", "cord")


def names_of(done: object) -> list[str]:
    return [each.database for each in done]  # type: ignore[attr-defined]


def test_which_are_meant(three: Databases) -> None:
    """Plain databases by themselves, all, or what is a tenant's; a name twice is one part."""
    assert ["shop"] == names_of(upgrade(three))
    assert ["crm@bolt"] == names_of(upgrade(three, tenants=["bolt", "bolt"]))
    assert ["crm@acme", "crm@bolt", "crm@cord"] == names_of(upgrade(three, "rev001", names=["crm"], tenants="all"))
    assert ["crm@cord"] == names_of(upgrade(three, names=["crm@cord"]))
    assert ["shop", "crm@acme", "crm@bolt", "crm@cord"] == names_of(upgrade(three, tenants="all"))
    with pytest.raises(ConfigurationError, match="--tenant NAME"):
        upgrade(three, names=["crm"])
    with pytest.raises(UnknownTenant):
        upgrade(three, tenants=["acme", "nobody"])


def test_require(three: Databases) -> None:
    """All tenants, or a sample of them, have to be at their head; without either they are not looked at."""
    upgrade(three)
    upgrade(three, "rev001", tenants=["acme"])

    require(three)
    with pytest.raises(PendingMigrations) as behind:
        require(three, tenants="all")
    with pytest.raises(PendingMigrations):
        require(three, tenants="sample")

    assert {"crm@acme": 1, "crm@bolt": 2, "crm@cord": 2} == behind.value.pending
    upgrade(three, tenants="all")
    require(three, tenants="all")


def test_sample_of_many(tmp_path: Path) -> None:
    """Of many tenants 20 are looked at."""
    write_chain(tmp_path / "migrations" / "crm", 1)
    write_chain(tmp_path / "migrations" / "shop", 1)
    databases = declared(tmp_path, *(f"t{number}" for number in range(60)))

    assert 21 == len(status(databases, tenants="sample").done)


def test_canary(three: Databases) -> None:
    """A tenant by name goes first; where that fails, no other begins."""
    folder = Path(str(three.migrations)) / "crm"
    write_revision(folder, "bad", "rev002", 'op.execute("nonsense")')

    with pytest.raises(PartlyMigrated) as error:
        upgrade(three, names=["crm"], tenants="all", canary="cord", keep_going=True)

    assert (["crm@cord"], ("crm@acme", "crm@bolt")) == ([*error.value.failed], error.value.pending)
    (folder / "versions" / "bad.py").unlink()
    ended: list[str] = []

    class Watching(Silent):
        def ends(self, database: str, error: BaseException | None) -> None:
            ended.append(database)

    write_revision(folder, "good", "rev002", "pass")
    upgrade(three, names=["crm"], tenants="all", canary="cord", observer=Watching())
    assert ("crm@cord", {"crm@acme", "crm@bolt"}) == (ended[0], {*ended[1:]})
    with pytest.raises(ConfigurationError, match="canary 'nobody'"):
        upgrade(three, tenants="all", canary="nobody")


def test_only_behind(three: Databases) -> None:
    """What is at its head is not told, and what a newer program has migrated does not fail."""
    folder = Path(str(three.migrations)) / "crm"
    write_revision(folder, "newer", "rev002", "pass")
    upgrade(three, tenants=["acme"])
    (folder / "versions" / "newer.py").unlink()
    upgrade(three, tenants=["bolt"])

    with pytest.raises(PartlyMigrated):
        upgrade(three, names=["crm"], tenants="all")
    done = upgrade(three, names=["crm"], tenants="all", only_behind=True)

    assert ["crm@cord"] == names_of(done)


def test_hundreds(many: Project) -> None:
    """They are upgraded under the bound, and told in a few lines; a document has them all."""
    plain, every, again = many("upgrade"), many("upgrade", "--all", "--jobs", "50"), many("upgrade", "--all", "--json")

    assert [0, 0, 0] == [each.code for each in (plain, every, again)]
    assert "Left alone: the tenants of crm. Take them with --all, or --tenant NAME." in plain.out
    assert len(every.out.splitlines()) <= 15
    assert "320 of 320 databases" in every.out
    assert (321, ["crm"]) == (len(again.json["done"]), many("upgrade", "--json").json["left_out"])
    told = many("status", "--all", "--quick")
    assert "crm: 320 tenants" in told.out
    assert len(told.out.splitlines()) <= 5


def test_interrupted_and_resumed(many: Project) -> None:
    """Ctrl-C, and then kill -9: the next one goes on with what is missing."""
    versions = many.folder / "migrations" / "crm"
    write_revision(
        versions,
        "slow",
        "rev002",
        "import time\ntime.sleep(0.02)\nop.create_table('slow', sa.Column('id', sa.Integer))",
    )
    files = many.folder / "tenants"
    with many.started("upgrade", "--all", "--json", "--jobs", "2", stdout=subprocess.PIPE) as process:
        wait_for(lambda: len(list(files.glob("t*.db"))) >= 320 and bool(at_slow(files)), process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        interrupted = process.returncode
    first = len(at_slow(files))
    with many.started("upgrade", "--all", "--jobs", "2", stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: len(at_slow(files)) > first + 5, process)
        process.kill()
    second = len(at_slow(files))

    ran = many("upgrade", "--all", "--only-behind", "--json")

    assert (130, 0) == (interrupted, ran.code)
    assert 0 < first < second < 320 == len(at_slow(files))
    assert 320 - second == len(ran.json["done"])


def at_slow(files: Path) -> list[str]:
    found = []
    for path in files.glob("t*.db"):
        engine = create_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            if "slow" in inspect(connection).get_table_names():
                found.append(path.name)
        engine.dispose()
    return found


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failures_of_many(many: Project) -> None:
    """Those that failed alike share a line with a few of their names; the others are done."""
    many("upgrade", "rev001", "--all")
    for number in range(0, 320, 4):
        path = many.folder / "tenants" / f"t{number:03}.db"
        path.unlink()
        path.write_text("This is no database. " * 100)

    ran = many("upgrade", "--all", "--keep-going")

    assert 3 == ran.code
    assert "crm: 80 parts failed alike: t000, t004, t008" in ran.err
    assert len((ran.out + ran.err).splitlines()) <= 20
    assert 80 == len(many("upgrade", "--all", "--json", "--keep-going").json["failed"])


def test_tenants_of_a_server_that_is_down(project: Project) -> None:
    """Only they fail; no secret is told."""
    project.write(
        "from manybase import Database, Databases\n"
        'down = "postgresql+psycopg://me:s3cret!@127.0.0.1:1/crm_{tenant}"\n'
        'names = {f"t{each}": "up" if each % 2 else "down" for each in range(8)}\n'
        'shards = {"up": "sqlite:///up_{tenant}.db", "down": down}\n'
        'databases = Databases(Database("crm", shards=shards, tenants=names))\n'
    )
    write_chain(project.folder / "migrations" / "crm", 1)

    ran, state = project("upgrade", "--all", "--keep-going"), project("status", "--all", "--quick")

    assert (3, 3) == (ran.code, state.code)
    assert "crm: 4 parts failed alike: down.t0, down.t2, down.t4, down.t6." in ran.err
    assert 4 == len(list(project.folder.glob("up_*.db")))
    assert "s3cret" not in ran.out + ran.err + state.out + state.err


def test_directory_that_is_made_first(project: Project) -> None:
    """The table with the tenants comes with the upgrade that also migrates them."""
    project.write(
        "from sqlalchemy import Column, MetaData, String, Table\n"
        "from manybase import Database, Databases\n"
        'customers = Table("customers", MetaData(), Column("slug", String(50), primary_key=True))\n'
        'databases = Databases(\n    Database("shop", "sqlite:///shop.db", models=customers),\n'
        '    Database("crm", "sqlite:///{tenant}.db", tenants=customers.c.slug),\n)\n'
    )
    column = 'sa.Column("slug", sa.String(50), primary_key=True)'
    insert = "op.execute(\"INSERT INTO customers VALUES ('acme')\")"
    write_revision(
        project.folder / "migrations" / "shop", "r1", None, f'op.create_table("customers", {column})\n{insert}'
    )
    write_chain(project.folder / "migrations" / "crm", 1)

    ran = project("upgrade", "--all", "--json")

    assert (0, ["shop", "crm@acme"]) == (ran.code, [each["database"] for each in ran.json["done"]])


@every_kind
def test_history_of_each_tenant(make_home: Settle, kind: str) -> None:
    """Each has its own versions, raw SQL and Alembic's operations stay in it, and one at a time may be downgraded."""
    home = make_home(kind)
    databases = home.databases
    for tenant in ("acme", "bolt"):
        lifecycle.create_tenant(databases, tenant)
    upgrade(databases, names=["crm"], tenants="all")

    downgrade(databases, "r1", tenants=["acme"], allow_data_loss=True)

    states = status(databases, names=["crm"], tenants="all").done
    assert {"crm@acme": ("r1",), "crm@bolt": ("r2",)} == {name: each.current for name, each in states.items()}
    assert "t2" not in (home.tables("acme") or {"t2"})
    assert {"t1", "t1b", "t2", "t2b"} <= (home.tables("bolt") or set())
    databases.dispose()
