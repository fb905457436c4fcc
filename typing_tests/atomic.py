"""Atomic commits, recovery and their tests, as a program of yours would use them."""

from typing import assert_type

from manybase import AsyncSession, AtomicityError, Database, Databases, InDoubtError, NotCommitted, Session
from manybase.recovery import InDoubt, Report, Resolution, ain_doubt, aresolve, in_doubt, resolve
from manybase.testing import Failure, fail_at

databases = Databases(Database("shop", "sqlite://"), app="shop", commit_timeout=5)


def commit() -> None:
    with Session(databases, atomic=False) as session, fail_at("prepared", "shop", error=Failure("no"), times=1):
        session.commit()
    with fail_at("committed", kill=True), fail_at("deciding", error=KeyboardInterrupt):
        pass


async def recover() -> None:
    async with AsyncSession(databases, atomic=True) as session:
        try:
            await session.commit()
        except AtomicityError as error:
            assert_type(error.databases, tuple[str, ...])
        except NotCommitted as error:
            assert_type(error.outcome, str)
        except InDoubtError as error:
            assert_type(error.transaction_id, str)
    assert_type(await aresolve(databases, min_age=0), Report)
    assert_type(await ain_doubt(databases), list[InDoubt])
    assert_type(resolve(databases, "id").left, list[Resolution])
    assert_type(in_doubt(databases)[0].age, float)
