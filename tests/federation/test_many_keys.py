"""Thousands of keys: when they are sent to another database, how, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, and_, func, insert, or_, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import Database, Databases, Session
from manybase.federation import staging
from manybase.federation.choosing import FEW
from manybase.federation.staging import Staging
from tests.servers.server import Server
from tests.sessions import Run, SessionKind, another

USERS = 3_000
WITHOUT = (7, 2_000, 3_000)  # users that have none


class ShopBase(DeclarativeBase): ...


class VisitsBase(DeclarativeBase): ...


class User(ShopBase):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    team: Mapped[int | None]
    friend_id: Mapped[int | None]


class Visit(VisitsBase):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int | None] = mapped_column(index=True)
    clicks: Mapped[int]


class Note(VisitsBase):
    """Without an index for its users."""

    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int | None]


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.server),
        pytest.param("mariadb", marks=pytest.mark.server),
    ]
)
def run(request: pytest.FixtureRequest, tmp_path: Path, session_kind: SessionKind) -> Run:
    """Users in one database, what they did in another one of that kind."""

    def url(name: str) -> URL:
        if request.param == "sqlite":
            return URL.create("sqlite", database=str(tmp_path / name))
        create: Callable[[Server], URL] = request.getfixturevalue("create_database")
        return create(request.getfixturevalue(request.param))

    databases = Databases(
        Database("shop", url("shop"), models=ShopBase, default=True),
        Database("visits", url("visits"), models=VisitsBase),
    )
    return partial(session_kind.run, databases)


def saved(session: Session) -> None:
    users = [
        {"id": number, "team": (1, 2, None)[number % 3], "friend_id": None if number % 5 == 0 else number + 1}
        for number in range(1, USERS + 1)
    ]
    active = [number for number in range(1, USERS + 1) if number not in WITHOUT]
    session.execute(insert(User), users)
    session.execute(insert(Visit), [{"id": n, "user_id": n, "clicks": n} for n in active])
    session.execute(
        insert(Visit), [{"id": -1, "user_id": None, "clicks": 1}, {"id": -2, "user_id": 10**6, "clicks": 1}]
    )
    session.execute(insert(Note), [{"id": n, "user_id": n} for n in active])
    session.commit()


def analyzed(session: Session, statement: Any) -> list[dict[str, Any]]:
    fragments: list[dict[str, Any]] = session.explain(statement, analyze=True).to_dict()["fragments"]
    return fragments


NO_VISIT = select(User.id).where(~select(Visit.id).where(Visit.user_id == User.id).exists())


def test_anti_join(run: Run) -> None:
    """The database sends the few keys that have no match, and not the others."""

    def body(session: Session) -> list[Any]:
        saved(session)
        found = session.scalars(NO_VISIT).all()
        sql = analyzed(session, NO_VISIT)[1]["sql"]
        return [sorted(found), "NOT (EXISTS" in sql or "LEFT OUTER JOIN visits" in sql]

    assert [list(WITHOUT), True] == run(body)


def test_anti_join_by_what_may_be_null(run: Run) -> None:
    """Who has no key has no match."""

    def body(session: Session) -> list[int]:
        saved(session)
        lonely = select(User.id).where(~select(Visit.id).where(Visit.user_id == User.friend_id).exists())
        return sorted(session.scalars(lonely))

    without_friend = set(range(5, USERS + 1, 5))
    expected = without_friend | {number - 1 for number in WITHOUT}
    assert sorted(expected) == run(body)


def test_anti_join_with_a_condition(run: Run) -> None:
    """A match that does not meet it is none."""

    def body(session: Session) -> list[int]:
        saved(session)
        busy = select(Visit.id).where(Visit.user_id == User.id, Visit.clicks > 10)
        return sorted(session.scalars(select(User.id).where(~busy.exists())))

    assert sorted({*range(1, 11), *WITHOUT}) == run(body)


def test_semi_join(run: Run) -> None:
    """Those that have a match come back."""

    def body(session: Session) -> int:
        saved(session)
        return len(
            session.scalars(select(User.id).where(select(Visit.id).where(Visit.user_id == User.id).exists())).all()
        )

    assert USERS - len(WITHOUT) == run(body)


def test_column_without_an_index(run: Run) -> None:
    """Nobody looks through all of a table for each key."""

    def body(session: Session) -> list[Any]:
        saved(session)
        statement = select(User.id).where(~select(Note.id).where(Note.user_id == User.id).exists())
        sql = analyzed(session, statement)[1]["sql"]
        probes = "EXISTS" in sql and session.get_bind(Note).dialect.name != "postgresql"
        return [sorted(session.scalars(statement)), probes]

    assert [list(WITHOUT), False] == run(body)


def test_keys_of_half_a_table(run: Run) -> None:
    """They are not sent: it is fetched as it is."""

    def body(session: Session) -> list[Any]:
        saved(session)
        statement = select(User.id, Visit.clicks).join(Visit, Visit.user_id == User.id)
        (users, visits) = analyzed(session, statement)
        rows = session.execute(statement).all()
        return [len(rows), all(user == clicks for user, clicks in rows), users["keys"], visits["keys"]]

    assert [USERS - len(WITHOUT), True, None, None] == run(body)


def test_groups_of_a_whole_table(run: Run) -> None:
    """Sums of the other database, by what this one knows; where an index would be walked, the table is read instead."""

    def body(session: Session) -> list[Any]:
        saved(session)
        statement = select(User.team, func.sum(Visit.clicks), func.count()).join(Visit, Visit.user_id == User.id)
        statement = statement.group_by(User.team)
        sql = analyzed(session, statement)[1]["sql"]
        scans = session.get_bind(Visit).dialect.name == "postgresql" or "visits.user_id + 0 " in sql.replace(")", " ")
        rows = [(team, int(clicks), count) for team, clicks, count in session.execute(statement)]
        return [sorted(rows, key=repr), scans]

    active = [number for number in range(1, USERS + 1) if number not in WITHOUT]
    teams = {team: [n for n in active if n % 3 == place] for place, team in enumerate((1, 2, None))}
    expected = [(team, sum(numbers), len(numbers)) for team, numbers in teams.items()]
    assert [sorted(expected, key=repr), True] == run(body)


NUMBERED = [
    pytest.param(User.team.is_not(None), "BETWEEN", lambda number: number % 3 != 2, id="most of them"),
    pytest.param(
        or_(User.id <= 600, User.id > 2_400), "sent", lambda number: not 600 < number <= 2_400, id="far apart"
    ),
]


@pytest.mark.parametrize(("condition", "said", "is_meant"), NUMBERED)
def test_groups_of_some_keys(run: Run, condition: Any, said: str, is_meant: Callable[[int], bool]) -> None:
    """Of numbers that are close together the least and the most are sent; what is between them does no harm."""

    def body(session: Session) -> list[Any]:
        saved(session)
        statement = select(func.sum(Visit.clicks), func.count()).join(User, Visit.user_id == User.id).where(condition)
        (total, count) = session.execute(statement).one()
        sql = analyzed(session, statement)[1]["sql"]
        scans = session.get_bind(Visit).dialect.name != "postgresql"
        return [int(total), count, said in sql if scans else True]

    meant = [number for number in range(1, USERS + 1) if number not in WITHOUT and is_meant(number)]
    assert [sum(meant), len(meant), True] == run(body)


def test_rows_once_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came the last time may be had at once the next time, up to twice of it; and in parts where it is more."""
    monkeypatch.setattr("manybase.federation.choosing.AT_MOST", 5)
    bounds = [10, 14, 40, 40, USERS, 10]  # of them 3, 4, 13, 13 and all, with one team in three
    tried: list[int] = []

    def body(session: Session) -> list[Any]:
        saved(session)
        if session.get_bind(User).dialect.name != "sqlite":
            expected_to_try = [1, 1, 2, 1, 2, 1]
        else:  # in a file, rows come as they are asked for; a thread of its own may have had many
            expected_to_try = [1, 1, 2, 1, 1, 1] if session._asyncio else [1, 1, 1, 1, 1, 1]
        joined = select(User.id, Visit.clicks).join(Visit, Visit.user_id == User.id).where(User.team < 2)
        tried.extend(analyzed(session, joined.where(User.id < most))[0]["statements"] for most in bounds)
        assert expected_to_try == tried
        return [sorted(map(tuple, session.execute(joined.where(User.id < most)))) for most in bounds]

    def expected(most: int) -> list[tuple[int, int]]:
        return [(number, number) for number in range(1, most) if number % 3 == 0 and number not in WITHOUT]

    assert [expected(most) for most in bounds] == run(body)


