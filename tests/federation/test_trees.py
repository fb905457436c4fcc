"""Trees: what FROM and WHERE become, and that each rule of soundness is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, and_, func, or_, select, text
from sqlalchemy.sql.expression import FromClause

from manybase import Session
from manybase.federation import rules
from manybase.federation.expressions import uses
from manybase.federation.fragments import Fragment
from manybase.federation.trees import Node, Outer, Planter, Pool, Rest, fragments_of, nullable
from tests.shop import Event, Order, User, in_files

metadata = MetaData()
a1, a2, a3, b1, b2, c1 = (
    Table(name, metadata, Column("id", Integer), Column("x", Integer), Column("name", String))
    for name in ("a1", "a2", "a3", "b1", "b2", "c1")
)


def home(source: FromClause) -> str | None:
    return source.name[0].upper() if isinstance(source, Table) else None


def planted(statement: Any, *, alone: bool = True) -> Pool:
    made: list[Fragment] = []

    def make(database: str) -> Fragment:
        made.append(Fragment(len(made), database))
        return made[-1]

    def fits(condition: Any, database: str) -> bool:
        return not uses(condition).opaque

    planter = Planter(home, fits, make, lambda tables, condition: alone)
    return planter.plant(
        statement.get_final_froms(), [statement.whereclause] if statement.whereclause is not None else []
    )


def shown(node: Node | Pool) -> str:
    if isinstance(node, Pool):
        items = sorted(map(shown, node.items))
        return " * ".join(items) + said(" if ", node.conditions)
    if isinstance(node, Outer):
        return f"({shown(node.left)} {node.kind} {shown(node.right)}{said(' on ', node.conditions)})"
    if isinstance(node, Rest):
        return f"rest({node.source})"
    assert isinstance(node, Fragment)
    return f"{node.database}[{', '.join(sorted(map(source_of, node.sources)))}{said(' if ', node.where)}]"


def source_of(source: FromClause) -> str:
    return " ".join(str(source).split())


def said(word: str, conditions: list[Any]) -> str:
    texts = sorted(str(each.compile(compile_kwargs={"literal_binds": True})) for each in conditions)
    return word + " and ".join(texts) if texts else ""


on_ab = a1.c.id == b1.c.id
TREES: dict[str, tuple[Any, str]] = {
    "one table each": (select(a1, b1), "A[a1] * B[b1]"),
    "what every side of an OR says": (
        select(a1, b1).where(or_(and_(on_ab, a1.c.x == 1), and_(b1.c.x == 2, on_ab))),
        "A[a1] * B[b1] if a1.id = b1.id and a1.x = 1 OR b1.x = 2",
    ),
    "an OR of which one side is all that the others say": (
        select(a1, b1).where(or_(on_ab, and_(on_ab, b1.c.x == 2))),
        "A[a1] * B[b1] if a1.id = b1.id",
    ),
    "what an OR says of one table": (
        select(a1, b1).where(or_(and_(a1.c.x == 1, b1.c.x == 2), and_(a1.c.x == 3, b1.c.x == 4))),
        "A[a1 if a1.x = 1 OR a1.x = 3] * B[b1 if b1.x = 2 OR b1.x = 4]"
        " if a1.x = 1 AND b1.x = 2 OR a1.x = 3 AND b1.x = 4",
    ),
    "what only one side of an OR says of a table": (
        select(a1, b1).where(or_(and_(a1.c.x == 1, b1.c.x == 2), a1.c.x == 3)),
        "A[a1 if a1.x = 1 OR a1.x = 3] * B[b1] if a1.x = 1 AND b1.x = 2 OR a1.x = 3",
    ),
    "what an OR says of a table that may be missing": (
        select(a1, b1)
        .join_from(a1, b1, on_ab, isouter=True)
        .where(or_(and_(a1.c.x == 1, b1.c.x.is_(None)), and_(a1.c.x == 3, func.coalesce(b1.c.x, 4) == 4))),
        "(A[a1 if a1.x = 1 OR a1.x = 3] left B[b1] on a1.id = b1.id)"
        " if a1.x = 1 AND b1.x IS NULL OR a1.x = 3 AND coalesce(b1.x, 4) = 4",
    ),
    "what ON says of one table in an OR": (
        select(a1, b1).join_from(
            a1, b1, and_(on_ab, or_(and_(a1.c.x == 1, b1.c.x == 2), and_(a1.c.x == 3, b1.c.x == 4))), isouter=True
        ),
        "(A[a1] left B[b1 if b1.x = 2 OR b1.x = 4]"
        " on (a1.x = 1 AND b1.x = 2 OR a1.x = 3 AND b1.x = 4) and a1.id = b1.id)",
    ),
    "an OR that refuses what is missing on every side": (
        select(a1, b1)
        .join_from(a1, b1, on_ab, isouter=True)
        .where(or_(and_(a1.c.x == 1, b1.c.x == 2), and_(a1.c.x == 3, b1.c.x == 4))),
        "A[a1 if a1.x = 1 OR a1.x = 3] * B[b1 if b1.x = 2 OR b1.x = 4]"
        " if a1.id = b1.id and a1.x = 1 AND b1.x = 2 OR a1.x = 3 AND b1.x = 4",
    ),
    "a join": (select(a1.join(b1, on_ab)), "A[a1] * B[b1] if a1.id = b1.id"),
    "a comma and WHERE are the same": (select(a1, b1).where(on_ab), "A[a1] * B[b1] if a1.id = b1.id"),
    "a condition of one database goes there": (
        select(a1, b1).where(on_ab, a1.c.x > 1, b1.c.x.is_(None)),
        "A[a1 if a1.x > 1] * B[b1 if b1.x IS NULL] if a1.id = b1.id",
    ),
    "also out of ON": (
        select(a1.join(b1, and_(on_ab, b1.c.x == 2))),
        "A[a1] * B[b1 if b1.x = 2] if a1.id = b1.id",
    ),
    "OR over both stays": (
        select(a1, b1).where(on_ab, or_(a1.c.x == 1, b1.c.x == 2)),
        "A[a1] * B[b1] if (a1.x = 1 OR b1.x = 2) and a1.id = b1.id",
    ),
    "text stays": (select(a1, b1).where(text("a1.x = 1")), "A[a1] * B[b1] if a1.x = 1"),
    "tables of one database that a condition joins": (
        select(a1.join(b1, on_ab).join(a2, a2.c.id == a1.c.x)),
        "A[a1, a2 if a2.id = a1.x] * B[b1] if a1.id = b1.id",
    ),
    "three of them in a chain": (
        select(a1, a2, a3, b1).where(a1.c.id == a2.c.id, a2.c.x == a3.c.x, b1.c.id == a3.c.id),
        "A[a1, a2, a3 if a1.id = a2.id and a2.x = a3.x] * B[b1] if b1.id = a3.id",
    ),
    "tables of one database that nothing joins": (
        select(a1, a2, b1).where(a1.c.id == b1.c.id, a2.c.id == b1.c.x),
        "A[a1] * A[a2] * B[b1] if a1.id = b1.id and a2.id = b1.x",
    ),
    "three databases": (
        select(a1, b1, c1).where(on_ab, b1.c.x == c1.c.x, c1.c.name == "c"),
        "A[a1] * B[b1] * C[c1 if c1.name = 'c'] if a1.id = b1.id and b1.x = c1.x",
    ),
    "LEFT JOIN": (select(a1.outerjoin(b1, on_ab)), "(A[a1] left B[b1] on a1.id = b1.id)"),
    "WHERE on its left side goes there": (
        select(a1.outerjoin(b1, on_ab)).where(a1.c.x == 1),
        "(A[a1 if a1.x = 1] left B[b1] on a1.id = b1.id)",
    ),
    "WHERE on its right side, true of NULL, stays above": (
        select(a1.outerjoin(b1, on_ab)).where(func.coalesce(b1.c.x, 1) == 1),
        "(A[a1] left B[b1] on a1.id = b1.id) if coalesce(b1.x, 1) = 1",
    ),
    "WHERE on its right side, false of NULL, makes it a join": (
        select(a1.outerjoin(b1, on_ab)).where(b1.c.x == 1),
        "A[a1] * B[b1 if b1.x = 1] if a1.id = b1.id",
    ),
    "ON about its right side goes there": (
        select(a1.outerjoin(b1, and_(on_ab, b1.c.x == 1))),
        "(A[a1] left B[b1 if b1.x = 1] on a1.id = b1.id)",
    ),
    "ON about its left side stays": (
        select(a1.outerjoin(b1, and_(on_ab, a1.c.x == 1))),
        "(A[a1] left B[b1] on a1.id = b1.id and a1.x = 1)",
    ),
    "LEFT JOIN inside one database": (
        select(a1.outerjoin(a2, a1.c.id == a2.c.id).join(b1, on_ab)),
        "A[a1 LEFT OUTER JOIN a2 ON a1.id = a2.id] * B[b1] if a1.id = b1.id",
    ),
    "LEFT JOIN of a join": (
        select(a1.join(b1, on_ab).outerjoin(a2, a2.c.id == a1.c.x)),
        "A[a1 LEFT OUTER JOIN a2 ON a2.id = a1.x] * B[b1] if a1.id = b1.id",
    ),
    "LEFT JOIN to a join": (
        select(a1.outerjoin(b1.join(b2, b1.c.x == b2.c.x), on_ab)),
        "(A[a1] left B[b1, b2 if b1.x = b2.x] on a1.id = b1.id)",
    ),
    "LEFT JOIN after LEFT JOIN": (
        select(a1.outerjoin(b1, on_ab).outerjoin(c1, c1.c.id == b1.c.x)),
        "((A[a1] left B[b1] on a1.id = b1.id) left C[c1] on c1.id = b1.x)",
    ),
    "FULL JOIN": (select(a1.outerjoin(b1, on_ab, full=True)), "(A[a1] full B[b1] on a1.id = b1.id)"),
    "nothing goes into FULL JOIN": (
        select(a1.outerjoin(b1, and_(on_ab, a1.c.x == 1, b1.c.x == 2), full=True)).where(a1.c.name == "a"),
        "(A[a1] full B[b1] on a1.id = b1.id and a1.x = 1 and b1.x = 2) if a1.name = 'a'",
    ),
    "FULL JOIN inside one database": (
        select(a1.outerjoin(a2, a1.c.id == a2.c.id, full=True), b1).where(a1.c.id == b1.c.id),
        "A[a1 FULL OUTER JOIN a2 ON a1.id = a2.id] * B[b1] if a1.id = b1.id",
    ),
    "rows without a match": (
        select(a1.outerjoin(b1, on_ab)).where(b1.c.id.is_(None)),
        "(A[a1] anti B[b1] on a1.id = b1.id)",
    ),
    "NULL that a match may have, too": (
        select(a1.outerjoin(b1, on_ab)).where(b1.c.x.is_(None)),
        "(A[a1] left B[b1] on a1.id = b1.id) if b1.x IS NULL",
    ),
    "what no database holds": (
        select(a1.join(one := select(b1.c.id, c1.c.x).subquery("one"), one.c.id == a1.c.id)),
        "A[a1] * rest(SELECT b1.id, c1.x \nFROM b1, c1) if one.id = a1.id",
    ),
}


@pytest.mark.parametrize("case", TREES)
def test_tree(case: str) -> None:
    """Which fragments, with which conditions; and what is left to be done with them."""
    statement, expected = TREES[case]

    assert expected == shown(planted(statement))


def test_rows_without_a_match_whose_columns_are_used() -> None:
    """They are NULL, and somebody asks for them: it stays a LEFT JOIN."""
    statement = select(a1.outerjoin(b1, on_ab)).where(b1.c.id.is_(None))

    assert "(A[a1] left B[b1] on a1.id = b1.id) if b1.id IS NULL" == shown(planted(statement, alone=False))


MISSING: dict[str, tuple[Any, set[str]]] = {
    "a join": (select(a1.join(b1, on_ab)), set()),
    "LEFT JOIN": (select(a1.outerjoin(b1, on_ab)), {"B"}),
    "FULL JOIN": (select(a1.outerjoin(b1, on_ab, full=True)), {"A", "B"}),
    "LEFT JOIN after LEFT JOIN": (select(a1.outerjoin(b1, on_ab).outerjoin(c1, c1.c.id == a1.c.x)), {"B", "C"}),
    "a join after LEFT JOIN": (
        select(a1.outerjoin(b1, on_ab).join(c1, func.coalesce(b1.c.x, 1) == c1.c.id)),
        {"B"},
    ),
    "LEFT JOIN, then a join that needs a match": (
        select(a1.outerjoin(b1, on_ab).join(c1, b1.c.x == c1.c.id)),
        set(),
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_fragments_that_may_be_missing(case: str) -> None:
    """Seen from above: those on the side of an outer join where NULLs may stand."""
    statement, expected = MISSING[case]
    pool = planted(statement)

    assert expected == {fragment.database for fragment in nullable(pool)}
    assert fragments_of(pool) >= nullable(pool)


joined = Event.user_id == User.id
orders_of_user = select(func.count(Order.id)).where(Order.user_id == User.id).scalar_subquery()

# Each rule, with a statement that needs it and what it gives. ann has viewed, bob has bought, cid has done nothing;
# somebody whom nobody knows has sold.
NEEDED: dict[str, tuple[Any, list[tuple[Any, ...]]]] = {
    rules.KEEP_NULLABLE: (
        select(User.name, Event.kind).outerjoin(Event, joined).where(or_(Event.kind == "buy", Event.kind.is_(None))),
        [("bob", "buy"), ("cid", None)],
    ),
    rules.KEEP_PRESERVED: (
        select(User.name, Event.kind).outerjoin(Event, and_(joined, User.name == "ann")),
        [("ann", "view"), ("bob", None), ("cid", None)],
    ),
    rules.KEEP_FULL: (
        select(User.name, Event.kind).outerjoin(Event, and_(joined, Event.kind == "buy"), full=True),
        [("ann", None), ("bob", "buy"), ("cid", None), (None, "sold"), (None, "view")],
    ),
    rules.KEEP_STRICT: (
        select(User.name, func.coalesce(Event.kind, "nothing")).outerjoin(Event, joined),
        [("ann", "view"), ("bob", "buy"), ("cid", "nothing")],
    ),
    rules.REDUCE_MATCHED: (
        select(User.name, Event.kind).outerjoin(Event, and_(joined, Event.kind == "buy")),
        [("ann", None), ("bob", "buy"), ("cid", None)],
    ),
    rules.KEEP_CORRELATED: (
        select(Event.kind, orders_of_user).outerjoin(User, joined),
        [("buy", 0), ("sold", 0), ("view", 2)],
    ),
}


@pytest.fixture
def sound() -> Iterator[None]:
    yield
    rules.broken.clear()


def answered(folder: Path, statement: Any) -> list[tuple[Any, ...]] | str:
    """Its rows, in an order of their own, or what kind of error came; planned anew."""
    databases = in_files(folder)
    databases.create_all()
    try:
        with Session(databases) as session:
            session.add_all([User(id=number, name=name) for number, name in enumerate(("ann", "bob", "cid"), 1)])
            session.add_all([Order(id=1, user_id=1, total=1), Order(id=2, user_id=1, total=2)])
            kinds = enumerate(("view", "buy", None, "sold"), 1)
            session.add_all([Event(id=number, user_id=number, kind=kind) for number, kind in kinds if kind])
            session.flush()
            return sorted((tuple(row) for row in session.execute(statement)), key=repr)
    finally:
        databases.dispose()


def test_every_rule_is_here() -> None:
    """A new one needs a statement that shows it is needed."""
    assert rules.SOUND == {*NEEDED}


@pytest.mark.parametrize("rule", NEEDED)
@pytest.mark.usefixtures("sound")
def test_rule(rule: str, tmp_path: Path) -> None:
    """The rows are right while it holds, and wrong where it alone does not."""
    statement, expected = NEEDED[rule]
    assert expected == answered(tmp_path, statement)
    for file in tmp_path.iterdir():
        file.unlink()
    rules.broken.add(rule)

    assert expected != answered(tmp_path, statement)
