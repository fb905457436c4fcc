"""The declaration of one database: its name, its URL, its engine."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from manybase import ConfigurationError, Database, Databases


@pytest.mark.parametrize("name", ["shop", "Shop", "shop2", "eu-west_1", "a"])
def test_name(name: str) -> None:
    """Letters, digits, '_' and '-' are kept as they are written."""
    assert name == Database(name, "sqlite://").name


@pytest.mark.parametrize("name", ["", "1shop", "-shop", "my shop", "shop.eu", "größe", "shop\n", None, 5, object()])
def test_name_that_cannot_be_used(name: Any) -> None:
    """The error says which names can."""
    with pytest.raises(ConfigurationError, match=r"is not a name for a database.*a letter, then letters, digits"):
        Database(name, "sqlite://")


def test_url_without_a_name() -> None:
    """The error says that the name comes first."""
    with pytest.raises(ConfigurationError, match=r"The name comes first, as in Database\('shop', url\)"):
        Database("postgresql://shop@db1/shop")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://shop@db1:5433/shop",
        make_url("postgresql+psycopg://shop@db1:5433/shop"),
        URL.create("postgresql+psycopg", "shop", host="db1", port=5433, database="shop"),
    ],
    ids=["string", "URL", "URL.create"],
)
def test_url(url: Any) -> None:
    """A string and a URL object say the same."""
    assert make_url("postgresql+psycopg://shop@db1:5433/shop") == Database("shop", url).resolve_url()


def test_url_with_a_password_that_needs_quoting() -> None:
    """URL.create takes it as it is: nothing is parsed again."""
    url = URL.create("postgresql+psycopg", "shop", "p@ss/word", "db1")

    assert "p@ss/word" == Database("shop", url).resolve_url().password


@pytest.mark.parametrize("url", ["postgresql://db1/shop", "mysql://db2/shop", "mariadb://db2/shop", "sqlite:///a.db"])
def test_url_that_names_the_backend_alone(url: str) -> None:
    """It is accepted: the driver is chosen later, by the session that asks."""
    assert url == Database("shop", url).resolve_url().render_as_string()


@pytest.mark.parametrize(
    "url", ["", "shop", "shop@db1/shop", "postgresql:shop@db1", "postgresql://db1:port/shop", "postgresql://[::1/shop"]
)
def test_url_that_cannot_be_read(url: str) -> None:
    """The error shows the form, and how to quote a password."""
    with pytest.raises(ConfigurationError, match=r"'shop': the URL cannot be read.*postgresql://user.*quote_plus"):
        Database("shop", url)


@pytest.mark.parametrize("url", [b"sqlite://", 5, ["sqlite://"], create_engine("sqlite://")])
def test_url_of_a_wrong_type(url: Any) -> None:
    """The error says what a URL is, and where an engine goes."""
    with pytest.raises(ConfigurationError, match=f"not an object of type {type(url).__name__}.*engine="):
        Database("shop", url)


@pytest.mark.parametrize("driver", ["postgrsql", "postgresql+nosuch", "mongodb", "sqlite+psycopg", "a+b+c"])
def test_backend_or_driver_that_sqlalchemy_does_not_know(driver: str) -> None:
    """Refused at declaration, with the backends that are known."""
    with pytest.raises(ConfigurationError, match=r"knows no dialect or driver .*Known without a plugin: postgresql"):
        Database("shop", f"{driver}://db1/shop")


def test_postgres_as_some_hosters_write_it() -> None:
    """The error says what to write instead."""
    with pytest.raises(ConfigurationError, match="Write postgresql:// instead"):
        Database("shop", "postgres://shop@db1/shop")


@pytest.mark.parametrize("variable", ["MANYBASE_AUDIT_LOG_URL", "AUDIT_LOG_DATABASE_URL"])
def test_url_from_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Either variable holds it; it is read when first needed, not at declaration."""
    database = Database("audit-log")
    monkeypatch.setenv(variable, "sqlite:///audit.db")

    assert "audit.db" == database.resolve_url().database


