"""Coordinators, asked on a connection beside the sessions': what their decision table is called, what was decided."""

from __future__ import annotations

import asyncio as aio
import time

from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from manybase import decision
from manybase.decision import Outcome
from manybase.engines import Databases
from manybase.errors import AtomicityError
from manybase.learned import BELIEVED

PAUSE = 0.1  # seconds between two attempts to reach a coordinator


def identity_of(databases: Databases, name: str, *, asyncio: bool, believed: float = BELIEVED) -> str:
    """What the decision table of a database is called; it is created where it is missing.

    ``believed``: for how many seconds an earlier answer is good.
    Raises ``AtomicityError`` where that is not allowed.
    """

    def ask() -> str:
        with databases.beside(name, asyncio=asyncio) as connection:
            try:
                return decision.create(connection)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                raise AtomicityError(
                    f"The table in which {name!r} keeps the decisions of atomic commits is missing and could not be "
                    "created. Let somebody who may do it run, and grant the application the use of it: "
                    f"{decision.script(connection.dialect.name)}",
                    [name],
                ) from error

    return databases.learned.get(("decisions", name), ask, believed=believed)


def forget_identity(databases: Databases, name: str) -> None:
    databases.learned.forget(("decisions", name))


def arbitrate(databases: Databases, name: str, transaction: str, *, asyncio: bool) -> Outcome:
    """What the coordinator decided; nothing so far: then it is an abort from now on."""
    with databases.beside(name, asyncio=asyncio) as connection:
        return decision.arbitrate(connection, transaction)


def arbitrate_until(databases: Databases, name: str, transaction: str, deadline: float, *, asyncio: bool) -> Outcome:
    """As ``arbitrate``, again and again until a moment of the monotonic clock; then its error."""
    while True:
        try:
            return arbitrate(databases, name, transaction, asyncio=asyncio)
        except (DBAPIError, OSError):
            if time.monotonic() + PAUSE > deadline:
                raise
        if asyncio:
            await_only(aio.sleep(PAUSE))
        else:
            time.sleep(PAUSE)
