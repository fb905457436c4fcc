"""Evaluating: an expression of SQL as a function of a row. NULL is None, also as a truth value."""

from __future__ import annotations

import datetime
import decimal
import operator
import uuid
from collections.abc import Callable
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Case,
    Date,
    DateTime,
    Enum,
    False_,
    Float,
    FunctionElement,
    Grouping,
    Integer,
    Label,
    Null,
    Numeric,
    String,
    True_,
    TypeCoerce,
    TypeDecorator,
    UnaryExpression,
)
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeEngine

from manybase.federation.expressions import name_of
from manybase.federation.python.quotients import EXACT, scaled, significant
from manybase.federation.semantics import Semantics

Row: TypeAlias = "tuple[Any, ...]"
Evaluate: TypeAlias = Callable[[Row], Any]


class NotCovered(Exception):
    """What is left of the statement needs more than this executor does; the text names it."""


class Value:
    """``position`` in a row; or ``make``, which is given the parameters of a run.

    ``folds``: it is text whose database takes several spellings for the same.
    """

    def __init__(
        self,
        type_: TypeEngine[Any],
        position: int | None = None,
        folds: bool = False,
        make: Callable[[dict[str, Any]], Evaluate] | None = None,
    ) -> None:
        self.type = type_
        self.folds = folds
        self.make = make
        self._position = position

    @property
    def position(self) -> int | None:
        return self._position

    def of(self, values: dict[str, Any]) -> Evaluate:
        position = self.position
        if position is not None:
            return itemgetter(position)
        assert self.make is not None
        return self.make(values)


Find: TypeAlias = Callable[[Any], "Value | None"]


