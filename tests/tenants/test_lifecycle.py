"""Tenants that come and go, on each kind of server: whatever is killed is finished by running it again."""

import threading

import pytest
from sqlalchemy import create_engine, text

from manybase import MigrationFailed, UnknownTenant, lifecycle
from tests.atomic.dying import in_process, was_killed
from tests.tenants.living import Home, Settle, create, drop, every_kind, make_home

pytestmark = pytest.mark.once

__all__ = ["make_home"]

AT_HEAD = {"t1", "t1b", "t2", "t2b", "alembic_version"}
CREATING = ("creating", "created", "in a revision", "migrated", "entered")
DROPPING = ("marked", "leaving", "left", "dropping", "dropped")


@every_kind
def test_create_and_drop(make_home: Settle, kind: str) -> None:
    """Databases and directory agree after each; done again, nothing happens."""
    home = make_home(kind)
    databases = home.databases

    first = lifecycle.create_tenant(databases, "acme")
    again = lifecycle.create_tenant(databases, "acme")

    assert [("crm@acme",), (), True, False] == [first.made, again.made, first.entered, again.entered]
    assert (["acme"], AT_HEAD) == (home.entered(), home.tables("acme"))
    (loss,) = lifecycle.losses(databases, "acme")
    assert ("crm@acme", 4, False) == (loss.part, loss.tables, loss.shared)
    gone, nothing = lifecycle.drop_tenant(databases, "acme"), lifecycle.drop_tenant(databases, "acme")
    assert [("crm@acme",), True, (), False] == [gone.parts, gone.left, nothing.parts, nothing.left]
    assert ([], None) == (home.entered(), home.tables("acme"))
    databases.dispose()


@every_kind
def test_kill_while_creating(make_home: Settle, kind: str) -> None:
    """At each step: nobody is entered without all that is his, and running it again finishes it."""
    home = make_home(kind)
    for number, step in enumerate(CREATING):
        tenant = f"t-{number}"
        if step == "in a revision":
            home.switch.touch()
        code = in_process(create, home, tenant, step)
        assert was_killed(code), (step, code)
        if tenant in home.entered():
            assert (step, AT_HEAD) == (step, home.tables(tenant))

        assert 0 == in_process(create, home, tenant)

        assert (step, True, AT_HEAD) == (step, tenant in home.entered(), home.tables(tenant))


@every_kind
def test_kill_while_dropping(make_home: Settle, kind: str) -> None:
    """At each step: running it again leaves nothing, on the server or in the directory."""
    home = make_home(kind)
    for number, step in enumerate(DROPPING):
        tenant = f"t-{number}"
        create(home, tenant)
        code = in_process(drop, home, tenant, step)
        assert was_killed(code), (step, code)
        if tenant in home.entered():
            assert (step, AT_HEAD | {"manybase_dropping"}) == (step, home.tables(tenant))

        assert 0 == in_process(drop, home, tenant)

        assert (step, [], None) == (step, home.entered(), home.tables(tenant))


@every_kind
def test_create_after_a_drop_that_was_killed(make_home: Settle, kind: str) -> None:
    """Nothing of the one who left is there for the next one of that name; who has not left keeps all that is his."""
    home = make_home(kind)
    for number, step in enumerate(DROPPING):
        tenant = f"t-{number}"
        create(home, tenant)
        databases = home.databases
        with databases.engine("crm", tenant=tenant).begin() as connection:
            schema = "" if home.schema is None else f"{home.schema.format(tenant=tenant)!r}.".replace("'", quote(kind))
            connection.exec_driver_sql(f"INSERT INTO {schema}t1 (id) VALUES (7)")
        databases.dispose()
        was_killed(in_process(drop, home, tenant, step))
        stays = tenant in home.entered()

        assert 0 == in_process(create, home, tenant)

        with databases.engine("crm", tenant=tenant).connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT id FROM {schema}t1").scalars().all()
        databases.dispose()
        assert (step, [7] if stays else [], AT_HEAD) == (step, rows, home.tables(tenant))
        assert stays is (step in ("marked", "leaving"))


def quote(kind: str) -> str:
    return "`" if kind.startswith("mariadb") else '"'


@every_kind
def test_two_creates_at_once(make_home: Settle, kind: str) -> None:
    """One makes it, the other finds it made; both are content."""
    home = make_home(kind)
    found: list[lifecycle.Created] = []

    def work() -> None:
        databases = home.databases
        found.append(lifecycle.create_tenant(databases, "acme"))
        databases.dispose()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert 1 == sum(len(each.made) for each in found)
    assert (3, ["acme"], AT_HEAD) == (len(found), home.entered(), home.tables("acme"))


@every_kind
def test_what_is_somebody_elses(make_home: Settle, kind: str) -> None:
    """A database that is there already with other tables is left alone, and nobody is entered; nor is it dropped."""
    home = make_home(kind)
    create(home, "acme")
    databases = home.databases
    lifecycle.drop_tenant(databases, "acme")
    make_foreign(home, "acme")

    with pytest.raises(MigrationFailed, match="somebody else's"):
        lifecycle.create_tenant(databases, "acme")
    with pytest.raises(MigrationFailed, match="somebody else's"):
        lifecycle.drop_tenant(databases, "acme")

    assert ([], {"theirs"}) == (home.entered(), home.tables("acme"))
    databases.dispose()


def make_foreign(home: Home, tenant: str) -> None:
    backend = home.url.get_backend_name()
    if backend == "sqlite":
        engine = create_engine(home.part(tenant))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE theirs (id integer)"))
        engine.dispose()
        return
    part = home.part(tenant)
    in_schema = home.schema is not None and backend == "postgresql"
    server = part if in_schema else part.set(database="postgres" if backend == "postgresql" else "")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    quote = engine.dialect.identifier_preparer.quote_identifier
    name = str(home.schema).replace("{tenant}", tenant) if in_schema else str(part.database)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE {'SCHEMA' if in_schema else 'DATABASE'} {quote(name)}")
        if in_schema:
            connection.exec_driver_sql(f"CREATE TABLE {quote(name)}.theirs (id integer)")
    engine.dispose()
    if not in_schema:
        engine = create_engine(part, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE theirs (id integer)")
        engine.dispose()


@pytest.mark.parametrize("name", ["../acme", "acme'; DROP", 'a"b', "a`b", "acme\n", "a" * 300, "", "%2e"])
def test_hostile_names(make_home: Settle, name: str) -> None:
    """They are refused before anything is touched."""
    home = make_home("sqlite")
    before = sorted(each.name for each in home.folder.iterdir())

    for work in (lifecycle.create_tenant, lifecycle.drop_tenant):
        with pytest.raises(UnknownTenant):
            work(home.databases, name)

    assert before == sorted(each.name for each in home.folder.iterdir())
