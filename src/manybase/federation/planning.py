"""Planning: a compiler that cuts a SELECT into fragments while it renders what is left of it.

SQLAlchemy compiles a statement once and keeps the result, and the plan with it. What one database can answer alone is
not rendered: a fragment has its place, and its columns have the place of the expressions that it computes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BindParameter,
    GenerativeSelect,
    Label,
    String,
)
from sqlalchemy.sql import visitors

from manybase.errors import UnsupportedStatement
from manybase.federation import internals
from manybase.federation.answering import is_value
from manybase.federation.duckdb.executor import is_native
from manybase.federation.expressions import (
    binds,
    is_null_for_null,
    uses,
)
from manybase.federation.fragments import Fragment, Output
from manybase.federation.plan import Plan, Scope
from manybase.federation.python.evaluating import NotCovered
from manybase.federation.python.programming import Programming
from manybase.federation.rendering import Rendering
from manybase.federation.rules import KEEP_STRICT, holds


class Planning(Rendering):
    """Mixed into the compiler of the executor's dialect; its dialect knows ``home_of`` a table, and the ``router``."""

    stack: Any

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

    def _finish(self) -> None:
        """A hook of the user's may send something through the connection that needs no database: nothing runs then."""
        plan = self.plan
        if plan.fragments and self._refused is not None:
            raise self._refused
        if plan.root is None:
            plan.root = self.statement  # type: ignore[attr-defined]
        plan.makes_entities = makes_entities(self.statement)  # type: ignore[attr-defined]
        plan.is_ordered = bool(internals.order_by_of(plan.root)) if isinstance(plan.root, GenerativeSelect) else False
        plan.types = [entry.type for entry in internals.result_of(self)]
        plan.origins = [self._origin(place) for place in range(len(plan.types))] if plan.fragments else []
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

    def _origin(self, place: int) -> Fragment:
        """A fragment that a column of the result is made of; the first one where nobody can tell."""
        scope = self.plan.scopes.get(id(self.plan.root))
        if scope is None or place >= len(scope.columns):
            return self.plan.fragments[0]
        used = uses(scope.columns[place]).tables
        found = [scope.fragments[table] for table in used if table in scope.fragments]
        return min(found, key=lambda each: each.number, default=self.plan.fragments[0])

    def _carry(self) -> None:
        """Note the columns of the result that come from a fragment as they are, and that nothing computes with."""
        scope = self.plan.scopes.get(id(self.plan.root))
        if scope is None or scope.whole is not None or internals.is_distinct(scope.select):
            return
        said = (*internals.order_by_of(scope.select), *internals.group_by_of(scope.select))
        by_name = any(map(is_by_name, said))
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


def makes_entities(statement: Any) -> bool:
    """Whether the ORM makes entities of its rows; not only rows of their columns."""
    described: Any = getattr(statement, "column_descriptions", ())
    return any(each.get("entity") is not None and each["expr"] is each["entity"] for each in described)


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


def is_by_name(clause: Any) -> bool:
    """Whether a clause refers to a label."""
    return any(isinstance(internals.label_of(each), (str, Label)) for each in visitors.iterate(clause))