class Evaluating:
    """Makes values of expressions. ``find`` knows those that are in the row already, ``name`` the parameters."""

    def __init__(self, find: Find, name: Callable[[BindParameter[Any]], str], semantics: Semantics) -> None:
        self._find = find
        self._name = name
        self._semantics = semantics

    def value(self, clause: Any) -> Value:
        found = self._find(clause)
        if found is not None:
            return found
        if isinstance(clause, (Label, Grouping)):
            return self.value(clause.element)
        if isinstance(clause, BindParameter):
            return self.parameter(clause)
        if isinstance(clause, Null):
            return constant(clause.type, None)
        if isinstance(clause, (True_, False_)):
            return constant(clause.type, isinstance(clause, True_))
        if isinstance(clause, BooleanClauseList):
            return self.connected(clause)
        if isinstance(clause, BinaryExpression):
            return self.binary(clause)
        if clause.__visit_name__ == "expression_clauselist" and clause.operator in ARITHMETIC:
            return self.several(clause)
        if isinstance(clause, UnaryExpression):
            return self.unary(clause)
        if isinstance(clause, Case):
            return self.case(clause)
        if isinstance(clause, TypeCoerce) and type(clause.type) is type(clause.clause.type):
            return self.value(clause.clause)
        if isinstance(clause, FunctionElement):
            return self.function(clause)
        raise NotCovered(f"an expression of kind {type(clause).__name__}")

    def parameter(self, bind: BindParameter[Any]) -> Value:
        if isinstance(bind.type, TypeDecorator) or bind.expanding:
            raise NotCovered("a parameter that its type changes" if not bind.expanding else "a list of parameters")
        name = self._name(bind)

        def make(values: dict[str, Any]) -> Evaluate:
            value = given(values[name], bind.type)
            return lambda row: value

        return Value(bind.type, make=make)

    def connected(self, clause: BooleanClauseList) -> Value:
        parts = [self.value(each) for each in clause.clauses]
        decides = clause.operator is not operators.and_

        def make(values: dict[str, Any]) -> Evaluate:
            return joined([part.of(values) for part in parts], decides=decides)

        return Value(clause.type, make=make)

    def binary(self, clause: BinaryExpression[Any]) -> Value:
        if clause.operator in (operators.is_, operators.is_not):
            return self.identity(clause)
        if clause.operator in (operators.in_op, operators.not_in_op):
            return self.among(clause)
        if clause.operator in (operators.is_distinct_from, operators.is_not_distinct_from):
            same = clause.operator is operators.is_not_distinct_from
            left, right = self.compared(clause.left, clause.right)
            return lifted(clause.type, [left, right], lambda a, b: (a == b) is same, strict=False)
        left, right = self.value(clause.left), self.value(clause.right)
        if clause.operator in COMPARING:
            left, right = self.compared(clause.left, clause.right)
            return lifted(clause.type, [left, right], COMPARING[clause.operator])
        if clause.operator is operators.concat_op and is_text(left) and is_text(right):
            return lifted(clause.type, [left, right], operator.add)
        return lifted(clause.type, [left, right], self.arithmetic(clause, left, right))

    def compared(self, left: Any, right: Any) -> tuple[Value, Value]:
        """Both sides; refused where Python would not compare them as databases do."""
        first, second = self.value(left), self.value(right)
        if not are_comparable(first, second):
            raise NotCovered(f"a comparison of {first.type!r} with {second.type!r}")
        return first, second

    def arithmetic(self, clause: Any, left: Value, right: Value) -> Callable[[Any, Any], Any]:
        kinds = {number_of(left.type), number_of(right.type)}
        if None in kinds or kinds == {"exact", "float"} or kinds == {"integer", "float"}:
            raise NotCovered(f"{clause.operator.__name__} of {left.type!r} and {right.type!r}")
        if clause.operator in ARITHMETIC:
            exact = ARITHMETIC[clause.operator][1] if "exact" in kinds else None
            return exact or ARITHMETIC[clause.operator][0]
        if clause.operator is operators.truediv and kinds <= {"exact", "integer"} and "exact" in kinds:
            divide = {"significant": significant, "scale": scaled}.get(self._semantics.quotient)
            if divide is not None and self._semantics.division_by_zero == "error":
                return lambda a, b: divide(decimal.Decimal(a), decimal.Decimal(b))
        raise NotCovered(f"the operator {clause.operator.__name__}")

    def several(self, clause: Any) -> Value:
        """a * b * c."""
        found, *others = [self.value(each) for each in clause.clauses]
        for each in others:
            found = lifted(clause.type, [found, each], self.arithmetic(clause, found, each))
        return found

    def identity(self, clause: BinaryExpression[Any]) -> Value:
        wanted = {Null: None, True_: True, False_: False}.get(type(clause.right), NotCovered)
        if wanted is NotCovered:
            raise NotCovered("IS of two expressions")
        same = clause.operator is operators.is_
        if wanted is None:
            return lifted(clause.type, [self.value(clause.left)], lambda a: (a is None) is same, strict=False)
        return lifted(clause.type, [self.value(clause.left)], lambda a: (a == wanted) is same, strict=False)

    def among(self, clause: BinaryExpression[Any]) -> Value:
        right = clause.right
        if not isinstance(right, BindParameter) or isinstance(right.type, TypeDecorator) or not right.expanding:
            raise NotCovered("IN of expressions")
        left, name = self.value(clause.left), self._name(right)
        if kind_of(left.type) is None or left.folds:
            raise NotCovered(f"IN of {left.type!r}")
        inside = clause.operator is operators.in_op

        def make(values: dict[str, Any]) -> Evaluate:
            sought, get = [given(each, left.type) for each in values[name]], left.of(values)
            known, unsure = {each for each in sought if each is not None}, None in sought

            def evaluate(row: Row) -> bool | None:
                value = get(row)
                if not sought:
                    return not inside
                if value is None:
                    return None
                if value in known:
                    return inside
                return None if unsure else not inside

            return evaluate

        return Value(clause.type, make=make)

    def unary(self, clause: UnaryExpression[Any]) -> Value:
        if clause.operator is operators.inv:
            return lifted(clause.type, [self.value(clause.element)], operator.not_)
        if clause.operator is operators.neg:
            return lifted(clause.type, [self.value(clause.element)], operator.neg)
        raise NotCovered(f"the operator {getattr(clause.operator, '__name__', clause.operator)}")

    def case(self, clause: Case[Any]) -> Value:
        if clause.value is not None:
            raise NotCovered("CASE of a value")
        branches = [(self.value(when), self.value(then)) for when, then in clause.whens]
        otherwise = constant(clause.type, None) if clause.else_ is None else self.value(clause.else_)
        if len({number_of(each.type) for each in (*(then for _, then in branches), otherwise)} - {None}) > 1:
            raise NotCovered("CASE of several types")

        def make(values: dict[str, Any]) -> Evaluate:
            made = [(when.of(values), then.of(values)) for when, then in branches]
            rest = otherwise.of(values)
            return lambda row: next((then for when, then in made if when(row)), rest)(row)

        return Value(clause.type, make=make)

    def function(self, clause: FunctionElement[Any]) -> Value:
        name = name_of(clause)
        arguments = [self.value(each) for each in clause.clauses]
        if name == "coalesce" and len({number_of(each.type) for each in arguments} - {None}) <= 1:
            return lifted(clause.type, arguments, coalesce, strict=False)
        raise NotCovered(f"the function {name}()")


