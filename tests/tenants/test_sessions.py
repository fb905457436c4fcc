"""A session of a tenant sees its part of a database, and of the others nothing."""

import pickle
from typing import Any

import pytest
from sqlalchemy import func, insert, inspect, literal_column, select, text, update
from sqlalchemy.exc import CompileError, StatementError
from sqlalchemy.orm import Session as PlainSession

from manybase import (
    AmbiguousRoute,
    Database,
    Databases,
    Session,
    TenantMismatch,
    UnknownTenant,
    UnsupportedStatement,
)
from tests.sessions import another
from tests.tenants.conftest import Declare, Run, create_tables
from tests.tenants.customers import TENANTS, Colour, Customer, Item, Numbered, Typed, owned

TEXTUAL = pytest.mark.kinds("postgresql-database", "postgresql-schema", "postgresql-shard")


def fill(databases: Databases, run: Run) -> None:
    for tenant in TENANTS:
        run(databases, lambda session, tenant=tenant: add_all(session, tenant), tenant=tenant)


def add_all(session: Session, tenant: str) -> None:
    session.add_all(owned(tenant))
    session.commit()


def owners(session: Session) -> set[str]:
    return set(session.scalars(select(Item.owner)))


def test_same_primary_keys_everywhere(databases: Databases, run: Run) -> None:
    """Each tenant has rows 1, 2 and 3, and gets its own, however they are asked for."""
    fill(databases, run)

    def body(session: Session) -> Any:
        found = session.get(Item, 1)
        assert found is not None
        session.execute(update(Item).where(Item.id == 2).values(amount=7))
        session.commit()
        session.refresh(found)
        total = session.execute(select(func.sum(Item.amount), func.count())).one()
        return found.owner, owners(session), tuple(total)

    for tenant in TENANTS:
        assert (tenant, {tenant}, (7, 3)) == run(databases, body, tenant=tenant)


def test_route(databases: Databases, run: Run) -> None:
    """It says which tenant, and in which shard."""
    shard = "us" if databases["crm"].shards else None

    route = run(databases, lambda session: session.route(select(Item)), tenant="globex")

    assert ("crm", "globex", shard) == (route.database, route.tenant, route.shard)


def test_tenant_and_shared_database(databases: Databases, run: Run) -> None:
    """One statement over both, and their plan."""
    fill(databases, run)
    joined = select(Item.owner, Customer.shard).join_from(Item, Customer, Customer.slug == Item.owner)

    def body(session: Session) -> Any:
        session.add_all(
            [Customer(slug=slug, shard=slug[:2]) for slug in TENANTS if session.get(Customer, slug) is None]
        )
        session.commit()
        plan = str(session.explain(joined))
        return [tuple(row) for row in session.execute(joined.order_by(Item.id))], "crm" in plan and "shared" in plan

    for tenant in TENANTS:
        assert ([(tenant, tenant[:2])] * 3, True) == run(databases, body, tenant=tenant)


def test_session_without_tenant(databases: Databases, run: Run, connects: list[str]) -> None:
    """It works with what is shared; a tenant database is refused, and nothing connects to it."""

    def body(session: Session) -> Any:
        assert [] == session.scalars(select(Customer)).all()
        del connects[:]
        for ask in (lambda: session.get(Item, 1), lambda: session.execute(insert(Item).values(id=9, owner="x"))):
            with pytest.raises(AmbiguousRoute, match="tenant"):
                ask()
        session.add(Item(id=9, owner="x"))
        with pytest.raises(AmbiguousRoute, match="tenant"):
            session.flush()
        session.rollback()
        return connects

    assert [] == run(databases, body)


def test_pinned_session(databases: Databases, run: Run) -> None:
    """Pinned to the database of the tenant, all that belongs to no table is the tenant's."""
    fill(databases, run)

    def body(session: Session) -> Any:
        bind: Any = session.get_bind()
        return databases.name_of(session.connection().engine) == databases.name_of(bind.engine), owners(session)

    assert (True, {"acme"}) == run(databases, body, database="crm", tenant="acme")


