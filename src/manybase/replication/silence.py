"""Silence: whether an idle connection is closed by now, as far as that shows without asking its server."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from manybase import packets

HAVE_SOCKETS = (*packets.PSYCOPG, "psycopg2")
LISTENED = "manybase.listened"
Listen = Callable[[int], Sequence[Any]]


class Listened(NamedTuple):
    """A driver's connection, and what tells whether its server has spoken, ready to be asked again."""

    driver: Any
    listen: Listen


def tells_when_gone(connection: Connection) -> bool:
    """Whether ``is_gone`` is to be relied on."""
    return connection.dialect.driver in ("asyncpg", *HAVE_SOCKETS)


def is_gone(connection: Connection, info: dict[str, Any]) -> bool:
    """Whether a connection that comes from its pool is closed. ``info`` is that of the connection."""
    known: Listened | None = info.get(LISTENED)
    if known is None:
        driver: Any = connection.connection.driver_connection
        if connection.dialect.driver not in HAVE_SOCKETS:
            return connection.dialect.driver == "asyncpg" and is_closed(driver)
        try:
            known = info[LISTENED] = Listened(driver, listening_to(driver.fileno()))
        except (OSError, connection.dialect.loaded_dbapi.Error):  # it is closed on this side
            return True
    if getattr(known.driver, "is_unheard", False) and not answers(known.driver, asyncio=connection.dialect.is_async):
        return True
    return bool(known.driver.closed or known.listen(0))


def answers(driver: Any, *, asyncio: bool) -> bool:
    """Whether the server answers what it was sent at the end of the last transaction: see parting.py."""
    from manybase.replication.parting import nothing

    try:
        if asyncio:
            await_only(driver.wait(nothing()))
        else:
            driver.wait(nothing())
    except Exception:
        return False
    return True


def is_closed(driver: Any) -> bool:
    """Of asyncpg."""
    if seems_open(driver):
        return False
    for _ in range(4):  # the event loop has yet to read its last words, that it is closed, and to say so
        await_only(asyncio.sleep(0))
    return bool(driver.is_closed())


def seems_open(driver: Any) -> bool:
    # Private: Connection._transport (asyncpg 0.32); without it the event loop turns each time, which takes longer than
    # all else that is known about a replica. test_outages.py fails when it changes.
    transport = getattr(driver, "_transport", None)
    connected = None if transport is None or transport.is_closing() else transport.get_extra_info("socket")
    try:
        return connected is not None and not listening_to(connected.fileno())(0)
    except (OSError, ValueError):  # it is being closed
        return False


def listening_to(fileno: int) -> Listen:
    """What tells, within some milliseconds, if a server has spoken: it does not speak first, but to say goodbye."""
    if not hasattr(select, "poll"):  # Windows; elsewhere select() knows no numbers above 1023
        return lambda wait: select.select([fileno], [], [], wait / 1e3)[0]
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return poll.poll
