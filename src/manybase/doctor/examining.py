"""Examining: one database, on a connection beside the sessions'."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from manybase.connecting import capacity
from manybase.doctor import mysql, postgresql, sqlite, tenants
from manybase.doctor.facts import Check, Facts
from manybase.doctor.findings import Finding
from manybase.doctor.replicas import examine_replicas
from manybase.engines import Databases
from manybase.health import kind_of
from manybase.participants import MYSQL, url_of

CHECKS = {
    "postgresql": postgresql.CHECKS,
    "mysql": mysql.CHECKS,
    "mariadb": mysql.CHECKS,
    "sqlite": sqlite.CHECKS,
}


def examine(databases: Databases, name: str, *, asyncio: bool) -> Facts:
    """The facts of one database; that it does not answer is one of them. Nothing is changed."""
    facts = known(databases, name)
    facts.findings.extend(tenants.pools(databases, name))
    if tenants.is_nobodys(databases, name):
        facts.findings.append(tenants.unasked(name))
        return facts
    if facts.url is None or not facts.lasts or is_missing_file(facts.url):
        return facts
    try:
        with databases.beside(name, asyncio=asyncio) as connection:
            facts.answers = True
            for check in CHECKS.get(connection.dialect.name, ()):
                run(check, connection, facts)
            facts.findings.extend(tenants.connections(databases, name, connection))
            facts.findings.extend(examine_replicas(databases, name, connection, asyncio=asyncio))
    except (SQLAlchemyError, OSError) as error:
        return failed(databases, name, error)
    return facts


def known(databases: Databases, name: str) -> Facts:
    """What the declaration tells."""
    url = url_of(databases, name)
    backend = None if url is None else url.get_backend_name()
    facts = Facts(name, databases.app, backend, url, prepares=None if backend in (*MYSQL, "postgresql") else False)
    facts.attachable = name in databases.files
    facts.pool = capacity(databases[name], databases.options_of(name))
    if url is None:
        variables = " or ".join(databases[name].environment_variables)
        facts.findings.append(Finding(name, "fail", "connection", f"It has no URL. Set {variables}, or declare one."))
    return facts


def failed(databases: Databases, name: str, error: BaseException) -> Facts:
    """A database that does not answer; the kind of failure is told, never a driver's text."""
    facts = known(databases, name)
    kind = kind_of(error) if isinstance(error, Exception) else "failed"
    message = (
        f"It does not answer ({kind}), so nothing is known of it. Look for what is wrong with the server, with the "
        "network or with the URL."
    )
    facts.findings.append(Finding(name, "fail", "connection", message))
    return facts


def run(check: Check, connection: Connection, facts: Facts) -> None:
    try:
        facts.findings.extend(check(connection, facts))
    except SQLAlchemyError as error:
        if connection.invalidated:
            raise
        topic = check.__name__.replace("_", " ")
        message = f"Could not be looked at ({kind_of(error)}): the server refuses. Grant it, or look by hand."
        facts.findings.append(Finding(facts.name, "warn", topic, message))


def is_missing_file(url: URL) -> bool:
    """A SQLite file that nobody has made yet: to ask it would make it."""
    if url.get_backend_name() != "sqlite" or url.database is None or url.database.startswith("file:"):
        return False
    return not Path(url.database).exists()
