"""Decisions that nobody needs any more go by themselves, many at once."""

import pytest

from manybase import Session, atomic
from tests.ledgers import write
from tests.servers.conftest import MakeLedgers
from tests.servers.mixed import Drivers, every_driver

COUNT = "SELECT count(*) FROM {}manybase_decision WHERE transaction_id <> 'identity'"
SCHEMAS = {"postgresql": "manybase."}


@every_driver
@pytest.mark.parametrize("coordinator", ["postgresql", "mariadb", "sqlite"])
def test_decisions_of_many_commits(
    make_ledgers: MakeLedgers, drivers: Drivers, coordinator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each so many commits the table is empty again; in between there are never more."""
    monkeypatch.setattr(atomic, "FORGET_AFTER", 3)

    def body(session: Session) -> list[int]:
        counts = []
        for _ in range(7):
            write(session, "first", "second")
            session.commit()
            with session.databases.aside("first", asyncio=session._asyncio).connect() as connection:
                counted = connection.exec_driver_sql(COUNT.format(SCHEMAS.get(coordinator, ""))).scalar_one()
                counts.append(int(counted))
        return counts

    assert [1, 2, 0, 1, 2, 0, 1] == drivers.kind.run(make_ledgers(drivers, coordinator, "postgresql"), body)