def test_replica_role(databases: Databases, run: Run) -> None:
    """There are no replicas of tenants' databases: it reads from the primary, and writes nothing."""
    fill(databases, run)

    assert {"acme"} == run(databases, owners, role="replica", tenant="acme")
    with pytest.raises(Exception, match=r"replica|read"):
        run(databases, lambda session: add_all(session, "acme"), role="replica", tenant="acme")


def test_savepoint(databases: Databases, run: Run) -> None:
    """What comes after one that was rolled back is the tenant's too."""
    fill(databases, run)

    def body(session: Session) -> Any:
        with session.begin_nested() as savepoint:
            session.execute(update(Item).values(amount=9))
            savepoint.rollback()
        session.execute(update(Item).values(amount=Item.amount + 1))
        session.commit()
        return owners(session), session.scalars(select(Item.amount)).all()

    assert ({"globex"}, [1, 1, 1]) == run(databases, body, tenant="globex")


class TestObjects:
    """What was loaded for one tenant is refused in the session of another one."""

    @pytest.fixture
    def run(self, run: Run, files: Databases) -> Run:
        fill(files, run)
        return run

    def load(self, databases: Databases, run: Run, tenant: str) -> Item:
        def body(session: Session) -> Item:
            item = session.get_one(Item, 1)
            session.expunge(item)
            return item

        found: Item = run(databases, body, tenant=tenant)
        return found

    def test_add(self, files: Databases, run: Run) -> None:
        item = self.load(files, run, "acme")

        with pytest.raises(TenantMismatch) as caught:
            run(files, lambda session: session.add(item), tenant="globex")

        assert ("acme", "globex") == (caught.value.own, caught.value.other)

    def test_merge(self, files: Databases, run: Run) -> None:
        item = self.load(files, run, "acme")

        with pytest.raises(TenantMismatch):
            run(files, lambda session: session.merge(item), tenant="globex")
        assert "acme" == run(files, lambda session: session.merge(item).owner, tenant="acme")

    def test_delete(self, files: Databases, run: Run) -> None:
        item = self.load(files, run, "acme")

        with pytest.raises(TenantMismatch):
            run(files, lambda session: session.delete(item), tenant="globex")

    def test_pickle(self, files: Databases, run: Run) -> None:
        """It stays whose it is."""
        item = pickle.loads(pickle.dumps(self.load(files, run, "acme")))

        with pytest.raises(TenantMismatch):
            run(files, lambda session: session.add(item), tenant="globex")
        run(files, lambda session: session.add(item), tenant="acme")

    def test_new_object(self, files: Databases, run: Run) -> None:
        """It is nobody's until a session has it, and then that tenant's, also when it was flushed and expunged."""

        def body(session: Session) -> Item:
            item = Item(id=7, owner="acme")
            session.add(item)
            session.flush()
            session.expunge(item)
            return item

        item = run(files, body, tenant="acme")

        with pytest.raises(TenantMismatch):
            run(files, lambda session: session.add(item), tenant="globex")

    def test_session_without_tenant(self, files: Databases, run: Run) -> None:
        """It takes no tenant's object either."""
        item = self.load(files, run, "acme")

        with pytest.raises(TenantMismatch):
            run(files, lambda session: session.add(item))

    def test_shared_object(self, files: Databases, run: Run) -> None:
        """What was loaded from a shared database in the session of a tenant may go to another one's."""

        def body(session: Session) -> Customer:
            session.add(Customer(slug="acme"))
            session.commit()
            found = session.get_one(Customer, "acme")
            session.refresh(found)
            session.expunge(found)
            return found

        customer = run(files, body, tenant="acme")

        run(files, lambda session: session.add(customer), tenant="globex")

    def test_session_of_somebody_else(self, files: Databases, run: Run) -> None:
        """A plain SQLAlchemy session keeps nobody's objects apart, and marks none."""
        with PlainSession(files.engine("crm", tenant="acme")) as session:
            item = session.get_one(Item, 1)
            session.expunge(item)

        run(files, lambda session: session.add(item), tenant="globex")


