"""A forked child gets empty pools; its parent keeps its connections."""

import gc
import os
import weakref
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import QueuePool, create_engine, text

from manybase import Database, Databases, Session
from manybase.forking import living
from tests.forks import in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork."),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # it is what is tested
]


def select_one(databases: Databases) -> int:
    with Session(databases) as session:
        return session.scalars(text("SELECT 1")).one()


@pytest.fixture
def databases(tmp_path: Path) -> Any:
    declared = Databases(Database("shop", f"sqlite:///{tmp_path}/shop.db"))
    yield declared
    declared.dispose()


def test_idle_connection(databases: Databases) -> None:
    """The child starts without it, and works; the parent still has it."""
    select_one(databases)
    idle = databases.engine().pool

    assert "(0, 1)" == in_child(lambda: (databases.engine().pool.checkedin(), select_one(databases)))
    assert idle is databases.engine().pool
    assert 1 == idle.checkedin()
    assert 1 == select_one(databases)


def test_open_transaction(databases: Databases) -> None:
    """The child works beside it; the parent commits it."""
    with databases.engine().begin() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER)"))
    with databases.engine().begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
        said = in_child(lambda: select_one(databases))

    with databases.engine().connect() as connection:
        assert ["1", 1] == [said, connection.scalar(text("SELECT count(*) FROM t"))]


def test_existing_engine(tmp_path: Path) -> None:
    """It is its owner's business: the child finds it as it was."""
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    databases = Databases(Database("shop", engine=engine))
    select_one(databases)

    assert "1" == in_child(lambda: databases.engine().pool.checkedin())
    engine.dispose()


def test_slots_that_others_hold(databases: Databases) -> None:
    """The child's requests do not wait for what transactions of the parent have taken."""
    limited = Databases(*databases, Database("other", "sqlite://"), engine_options={"pool_size": 1, "max_overflow": 0})
    with Session(
        limited,
    ) as holding:
        holding.execute(text("SELECT 1"), bind_arguments={"database": "shop"})

        def use() -> Any:
            with Session(limited) as session:
                return session.execute(text("SELECT 1"), bind_arguments={"database": "shop"}).scalar()

        assert "1" == in_child(use)
    limited.dispose()


def test_fork_while_another_thread_makes_an_engine(tmp_path: Path) -> None:
    """The child does not wait for the lock of a thread that it does not have."""
    making, go_on = Event(), Event()

    class SlowPool(QueuePool):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            making.set()
            go_on.wait(20)
            super().__init__(*arguments, **options)

    slow = Database("slow", "sqlite://", engine_options={"poolclass": SlowPool})
    databases = Databases(slow, Database("shop", f"sqlite:///{tmp_path}/shop.db", default=True))
    thread = Thread(target=databases.engine, args=["slow"])
    thread.start()
    making.wait(20)
    said = in_child(lambda: select_one(databases))
    go_on.set()
    thread.join()

    assert "1" == said
    databases.dispose()


def test_declaration_that_is_no_longer_used() -> None:
    """It is not kept alive for the sake of children to come."""
    databases = Databases(Database("shop", "sqlite://"))
    known = weakref.ref(databases)
    assert databases in living()
    del databases
    gc.collect()

    assert known() is None
