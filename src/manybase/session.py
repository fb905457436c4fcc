"""Session: a SQLAlchemy session over many databases."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from sqlalchemy import Connection, event, inspect
from sqlalchemy import exc as sa_exc
from sqlalchemy.orm import Mapper, Query, QueryableAttribute, SessionTransaction
from sqlalchemy.orm import Session as SQLAlchemySession
from sqlalchemy.orm import exc as orm_exc
from sqlalchemy.orm.util import AliasedClass
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from manybase.attaching import Files
from manybase.engines import Bind, Databases
from manybase.enlisted import Enlisted
from manybase.errors import ConfigurationError, ManybaseError, UnknownDatabase
from manybase.federation.binding import federated_bind, is_federated, serve
from manybase.federation.explanation import Explanation
from manybase.position import NOWHERE, Position
from manybase.reading import REPLICA, refuse_flush
from manybase.routing import Across, ReadBy, Route
from manybase.scope import Role, Scope
from manybase.serving import Serving
from manybase.slots import BothTickets, Ticket
from manybase.tenancy import Tenancy

NO_OPTIONS: dict[str, Any] = {}
ROLES = get_args(Role)
DECLARED_ONLY = (
    "A manybase session takes the declared databases: Session(databases, ...). An existing engine is declared too: "
    "Database(name, engine=engine)."
)


class Session(SQLAlchemySession):
    """A ``sqlalchemy.orm.Session`` that sends each statement to the database that owns its tables.

    ``database`` pins it to one database; everything else is refused. All other options are SQLAlchemy's. What belongs
    to no table (``text()``, ``connection()``) goes to the pinned database, to the one named with
    ``bind_arguments={"database": name}`` or ``execution_options(database=name)``, or to the default one. Use
    ``AsyncSession`` under asyncio.

    A commit over several databases happens in all of them or in none, whatever fails; see ``CommitError`` for what it
    raises. With ``atomic=False`` it commits one after the other, in the order of their declaration, and raises
    ``PartialCommitError`` when one fails after another has committed.

    With ``role="replica"`` it only reads, from one replica of each database as long as a transaction lasts: one that
    has what was written until ``after``, the ``position`` of an earlier session, else from the primary.

    With a ``tenant`` it sees that tenant's part of the databases that have tenants, as long as it lives. Objects of
    another tenant are refused (``TenantMismatch``), and so is a name that nobody has (``UnknownTenant``), when the
    session is made or first uses such a database.
    """

    def __init__(
        self,
        databases: Databases,
        *,
        database: str | None = None,
        atomic: bool = True,
        role: Role = "primary",
        after: Position | None = None,
        tenant: str | None = None,
        asyncio: bool = False,
        ticket: Ticket | BothTickets | None = None,
        bind: None = None,
        **options: Any,
    ) -> None:
        if not isinstance(databases, Databases) or bind is not None or options.get("binds"):
            raise ConfigurationError(DECLARED_ONLY)
        if not databases.ownership.loaded:
            databases.load()
        self.databases = databases
        self.has_committed = False  # a transaction of this session, at any time
        if after is not None and not isinstance(after, Position):
            raise ConfigurationError("after= takes a Position: session.position, or Position.parse(text).")
        if tenant is not None:
            databases.tenants.check(tenant, database)
        if database is not None and database not in databases.names:  # a part of one, such as "crm@acme", neither
            raise UnknownDatabase(database, databases.names)
        self.scope = scope_of(database, atomic, role, tenant)
        self._asyncio = asyncio
        self._tenancy = Tenancy(databases, tenant, asyncio=asyncio) if databases.has_tenants else None
        self._ticket = ticket
        several = database is None and databases.has_several
        self._owns_ticket = ticket is None and (several or databases.is_bounded)
        self._foreign: set[Connection] = set()  # connections of the caller's own: theirs to commit
        self._binds: dict[str, Bind] = {}  # of this transaction
        super().__init__(**options)
        writes = role == "primary"
        self._is_atomic = atomic and several and not self.twophase and writes
        self._files = Files(databases, asyncio=asyncio) if self._is_atomic and databases.files else None
        self._enlisted = Enlisted(databases, self._files, atomic=self._is_atomic, asyncio=asyncio)
        self._enlisted.position = NOWHERE if after is None else after
        self._serving = None if writes else Serving(databases, self._enlisted.position, asyncio=asyncio)

    @property
    def position(self) -> Position:
        """Where the logs stood when this session last committed, in the databases that it wrote and that have replicas.

        A session ``after`` it sees what was written here. It includes the ``after`` of this session.
        """
        return self._enlisted.position

    def route(self, statement: Any, *, database: str | None = None) -> Route:
        """Where a statement (or a mapped class) would go, and why. Nothing runs; raises what running it would raise."""
        if isinstance(statement, (type, AliasedClass, Mapper)):
            return self._route(None, mapper_of(statement), database)
        if isinstance(statement, (Query, QueryableAttribute)):
            statement = statement.__clause_element__()
        return self._route(statement, subject_of(statement), database)

    def explain(self, statement: Any, *, analyze: bool = False) -> Explanation:
        """How a SELECT would be answered; raises what running it would raise. Nothing runs, and nothing connects.

        With ``analyze`` it runs once; its rows are read and dropped, and what it took is told.
        """
        from manybase.federation.explaining import explain

        return explain(self, statement, analyze=analyze)

    def get_bind(
        self,
        mapper: Any = None,
        *,
        clause: Any = None,
        bind: Bind | None = None,
        database: str | None = None,
        **arguments: Any,
    ) -> Bind:
        """The engine for a statement or a mapped class: SQLAlchemy's hook, asked for everything that runs."""
        files = self._files
        if bind is None:
            name = self._find(clause, mapper, database)
            if self._ticket is None or not self._ticket.taken:
                self._take_slots()
            if isinstance(name, Across):
                return federated_bind(self.databases, name)
            if self._serving is not None and self._may_connect(name):
                return self._serving.connection(name)
            bind = self._binds.get(name)
            if bind is None:
                bind = self.databases.bind(name, asyncio=self._asyncio)
                if self.in_transaction():  # which keeps what it has taken: that engine stays open
                    self._binds[name] = bind
            if files is not None:
                return files.bind(self, name, bind, clause, mapper)
        else:
            self._note_given(bind, clause, mapper)
            if files is not None:
                bind = files.given(self, bind)
        if isinstance(bind, Connection) and (files is None or not files.holds(bind)):
            self._foreign.add(bind)
        return bind

    def close(self) -> None:
        super().close()
        self._release_connections()

    if not TYPE_CHECKING:  # SQLAlchemy's own signatures, with their overloads, are what callers see

        def execute(self, statement, params=None, *, execution_options=NO_OPTIONS, bind_arguments=None, **internal):
            arguments = self._with_clause(statement, execution_options, bind_arguments)
            return super().execute(
                statement, params, execution_options=execution_options, bind_arguments=arguments, **internal
            )

        def scalar(self, statement, params=None, *, execution_options=NO_OPTIONS, bind_arguments=None, **internal):
            arguments = self._with_clause(statement, execution_options, bind_arguments)
            return super().scalar(
                statement, params, execution_options=execution_options, bind_arguments=arguments, **internal
            )

        def scalars(self, statement, params=None, *, execution_options=NO_OPTIONS, bind_arguments=None, **internal):
            arguments = self._with_clause(statement, execution_options, bind_arguments)
            return super().scalars(
                statement, params, execution_options=execution_options, bind_arguments=arguments, **internal
            )

        @property
        def bind(self):
            """The engine of the pinned or default database, for code that expects a session to have one, or None."""
            name = self._home
            return None if name is None else self.databases.bind(self._place(name), asyncio=self._asyncio)

        @bind.setter
        def bind(self, bind):
            if bind is not None:  # SQLAlchemy's constructor assigns None
                raise ConfigurationError(DECLARED_ONLY)

        def merge(self, instance, **options):
            if self._tenancy is not None:
                self._tenancy.check_all(instance)
            return super().merge(instance, **options)

        if hasattr(SQLAlchemySession, "merge_all"):  # since SQLAlchemy 2.1

            def merge_all(self, instances, **options):
                instances = list(instances)
                if self._tenancy is not None:
                    for each in instances:
                        self._tenancy.check_all(each)
                return super().merge_all(instances, **options)

        def bind_mapper(self, mapper, bind):
            raise ConfigurationError(DECLARED_ONLY)

        def bind_table(self, table, bind):
            raise ConfigurationError(DECLARED_ONLY)

    def _with_clause(self, statement: Any, options: Any, arguments: Any) -> dict[str, Any]:
        """Bind arguments that always say which statement it is; SQLAlchemy leaves it out for a union of ORM columns.

        And the database that this call's own options name: those of an outer statement must not reach its loads.
        """
        known: dict[str, Any] = {"clause": statement, **arguments} if arguments else {"clause": statement}
        if options and (database := options.get("database")) is not None:
            known.setdefault("database", database)
        if getattr(statement, "is_dml", False) and "bind" not in known:
            # Refused here, before SQLAlchemy SELECTs the rows that the statement is going to change.
            self._name_for(known["clause"], known.get("mapper"), known.get("database"))
        return known

    @property
    def _home(self) -> str | None:
        return self.scope.database or self.databases.default

    def _find(self, clause: Any, mapper: Any, named: str | None) -> str | Across:
        """The database of what is about to run, noted as a writer where it is not proven to read only.

        Of several databases, each fragment is asked for when it is fetched.
        """
        if named is None and clause is not None:
            named = named_by(clause)
        candidates = self._candidates(clause, mapper)
        name = self._one_of(candidates, named)
        if isinstance(candidates, Across):
            return candidates
        if self._tenancy is not None:
            name = self._tenancy.place(name)
        if not isinstance(candidates, ReadBy):
            self._note_write(name, clause, mapper)
        return name

    def _note_given(self, bind: Bind, clause: Any, mapper: Any) -> None:
        """The caller says which engine, and its tables whether a statement only reads there."""
        name = self.databases.name_of(bind.engine)
        if name is None:
            return
        try:
            reads = isinstance(self._candidates(clause, mapper), (ReadBy, Across))
        except ManybaseError:  # of tables that are nobody's, or somebody else's, nothing is known
            reads = False
        if not reads:
            self._note_write(name, clause, mapper)

    def _note_write(self, name: str, clause: Any, mapper: Any) -> None:
        if self._serving is not None:
            self._serving.note_write(name, clause)
        elif self._is_atomic or self.databases.replicas:
            self._enlisted.note_write(name, clause, mapper)

    def _name_for(self, clause: Any, mapper: Any, named: str | None) -> str | Across:
        if named is None and clause is not None:
            named = named_by(clause)
        candidates = self._candidates(clause, mapper)
        name = self._one_of(candidates, named)
        return candidates if isinstance(candidates, Across) else self._place(name)

    def _place(self, name: str) -> str:
        return name if self._tenancy is None else self._tenancy.place(name)

    def _one_of(self, candidates: frozenset[str], named: str | None) -> str:
        if named is None and self.scope.database is None and len(candidates) == 1:
            return next(iter(candidates))
        return self.databases.router.choose(candidates, self.scope, named).database

    def _route(self, clause: Any, mapper: Any, named: str | None) -> Route:
        named = named or (named_by(clause) if clause is not None else None)
        route = self.databases.router.choose(self._candidates(clause, mapper), self.scope, named)
        if self._tenancy is not None:
            route = self._tenancy.placed(route)
        return replace(route, role=self.scope.role)

    def _candidates(self, clause: Any, mapper: Any) -> frozenset[str]:
        if mapper is not None and not isinstance(mapper, Mapper):
            mapper = mapper_of(mapper)
        router = self.databases.router
        candidates = frozenset[str]() if clause is None else router.candidates(clause, mapper)
        return candidates if candidates or mapper is None else router.ownership.owners_of(mapper)

    def _take_slots(self) -> None:
        ticket = self._ticket
        if ticket is None:
            if not self._owns_ticket:
                return
            needs = None if self.scope.database is None else {self.scope.database: 1}
            ticket = self.databases.ticket(needs, tenant=self.scope.tenant, asyncio=self._asyncio)
            self._ticket = ticket
        if ticket.take_at_once():
            return
        if not self._asyncio:
            ticket.take()
        elif in_greenlet():  # else nothing can connect from here, and whoever connects asks again
            await_only(ticket.take_async())

    def _may_connect(self, name: str) -> bool:
        """Whether a replica session is to get a connection: not where it is only asked for its bind.

        Nor inside ``testing.rollback``, where there is one for all, unless a test wants it to be behind.
        """
        if self._asyncio and not in_greenlet():
            return False
        return not self.databases.is_taken_over or name in self.databases.replicas.simulated

    def _release_connections(self) -> None:
        if self._serving is not None:
            self._serving.release()
        if self._owns_ticket and self._ticket is not None:
            self._ticket.release()