class TestText:
    """Textual SQL, for tenants of PostgreSQL with a schema each, and those with a database."""

    WAYS = (
        lambda session: session.scalars(text("SELECT owner FROM items"), bind_arguments={"database": "crm"}).all(),
        lambda session: (
            session.connection(bind_arguments={"database": "crm"})
            .exec_driver_sql("SELECT owner FROM items")
            .scalars()
            .all()
        ),
        lambda session: session.scalars(
            select(literal_column("owner")).select_from(text("items")).execution_options(database="crm")
        ).all(),
        lambda session: session.scalars(
            select(Item.owner).where(text("EXISTS (SELECT 1 FROM items i WHERE i.owner = items.owner)"))
        ).all(),
        lambda session: [
            item.owner
            for item in session.scalars(select(Item).from_statement(text("SELECT id, owner, amount FROM items")))
        ],
        lambda session: session.scalars(select(literal_column("(SELECT max(owner) FROM items)"), Item.id)).all(),
    )

    @TEXTUAL
    @pytest.mark.parametrize("way", range(len(WAYS)))
    def test_ways(self, databases: Databases, run: Run, way: int) -> None:
        """It sees the tables of its tenant, in the statement and in fragments."""
        if way == 0:
            fill(databases, run)
        else:
            for tenant in TENANTS:
                add = another_way_to_add(tenant)
                run(databases, add, tenant=tenant)

        for tenant in TENANTS:
            assert [tenant] * 3 == run(databases, self.WAYS[way], tenant=tenant)

    @TEXTUAL
    def test_after_savepoint(self, databases: Databases, run: Run) -> None:
        """ROLLBACK TO SAVEPOINT undoes where to look, too: it is said again."""
        fill(databases, run)

        def body(session: Session) -> Any:
            ask = text("SELECT DISTINCT owner FROM items")
            where = {"bind_arguments": {"database": "crm"}}
            with session.begin_nested() as savepoint:
                first = session.scalar(ask, **where)
                savepoint.rollback()
            return first, session.scalar(ask, **where), owners(session)

        assert ("acme", "acme", {"acme"}) == run(databases, body, tenant="acme")

    @TEXTUAL
    def test_next_session(self, declare: Declare, run: Run) -> None:
        """Where one has looked is forgotten when its connection goes to another tenant's session."""
        databases = declare(engine_options={"pool_size": 1, "max_overflow": 0})
        create_tables(databases)
        fill(databases, run)
        ask = text("SELECT DISTINCT owner FROM items")

        for tenant in TENANTS * 2:
            assert tenant == run(
                databases, lambda session: session.scalar(ask, bind_arguments={"database": "crm"}), tenant=tenant
            )
        databases.dispose()

    @pytest.mark.kinds("mariadb-schema")
    @pytest.mark.parametrize("way", range(len(WAYS)))
    def test_mariadb(self, databases: Databases, run: Run, way: int) -> None:
        """There is nowhere to say where to look: refused."""
        with pytest.raises(UnsupportedStatement, match="text"):
            run(databases, self.WAYS[way], tenant="acme")


def another_way_to_add(tenant: str) -> Any:
    def add(session: Session) -> None:
        session.execute(insert(Item), [{"id": each.id, "owner": tenant} for each in owned(tenant)])
        session.commit()

    return add


@pytest.mark.kinds("postgresql-schema", "postgresql-database")
def test_types_and_sequences(declare: Declare, run: Run) -> None:
    """Those of PostgreSQL live in the schema of the tenant, and count for each from the start."""
    databases = declare(models=Typed)
    create_tables(databases, Typed.metadata)

    def body(session: Session) -> Any:
        session.add_all([Numbered(colour=Colour.BLUE), Numbered(colour=Colour.RED)])
        session.commit()
        found = session.execute(select(Numbered.id, Numbered.colour).order_by(Numbered.id))
        return [tuple(row) for row in found.all()]

    for tenant in TENANTS:
        assert [(1, Colour.BLUE), (2, Colour.RED)] == run(databases, body, tenant=tenant)
    databases.dispose()


