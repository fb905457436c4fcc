"""Declarations of tenants that cannot work are refused when they are made, or when the environment is read."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func

from manybase import ConfigurationError, Database, Databases, Session, TenantDirectory, TenantTable
from tests.tenants.customers import Crm, Customer

EACH, ALL = "postgresql+psycopg://u:s3cret!@h/crm_{tenant}", "postgresql+psycopg://u:s3cret!@h/crm"
WHO: Any = {"acme"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "schema without tenants": ({"url": ALL, "schema": "t_{tenant}"}, "nothing says who"),
    "shards without tenants": ({"shards": {"eu": EACH}}, "nothing says who"),
    "a place without tenants": ({"url": EACH}, "nothing says who"),
    "all in one": ({"url": ALL, "tenants": WHO}, "would share its tables"),
    "all in one engine": ({"engine": create_engine("sqlite://"), "tenants": WHO}, "would share its tables"),
    "url and shards": ({"url": EACH, "shards": {"eu": EACH}, "tenants": {"acme": "eu"}}, "leave out its url"),
    "engine and shards": (
        {"engine": create_engine("sqlite://"), "shards": {"eu": EACH}, "tenants": {"acme": "eu"}},
        "leave out its url",
    ),
    "name of a shard": ({"shards": {"e.u": EACH}, "tenants": {"acme": "e.u"}}, "not a name for a shard"),
    "replicas": ({"url": EACH, "tenants": WHO, "replicas": [ALL]}, "replicas="),
    "schema of all": ({"url": ALL, "tenants": WHO, "schema": "crm"}, r"write \{tenant\} in schema="),
    "both": ({"url": EACH, "tenants": WHO, "schema": "t_{tenant}"}, "one of them is enough"),
    "some shards": ({"shards": {"eu": EACH, "us": ALL}, "tenants": {"acme": "eu"}}, "or of none"),
    "shards and schema": ({"shards": {"eu": EACH}, "schema": "t_{tenant}", "tenants": {"acme": "eu"}}, "is enough"),
    "names for shards": ({"shards": {"eu": EACH}, "tenants": WHO}, "in which shard"),
    "pattern": ({"url": EACH, "tenants": WHO, "tenant_names": "("}, "no regular expression"),
    "number": ({"url": EACH, "tenants": 7}, "tenants= takes"),
    "text": ({"url": EACH, "tenants": "acme"}, "tenants= takes"),
    "password": ({"url": EACH, "tenants": "postgresql://u:s3cret!@h/x"}, "tenants= takes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str) -> None:
    """The error names the database, and no password."""
    options, said = WRONG[case]

    with pytest.raises(ConfigurationError, match=said) as caught:
        Databases(Database("crm", models=Crm, **options))

    assert ("crm" in str(caught.value), False) == (True, "s3cret" in str(caught.value))


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [(ALL, None, "would share its tables"), (EACH, "t_{tenant}", r"schema= already")],
)
def test_url_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, schema: str | None, said: str) -> None:
    """It is checked when it is read."""
    databases = Databases(Database("crm", models=Crm, tenants=WHO, schema=schema))
    monkeypatch.setenv("CRM_DATABASE_URL", value)

    with pytest.raises(ConfigurationError, match=said) as caught:
        databases.engine("crm", tenant="acme")

    assert "s3cret" not in str(caught.value)


def test_url_from_the_environment_without_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DATABASE_URL", EACH)

    with pytest.raises(ConfigurationError, match="no tenants="):
        Databases(Database("crm", models=Crm)).engine()


@pytest.mark.parametrize("schema", [None, "t_{tenant}"])
def test_environment_is_read_when_needed(monkeypatch: pytest.MonkeyPatch, schema: str | None) -> None:
    """The declaration works where the variable is set later, and says which one is missing until then."""
    databases = Databases(Database("crm", models=Crm, tenants=WHO, schema=schema))

    with pytest.raises(ConfigurationError, match="CRM_DATABASE_URL"):
        databases.engine("crm", tenant="acme")
    monkeypatch.setenv("CRM_DATABASE_URL", ALL if schema else EACH)
    assert ("crm" if schema else "crm_acme") == databases.engine("crm", tenant="acme").url.database
    Session(databases, tenant="acme").close()


@pytest.mark.parametrize(
    "given",
    [func.lower(Customer.slug), Customer, "slug", Customer.__table__],
    ids=["function", "class", "text", "table"],
)
def test_columns_of_directories(given: Any) -> None:
    """They are columns of a table."""
    with pytest.raises(ConfigurationError, match="takes columns"):
        TenantTable(given)


def test_columns_of_two_tables() -> None:
    other = Table("other", MetaData(), Column("id", Integer), Column("shard", String(9)))

    with pytest.raises(ConfigurationError, match="one table"):
        TenantTable(Customer.slug, shard=other.c.shard)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"max_connections": 2}, "max_connections=2 is too few"), ({"max_tenant_engines": 0}, "max_tenant_engines=0")],
)
def test_limits(options: Any, said: str) -> None:
    """Less than one session may need."""
    with pytest.raises(ConfigurationError, match=said):
        Databases(Database("crm", EACH, models=Crm, tenants=WHO), **options)


def test_directory_that_cannot_be_listed_or_changed() -> None:
    """Neither is needed by sessions; the error says what to pass."""
    databases = Databases(Database("crm", EACH, models=Crm, tenants=TenantDirectory(bool)))

    with pytest.raises(ConfigurationError, match="names="):
        list(databases.tenants.names("crm", databases))
    with pytest.raises(ConfigurationError, match="add="):
        databases.tenants.add("crm", "acme", None, databases)
    with pytest.raises(ConfigurationError, match="remove="):
        databases.tenants.remove("crm", "acme", databases)


def test_database_without_tenants() -> None:
    databases = Databases(Database("crm", EACH, models=Crm, tenants=WHO), Database("shop", ALL))

    with pytest.raises(ConfigurationError, match="'shop' has no"):
        databases.engine("shop", tenant="acme")
    with pytest.raises(ConfigurationError, match="no tenants"):
        databases.tenants.names("shop", databases)