def test_both_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """MANYBASE_<NAME>_URL wins."""
    monkeypatch.setenv("AUDIT_DATABASE_URL", "sqlite:///second.db")
    monkeypatch.setenv("MANYBASE_AUDIT_URL", "sqlite:///first.db")

    assert "first.db" == Database("audit").resolve_url().database


def test_url_beside_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the declaration says wins."""
    monkeypatch.setenv("MANYBASE_AUDIT_URL", "sqlite:///environment.db")

    assert "declared.db" == Database("audit", "sqlite:///declared.db").resolve_url().database


@pytest.mark.parametrize("value", [None, ""])
def test_no_url_anywhere(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """Said when it is first needed, with the variables that were looked for; an empty one counts as not set."""
    if value is not None:
        monkeypatch.setenv("MANYBASE_AUDIT_URL", value)
    declared = Databases(Database("audit"))

    with pytest.raises(ConfigurationError, match=r"has no URL.*MANYBASE_AUDIT_URL or AUDIT_DATABASE_URL"):
        declared.engine("audit")


def test_bad_url_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable."""
    monkeypatch.setenv("AUDIT_DATABASE_URL", "not a url")

    with pytest.raises(ConfigurationError, match="'audit': the URL in AUDIT_DATABASE_URL cannot be read"):
        Database("audit").resolve_url()


def test_unknown_backend_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable."""
    monkeypatch.setenv("MANYBASE_AUDIT_URL", "postgres://db1/audit")

    with pytest.raises(ConfigurationError, match="'postgres' in MANYBASE_AUDIT_URL"):
        Database("audit").resolve_url()


@pytest.mark.parametrize("engine", [create_engine("sqlite://"), create_async_engine("sqlite+aiosqlite://")])
def test_existing_engine(engine: Any) -> None:
    """It is kept as it is, and no URL is looked for."""
    assert engine is Database("shop", engine=engine).engine


@pytest.mark.parametrize("beside", [{"url": "sqlite://"}, {"engine_options": {"pool_size": 1}}])
def test_existing_engine_and_more(beside: dict[str, Any]) -> None:
    """An engine has its URL and its options already: two truths are refused."""
    with pytest.raises(ConfigurationError, match="'shop' has an engine= of its own: leave out url and engine_options"):
        Database("shop", engine=create_engine("sqlite://"), **beside)


@pytest.mark.parametrize("engine", ["sqlite://", make_url("sqlite://"), object()])
def test_engine_of_a_wrong_type(engine: Any) -> None:
    """The error says what engine= takes."""
    with pytest.raises(ConfigurationError, match=f"takes an Engine or an AsyncEngine, not {type(engine).__name__}"):
        Database("shop", engine=engine)


def test_declaration_is_frozen() -> None:
    """What others have read cannot change behind their back, options included."""
    options = {"pool_size": 1}
    database = Database("shop", "sqlite://", engine_options=options)
    options["pool_size"] = 2

    assert {"pool_size": 1} == database.engine_options
    with pytest.raises(FrozenInstanceError):
        database.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        database.engine_options["pool_size"] = 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (Database("shop", "postgresql+psycopg://me:secret@db1/shop"), "Database('shop', postgresql+psycopg)"),
        (Database("shop", "sqlite:///shop.db", default=True), "Database('shop', sqlite, default=True)"),
        (Database("shop", engine=create_engine("sqlite://")), "Database('shop', engine)"),
        (Database("shop"), "Database('shop', URL from the environment)"),
    ],
)
def test_repr(database: Database, expected: str) -> None:
    """The name and the backend: neither host, user nor password."""
    assert expected == repr(database)


def test_one_model_or_several() -> None:
    """`models=` takes one thing or a list, a tuple or a set of them."""
    expected = ("shop.models",)

    assert expected == Database("shop", models="shop.models").models
    assert expected == Database("shop", models=["shop.models"]).models
    assert expected == Database("shop", models={"shop.models"}).models
    assert () == Database("shop").models
