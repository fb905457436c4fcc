"""Planning: a compiler that cuts a SELECT into fragments while it renders what is left of it.

SQLAlchemy compiles a statement once and keeps the result, and the plan with it. What one database can answer alone is
not rendered: a fragment has its place, and its columns have the place of the expressions that it computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import (
    CTE,
    Alias,
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ClauseElement,
    ClauseList,
    ColumnElement,
    FromClause,
    FromGrouping,
    FunctionElement,
    Join,
    Label,
    Lateral,
    SelectBase,
    String,
    Subquery,
    Table,
    TableSample,
    Tuple,
    UnaryExpression,
)
from sqlalchemy.sql import operators, visitors

from manybase.errors import UnsupportedStatement
from manybase.federation import internals
from manybase.federation.duckdb.executor import is_loose, is_native
from manybase.federation.expressions import (
    AGGREGATES,
    LACKING,
    are_same,
    binds,
    conjuncts,
    is_known_to,
    is_null_for_null,
    name_of,
    uses,
    windowed,
)
from manybase.federation.fragments import Fragment, Output, Reducer, is_column
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.evaluating import NotCovered
from manybase.federation.python.programming import Programming
from manybase.federation.rules import KEEP_CORRELATED, KEEP_FULL, KEEP_STRICT, REDUCE_MATCHED, holds
from manybase.federation.trees import Condition, Node, Outer, Planter, Pool, Rest, fragments_of, nullable
from manybase.routing import Across

# What may be computed by the database that holds all its columns.
COMPUTED = [
    "array",
    "binary",
    "case",
    "cast",
    "clauselist",
    "expression_clauselist",
    "extract",
    "function",
    "grouping",
    "over",
    "funcfilter",
    "slice",
    "type_coerce",
    "tuple",
    "unary",
    "withingroup",
    "aggregate_order_by",
]
ROLLUPS = frozenset({"rollup", "cube", "grouping_sets"})


class Planning:
    """Mixed into the compiler of the executor's dialect; its dialect knows ``home_of`` a table, and the ``router``."""

    dialect: Any
    stack: Any
    compile_state: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.plan = Plan()
        self._scopes: list[Scope] = []
        self._visiting: list[Any] = []
        self._open_ctes: list[Any] = []
        self._in_aggregate = 0
        self._windowed: set[int] = set()
        self._refused: UnsupportedStatement | None = None
        self._in_exists = False
        self._only_exists: list[bool] = []
        super().__init__(*arguments, **options)
        if self.plan.scopes:
            self._finish()

    def construct_params(self, *arguments: Any, **options: Any) -> Any:
        """The values of one execution; SQLAlchemy takes lists out of them before it runs, so that there is a copy."""
        return Values(super().construct_params(*arguments, **options) or {})  # type: ignore[misc]

    # ---- SELECT by SELECT

    def visit_select(self, select_stmt: Any, *arguments: Any, **options: Any) -> Any:
        depth, in_aggregate = len(self._scopes), self._in_aggregate
        self._visiting.append(select_stmt)
        if self._scopes:
            self._scopes[-1].in_aggregate = in_aggregate
        self._in_aggregate, exists, self._in_exists = 0, self._in_exists, False
        self._only_exists.append(exists)
        try:
            return super().visit_select(select_stmt, *arguments, **options)  # type: ignore[misc]  # the compiler's
        finally:
            self._visiting.pop()
            self._only_exists.pop()
            self._in_aggregate = in_aggregate
            del self._scopes[depth:]

    def visit_compound_select(self, cs: Any, *arguments: Any, **options: Any) -> Any:
        self._in_exists = False  # what its parts select matters
        return super().visit_compound_select(cs, *arguments, **options)  # type: ignore[misc]

    def visit_cte(self, cte: Any, *arguments: Any, **options: Any) -> Any:
        self._open_ctes.append(cte)
        try:
            return super().visit_cte(cte, *arguments, **options)  # type: ignore[misc]
        finally:
            self._open_ctes.pop()

    # Private: SQLCompiler._setup_select_stack and _compose_select_body (SQLAlchemy 2.0 and 2.1). Between them the
    # columns are rendered, and after the first it is known what a SELECT is from: nothing public is called there.
    # test_internals.py fails when they change.
    def _setup_select_stack(
        self, select: Any, compile_state: Any, entry: Any, asfrom: Any, lateral: Any, compound_index: Any
    ) -> Any:
        nested = bool(self.stack)
        froms = super()._setup_select_stack(  # type: ignore[misc]
            select, compile_state, entry, asfrom, lateral, compound_index
        )
        if internals.is_for_update(select):
            raise UnsupportedStatement(
                "FOR UPDATE",
                "rows are locked by the database that holds them",
                "Lock them in a statement of their own.",
            )
        scope = Scope(select, internals.columns_of(compile_state), list(self._scopes))
        self.plan.scopes[id(self._visiting[-1])] = scope
        self.plan.kept.append(self._visiting[-1])
        if not nested:
            self.plan.root = self._visiting[-1]
        database = self._whole(select, compile_state, froms) if nested and not lateral else None
        if database is None:
            self._open(scope, froms)
        else:
            scope.whole = self._fragment(database)
            scope.whole.whole = select
            for column in scope.columns:
                scope.whole.outputs.append(Output(f"c{len(scope.whole.outputs)}", column, column.type))
        self._scopes.append(scope)
        counts = internals.is_distinct(select) and internals.is_limited(select)
        scope.selects_nothing = self._only_exists[-1] and scope.grouping is None and scope.whole is None and not counts
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
        scope = self._scopes[-1]
        if scope.selects_nothing:
            inner_columns, scope.selects_nothing = ["1"], False
        if scope.whole is not None:
            return text + ", ".join(inner_columns) + f" FROM {scope.whole.name}"
        kwargs = {**kwargs, "from_linter": None}
        items = [self._text_of(each, **kwargs) for each in scope.tree.items]
        text_of_from = ", ".join(items)
        if scope.tree.conditions:
            with self._inside(scope.nullable):
                conditions = self._all_of(scope.tree.conditions, **kwargs)
            text_of_from = f"{text_of_from or '(SELECT 1) AS _one'} \nWHERE {conditions}"
        placed = [Placed(text_of_from)] if text_of_from else []
        bare = internals.without_where(select)
        kwargs.pop("from_linter")
        return super()._compose_select_body(  # type: ignore[misc]
            text, bare, compile_state, inner_columns, placed, byfrom, toplevel, kwargs
        )

    # ---- what a database can answer

    def _whole(self, select: Any, compile_state: Any, froms: Any) -> str | None:
        """The database that can answer a nested SELECT as it stands."""
        if not froms or internals.has_oddities(select):
            return None
        own = {hash(table) for source in froms for table in _sources(source)}
        used = uses(select)
        if used.opaque or (used.tables & self._outside() - own and holds(KEEP_CORRELATED)):
            return None
        homes = {self._home(table) for source in froms for table in _sources(source)}
        database = homes.pop() if len(homes) == 1 else None
        return database if database is not None and self._answers(database, select) else None

    def _outside(self) -> set[int]:
        return {table for scope in self._scopes for table in scope.tables}

    def _home(self, source: FromClause) -> str | None:
        """The database that could answer a FROM element alone."""
        element: Any = source
        if isinstance(source, Lateral):
            return None
        while isinstance(element, (Alias, TableSample)) and not isinstance(element, (Subquery, CTE)):
            element = element.element
        if isinstance(element, Table):
            name: str = self.dialect.home_of(element)
            return name
        if not isinstance(element, (Subquery, CTE)) or self._is_open(element):
            return None
        inner: Any = element.element
        if not isinstance(inner, SelectBase) or uses(inner).opaque or uses(inner).tables & self._outside():
            return None
        owners = self._owners(inner)
        return next(iter(owners)) if owners is not None and len(owners) == 1 else None

    def _is_open(self, source: FromClause) -> bool:
        """Whether it is, or contains, a CTE that is being rendered: it refers to itself."""
        opened = {hash(each) for each in self._open_ctes} | {each.name for each in self._open_ctes}
        return any(
            isinstance(each, CTE) and (hash(each) in opened or each.name in opened) for each in visitors.iterate(source)
        )

    def _owners(self, select: Any) -> frozenset[str] | None:
        """The databases that own every table of a subquery; None where no single one does, or nobody can tell."""
        if internals.has_criteria(self.compile_state) and any(
            isinstance(each, SelectBase) and internals.is_orm(each) for each in visitors.iterate(select)
        ):
            return None
        if internals.is_for_update(select):
            return None
        owners: Any = self.dialect.router.candidates(select)
        return None if isinstance(owners, Across) or not owners else owners

    def _answers(self, database: str, select: Any) -> bool:
        owners = self._owners(select)
        return owners is not None and database in owners

    def _fits(self, condition: Condition, database: str, own: set[int]) -> bool:
        """Whether a database can decide a condition on ``own`` tables of a SELECT."""
        used = uses(condition)
        if used.opaque or used.aggregates or used.windows or used.tables & (self._outside() - own):
            return False
        if not is_known_to(self.dialect.backends[database], condition):
            return False
        return all(self._answers(database, each) for each in used.subqueries)

    # ---- FROM and WHERE

    def _open(self, scope: Scope, froms: Any) -> None:
        scope.tables = {hash(table) for source in froms for table in _sources(source)}
        planter = Planter(
            self._home, partial(self._fits, own=scope.tables), self._fragment, partial(self._is_alone, scope)
        )
        scope.tree = planter.plant(froms, internals.where_of(scope.select))
        for fragment in fragments_of(scope.tree):
            scope.fragments.update(dict.fromkeys(fragment.tables, fragment))
        scope.nullable = nullable(scope.tree)
        self._group(scope)
        self._scopes.append(scope)
        self._link(scope.tree)
        self._scopes.pop()

    def _has_full(self, database: str) -> bool:
        """Whether a database knows FULL JOIN."""
        return self.dialect.backends[database] not in LACKING

    def _is_alone(self, scope: Scope, tables: set[int], condition: Condition) -> bool:
        """Whether a SELECT uses tables in no other place than FROM and that condition."""
        select = scope.select
        others = [
            *scope.columns,
            *internals.group_by_of(select),
            *internals.having_of(select),
            *internals.order_by_of(select),
            *(each for where in internals.where_of(select) for each in conjuncts(where) if each is not condition),
        ]
        joins = [source for source in select.get_final_froms() if isinstance(source, Join)]
        ons = [source.onclause for join in joins for source in _joins(join) if source.onclause is not None]
        used = sum(bool(uses(each).tables & tables) for each in ons)
        return used <= 1 and not any(uses(each).tables & tables for each in others if isinstance(each, ClauseElement))

    def _group(self, scope: Scope) -> None:
        clauses = [internals.label_of(each) for each in internals.group_by_of(scope.select)]
        found: list[Any] = []
        while clauses:
            each = clauses.pop(0)
            if isinstance(each, str):
                each = next((c for c in scope.columns if getattr(c, "name", None) == each), each)
            if isinstance(each, Label):
                each = each.element
            if isinstance(each, FunctionElement) and name_of(each) in ROLLUPS:
                scope.rolls_up = True
                clauses += each.clauses
            elif isinstance(each, (Tuple, ClauseList)) and not isinstance(each, BooleanClauseList):
                clauses += each.clauses
            else:
                found.append(each)
        aggregates = any(isinstance(c, ClauseElement) and uses(c).aggregates for c in scope.columns)
        aggregates = aggregates or bool(internals.having_of(scope.select))
        scope.grouping = found if found or aggregates else None

    def _fragment(self, database: str) -> Fragment:
        made = Fragment(len(self.plan.fragments), database)
        self.plan.fragments.append(made)
        return made

    def _link(self, pool: Pool) -> None:
        """Note whose keys reduce whom."""
        matched = fragments_of(pool) - (nullable(pool) if holds(REDUCE_MATCHED) else set())
        for condition in pool.conditions:
            self._note_keys(condition, matched)
        for item in pool.items:
            if isinstance(item, Outer):
                self._link(item.left)
                self._link(item.right)
                matched = fragments_of(item.right) - nullable(item.right)
                if item.kind == "full" and holds(KEEP_FULL):
                    matched = set()
                if not holds(REDUCE_MATCHED):
                    matched = fragments_of(item)
                for condition in item.conditions:
                    self._note_keys(condition, matched)

    def _note_keys(self, condition: Any, matched: set[Fragment]) -> None:
        if not isinstance(condition, BinaryExpression) or condition.operator is not operators.eq:
            return
        for inner, outer in ((condition.left, condition.right), (condition.right, condition.left)):
            reduced, known = self._fragment_of(inner), self._fragment_of(outer)
            if reduced is None or known is None or reduced is known or reduced not in matched:
                continue
            loose = is_loose(outer, known.database, self.dialect) and not is_loose(
                inner, reduced.database, self.dialect
            )
            if not loose:  # else its spellings are not all that match
                reduced.reducers.append(Reducer(known, known.output(outer).name, inner))

    # ---- rendering

    def _text_of(self, node: Node, **options: Any) -> str:
        if isinstance(node, Fragment):
            return node.name
        if isinstance(node, Rest):
            return self.process(node.source, asfrom=True, **options)  # type: ignore[attr-defined, no-any-return]
        assert isinstance(node, Outer)
        kind = node.kind.upper()
        left, right = self._text_of_side(node.left, **options), self._text_of_side(node.right, **options)
        with self._inside(nullable(node.left) | nullable(node.right)):
            on = self._all_of(node.conditions, **options)
        return f"({left} {kind} JOIN {right} ON {on})"

    def _text_of_side(self, pool: Pool, **options: Any) -> str:
        items = [self._text_of(each, **options) for each in pool.items]
        if not pool.conditions and len(items) == 1:
            return items[0]
        with self._inside(nullable(pool)):
            conditions = self._all_of(pool.conditions, **options)
        *first, last = items if len(items) > 1 else [*items, "(SELECT 1) AS _one"]
        return f"({' CROSS JOIN '.join(first)} JOIN {last} ON {conditions})"

    def _all_of(self, conditions: list[Condition], **options: Any) -> str:
        if not conditions:
            return "true"
        return " AND ".join(f"({self.process(each, **options)})" for each in conditions)  # type: ignore[attr-defined]

    @contextmanager
    def _inside(self, missing: set[Fragment]) -> Iterator[None]:
        """What is rendered meanwhile is computed where only these fragments may be missing."""
        scope = self._scopes[-1]
        scope.nullable, outside = missing, scope.nullable
        grouping, scope.grouping = scope.grouping, None
        try:
            yield
        finally:
            scope.nullable, scope.grouping = outside, grouping

    def visit_column(self, column: Any, add_to_result_map: Any = None, **options: Any) -> Any:
        text = self._column_text(column)
        if text is None:
            if column.table is not None and isinstance(column.table, Table):
                raise misplaced(column.table)
            return super().visit_column(column, add_to_result_map=add_to_result_map, **options)  # type: ignore[misc]
        rendered = super().visit_column(  # type: ignore[misc]  # for the result map
            column, add_to_result_map=add_to_result_map, include_table=False, **_known(options)
        )
        if options.get("within_columns_clause") and not options.get("within_label_clause"):
            return f"{text} AS {rendered}"
        return text

    def _column_text(self, column: Any) -> str | None:
        scope = self._scopes[-1] if self._scopes else None
        if scope is not None and scope.whole is not None:
            return self._of_whole(scope, column)
        if column.table is None:
            if column.is_literal and uses(column).opaque:
                raise opaque("literal_column()")
            return None
        found = self._scope_of(hash(column.table))
        if found is None:
            return None
        fragment = found.fragments[hash(column.table)]
        return self._placed(found, fragment, column)

    def _scope_of(self, table: int) -> Scope | None:
        return next((scope for scope in reversed(self._scopes) if table in scope.fragments), None)

    def _fragment_of(self, expression: Any) -> Fragment | None:
        """The fragment that can compute an expression from its columns."""
        if is_column(expression):
            scope = None if expression.table is None else self._scope_of(hash(expression.table))
            return None if scope is None else scope.fragments[hash(expression.table)]
        used = uses(expression)
        found = {
            scope.fragments[table] if (scope := self._scope_of(table)) is not None else None for table in used.tables
        }
        if used.subqueries:  # whose own tables are nobody's here
            found.discard(None)
        fragment = found.pop() if len(found) == 1 else None
        if fragment is None or used.volatile or isinstance(expression, (SelectBase, Tuple)) or is_ordering(expression):
            return None
        if used.subqueries and used.tables & (self._outside() - fragment.tables):
            return None
        if used.opaque or used.aggregates or used.windows:
            return None
        if not is_known_to(self.dialect.backends[fragment.database], expression):
            return None
        return fragment if all(self._answers(fragment.database, each) for each in used.subqueries) else None

    def _computed_at_home(self, element: Any) -> str | None:
        scope = self._scopes[-1] if self._scopes else None
        if scope is None:
            return None
        if scope.whole is not None:
            return self._of_whole(scope, element)
        fragment = self._fragment_of(element)
        if fragment is None:
            return None
        owner = next(each for each in reversed(self._scopes) if fragment in each.fragments.values())
        if fragment in owner.nullable and holds(KEEP_STRICT) and not is_null_for_null(element, fragment.tables):
            return None
        outside = owner.grouping is not None and not self._in_aggregate
        if outside and owner.rolls_up and not self._is_grouped(owner, element):
            return None
        return self._placed(owner, fragment, element)

    def _placed(self, scope: Scope, fragment: Fragment, expression: Any) -> str:
        """A column of a fragment; in a SELECT that groups, outside of aggregates, that of any row of the group."""
        if self._scopes[-1].selects_nothing:
            return "NULL"
        output = fragment.output(expression)
        output.uses += 1
        text = f"{fragment.name}.{output.name}"
        in_aggregate = self._in_aggregate if scope is self._scopes[-1] else scope.in_aggregate
        grouped = scope.grouping is not None and not in_aggregate and not self._is_grouped(scope, expression)
        return f"FIRST({text})" if grouped else text

    @contextmanager
    def _as_group(self, element: Any) -> Iterator[None]:
        """What the SELECT groups by is computed for each row."""
        grouped = bool(self._scopes and self._scopes[-1].grouping) and self._is_grouped(self._scopes[-1], element)
        self._in_aggregate += grouped
        try:
            yield
        finally:
            self._in_aggregate -= grouped

    def _is_grouped(self, scope: Scope, expression: Any) -> bool:
        return any(isinstance(each, ClauseElement) and are_same(each, expression) for each in scope.grouping or ())

    def _of_whole(self, scope: Scope, element: Any) -> str | None:
        assert scope.whole is not None
        for column, output in zip(scope.columns, scope.whole.outputs, strict=True):
            if element is column or element is getattr(column, "element", None):
                output.uses += 1
                return f"{scope.whole.name}.{output.name}"
        return None

    def visit_table(self, table: Any, asfrom: bool = False, **options: Any) -> Any:
        if asfrom:
            raise misplaced(table)
        return ""

    def visit_textclause(self, textclause: Any, **options: Any) -> Any:
        if self._scopes and uses(textclause).opaque:
            raise opaque("text()")
        return super().visit_textclause(textclause, **options)  # type: ignore[misc]

    def visit_grouping(self, grouping: Any, *arguments: Any, **options: Any) -> Any:
        if self._scopes and self._scopes[-1].whole is not None:
            text = self._of_whole(self._scopes[-1], grouping)
            if text is not None:
                return text
        return super().visit_grouping(grouping, *arguments, **options)  # type: ignore[misc]

    def _finish(self) -> None:
        """A hook of the user's may send something through the connection that needs no database: nothing runs then."""
        plan = self.plan
        if plan.fragments and self._refused is not None:
            raise self._refused
        if plan.root is None:
            plan.root = self.statement  # type: ignore[attr-defined]
        plan.types = [entry.type for entry in internals.result_of(self)]
        self._carry()
        self.program_again()
        self._name_parameters()

    def program_again(self) -> None:
        """Make the program, of what is known of the fragments by now."""
        plan, dialect = self.plan, self.dialect
        programming = Programming(
            plan, self._locate, self._name, dialect.semantics, self._folds, dialect.backends.__getitem__
        )
        try:
            plan.program = programming.program(plan.root)
        except NotCovered as reason:
            plan.beyond = str(reason)

    def _carry(self) -> None:
        """Note the columns of the result that come from a fragment as they are, and that nothing computes with."""
        scope = self.plan.scopes.get(id(self.plan.root))
        if scope is None or scope.whole is not None or internals.is_distinct(scope.select):
            return
        said = (*internals.order_by_of(scope.select), *internals.group_by_of(scope.select))
        by_name = any(isinstance(each, str) for clause in said for each in labels_in(clause))
        if len(scope.columns) != len(self.plan.types) or by_name:
            return
        found: dict[Output, list[int]] = {}
        for place, column in enumerate(scope.columns):
            inner = column.element if isinstance(column, Label) else column
            output = self._locate(inner, scope, scope.nullable)
            if output is not None and not is_native(output.type):
                found.setdefault(output, []).append(place)
        for output, places in found.items():
            if output.uses == len(places):
                self.plan.carried_outputs.add(output)
                self.plan.carried += places

    def _locate(self, expression: Any, scope: Scope, missing: set[Fragment]) -> Output | None:
        """The column of a fragment that holds an expression, where these fragments may be missing."""
        if not is_value(expression):
            return None
        self._scopes = [*scope.around, scope]
        try:
            fragment = self._fragment_of(expression)
        finally:
            self._scopes = []
        if fragment is None:
            return None
        if fragment in missing and holds(KEEP_STRICT) and not is_null_for_null(expression, fragment.tables):
            return None
        return fragment.output(expression)

    def _name(self, bind: BindParameter[Any]) -> str:
        """What the compiled statement calls a parameter."""
        names: Any = self.bind_names  # type: ignore[attr-defined]
        if bind not in names:
            self.process(bind)  # type: ignore[attr-defined]
        name: str = names[bind]
        return name

    def _folds(self, fragment: Fragment, expression: Any) -> bool:
        """Whether its database takes several spellings of a text for the same."""
        return isinstance(expression.type, String) and self.dialect.folds(fragment.database, expression.type)

    def _name_parameters(self) -> None:
        """Make the statement know the parameters of its fragments, so that each execution brings their values."""
        for fragment in self.plan.fragments:
            computed = [] if fragment.whole is not None else [output.expression for output in fragment.outputs]
            reducing = [reducer.inner for reducer in fragment.reducers]
            for clause in (fragment.whole, *fragment.sources, *fragment.where, *computed, *reducing):
                for bind in binds(clause) if clause is not None else ():
                    self.plan.names[bind] = self._name(bind)


