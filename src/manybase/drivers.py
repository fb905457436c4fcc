"""Which driver serves a URL, for a sync or an async session, and what to install where none does."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy import URL

from manybase.errors import ConfigurationError

# Backend -> (driver, module, what to install), the preferred one first. Only backends whose drivers we have run.
SYNC = {
    "postgresql": [("psycopg", "psycopg", "manybase[postgresql]"), ("psycopg2", "psycopg2", "psycopg2-binary")],
    "mysql": [
        ("pymysql", "pymysql", "manybase[mysql]"),
        ("mysqldb", "MySQLdb", "mysqlclient"),
        ("mysqlconnector", "mysql.connector", "manybase[mysqlconnector]"),
    ],
    "sqlite": [("pysqlite", "sqlite3", "")],
}
ASYNC = {
    "postgresql": [("asyncpg", "asyncpg", "manybase[asyncpg]"), ("psycopg", "psycopg", "manybase[postgresql]")],
    "mysql": [("asyncmy", "asyncmy", "manybase[mysql]"), ("aiomysql", "aiomysql", "manybase[mysql]")],
    "sqlite": [("aiosqlite", "aiosqlite", "manybase[sqlite]")],
}
SYNC["mariadb"], ASYNC["mariadb"] = SYNC["mysql"], ASYNC["mysql"]


def with_driver(name: str, url: URL, *, asyncio: bool) -> URL:
    """``url`` with a driver that serves a sync (or async) session: the one it names, or the best one installed.

    Raises ``ConfigurationError`` where the named driver cannot serve such a session, or none is installed.
    """
    if "+" in url.drivername:
        check_serves(name, url, asyncio=asyncio)
        return url
    backend = url.get_backend_name()
    known = (ASYNC if asyncio else SYNC).get(backend)
    if known is None:
        check_serves(name, url, asyncio=asyncio)
        return url
    for driver, module, _ in known:
        if installed(module):
            return url.set(drivername=f"{backend}+{driver}")
    raise ConfigurationError(
        f"Database {name!r}: no {kind(asyncio)} driver for {backend} is installed. Install one: {to_install(known)}."
    )


def check_serves(name: str, url: URL, *, asyncio: bool) -> None:
    dialect = url.get_dialect()
    if asyncio:
        dialect = dialect.get_async_dialect_cls(url)
    if bool(dialect.is_async) is asyncio:
        return
    session = "an AsyncSession" if asyncio else "a Session"
    raise ConfigurationError(
        f"Database {name!r}: driver {url.drivername.partition('+')[2] or url.drivername!r} cannot serve {session}, "
        f"it is not a{'n' if asyncio else ''} {kind(asyncio)} driver. {driver_advice(url, asyncio=asyncio)}"
    )


def driver_advice(url: URL, *, asyncio: bool) -> str:
    backend = url.get_backend_name()
    known = (ASYNC if asyncio else SYNC).get(backend)
    if known is None:
        return f"Name one that is in the URL: {backend}+driver://."
    packages = to_install(known)
    return f"Name the backend alone ({backend}://){f' and install {packages}' if packages else ''}."


def missing_driver(name: str, url: URL, missing: str | None) -> ConfigurationError:
    """The error for a driver that is named in the URL and not installed."""
    driver = url.drivername.partition("+")[2]
    known = [*SYNC.get(url.get_backend_name(), []), *ASYNC.get(url.get_backend_name(), [])]
    package = next((install for named, _, install in known if named == driver), missing or driver)
    return ConfigurationError(
        f"Database {name!r} needs {missing or driver!r}, which is not installed. Install it: pip install '{package}'."
    )


def installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return False


def kind(asyncio: bool) -> str:
    return "async" if asyncio else "sync"


def to_install(known: list[tuple[str, str, str]]) -> str:
    return " or ".join(dict.fromkeys(f"'{install}'" for _, _, install in known if install))
