"""Two-phase commit, as each server does it: prepare, then commit or roll back, from any connection."""

from __future__ import annotations

from sqlalchemy import Connection

from manybase.gid import Gid, Xid
from manybase.twophase import mysql, postgresql

Name = Gid | Xid


def prepare(connection: Connection, name: Name) -> None:
    """Promise to be able to commit, whatever happens; the server's error where it cannot."""
    if isinstance(name, Xid):
        mysql.prepare(connection, name)
    else:
        postgresql.prepare(connection, name)


def commit_prepared(connection: Connection, name: Name) -> bool:
    """Whether it is over now: somebody else may be at it, or have been."""
    if isinstance(name, Xid):
        return mysql.commit_prepared(connection, name)
    return postgresql.commit_prepared(connection, name)


def roll_back_prepared(connection: Connection, name: Name) -> bool:
    """Whether it is over now: somebody else may be at it, or have been."""
    if isinstance(name, Xid):
        return mysql.roll_back_prepared(connection, name)
    return postgresql.roll_back_prepared(connection, name)
