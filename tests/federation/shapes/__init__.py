"""The statements and dialogues that every world must answer as one database does."""

from tests.federation.shapes import (
    aggregates,
    dialogues,
    expressions,
    joins,
    loading,
    ordering,
    sets_and_ctes,
    subqueries,
)
from tests.federation.shapes.shape import SHAPES, Shape

__all__ = [
    "SHAPES",
    "Shape",
    "aggregates",
    "dialogues",
    "expressions",
    "joins",
    "loading",
    "ordering",
    "sets_and_ctes",
    "subqueries",
]