def test_keys_that_would_be_too_many_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a table was fetched as it is, the next time it does not wait for them; if there seem to be as many."""
    batches: list[list[str]] = []
    fetch = Staging.fetch

    def noted(staging: Staging, batch: Any, limit: int | None = None) -> None:
        batches.append(sorted(each.database for each in batch))
        fetch(staging, batch, limit)

    monkeypatch.setattr(Staging, "fetch", noted)
    bounds = (USERS + 1, USERS + 1, 50, USERS + 1)

    def body(session: Session) -> list[int]:
        saved(session)
        backend = session.get_bind(User).dialect.name
        for name, table in ("shop", "users"), ("visits", "visits"):
            analyze = text(f"ANALYZE TABLE {table}" if backend in ("mysql", "mariadb") else f"ANALYZE {table}")
            with another(session, database=name) as pinned:
                pinned.execute(analyze).close()
                pinned.commit()
        statement = select(User.friend_id, Visit.clicks).join(Visit, Visit.user_id == User.id)
        found = [len(session.execute(statement.where(Visit.clicks.between(2, most))).all()) for most in bounds]
        one, both = [["visits"], ["shop"]], [["shop", "visits"]]
        few = both if backend == "mysql" else one  # which knows nothing of a column without an index
        assert batches == [*one, *(one if backend == "sqlite" else both), *few, *one]
        return found

    assert [USERS - 4, USERS - 4, 48, USERS - 4] == run(body)


@pytest.mark.parametrize("turned", [False, True], ids=["as written", "turned round"])
def test_one_of_two_keys_is_of_use(run: Run, turned: bool) -> None:
    """It is sent each time: that there are too many of the other one says nothing."""

    def body(session: Session) -> list[int | None]:
        saved(session)
        session.execute(update(Visit).values(clicks=1))
        session.commit()
        conditions = [Visit.clicks == User.id, Visit.user_id == User.friend_id]
        statement = select(User.team, Visit.id).join(Visit, and_(*(reversed(conditions) if turned else conditions)))
        return [
            each["rows"]
            for _ in range(3)
            for each in analyzed(session, statement.where(Visit.id > 0))
            if each["database"] == "shop"
        ]

    assert [1, 1, 1] == run(body)


@pytest.mark.parametrize("kind", ["entities", "few", "columns", "ordered"])
def test_rows_come_in_the_order_of_their_keys(run: Run, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where entities are made of very many: what was read together is found together."""
    monkeypatch.setattr(staging, "MANY", USERS + 1 if kind == "few" else FEW)
    statement = {
        "entities": select(Visit, User).join(User, Visit.user_id == User.friend_id),
        "columns": select(Visit.id, User.team).join(User, Visit.user_id == User.friend_id),
        "few": select(Visit, User).join(User, Visit.user_id == User.friend_id),
        "ordered": select(Visit, User).join(User, Visit.user_id == User.friend_id).order_by(Visit.id),
    }[kind].where(Visit.clicks > 1)

    def body(session: Session) -> tuple[list[bool], list[Any]]:
        saved(session)
        found = [tuple(session.execute(statement).all()) for _ in range(2)]
        assert len(found[0]) > FEW
        assert sorted(map(repr, found[0])) == sorted(map(repr, found[1]))
        visits = [getattr(row[0], "id", row[0]) for row in found[1]]
        return ["ORDER BY" in each["sql"] for each in analyzed(session, statement)], visits

    orders, visits = run(body)
    assert any(orders) == (kind == "entities")
    assert visits == sorted(visits) or kind in ("columns", "few")
