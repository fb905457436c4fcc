"""A select over two servers in a session: what SQLite files cannot show."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL, select

from manybase import Databases, Session
from tests.servers.server import Server
from tests.sessions import Run, SessionKind, another, committed
from tests.shop import Event, User, ann, shop_databases

JOINED = select(User.name, Event.kind).join(Event, Event.user_id == User.id).order_by(Event.id)


@pytest.fixture
def servers(postgresql: Server, create_database: Callable[[Server], URL]) -> Databases:
    """Three databases of one PostgreSQL."""
    return shop_databases({name: create_database(postgresql) for name in ("shop", "analytics", "audit")})


@pytest.fixture
def run(session_kind: SessionKind, servers: Databases) -> Run:
    return partial(session_kind.run, servers)


def rows(session: Session) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(JOINED)]


def test_twophase_of_sqlalchemy(run: Run) -> None:
    """A session with SQLAlchemy's own twophase=True joins, commits both databases, and joins again."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        before = rows(session)
        session.commit()
        with another(session) as reader:
            return [len(before), rows(reader), committed(session, "analytics", "events")]

    assert [2, [("ann", "view"), ("ann", "buy")], 2] == run(body, twophase=True)


def test_atomic_commit_after_a_join(run: Run) -> None:
    """The connection of the select takes no part in it; both databases do."""

    def body(session: Session) -> list[Any]:
        session.add(ann())
        session.commit()
        user, event = session.execute(select(User, Event).join(User.events).order_by(Event.id).limit(1)).one()
        user.name, event.kind = "eve", "seen"
        session.commit()
        return rows(session)

    assert [("eve", "seen"), ("eve", "buy")] == run(body)
