"""Commits over PostgreSQL, MariaDB and SQLite, through every driver."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import IntegrityError

from manybase import Databases, PartialCommitError, Session
from tests.ledgers import rows, write, write_what_cannot_be_committed
from tests.servers.mixed import Drivers, every_driver

MakeLedgers = Callable[..., Databases]


@every_driver
def test_three_servers(make_ledgers: MakeLedgers, drivers: Drivers) -> None:
    """All have their rows."""

    def body(session: Session) -> dict[str, int]:
        write(session, "second", "third", "first")
        session.commit()
        return rows(session)

    assert {"first": 1, "second": 1, "third": 1} == drivers.kind.run(
        make_ledgers(drivers, "postgresql", "mariadb", "sqlite"), body
    )


@every_driver
def test_constraint_of_the_first_one(make_ledgers: MakeLedgers, drivers: Drivers) -> None:
    """SQLAlchemy's own error passes, and nothing is committed anywhere."""

    def body(session: Session) -> dict[str, int]:
        write(session, "third", "second")
        write_what_cannot_be_committed(session, "first")
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        return rows(session)

    assert {"first": 0, "second": 0, "third": 0} == drivers.kind.run(
        make_ledgers(drivers, "postgresql", "mariadb", "sqlite"), body
    )


@every_driver
def test_constraint_of_the_second_one(make_ledgers: MakeLedgers, drivers: Drivers) -> None:
    """With atomic=False the error tells the truth, ten times whatever the order of use, and the session works on."""

    def body(session: Session) -> dict[str, int]:
        for number in range(10):
            write(session, *(["first", "third"] if number % 2 else ["third", "first"]))
            write_what_cannot_be_committed(session, "second")
            with pytest.raises(PartialCommitError) as caught:
                session.commit()
            assert (("first",), ("second", "third"), ()) == (
                caught.value.committed,
                caught.value.rolled_back,
                caught.value.unknown,
            )
            assert isinstance(caught.value.__cause__, IntegrityError)
            session.rollback()
        write(session, "second")
        session.commit()
        return rows(session)

    assert {"first": 10, "second": 1, "third": 0} == drivers.kind.run(
        make_ledgers(drivers, "mariadb", "postgresql", "sqlite"), body, atomic=False
    )