@event.listens_for(Session, "after_begin")
def note_participant(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if is_federated(connection):
        serve(connection, session)
        return
    if session._tenancy is not None:
        session._tenancy.begin(connection)
    if session._serving is not None:
        session._serving.begin(connection, hooked=len(session.dispatch.after_begin) > 1)
    elif transaction.parent is None and connection not in session._foreign:
        session._enlisted.begin(connection, hooked=len(session.dispatch.after_begin) > 1)


@event.listens_for(Session, "before_attach")
def refuse_object_of_another_tenant(session: Session, instance: object) -> None:
    if session._tenancy is not None:
        session._tenancy.check(instance)


@event.listens_for(Session, "before_flush")
def refuse_flush_of_reader(session: Session, *_: object) -> None:
    if session._serving is not None:
        refuse_flush(session, REPLICA)


@event.listens_for(Session, "after_commit")
def note_commit(session: Session) -> None:
    session.has_committed = session.has_committed or not session.in_nested_transaction()


@event.listens_for(Session, "after_transaction_end")
def forget_transaction(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        if session._serving is None:
            session._enlisted.forget()
        session._foreign.clear()
        session._binds.clear()
        session._release_connections()


@lru_cache(maxsize=100)
def scope_of(database: str | None, atomic: bool, role: Role, tenant: str | None) -> Scope:
    check_role(role)
    return Scope(database, atomic, role, tenant)


def check_role(role: str) -> None:
    if role not in ROLES:
        raise ConfigurationError(f"role is one of {', '.join(map(repr, ROLES))}.")


def named_by(clause: Any) -> str | None:
    options = getattr(clause, "get_execution_options", None)
    return options().get("database") if options is not None else None


def subject_of(statement: Any) -> Any:
    """The first mapped class of a statement, for statements whose tables do not show, such as from_statement()."""
    try:
        described = statement.column_descriptions
    except (AttributeError, NotImplementedError):
        return None
    return next((each["entity"] for each in described if each.get("entity") is not None), None)


def mapper_of(entity: Any) -> Mapper[Any]:
    try:
        inspected = inspect(entity)
    except sa_exc.NoInspectionAvailable:
        if isinstance(entity, type):
            raise orm_exc.UnmappedClassError(entity) from None
        raise
    mapper: Mapper[Any] = inspected.mapper
    return mapper
