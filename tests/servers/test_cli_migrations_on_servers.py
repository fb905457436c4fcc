"""The commands of migrations on PostgreSQL and MariaDB, through sync and async drivers."""

import subprocess

import pytest
from sqlalchemy import URL, create_engine, inspect, text

from tests.commands import commands
from tests.projects import DOWN, Project, project
from tests.servers.server import PASSWORD
from tests.test_cli_migrations_progress import UNTIL_ALLOWED, allow, waited_for

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

FACES = {"sync": ("psycopg", "pymysql"), "async": ("asyncpg", "asyncmy")}


@pytest.fixture
def urls(postgresql_url: URL, mariadb_url: URL) -> dict[str, URL]:
    return {
        "postgres": postgresql_url.set(drivername="postgresql+psycopg"),
        "maria": mariadb_url.set(drivername="mysql+pymysql"),
    }


@pytest.fixture(params=FACES.values(), ids=list(FACES))
def shop(request: pytest.FixtureRequest, project: Project, urls: dict[str, URL]) -> Project:
    """One database on each server, with the revision r1 pending."""
    schemes = [f"{backend}+{driver}" for backend, driver in zip(("postgresql", "mysql"), request.param, strict=True)]
    declared = {name: url.set(drivername=scheme) for (name, url), scheme in zip(urls.items(), schemes, strict=True)}
    project.declare(**{name: url.render_as_string(hide_password=False) for name, url in declared.items()})
    project.users("postgres", "maria")
    return project


def tables(url: URL) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def test_from_revisions_to_tables_and_back(shop: Project, urls: dict[str, URL]) -> None:
    """status, upgrade, check and downgrade agree with what is on the servers."""
    before, up, after, check = shop("status"), shop("upgrade"), shop("status"), shop("check")
    there = [tables(url) for url in urls.values()]
    down = shop("downgrade", "-1", "--yes", "--json")

    assert [1, 0, 0, 0, 0] == [each.code for each in (before, up, after, check, down)]
    assert [{"users"}, {"users"}] == there
    assert {"postgres: 1 revision, now at r1", "maria: 1 revision, now at r1"} == {
        line.partition(" (")[0] for line in up.out.splitlines()
    }
    assert {"postgres", "maria"} == {each["database"] for each in down.json["done"]}
    assert PASSWORD not in "".join(each.out + each.err for each in (before, up, after, check, down))


def test_revision_from_what_is_on_the_servers(shop: Project) -> None:
    """A column that the models have and the databases lack."""
    shop("upgrade")
    application = (shop.folder / "app.py").read_text()
    changed = [f"{name}.tables['users'].append_column(Column('name', String(50)))" for name in ("postgres", "maria")]
    declaration = application.index("databases = ")
    shop.write("\n".join([application[:declaration], *changed, application[declaration:]]))

    drifted, written, upgraded, clean = shop("check"), shop("revision", "-m", "names"), shop("upgrade"), shop("check")

    assert [1, 0, 0, 0] == [each.code for each in (drifted, written, upgraded, clean)]
    assert 2 == drifted.out.count("op.add_column('users'")


def test_one_that_is_down(shop: Project, urls: dict[str, URL]) -> None:
    """Its name is told, and no secret; --keep-going does the others."""
    shop.declare(maria=urls["maria"].render_as_string(hide_password=False), down=DOWN)
    shop.users("down")

    first, going, status = shop("upgrade"), shop("upgrade", "--keep-going"), shop("status")

    assert [1, 3, 3] == [first.code, going.code, status.code]
    assert "Database 'down' failed." in first.err
    assert "s3cret" not in "".join(each.out + each.err for each in (first, going, status))
    assert {"users"} == tables(urls["maria"])


def test_processes(shop: Project, urls: dict[str, URL]) -> None:
    """Each database in a process of its own."""
    ran = shop("upgrade", "--isolation", "process", "--json", "--yes")

    assert 0 == ran.code
    assert [{"users"}, {"users"}] == [tables(url) for url in urls.values()]


@pytest.mark.parametrize("name", ["postgres", "maria"])
def test_lock(shop: Project, name: str) -> None:
    """Who waits says for whom, and so does `status`."""
    shop.revision(name, "r2", "r1", UNTIL_ALLOWED)
    with shop.started("upgrade", "-d", name, stdout=subprocess.PIPE) as first:
        waited_for(shop, "begun", first)
        status = shop("status", "--quick", "--json", "-d", name)
        with shop.started("upgrade", "-d", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as second:
            assert second.stderr is not None
            line = second.stderr.readline()
            allow(shop)
            second.communicate(timeout=60)
        first.communicate(timeout=60)

    assert [0, 0] == [first.returncode, second.returncode]
    assert status.json["databases"][0]["locked_by"]
    assert line.startswith(f"{name}: waits for ")


def test_what_mariadb_cannot_undo(shop: Project, urls: dict[str, URL]) -> None:
    """The error tells what stays, and how to go on."""
    shop.revision("maria", "r2", "r1", 'op.create_table("t", sa.Column("id", sa.Integer))\nop.execute("nonsense")')

    ran = shop("upgrade", "-d", "maria", "--json")

    (failed,) = ran.json["failed"]
    assert [1, "r2", ["r1"]] == [ran.code, failed["revision"], failed["applied"]]
    assert "manybase stamp r2 -d maria" in failed["error"]
    assert {"users", "t"} == tables(urls["maria"])


def test_setup_creates_databases(project: Project, urls: dict[str, URL]) -> None:
    """Those that the servers do not have yet; the second time there is nothing to do."""
    fresh = {name: url.set(database=f"{url.database}_new") for name, url in urls.items()}
    project.declare(**{name: url.render_as_string(hide_password=False) for name, url in fresh.items()})
    project.users(*fresh)
    try:
        first, second = project("setup", "--json"), project("setup", "--json")

        assert [0, 0] == [first.code, second.code], first.out
        assert [set(fresh), []] == [set(first.json["created"]), second.json["created"]]
        assert all("users" in tables(url) for url in fresh.values())
    finally:
        for name, url in urls.items():
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE IF EXISTS {fresh[name].database}"))
            engine.dispose()