def given(value: Any, type_: TypeEngine[Any]) -> Any:
    """A parameter as a database takes it that is told its type."""
    if isinstance(value, float) and number_of(type_) == "exact":
        return decimal.Decimal(repr(value))
    if isinstance(type_, DateTime) and type(value) is datetime.date:
        return datetime.datetime(value.year, value.month, value.day)
    if isinstance(type_, Date) and isinstance(value, datetime.datetime):
        return value.date()
    return value


def are_comparable(first: Value, second: Value) -> bool:
    """Whether Python finds equal, and orders, what databases do."""
    kind = kind_of(first.type)
    return kind is not None and kind == kind_of(second.type) and not first.folds and not second.folds


def coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def constant(type_: TypeEngine[Any], value: Any) -> Value:
    return Value(type_, make=lambda values: lambda row: value)


def lifted(
    type_: TypeEngine[Any], arguments: list[Value], function: Callable[..., Any], *, strict: bool = True
) -> Value:
    """``function`` of the arguments' values; where it is strict, None for None."""

    def make(values: dict[str, Any]) -> Evaluate:
        made = [argument.of(values) for argument in arguments]
        if not strict:
            return lambda row: function(*[get(row) for get in made])
        if len(made) == 1:
            (only,) = made
            return lambda row: None if (value := only(row)) is None else function(value)
        first, second = made

        def evaluate(row: Row) -> Any:
            a, b = first(row), second(row)
            return None if a is None or b is None else function(a, b)

        return evaluate

    return Value(type_, make=make)


def joined(parts: list[Evaluate], *, decides: bool) -> Evaluate:
    """AND, which one False decides; or OR, which one True does."""

    def evaluate(row: Row) -> bool | None:
        unsure = False
        for part in parts:
            value = part(row)
            if value is None:
                unsure = True
            elif bool(value) is decides:
                return decides
        return None if unsure else not decides

    return evaluate


COMPARING: dict[Any, Callable[[Any, Any], Any]] = {
    operators.eq: operator.eq,
    operators.ne: operator.ne,
    operators.lt: operator.lt,
    operators.le: operator.le,
    operators.gt: operator.gt,
    operators.ge: operator.ge,
}
ARITHMETIC: dict[Any, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    operators.add: (operator.add, EXACT.add),
    operators.sub: (operator.sub, EXACT.subtract),
    operators.mul: (operator.mul, EXACT.multiply),
}


PLAIN = (str, bool, bytes, datetime.date, datetime.time, datetime.timedelta, uuid.UUID)


def is_text(value: Value) -> bool:
    return isinstance(value.type, String)


def number_of(type_: TypeEngine[Any]) -> str | None:
    if isinstance(type_, TypeDecorator):
        return None
    if isinstance(type_, Integer):
        return "integer"
    if isinstance(type_, (Float, Numeric)):
        return "exact" if type_.asdecimal else "float"
    return None


def kind_of(type_: TypeEngine[Any]) -> Any:
    """Types with the same kind can be compared in Python as databases compare them; None with nothing."""
    if isinstance(type_, TypeDecorator):
        return None
    number = number_of(type_)
    if number is not None:
        return "float" if number == "float" else "number"
    if isinstance(type_, Enum):
        return None  # which a database may order as it was declared
    python = type_.python_type if has_python_type(type_) else None
    if python is datetime.datetime:
        return (python, bool(getattr(type_, "timezone", False)))
    return python if python in PLAIN else None


def has_python_type(type_: TypeEngine[Any]) -> bool:
    try:
        return type_.python_type is not None
    except NotImplementedError:
        return False