class Values(dict[str, Any]):
    """``given``: as they were."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.given = dict(values)


class Placed:
    """An element that is rendered already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _compiler_dispatch(self, visitor: Any, **options: Any) -> str:
        return self._text


def rendered(compiler: Any, kind: str, element: Any, *arguments: Any, **options: Any) -> Any:
    """As the compiler renders it that the planning one is mixed into."""
    return getattr(super(Planning, compiler), f"visit_{kind}")(element, *arguments, **options)


def computing(name: str) -> Any:
    """A ``visit_`` method that asks whether a database computes the expression before it is rendered."""

    def visit(self: Any, element: Any, *arguments: Any, **options: Any) -> Any:
        text = self._computed_at_home(element) if is_value(element) else None
        if text is None:
            with self._as_group(element):
                return rendered(self, name, element, *arguments, **options)
        add_to_result_map = options.get("add_to_result_map")
        if add_to_result_map is not None:  # where it has no label of its own
            known = getattr(element, "name", None) or getattr(getattr(element, "element", None), "name", name)
            add_to_result_map(known, known, (element, known, *options.get("result_map_targets", ())), element.type)
        return text

    return visit


for each in COMPUTED:
    if each not in ("grouping", "function", "over", "funcfilter", "withingroup", "unary"):
        setattr(Planning, f"visit_{each}", computing(each))