@pytest.mark.kinds("postgresql-database", "postgresql-schema", "postgresql-shard", "mariadb-database")
def test_atomic_commit(databases: Databases, run: Run) -> None:
    """Tenant and shared database are committed together, or not at all."""

    def body(session: Session, *, fails: bool) -> Any:
        session.add(Item(id=1, owner="acme"))
        session.add(Customer(slug="acme"))
        session.flush()
        if fails:
            session.add(Customer(slug="x" * 61))
        session.commit()
        return session.get(Item, 1) is not None and session.get(Customer, "acme") is not None

    with pytest.raises(Exception, match=r"[Tt]oo long"):
        run(databases, lambda session: body(session, fails=True), tenant="acme")
    assert (None, None) == run(
        databases, lambda session: (session.get(Item, 1), session.get(Customer, "acme")), tenant="acme"
    )
    assert run(databases, lambda session: body(session, fails=False), tenant="acme")


@pytest.mark.parametrize("name", ["nobody", "ACME"])
def test_unknown_tenant(files: Databases, run: Run, connects: list[str], name: str) -> None:
    """Nothing connects."""
    files.dispose()
    del connects[:]

    with pytest.raises(UnknownTenant):
        run(files, owners, tenant=name)

    assert [] == connects


def test_connection(files: Databases, run: Run) -> None:
    """``session.connection()`` of the tenant's database is the tenant's, and given back."""
    fill(files, run)

    def body(session: Session) -> Any:
        connection = session.connection(bind_arguments={"mapper": inspect(Item)})
        return set(connection.scalars(select(Item.owner)))

    assert {"initech"} == run(files, body, tenant="initech")


def test_two_sessions_of_two_tenants(files: Databases, run: Run) -> None:
    """At once: identity maps, rows and commits are apart."""
    fill(files, run)

    def body(session: Session) -> Any:
        with another(session, tenant="globex") as other:
            mine, theirs = session.get_one(Item, 1), other.get_one(Item, 1)
            mine.amount, theirs.amount = 1, 2
            session.commit()
            other.commit()
            return mine is theirs, mine.amount, theirs.amount, mine.owner, theirs.owner

    assert (False, 1, 2, "acme", "globex") == run(files, body, tenant="acme")


def test_database_beside_that_has_no_tenants(tmp_path: Any) -> None:
    """A session for a tenant needs one that has some."""
    databases = Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db"))

    with pytest.raises(Exception, match="no database declares tenants="):
        Session(databases, tenant="acme")


@pytest.mark.kinds("mariadb-database", "postgresql-database", "sqlite-database")
def test_reflection(databases: Databases, run: Run) -> None:
    """It tells of the tables of the tenant, though all tenants share what has seen the first one's."""
    with databases.engine("crm", tenant="globex").begin() as connection:
        connection.execute(text("CREATE TABLE globex_only (id INTEGER)"))

    def body(session: Session) -> Any:
        inspector = inspect(session.connection(bind_arguments={"database": "crm"}))
        return inspector.has_table("globex_only"), sorted(inspector.get_table_names())

    assert (False, ["items"]) == run(databases, body, tenant="acme")
    assert (True, ["globex_only", "items"]) == run(databases, body, tenant="globex")


@pytest.mark.kinds("mariadb-database")
def test_schema_translate_map_to_the_default(databases: Databases, run: Run) -> None:
    """What SQLAlchemy would take for the default schema is the database of another tenant: refused."""

    def body(session: Session) -> Any:
        options: Any = {"schema_translate_map": {None: None}}
        return session.connection(bind_arguments={"database": "crm"}, execution_options=options).execute(select(Item))

    with pytest.raises((CompileError, StatementError), match="no default schema"):
        run(databases, body, tenant="globex")
