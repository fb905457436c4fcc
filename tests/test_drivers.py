"""Which driver serves a URL, for a sync or an async session."""

import sys

import pytest
from sqlalchemy import URL, make_url
from sqlalchemy.dialects import registry

from manybase import ConfigurationError, Database, Databases
from manybase.drivers import installed, with_driver


def chosen(url: str, *, asyncio: bool = False) -> str:
    return with_driver("shop", make_url(url), asyncio=asyncio).drivername


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """As on a machine where these are not installed."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("backend", "sync", "asyncio"),
    [
        ("postgresql", "postgresql+psycopg", "postgresql+asyncpg"),
        ("mysql", "mysql+pymysql", "mysql+asyncmy"),
        ("mariadb", "mariadb+pymysql", "mariadb+asyncmy"),
        ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"),
    ],
)
def test_backend_alone(backend: str, sync: str, asyncio: str) -> None:
    """The preferred driver of those installed is chosen for the session that asks."""
    assert [sync, asyncio] == [chosen(f"{backend}://db1/shop"), chosen(f"{backend}://db1/shop", asyncio=True)]


def test_the_rest_of_the_url_stays() -> None:
    """Choosing a driver touches nothing else, the password included."""
    url = URL.create("postgresql", "me", "p@ss", "db1", 5433, "shop", {"sslmode": "require"})

    assert url.set(drivername="postgresql+psycopg") == with_driver("shop", url, asyncio=False)


def test_preferred_driver_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next best one is taken."""
    without(monkeypatch, "psycopg", "asyncmy", "pymysql", "MySQLdb")

    assert "postgresql+psycopg2" == chosen("postgresql://db1/shop")
    assert "mysql+aiomysql" == chosen("mysql://db1/shop", asyncio=True)
    assert "mysql+mysqlconnector" == chosen("mysql://db1/shop")


def test_psycopg_serves_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asyncpg, an async session takes psycopg too."""
    without(monkeypatch, "asyncpg")

    assert "postgresql+psycopg" == chosen("postgresql://db1/shop", asyncio=True)


def test_no_async_driver_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    without(monkeypatch, "asyncpg", "psycopg")

    with pytest.raises(ConfigurationError, match=r"no async driver for postgresql.*'manybase\[asyncpg\]' or"):
        chosen("postgresql://db1/shop", asyncio=True)


def test_no_sync_driver_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    without(monkeypatch, "pymysql", "MySQLdb", "mysql.connector", "mysql")

    with pytest.raises(ConfigurationError, match=r"no sync driver for mysql.*'manybase\[mysql\]' or 'mysqlclient'"):
        chosen("mysql://db1/shop")


def test_module_inside_a_package_that_is_not_installed() -> None:
    """Looking for it is no error."""
    assert not installed("no_such_package.connector")


@pytest.mark.parametrize("url", ["postgresql+psycopg://db1/shop", "oracle+oracledb://db1/shop"])
def test_driver_that_serves_both(url: str) -> None:
    """A driver with a sync and an async face is kept for either session."""
    assert [url.partition(":")[0]] * 2 == [chosen(url), chosen(url, asyncio=True)]


@pytest.mark.parametrize(
    ("driver", "to_install"),
    [
        ("postgresql+psycopg2", "'manybase[asyncpg]' or 'manybase[postgresql]'"),
        ("mysql+pymysql", "'manybase[mysql]'"),
        ("sqlite+pysqlite", "'manybase[sqlite]'"),
    ],
)
def test_sync_driver_for_an_async_session(driver: str, to_install: str) -> None:
    """Refused before a connection is tried; the error names one to install."""
    with pytest.raises(ConfigurationError) as raised:
        chosen(f"{driver}://db1/shop", asyncio=True)

    backend, _, name = driver.partition("+")
    assert f"driver {name!r} cannot serve an AsyncSession, it is not an async driver" in str(raised.value)
    assert f"Name the backend alone ({backend}://) and install {to_install}." in str(raised.value)


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "mysql+aiomysql", "mysql+asyncmy"])
def test_async_driver_for_a_session(driver: str) -> None:
    """Refused before a connection is tried; the error names one to install."""
    with pytest.raises(ConfigurationError, match=r"cannot serve a Session, it is not a sync driver.*install 'manybase"):
        chosen(f"{driver}://db1/shop")


def test_aiosqlite_for_a_session() -> None:
    """Python brings SQLite's sync driver: there is nothing to install, and nothing is named."""
    with pytest.raises(ConfigurationError, match=r"Name the backend alone \(sqlite://\)\.$"):
        chosen("sqlite+aiosqlite://")


def test_backend_that_manybase_knows_no_drivers_of() -> None:
    """SQLAlchemy's choice stands; where it cannot serve the session, the error asks for one in the URL."""
    assert "mssql" == chosen("mssql://db1/shop")
    with pytest.raises(ConfigurationError, match=r"not an async driver\. Name one that is in the URL: mssql\+driver:"):
        chosen("mssql://db1/shop", asyncio=True)


@pytest.mark.parametrize(
    ("driver", "module", "package"),
    [
        ("postgresql+psycopg2", "psycopg2", "psycopg2-binary"),
        ("mysql+mysqldb", "MySQLdb", "mysqlclient"),
        ("mysql+mysqlconnector", "mysql", r"manybase\[mysqlconnector\]"),
        ("oracle+oracledb", "oracledb", "oracledb"),
    ],
)
def test_named_driver_is_not_installed(monkeypatch: pytest.MonkeyPatch, driver: str, module: str, package: str) -> None:
    """The error names the package, which is not always called like the module."""
    without(monkeypatch, module, f"{module}.connector")
    declared = Databases(Database("shop", f"{driver}://db1/shop"))

    with pytest.raises(ConfigurationError, match=f"'shop' needs .*not installed. Install it: pip install '{package}'"):
        declared.engine("shop")


def test_named_async_driver_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for an async engine."""
    without(monkeypatch, "asyncpg")
    declared = Databases(Database("shop", "postgresql+asyncpg://db1/shop"))

    with pytest.raises(ConfigurationError, match=r"needs 'asyncpg'.*'manybase\[asyncpg\]'"):
        declared.async_engine("shop")


@pytest.mark.parametrize("kind", ["engine", "async_engine"])
def test_plugged_in_dialect_that_cannot_be_imported(kind: str) -> None:
    """A dialect is registered and what it is made of is missing: said when a session asks, with what is missing."""
    registry.register("halfthere", "module_that_is_missing", "Dialect")
    declared = Databases(Database("shop", "halfthere://db1/shop"))

    with pytest.raises(ConfigurationError, match="needs 'module_that_is_missing', which is not installed"):
        getattr(declared, kind)("shop")