def visit_over(self: Any, over: Any, *arguments: Any, **options: Any) -> Any:
    self._windowed.add(id(windowed(over)))
    return computing("over")(self, over, *arguments, **options)


def aggregating(name: str) -> Any:
    """A ``visit_`` method of what belongs to an aggregate: all in it is computed for each row."""

    def visit(self: Any, element: Any, *arguments: Any, **options: Any) -> Any:
        self._in_aggregate += 1
        try:
            return computing(name)(self, element, *arguments, **options)
        finally:
            self._in_aggregate -= 1

    return visit


def visit_unary(self: Any, unary: Any, *arguments: Any, **options: Any) -> Any:
    self._in_exists = unary.operator is operators.exists
    try:
        return computing("unary")(self, unary, *arguments, **options)
    finally:
        self._in_exists = False


Planning.visit_unary = visit_unary  # type: ignore[attr-defined]
Planning.visit_over = visit_over  # type: ignore[attr-defined]
Planning.visit_funcfilter = aggregating("funcfilter")  # type: ignore[attr-defined]
Planning.visit_withingroup = aggregating("withingroup")  # type: ignore[attr-defined]


def visit_function(self: Any, func: Any, *arguments: Any, **options: Any) -> Any:
    whole = self._scopes and self._scopes[-1].whole is not None
    if id(func) not in self._windowed and (whole or name_of(func) not in AGGREGATES):
        return computing("function")(self, func, *arguments, **options)
    if id(func) in self._windowed:
        return rendered(self, "function", func, *arguments, **options)
    self._in_aggregate += 1
    try:
        return rendered(self, "function", func, *arguments, **options)
    finally:
        self._in_aggregate -= 1


