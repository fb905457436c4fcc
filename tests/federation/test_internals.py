"""Each private name of SQLAlchemy that federation uses still means what it did."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    func,
    literal,
    select,
    union,
)
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.sql.compiler import SQLCompiler

from manybase import federation
from manybase.federation import internals
from manybase.federation.planning import Planning, Values
from tests.shop import Event, User

FEDERATION = Path(federation.__file__).parent
t = Table("t", MetaData(), Column("id", Integer), Column("x", Integer))
plain = select(t)


def sql(clause: Any) -> str:
    return str(clause.compile(compile_kwargs={"literal_binds": True}))


def test_where() -> None:
    """Each condition as it was given, and a SELECT without them."""
    one, two = t.c.x == 1, t.c.id == 2
    statement = plain.where(one).where(two).limit(3)
    bare = internals.without_where(statement)

    assert [one, two] == list(internals.where_of(statement))
    assert [] == list(internals.where_of(plain))
    assert "WHERE" not in sql(bare)
    assert "LIMIT 3" in sql(bare)
    assert "WHERE t.x = 1 AND t.id = 2" in sql(statement)


def test_group_by_and_having() -> None:
    """The expressions of GROUP BY, and the conditions of HAVING."""
    one, two = func.count() > 1, func.sum(t.c.id) > 2
    statement = select(t.c.x).group_by(t.c.x, "id").having(one).having(two)
    expressions = [internals.label_of(each) for each in internals.group_by_of(statement)]

    assert [t.c.x, "id"] == expressions
    assert [one, two] == list(internals.having_of(statement))
    assert [[], []] == [list(internals.group_by_of(plain)), list(internals.having_of(plain))]


@pytest.mark.parametrize("statement", [plain, union(plain, plain)], ids=["select", "union"])
def test_order_by_and_limit(statement: Any) -> None:
    """Of a SELECT, and of a union."""
    ordered = statement.order_by("x", t.c.id.desc()).limit(3).offset(4)
    by = [internals.label_of(each) for each in internals.order_by_of(ordered)]

    assert "x" == by[0]
    assert "t.id DESC" == str(by[1])
    assert ["3", "4"] == [sql(internals.limit_of(ordered)), sql(internals.offset_of(ordered))]
    assert [None, None] == [internals.limit_of(statement), internals.offset_of(statement)]
    assert [] == list(internals.order_by_of(statement))


def test_label_of() -> None:
    """Text that names a label is that text; an expression is itself, and a label in ORDER BY the label."""
    label = t.c.x.label("y")
    (by,) = internals.order_by_of(select(label).order_by(label))

    assert label is internals.label_of(by)
    assert t.c.x is internals.label_of(t.c.x)


LIMITED: dict[str, tuple[Any, list[bool]]] = {
    "nothing": (plain, [False, False]),
    "LIMIT": (plain.limit(1), [True, False]),
    "OFFSET": (plain.offset(1), [True, False]),
    "FETCH": (plain.fetch(1, with_ties=True), [True, True]),
    "LIMIT of a union": (union(plain, plain).limit(1), [True, False]),
}


@pytest.mark.parametrize("case", LIMITED)
def test_limited(case: str) -> None:
    """LIMIT, OFFSET and FETCH are told from nothing, and FETCH from the others."""
    statement, expected = LIMITED[case]

    assert expected == [internals.is_limited(statement), internals.is_fetched(statement)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DISTINCT ON is PostgreSQL's: SQLAlchemy 2.1 has another way
def test_distinct() -> None:
    """DISTINCT, and what DISTINCT ON names."""
    on = plain.distinct(t.c.x)

    assert [False, True, True] == [internals.is_distinct(each) for each in (plain, plain.distinct(), on)]
    assert [[], [t.c.x]] == [list(internals.distinct_on_of(each)) for each in (plain.distinct(), on)]


ODD: dict[str, tuple[Any, bool]] = {
    "nothing": (plain, False),
    "a prefix": (plain.prefix_with("STRAIGHT_JOIN"), True),
    "a suffix": (plain.suffix_with("NOWAIT"), True),
    "a hint for a table": (plain.with_hint(t, "USE INDEX (i)"), True),
    "a hint": (plain.with_statement_hint("MAX_EXECUTION_TIME(1)"), True),
}


@pytest.mark.parametrize("case", ODD)
def test_oddities(case: str) -> None:
    """Text that is meant for one server."""
    statement, expected = ODD[case]

    assert expected is internals.has_oddities(statement)


def test_for_update() -> None:
    """With or without what is to be locked; a union and a table have none."""
    statements = [plain, union(plain, plain), t, plain.with_for_update(), plain.with_for_update(read=True, of=t)]

    assert [False, False, False, True, True] == [internals.is_for_update(each) for each in statements]


def test_orm() -> None:
    """What the ORM compiles is told from what it does not, and as_core() makes one of the other."""
    entity, column = select(User), select(User.id)

    assert [True, True, False] == [internals.is_orm(each) for each in (entity, column, select(User.__table__.c.id))]
    assert not internals.is_orm(internals.as_core(select(User.__table__.c.id, User.name)))


class Seeing(SQLCompiler):
    """Notes what the hooks of a compiler are given, in the order in which they are asked."""

    calls: list[str]
    seen: dict[str, Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.calls, self.seen = [], {}
        super().__init__(*arguments, **options)

    def visit_column(self, column: Any, *arguments: Any, **options: Any) -> Any:
        self.calls.append(f"column {column.name}")
        return super().visit_column(column, *arguments, **options)

    def _setup_select_stack(
        self, select: Any, compile_state: Any, entry: Any, asfrom: Any, lateral: Any, compound_index: Any
    ) -> Any:
        froms = super()._setup_select_stack(select, compile_state, entry, asfrom, lateral, compound_index)
        self.calls.append("setup")
        self.seen.update(froms=froms, columns=internals.columns_of(compile_state))
        self.seen.update(criteria=internals.has_criteria(compile_state))
        return froms

    def _compose_select_body(
        self,
        text: Any,
        select: Any,
        compile_state: Any,
        inner_columns: Any,
        froms: Any,
        byfrom: Any,
        toplevel: Any,
        kwargs: Any,
    ) -> Any:
        self.calls.append("compose")
        self.seen.update(text=text, inner=list(inner_columns), toplevel=toplevel)
        return super()._compose_select_body(text, select, compile_state, inner_columns, froms, byfrom, toplevel, kwargs)


class SeeingDialect(DefaultDialect):
    statement_compiler = Seeing
    supports_statement_cache = False


def compiled(statement: Any) -> Any:
    return statement.compile(dialect=SeeingDialect())


def test_hooks_of_the_compiler() -> None:
    """What a SELECT is from is known, then its columns are rendered, then its FROM and WHERE."""
    found = compiled(select(t.c.x, t.c.id.label("y")).where(t.c.id == 1))

    assert ["setup", "column x", "column id", "compose", "column id"] == found.calls
    assert [t] == found.seen["froms"]
    assert ["x", "y"] == [each.key for each in found.seen["columns"]]
    assert "SELECT " == found.seen["text"]
    assert ["t.x", "t.id AS y"] == found.seen["inner"]
    assert found.seen["toplevel"] is True


@pytest.mark.parametrize("name", ["_setup_select_stack", "_compose_select_body"])
def test_signatures(name: str) -> None:
    """They take what the planning compiler passes on, in this order."""
    ours, theirs = (list(inspect.signature(getattr(cls, name)).parameters) for cls in (Planning, SQLCompiler))

    assert ours == theirs


def test_columns_of_an_orm_select() -> None:
    """One for each column of the result, in its order; entities are taken apart."""
    found = compiled(select(Event, User.name).join(Event.user))

    assert ["id", "user_id", "kind", "name"] == [each.key for each in found.seen["columns"]]
    assert ["INTEGER", "INTEGER", "VARCHAR(20)", "VARCHAR(50)"] == [
        str(each.type) for each in internals.result_of(found)
    ]


def test_loader_criteria() -> None:
    """A SELECT that has some is told from one that has none, and so are those around it."""
    criteria = with_loader_criteria(Event, Event.kind == "buy")
    below = select(User).where(User.id.in_(select(Event.user_id))).options(criteria)

    assert [False, True, True, False] == [
        compiled(each).seen["criteria"] for each in (select(User), select(Event).options(criteria), below, plain)
    ]


def test_values_as_given() -> None:
    """A list for IN is taken out of the parameters before a statement runs; the copy has it still."""
    engine = create_engine("sqlite://")
    seen: list[dict[str, Any]] = []

    class Keeping(engine.dialect.statement_compiler):  # type: ignore[name-defined,misc]
        def construct_params(self, *arguments: Any, **options: Any) -> Any:
            return Values(super().construct_params(*arguments, **options) or {})

    class Context(engine.dialect.execution_ctx_cls):  # type: ignore[name-defined,misc]
        def pre_exec(self) -> None:
            if self.compiled is not None and self.compiled.params:
                seen.append(dict(internals.values_of(self)))

    engine.dialect.statement_compiler, engine.dialect.execution_ctx_cls = Keeping, Context
    ids = bindparam("ids", expanding=True)
    with engine.begin() as connection:
        t.create(connection)
        for values in ([1, 2], []):
            connection.execute(select(t.c.x).where(t.c.id.in_(ids), t.c.x == bindparam("x")), {"ids": values, "x": 5})
    engine.dispose()

    assert [{"ids": [1, 2], "x": 5}, {"ids": [], "x": 5}] == seen


@pytest.mark.parametrize("streams", [False, True])
def test_rows_as_the_driver_gives_them(streams: bool) -> None:
    """Also those that SQLAlchemy has read ahead, where it streams."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        t.create(connection)
        connection.execute(t.insert(), [{"id": number, "x": number} for number in range(7)])
        options = {"stream_results": streams, "max_row_buffer": 3}
        result = connection.execution_options(**options).execute(select(t.c.id).order_by(t.c.id))
        parts = []
        while rows := internals.raw_rows(result, 3):
            parts.append([tuple(row) for row in rows])
        result.close()
    engine.dispose()

    assert [(number,) for number in range(7)] == [row for part in parts for row in part]
    assert [3, 3, 1] == [len(part) for part in parts]


