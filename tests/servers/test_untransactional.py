"""Tables whose storage engine knows no transactions, in a session that promises them."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import URL, Column, Integer, MetaData, Table, insert, select
from sqlalchemy.orm import registry

from manybase import AtomicityError, Database, Databases, Session
from tests.servers.mixed import Drivers, Urls, every_driver
from tests.sessions import Run, committed

MARIADB, OTHER = MetaData(), MetaData()
hits = Table("hits", MARIADB, Column("id", Integer, primary_key=True), mysql_engine="MyISAM")
visits = Table("visits", MARIADB, Column("id", Integer, primary_key=True))
notes = Table("notes", OTHER, Column("id", Integer, primary_key=True))


class Hit: ...


registry(metadata=MARIADB).map_imperatively(Hit, hits)


@pytest.fixture
def databases(mariadb_url: URL, sqlite_url: URL) -> Callable[[Drivers], Databases]:
    def make(drivers: Drivers) -> Databases:
        urls = Urls(drivers, {"mariadb": mariadb_url, "sqlite": sqlite_url})
        return Databases(
            Database("counters", urls["mariadb"], models=MARIADB), Database("other", urls["sqlite"], models=OTHER)
        )

    return make


def run_with(databases: Callable[[Drivers], Databases], drivers: Drivers) -> Run:
    return partial(drivers.kind.run, databases(drivers))


@every_driver
def test_write_to_it(databases: Callable[[Drivers], Databases], drivers: Drivers) -> None:
    """It is refused before it happens, by Core and by the ORM; the others go on."""

    def body(session: Session) -> list[int]:
        session.execute(insert(visits).values(id=1))
        with pytest.raises(AtomicityError, match="hits in 'counters' has a storage engine without transactions"):
            session.execute(insert(hits).values(id=1))
        session.add(Hit())
        with pytest.raises(AtomicityError, match="hits"):
            session.flush()
        session.rollback()
        session.execute(insert(visits).values(id=1))
        session.execute(insert(notes).values(id=1))
        session.commit()
        return [committed(session, "counters", table) for table in ("hits", "visits")]

    assert [0, 1] == run_with(databases, drivers)(body)


@every_driver
def test_read_of_it(databases: Callable[[Drivers], Databases], drivers: Drivers) -> None:
    """Reading needs no transaction."""

    def body(session: Session) -> list[object]:
        session.execute(insert(notes).values(id=1))
        return [*session.execute(select(hits)).all()]

    assert [] == run_with(databases, drivers)(body)


@every_driver
@pytest.mark.parametrize("options", [{"database": "counters"}, {"atomic": False}])
def test_session_that_promises_nothing(
    databases: Callable[[Drivers], Databases], drivers: Drivers, options: dict[str, object]
) -> None:
    """A pinned session, and one with atomic=False, write to it as SQLAlchemy's does."""

    def body(session: Session) -> int:
        session.execute(insert(hits).values(id=1))
        session.commit()
        return committed(session, "counters", "hits")

    assert 1 == run_with(databases, drivers)(body, **options)
