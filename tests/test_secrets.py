"""A password that is declared appears nowhere: in no message, no repr, no chained error, no log record at INFO."""

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from manybase import AsyncSession, ConfigurationError, Database, Databases, ManybaseError, Session

PASSWORD = "s3cret!"
FORMS = [PASSWORD, "s3cret%21"]
TRACE = "s3cret"  # in any form


def url(start: str = "postgresql", password: str = PASSWORD, end: str = "@127.0.0.1:1/shop") -> str:
    return f"{start}://me:{password}{end}"


def engine(url: Any, **options: Any) -> Any:
    return Databases(Database("shop", url, engine_options=options)).engine()


def async_engine(url: Any, **options: Any) -> Any:
    return Databases(Database("shop", url, engine_options=options)).async_engine()


def from_environment(name: str) -> Any:
    return Databases(Database(name)).engine()


BAD_URLS: dict[str, Callable[[str], Any]] = {
    "no scheme": lambda password: Database("shop", f"me:{password}@db1/shop"),
    "no slashes": lambda password: Database("shop", f"postgresql:me:{password}@db1/shop"),
    "bad port": lambda password: Database("shop", url(password=password, end="@db1:port/shop")),
    "unquoted password": lambda password: Database("shop", url(password=f"@:{password}/", end="@db1:port/shop")),
    "bad address": lambda password: Database("shop", url(password=password, end="@[::1/shop")),
    "bytes": lambda password: Database("shop", url(password=password).encode()),  # type: ignore[arg-type]
    "a list": lambda password: Database("shop", [url(password=password)]),  # type: ignore[arg-type]
    "postgres": lambda password: Database("shop", url("postgres", password)),
    "unknown backend": lambda password: Database("shop", url("nosuch", password)),
    "unknown driver": lambda password: Database("shop", url("postgresql+nosuch", password)),
    "unknown backend, as a URL": lambda password: Database("shop", URL.create("nosuch", "me", password)),
    "a URL in a URL": lambda password: Database("shop", URL.create(url(password=password))),
    "as the name": lambda password: Database(url(password=password)),
    "a DSN as the name": lambda password: Database(f"host=db1 password={password}"),
    "a URL object as the name": lambda password: Database(URL.create("sqlite", "me", password)),  # type: ignore[arg-type]
    "as the engine": lambda password: Database("shop", engine=url(password=password)),  # type: ignore[arg-type]
    "as the models": lambda password: Databases(Database("shop", models=url(password=password))),
    "a URL object as the models": lambda password: Databases(
        Database("shop", models=URL.create("sqlite", "me", password, "db1", 1, "shop"))
    ),
    "a mapping as the models": lambda password: Databases(Database("shop", models={"url": url(password=password)})),
    "beside an engine": lambda password: Database("shop", url(password=password), engine=create_engine("sqlite://")),
    "instead of a database": lambda password: Databases(url(password=password)),  # type: ignore[arg-type]
    "declared twice": lambda password: Databases(*[Database("shop", url(password=password))] * 2),
    "two defaults": lambda password: Databases(
        *(Database(name, url(password=password), default=True) for name in ("shop", "audit"))
    ),
    "no default": lambda password: Databases(
        *(Database(name, url(password=password)) for name in ("shop", "audit"))
    ).engine(),
    "missing driver": lambda password: engine(url("mysql+mysqldb", password)),
    "missing async driver": lambda password: async_engine(url("postgresql+asyncpg", password)),
    "no driver at all": lambda password: async_engine(url("mysql", password)),
    "async driver for a session": lambda password: engine(url("mysql+aiomysql", password)),
    "sync driver for an async session": lambda password: async_engine(url("postgresql+psycopg2", password)),
    "refused option": lambda password: engine(url(password=password), nosuch=1),
    "refused options with a password": lambda password: engine(
        url(password=password), connect_args={"password": password}, nosuch=password
    ),
    "refused value": lambda password: engine(url(password=password), connect_args=password),
    "refused value in the URL": lambda password: engine(
        url("mysql+pymysql", password, f"@db1/shop?connect_timeout={password}")
    ),
    "unknown plugin": lambda password: engine(url(password=password, end="@db1/shop?plugin=nosuch")),
    "sync engine for an async session": lambda password: Databases(
        Database("shop", engine=create_engine(url("postgresql+psycopg", password)))
    ).async_engine(),
    "async engine for a session": lambda password: Databases(
        Database("shop", engine=create_async_engine(url("postgresql+psycopg", password)))
    ).engine(),
    "no such module": lambda password: Databases(Database("shop", url(password=password), models="nowhere")).load(),
    "no models": lambda password: Databases(Database("bare", url(password=password))).tables("bare"),
}


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged at INFO, by SQLAlchemy's engines and pools too, is free of it."""
    caplog.set_level(logging.INFO)
    for name in ("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "manybase"):
        caplog.set_level(logging.INFO, name)
    yield caplog
    assert TRACE not in caplog.text


def everything(error: BaseException | None) -> Iterator[str]:
    """All that an error says: its text, its repr, its notes and, if it is ours, its attributes; and so every error
    behind it. (psycopg's errors hold their connection, password and all, in a private attribute.)"""
    while error is not None:
        yield from (str(error), repr(error), *getattr(error, "__notes__", []))
        if isinstance(error, ManybaseError):
            yield repr(vars(error))
        yield from everything(error.__cause__)
        error = error.__context__


def assert_clean(error: BaseException) -> None:
    assert [] == [said for said in everything(error) if TRACE in said]
    assert TRACE not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("password", FORMS, ids=["plain", "quoted"])
@pytest.mark.parametrize("case", BAD_URLS)
def test_bad_input(monkeypatch: pytest.MonkeyPatch, case: str, password: str) -> None:
    """The error that refuses it does not repeat it, and neither does any error behind it."""
    for module in ("MySQLdb", "asyncpg", "asyncmy", "aiomysql"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError) as raised:
        BAD_URLS[case](password)

    assert_clean(raised.value)


@pytest.mark.parametrize(
    "value", [url("postgres"), url("nosuch"), url(end="@db1:port/shop"), PASSWORD, url("mysql+aiomysql")]
)
def test_bad_url_in_the_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The same for one that is not in the program's text."""
    monkeypatch.setenv("MANYBASE_SHOP_URL", value)

    with pytest.raises(ConfigurationError) as raised:
        Databases(Database("shop")).engine()

    assert_clean(raised.value)


@pytest.mark.parametrize("password", FORMS, ids=["plain", "quoted"])
def test_reprs(password: str) -> None:
    """Nothing that manybase makes shows it."""
    options = {"connect_args": {"password": password}}
    database = Database("shop", url(password=password), engine_options=options)
    declared = Databases(database, engine_options=options)
    made = [database, declared, declared.engine(), declared.async_engine(), declared.ownership, declared.router]
    with Session(declared) as session:
        made += [session, session.scope, session.route(text("SELECT 1")), AsyncSession(declared)]

    assert [] == [each for each in made if TRACE in f"{each!r} {each}"]


@pytest.mark.parametrize(
    "driver", ["postgresql+psycopg", "postgresql+psycopg2", "mysql+pymysql", "mysql+mysqlconnector"]
)
def test_server_that_refuses_connections(driver: str) -> None:
    """The error is the driver's own, in SQLAlchemy's family, and what is put in between adds nothing."""
    declared = Databases(Database("shop", url(driver)))

    with Session(declared) as session, pytest.raises(DBAPIError) as raised:
        session.execute(text("SELECT 1"))

    assert_clean(raised.value)


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg", "mysql+asyncmy", "mysql+aiomysql"])
def test_server_that_refuses_async_connections(driver: str) -> None:
    """The same under asyncio, with the OperationalError that stands for asyncpg's OSError."""
    declared = Databases(Database("shop", url(driver)))

    async def run() -> None:
        async with AsyncSession(declared) as session:
            await session.execute(text("SELECT 1"))

    with pytest.raises(OperationalError) as raised:
        asyncio.run(run())

    assert_clean(raised.value)


def test_the_guard_itself() -> None:
    """It sees the password in an error behind an error, in a note and in an attribute."""
    for spoil in (
        lambda error: setattr(error, "__context__", ValueError(PASSWORD)),
        lambda error: setattr(error, "__cause__", ValueError(PASSWORD)),
        lambda error: error.add_note(PASSWORD),
        lambda error: setattr(error, "url", PASSWORD),
    ):
        error = ConfigurationError("wrong")
        spoil(error)
        with pytest.raises(AssertionError):
            assert_clean(error)