def visit_known_function(self: Any, func: Any, *arguments: Any, **options: Any) -> Any:
    """What the executor lacks is refused, but not in a statement without tables, which nobody executes."""
    try:
        return visit_function(self, func, *arguments, **options)
    except UnsupportedStatement as error:
        if self.plan.fragments or any(scope.tables for scope in self._scopes):
            raise
        self._refused = self._refused or error
        return "NULL"


Planning.visit_function = visit_known_function  # type: ignore[attr-defined]


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "include_table"}


def _sources(source: Any) -> Iterator[Any]:
    """The FROM elements of a tree of joins."""
    if hasattr(source, "left") and hasattr(source, "onclause"):
        yield from _sources(source.left)
        yield from _sources(source.right)
    elif type(source).__name__ == "FromGrouping":
        yield from _sources(source.element)
    else:
        yield source


def _joins(source: Any) -> Iterator[Join]:
    if isinstance(source, FromGrouping):
        yield from _joins(source.element)
    elif isinstance(source, Join):
        yield source
        yield from _joins(source.left)
        yield from _joins(source.right)


def is_value(element: Any) -> bool:
    """Not the arguments of a function, nor the two bounds of BETWEEN."""
    if not isinstance(element, ColumnElement):
        return False
    return isinstance(element, BooleanClauseList) or getattr(element, "operator", None) is not operators.and_


def labels_in(clause: Any) -> Iterator[Any]:
    """What a clause refers to by a name: a string for each."""
    for each in visitors.iterate(clause):
        if isinstance(internals.label_of(each), (str, Label)):
            yield "by name"


def is_ordering(expression: Any) -> bool:
    """DESC, NULLS LAST, DISTINCT: they say something about an expression, and have no value."""
    return isinstance(expression, UnaryExpression) and (
        expression.modifier is not None or expression.operator is operators.distinct_op
    )


def misplaced(table: Table) -> UnsupportedStatement:
    return UnsupportedStatement(
        f"Table {table.fullname!r} in this place",
        "it cannot be fetched from there",
        "Join it, or put it into a subquery.",
    )


def opaque(part: str) -> UnsupportedStatement:
    return UnsupportedStatement(
        part,
        "nobody can tell which tables it names",
        "Write it with SQLAlchemy's expressions, or put it into a statement of its own for one database.",
    )
