"""Slots for prepared transactions: a PostgreSQL server keeps ``max_prepared_transactions`` and refuses more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlalchemy.util import await_only

from manybase.engines import Databases
from manybase.errors import NotCommitted, Overloaded
from manybase.participants import Participant, max_prepared
from manybase.slots import Ticket


def prepared_slots(databases: Databases, participants: Iterable[Participant], *, asyncio: bool) -> Ticket:
    """A free slot for each of these on its server, as far as this process is concerned; to be released.

    Waits for them, ``pool_timeout`` at most: a PREPARE that finds none would lose the whole transaction.
    """
    servers = {each.name: server_of(each) for each in participants if each.dialect == "postgresql"}
    slots = databases.prepared_slots(asyncio=asyncio)
    for name, server in servers.items():
        slots.bound(server, max_prepared(databases, name, asyncio=asyncio))
    ticket = Ticket(slots, Counter(servers.values()), databases.pool_timeout)
    try:
        if not ticket.take_at_once():
            await_only(ticket.take_async()) if asyncio else ticket.take()
    except Overloaded:
        raise NotCommitted(
            f"No slot for a prepared transaction came free within {databases.pool_timeout:g} s on the server of "
            f"{', '.join(servers)}. Raise its max_prepared_transactions to what all its clients may need at once.",
            servers,
        ) from None
    return ticket


def server_of(participant: Participant) -> str:
    """Databases of one server share its slots."""
    url = participant.connection.engine.url
    return f"{url.host}:{url.port}" if url.host else participant.name
