"""Rules: what makes it sound to run a part of a statement at home; a test switches each off, and must find rows wrong.

A part that runs at home runs before the join. That is the same as after it only where these hold.
"""

from __future__ import annotations

KEEP_NULLABLE = "WHERE never reaches the side of an outer join that may be missing"
KEEP_PRESERVED = "ON of a LEFT JOIN never filters its left side"
KEEP_FULL = "nothing filters a side of a FULL JOIN"
KEEP_STRICT = "on the side that may be missing, only what is NULL for NULL is computed at home"
REDUCE_MATCHED = "keys reduce only the side that an unmatched row would not survive on"
KEEP_CORRELATED = "a subquery that refers to its outside is not run alone"
SOUND = frozenset({KEEP_NULLABLE, KEEP_PRESERVED, KEEP_FULL, KEEP_STRICT, REDUCE_MATCHED, KEEP_CORRELATED})

broken: set[str] = set()  # for the test that breaks them


def holds(rule: str) -> bool:
    return rule not in broken
