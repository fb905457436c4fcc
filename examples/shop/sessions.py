"""The sessions that routes ask for: one of each kind per request, committed before the response is sent."""

from typing import Annotated

from examples.shop.databases import databases
from manybase import AsyncSession, Session
from manybase.fastapi import session_dependency, streaming_dependency, sync_session_dependency


def region_in_path(region: str) -> str:
    """The region that a request names. Whether there is one of that name is decided below."""
    return region


# All databases: each statement goes to the one that owns its tables.
SessionDep = Annotated[AsyncSession, session_dependency(databases)]

# Reads only, from replicas where there are any, and never less than what this client has written: see app.py.
ReadDep = Annotated[AsyncSession, session_dependency(databases, role="replica")]

# The first one for `def` routes.
SyncSessionDep = Annotated[Session, sync_session_dependency(databases)]

# One database only; everything else is refused. Each is a transaction of its own.
AnalyticsDep = Annotated[AsyncSession, session_dependency(databases, database="analytics")]
AuditDep = Annotated[AsyncSession, session_dependency(databases, database="audit")]

# The request chooses, but only among these two: any other name is a 404, also that of a declared database.
RegionDep = Annotated[AsyncSession, session_dependency(databases, database=region_in_path, choices=("eu", "us"))]

# Open until the last byte of the response is sent; reads only, and never commits.
StreamDep = Annotated[AsyncSession, streaming_dependency(databases)]