def test_named_bind() -> None:
    """IN and NOT IN of an empty list, by another name, still are false and true."""
    engine = create_engine("sqlite://")
    rows = []
    with engine.begin() as connection:
        t.create(connection)
        connection.execute(t.insert(), [{"id": 1, "x": 1}])
        for condition in (t.c.id.in_([1]), t.c.id.not_in([1])):
            renamed = internals.named_bind(condition.right, "other")
            assert condition.operator is renamed.expand_op
            condition.right = renamed
            rows += [
                len(connection.execute(select(t).where(condition), {"other": ids}).all()) for ids in ([1], [2], [])
            ]
    engine.dispose()

    assert [1, 0, 0, 0, 1, 1] == rows


def test_bind_of_type() -> None:
    """Beside the parameter it is of, in one statement: one name, one value."""
    given = literal("a", String())
    statement = select(given, internals.bind_of_type(given, Text()))
    with create_engine("sqlite://").connect() as connection:
        assert [("a", "a")] == [tuple(row) for row in connection.execute(statement)]
    assert 1 == len(statement.compile().params)


def private_names(path: Path) -> set[str]:
    """Private attributes that a module asks of anything but ``self``, ``cls`` and ``super()``."""
    return {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        and not (isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super")
    }


OUR_OWN = {"_asyncio", "_candidates", "_one_of", "_place"}  # of manybase's session


def test_bare() -> None:
    """A table without the notes of the ORM is the table that was declared."""
    noted: Any = sa_inspect(User).__clause_element__()

    assert noted is not User.__table__
    assert internals.bare(noted) is User.__table__


def test_nothing_else_is_private() -> None:
    """Outside internals.py no module asks SQLAlchemy for a private name."""
    found = {
        path.relative_to(FEDERATION).as_posix(): names
        for path in sorted(FEDERATION.rglob("*.py"))
        if path.name != "internals.py" and (names := private_names(path) - OUR_OWN)
    }

    assert {} == found


def test_every_name_is_tried_here() -> None:
    """A new function of internals.py gets its test."""
    functions = {
        name for name, value in vars(internals).items() if getattr(value, "__module__", "") == internals.__name__
    }
    here = Path(__file__).read_text()

    assert set() == {name for name in functions if f"internals.{name}(" not in here}
