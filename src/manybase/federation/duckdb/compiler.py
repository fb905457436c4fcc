"""Compiler: a statement in DuckDB's words, with the meaning that its databases give it. It plans nothing."""

from __future__ import annotations

import re
from copy import copy
from typing import Any

from sqlalchemy import func, types
from sqlalchemy.dialects.postgresql.base import PGCompiler
from sqlalchemy.sql import functions, operators, visitors
from sqlalchemy.sql.elements import (
    BindParameter,
    ClauseList,
    ColumnElement,
    ExpressionClauseList,
    FunctionFilter,
    Grouping,
    UnaryExpression,
)

from manybase.errors import UnsupportedStatement
from manybase.federation import internals
from manybase.federation.duckdb.functions import BARE, FOLLOWS, KNOWN, SPELLED
from manybase.federation.duckdb.padding import MARK, Unpadded

INSTEAD = "Compute it in a subquery of its own database, or in Python."
UNSAFE = re.compile(r"\W", re.ASCII)
LETTERS = "'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'"
OPERATORS = {"||", "&&", "@>", "<@", "->", "->>", "&", "|", "<<", ">>", "%", "+", "-", "*", "=", "<>", "!=", "<", ">"}
OPERATORS |= {"<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "AND", "OR"}
COLLATIONS = {"c": "C", "posix": "C", "ucs_basic": "C", "binary": "C", "nocase": "NOCASE"}
LISTING = {operators.in_op, operators.not_in_op, operators.between_op, operators.not_between_op}
WHOLE, SPLIT = "DECIMAL(38, 0)", "* CAST('0.000001' AS DECIMAL(7, 6))"


class Dollar:
    """How a parameter is written; SQLAlchemy, which has no such style, would set another."""

    def __get__(self, compiler: object, owner: type | None = None) -> str:
        return "$%(name)s"

    def __set__(self, compiler: object, template: str) -> None:
        pass


class DuckDBCompiler(PGCompiler):
    dialect: Any  # a DuckDBDialect

    # -- parameters: $name

    bindtemplate: Any = Dollar()
    compilation_bindtemplate: Any = Dollar()

    def bindparam_string(
        self,
        name: str,
        post_compile: bool = False,
        expanding: bool = False,
        escaped_from: str | None = None,
        bindparam_type: types.TypeEngine[Any] | None = None,
        accumulate_bind_names: set[str] | None = None,
        visited_bindparam: list[str] | None = None,
        **kw: Any,
    ) -> str:
        if escaped_from is None and (UNSAFE.search(name) or not name[:1].isalpha()):
            escaped_from, name = name, "p_" + UNSAFE.sub(lambda found: f"_{ord(found[0]):x}_", name)
        names = (accumulate_bind_names, visited_bindparam)
        return super().bindparam_string(name, post_compile, expanding, escaped_from, bindparam_type, *names, **kw)

    # -- functions

    def visit_function(self, func: Any, add_to_result_map: Any = None, **kw: Any) -> str:
        name = func.name.lower()
        if add_to_result_map is not None:
            add_to_result_map(func.name, func.name, (func.name,), self.result_type(func))
        if func.packagenames or (name not in KNOWN and name not in SPELLED and not hasattr(self, f"visit_{name}_func")):
            raise UnsupportedStatement(
                f"Function {func.name}()", "DuckDB, which joins them, has no such function", INSTEAD
            )
        spelled = SPELLED.get(name, name)
        if spelled == name or hasattr(self, f"visit_{name}_func"):
            return super().visit_function(func, **kw)
        if (visit := getattr(self, f"visit_{spelled}_func", None)) is not None:
            return str(visit(func, **kw))
        return spelled if spelled in BARE else f"{spelled}{self.function_argspec(func, **kw)}"

    def result_type(self, fn: Any) -> types.TypeEngine[Any]:
        """As its databases give it."""
        place = FOLLOWS.get(fn.name.lower())
        arguments = list(fn.clauses)
        if place is not None and isinstance(fn.type, types.NullType) and len(arguments) > place:
            return arguments[place].type  # type: ignore[no-any-return]
        if SPELLED.get(fn.name.lower(), fn.name.lower()) == "now":
            return types.DateTime(timezone=True)
        return fn.type  # type: ignore[no-any-return]

    def visit_label(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self, label: Any, add_to_result_map: Any = None, **kw: Any
    ) -> Any:
        fn = label.element
        if add_to_result_map is None or not isinstance(fn, functions.FunctionElement):
            return super().visit_label(label, add_to_result_map=add_to_result_map, **kw)  # type: ignore[no-untyped-call]
        given = self.result_type(fn)

        def add(keyname: str, name: str, objects: Any, type_: types.TypeEngine[Any]) -> None:
            add_to_result_map(keyname, name, objects, given if type_ is fn.type else type_)

        return super().visit_label(label, add_to_result_map=add, **kw)  # type: ignore[no-untyped-call]

    def visit_now_func(self, fn: Any, **kw: Any) -> str:
        return "CAST(now() AS TIMESTAMP)"

    def visit_date_func(self, fn: Any, **kw: Any) -> str:
        text = f"CAST{self.function_argspec(fn, **kw)[:-1]} AS DATE)"
        return f"CAST({text} AS VARCHAR)" if self.dialect.semantics.name == "sqlite" else text

    def visit_current_date_func(self, fn: Any, **kw: Any) -> str:
        return "current_date"

    def visit_localtimestamp_func(self, fn: Any, **kw: Any) -> str:
        return "localtimestamp"

    def visit_concat_func(self, fn: Any, **kw: Any) -> str:
        if self.dialect.semantics.concat_skips_null:
            return f"concat{self.function_argspec(fn, **kw)}"
        return "({})".format(" || ".join(f"CAST({self.spaced(each, kw)} AS VARCHAR)" for each in fn.clauses))

    def visit_greatest_func(self, fn: Any, **kw: Any) -> str:
        text = f"{fn.name}{self.function_argspec(fn, **kw)}"
        if self.dialect.semantics.greatest_skips_null:
            return text
        null = " OR ".join(f"{self.process(each, **kw)} IS NULL" for each in fn.clauses)
        return f"CASE WHEN {null} THEN NULL ELSE {text} END"

    visit_least_func = visit_greatest_func

    def visit_length_func(self, fn: Any, **kw: Any) -> str:
        if self.dialect.semantics.length == "bytes":
            return f"octet_length(encode{self.function_argspec(fn, **kw)})"
        return f"length{self.function_argspec(fn, **kw)}"

    def visit_log_func(self, fn: Any, **kw: Any) -> str:
        natural = self.dialect.semantics.log_base == "e" and len(fn.clauses) == 1
        return f"{'ln' if natural else 'log'}{self.function_argspec(fn, **kw)}"

    def visit_round_func(self, fn: Any, **kw: Any) -> str:
        arguments = list(fn.clauses)
        if self.dialect.semantics.round_half_even and isinstance(arguments[0].type, types.Float):
            digits = self.process(arguments[1], **kw) if len(arguments) > 1 else "0"
            return f"round_even({self.process(arguments[0], **kw)}, {digits})"
        return f"round{self.function_argspec(fn, **kw)}"

    def visit_if_func(self, fn: Any, **kw: Any) -> str:
        condition, then, otherwise = (self.process(each, **kw) for each in fn.clauses)
        return f"CASE WHEN {condition} THEN {then} ELSE {otherwise} END"

    def visit_extract(self, extract: Any, **kw: Any) -> str:
        operand, field = self.process(extract.expr, **kw), extract.field.lower()
        decimal = self.dialect.semantics.extract == "decimal"
        if field == "second" and decimal:
            return f"(CAST(EXTRACT(microseconds FROM {operand}) AS {WHOLE}) {SPLIT})"
        if field == "epoch":
            return f"(CAST(epoch_us({operand}) AS {WHOLE}) {SPLIT})" if decimal else f"(epoch_us({operand}) // 1000000)"
        if not field.isidentifier():
            raise UnsupportedStatement(f"extract({field!r})", "there is no such field", INSTEAD)
        text = f"EXTRACT({field} FROM {operand})"
        return f"CAST({text} AS {WHOLE})" if decimal else text

    # -- sums and averages, exact where their databases are exact

    def visit_sum_func(self, fn: Any, *, bare: str | None = None, **kw: Any) -> str:
        text = f"{bare or 'sum'}{self.function_argspec(fn, **kw)}"
        return text if bare else self.summed(fn, text)

    def visit_avg_func(self, fn: Any, *, bare: str | None = None, **kw: Any) -> str:
        arguments = self.function_argspec(fn, **kw)
        if bare:
            return f"{bare}{arguments}"
        return self.averaged(fn, f"sum{arguments}", f"count{arguments}") or f"avg{arguments}"

    def visit_over(self, over: Any, **kw: Any) -> str:
        return self._around(over, super().visit_over, kw)

    def visit_funcfilter(self, funcfilter: Any, **kw: Any) -> Any:
        return self._around(funcfilter, super().visit_funcfilter, kw)

    def _around(self, element: Any, visit: Any, kw: dict[str, Any]) -> str:
        """OVER and FILTER belong to the aggregate; what makes it exact goes around them."""
        fn = aggregate_in(element)
        if fn is None or "bare" in kw:
            return str(visit(element, **kw))
        if fn.name.lower() == "sum":
            return self.summed(fn, str(visit(element, bare="sum", **kw)))
        if self.averaged(fn, "", "") is None:
            return str(visit(element, bare="avg", **kw))
        total = str(visit(element, bare="sum", **kw))
        again = {key: value for key, value in kw.items() if key != "add_to_result_map"}
        return self.averaged(fn, total, str(visit(element, bare="count", **again))) or total

    def summed(self, fn: Any, text: str) -> str:
        argument, rule = plain(fn), self.dialect.semantics.sum_of_integers
        if isinstance(argument.type, types.Integer) and (
            rule == "decimal" or (rule == "by size" and isinstance(argument.type, types.BigInteger))
        ):
            return f"CAST({text} AS {WHOLE})"
        return text

    def averaged(self, fn: Any, total: str, count: str) -> str | None:
        rule = self.dialect.semantics.quotient
        if rule == "float" or not exact(plain(fn)):
            return None
        return f"manybase_divide_{rule}({total}, nullif({count}, 0))"

    # -- division

    def visit_truediv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        rule = self.dialect.semantics.quotient
        if rule != "float" and exact(binary.left) and exact(binary.right):
            return f"manybase_divide_{rule}({left}, {self.divisor(right)})"
        return f"CAST({left} AS DOUBLE) / {self.divisor(right)}"

    def visit_floordiv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        whole = isinstance(binary.left.type, types.Integer) and isinstance(binary.right.type, types.Integer)
        if not whole:
            return f"FLOOR({self.visit_truediv_binary(binary, operator, **kw)})"
        if self.dialect.semantics.integer_division == "integer":
            return f"({left} // {self.divisor(right)})"
        return f"(({left} - (({left} % {right}) + {right}) % {right}) // {self.divisor(right)})"

    def visit_mod_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"{self.process(binary.left, **kw)} % {self.divisor(self.process(binary.right, **kw))}"

    def divisor(self, text: str) -> str:
        if self.dialect.semantics.division_by_zero == "error":
            return f"manybase_nonzero({text})"
        return f"nullif({text}, 0)"

    # -- strings

    def padded(self, operand: ColumnElement[Any]) -> bool:
        """Whether spaces at the end of this operand may be marks: where more than equality is asked, they must not."""
        collation = getattr(operand.type, "collation", None) or ""
        text = isinstance(operand.type, types.String) and not isinstance(operand, BindParameter)
        return text and self.dialect.semantics.pads and not collation.endswith("_bin") and "nopad" not in collation

    def spaced(self, operand: ColumnElement[Any], kw: dict[str, Any]) -> str:
        text = self.process(operand, **kw)
        return f"replace({text}, '{MARK}', ' ')" if self.padded(operand) else text

    def visit_eq_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared("=", binary, kw)

    def visit_ne_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared("!=", binary, kw)

    def visit_lt_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared("<", binary, kw)

    def visit_le_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared("<=", binary, kw)

    def visit_gt_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared(">", binary, kw)

    def visit_ge_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared(">=", binary, kw)

    def visit_is_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared("IS DISTINCT FROM", binary, kw)

    def visit_is_not_distinct_from_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.compared("IS NOT DISTINCT FROM", binary, kw)

    def visit_binary(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, binary: Any, *arguments: Any, **kw: Any
    ) -> str:
        given = self.without_spaces(binary) if binary.operator in LISTING else binary
        return str(super().visit_binary(given, *arguments, **kw))  # type: ignore[no-untyped-call]

    def without_spaces(self, binary: Any) -> Any:
        """With the values of a list, or the bounds of BETWEEN, as ``compared`` has a single one."""
        if not self.padded(binary.left):
            return binary

        def replace(element: Any, **_: Any) -> Any:
            if isinstance(element, BindParameter):
                return internals.bind_of_type(element, Unpadded())
            return None if isinstance(element, (ClauseList, ExpressionClauseList, Grouping)) else element

        without = copy(binary)
        without.right = visitors.replacement_traverse(binary.right, {}, replace)
        return without

    def compared(self, sign: str, binary: Any, kw: dict[str, Any]) -> str:
        """A value of the statement has its spaces still."""
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        if isinstance(binary.right, BindParameter) and self.padded(binary.left):
            right = f"rtrim({right})"
        if isinstance(binary.left, BindParameter) and self.padded(binary.right):
            left = f"rtrim({left})"
        return f"{left} {sign} {right}"

    def visit_concat_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"{self.spaced(binary.left, kw)} || {self.spaced(binary.right, kw)}"

    def visit_like_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.like("LIKE", binary, kw)

    def visit_not_like_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.like("NOT LIKE", binary, kw)

    def visit_ilike_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.like("ILIKE", binary, kw)

    def visit_not_ilike_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return self.like("NOT ILIKE", binary, kw)

    def like(self, word: str, binary: Any, kw: dict[str, Any]) -> str:
        escape = binary.modifiers.get("escape") or self.dialect.semantics.like_escape
        sides = [self.spaced(each, kw) for each in (binary.left, binary.right)]
        if self.dialect.semantics.like == "ascii" and "ILIKE" not in word:
            sides = [f"translate({each}, {LETTERS})" for each in sides]
            escape = escape.lower() if escape else None
        said = f" ESCAPE {literal(escape)}" if escape else ""
        return f"{sides[0]} {word} {sides[1]}{said}"

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        flags = binary.modifiers["flags"]
        said = f", {literal(flags)}" if flags else ""
        return f"regexp_matches({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)}{said})"

    def visit_not_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"NOT {self.visit_regexp_match_op_binary(binary, operator, **kw)}"

    def visit_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        raise UnsupportedStatement("match()", "full-text search belongs to one database", INSTEAD)

    def visit_collation(self, element: Any, **kw: Any) -> str:
        name = str(element.collation)
        found = COLLATIONS.get(name.lower()) or ("C" if name.lower().endswith("_bin") else None)
        if found is None:
            raise UnsupportedStatement(f"Collation {name}", "DuckDB, which joins them, has no such collation", INSTEAD)
        return found

    # -- other operators

    def visit_bitwise_xor_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"xor({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)})"

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:
        sign = operator.opstring.strip().upper()
        json = isinstance(element.left.type, types.JSON) and sign not in ("->", "->>")
        if sign in ("~", "!~", "~*", "!~*"):
            flag = ", 'i'" if "*" in sign else ""
            text = f"regexp_matches({self.process(element.left, **kw)}, {self.process(element.right, **kw)}{flag})"
            return f"NOT {text}" if "!" in sign else text
        if json or sign not in OPERATORS:
            raise UnsupportedStatement(
                f"Operator {operator.opstring}", "DuckDB, which joins them, has no such operator", INSTEAD
            )
        return f"{self.process(element.left, **kw)} {sign} {self.process(element.right, **kw)}"

    def visit_json_getitem_op_binary(self, binary: Any, operator: Any, _cast_applied: bool = False, **kw: Any) -> str:
        if not _cast_applied and not isinstance(binary.type, types.JSON):
            return f"CAST({self._json('json_extract_string', binary, kw)} AS {self._type(binary.type)})"
        return self._json("json_extract_string" if _cast_applied else "json_extract", binary, kw)

    visit_json_path_getitem_op_binary = visit_json_getitem_op_binary

    def _json(self, function: str, binary: Any, kw: dict[str, Any]) -> str:
        return f"{function}({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)})"

    def _type(self, type_: types.TypeEngine[Any]) -> str:
        return str(self.dialect.type_compiler_instance.process(type_))


def literal(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def aggregate_in(element: Any) -> Any:
    """The sum() or avg() that OVER and FILTER are around."""
    while not isinstance(element, functions.FunctionElement):
        inner = element.func if isinstance(element, FunctionFilter) else getattr(element, "element", None)
        if inner is None:
            return None
        element = inner
    return element if getattr(element, "name", "").lower() in ("sum", "avg") else None


def plain(fn: Any) -> Any:
    """Its argument, without DISTINCT."""
    argument = next(iter(fn.clauses), func.null())
    if isinstance(argument, UnaryExpression) and argument.operator is operators.distinct_op:
        return argument.element
    return argument


def exact(expression: Any) -> bool:
    """Whether it is an integer or a decimal, in its databases and here."""
    type_ = expression.type
    if isinstance(type_, types.Integer):
        return True
    if isinstance(type_, types.Numeric):
        return not isinstance(type_, types.Float) and type_.asdecimal
    if isinstance(type_, types.TypeDecorator):
        return isinstance(type_.impl_instance, types.Numeric) and not isinstance(type_.impl_instance, types.Float)
    fn = aggregate_in(expression) if isinstance(type_, types.NullType) else None
    return fn is not None and exact(plain(fn))
