"""`manybase tenants`: what it says, what it asks for, and how it exits."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from manybase import Database, Databases
from manybase.directories import TenantDirectory
from manybase.errors import ConfigurationError
from manybase.lifecycle import acreate_tenant, adrop_tenant, create_tenant, drop_tenant
from tests.commands import commands
from tests.migrations.revisions import write_chain
from tests.projects import Project, project

pytestmark = pytest.mark.once

__all__ = ["commands", "project"]

APPLICATION = """
from sqlalchemy import Column, MetaData, String, Table
from manybase import Database, Databases
from manybase.directories import TenantTable

customers = Table("customers", MetaData(), Column("slug", String(50), primary_key=True), Column("region", String(9)))
directory = TenantTable(customers.c.slug, shard=customers.c.region)
databases = Databases(
    Database("shop", "sqlite:///shop.db", models=customers),
    Database("crm", shards={"eu": "sqlite:///eu_{tenant}.db", "us": "sqlite:///us_{tenant}.db"}, tenants=directory),
    Database("logs", "sqlite:///logs_{tenant}.db", tenants=customers.c.slug),
)
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """Two databases with the same directory; one has shards."""
    project.write(APPLICATION)
    for name in ("crm", "logs"):
        write_chain(project.folder / "migrations" / name, 2)
    engine = create_engine(f"sqlite:///{project.folder / 'shop.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (slug varchar(50) PRIMARY KEY, region varchar(9))"))
    engine.dispose()
    return project


def files(project: Project) -> list[str]:
    return sorted(each.name for each in project.folder.glob("*_*.db"))


def test_create_list_and_drop(shop: Project) -> None:
    """In all databases at once, for they share the directory."""
    unsaid = shop("tenants", "create", "acme")
    made, again = shop("tenants", "create", "acme", "--shard", "us", "--json"), shop("tenants", "create", "acme")
    other = shop("tenants", "create", "acme", "--shard", "eu")
    listed = shop("tenants", "list", "--json").json["tenants"]

    assert [2, 0, 0, 2] == [each.code for each in (unsaid, made, again, other)]
    assert "has the shards eu, us" in unsaid.err
    assert "in the shard 'us' already" in other.err
    assert ["crm@us.acme", "logs@acme"] == made.json["made"]
    assert ["logs_acme.db", "us_acme.db"] == files(shop)
    assert [("crm", "us", "crm@us.acme"), ("logs", None, "logs@acme")] == [
        (each["database"], each["shard"], each["part"]) for each in listed
    ]
    refused = shop("tenants", "drop", "acme")
    assert (1, ["logs_acme.db", "us_acme.db"]) == (refused.code, files(shop))
    assert "crm@us.acme with 2 tables" in refused.err
    assert "--yes" in refused.err
    gone, nothing = shop("tenants", "drop", "acme", "--yes", "--json"), shop("tenants", "drop", "acme", "--yes")
    assert (0, ["crm@us.acme", "logs@acme"], []) == (gone.code, gone.json["parts"], files(shop))
    assert (0, "Nothing to do: there is nothing of tenant 'acme'.\n") == (nothing.code, nothing.out)
    assert [] == shop("tenants", "list", "--json").json["tenants"]


def test_drop_on_a_terminal(shop: Project) -> None:
    """The name has to be written."""
    shop("tenants", "create", "acme", "--shard", "us")
    with shop.on_terminal("tenants", "drop", "acme") as terminal:
        terminal.until("Write the name of the tenant")
        terminal.type("y\n")
        assert 1 == terminal.end()
    assert ["logs_acme.db", "us_acme.db"] == files(shop)
    with shop.on_terminal("tenants", "drop", "acme") as terminal:
        terminal.until("Write the name of the tenant")
        terminal.type("acme\n")
        assert 0 == terminal.end()
    assert [] == files(shop)


@pytest.mark.parametrize("name", ["../acme", "a'b", "ACME"])
def test_names(shop: Project, name: str) -> None:
    """What cannot be one is not understood."""
    assert [2, 2] == [shop("tenants", *each, name).code for each in (("create",), ("drop", "--yes"))]


def test_directory_that_cannot_be_changed(tmp_path: Path) -> None:
    """Nothing is made before that is told; a tenant that is in it is made all the same."""
    databases = Databases(
        Database("crm", f"sqlite:///{tmp_path}/{{tenant}}.db", tenants=["acme"]), migrations=tmp_path / "migrations"
    )
    write_chain(tmp_path / "migrations" / "crm", 1)

    with pytest.raises(ConfigurationError, match="cannot be changed"):
        create_tenant(databases, "bolt")
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        drop_tenant(databases, "acme")

    assert (("crm@acme",), False) == ((made := create_tenant(databases, "acme")).made, made.entered)
    assert ["acme.db", "acme.db.migrating"] == sorted(each.name for each in tmp_path.glob("*.db*"))


def test_async_directory(tmp_path: Path) -> None:
    """Its functions are awaited in the loop of whoever creates and drops."""
    asyncio.run(create_and_drop(tmp_path))


async def create_and_drop(tmp_path: Path) -> None:

    loops: list[object] = []
    known: dict[str, bool] = {}

    async def find(name: str) -> bool | None:
        loops.append(asyncio.get_running_loop())
        return known.get(name)

    async def add(name: str, shard: str | None) -> None:
        known[name] = True

    async def remove(name: str) -> None:
        known.pop(name, None)

    directory = TenantDirectory(find, add=add, remove=remove)
    databases = Databases(
        Database("crm", f"sqlite:///{tmp_path}/{{tenant}}.db", tenants=directory), migrations=tmp_path / "migrations"
    )
    write_chain(tmp_path / "migrations" / "crm", 1)

    made = await acreate_tenant(databases, "acme")
    assert (("crm@acme",), {"acme": True}) == (made.made, known)
    gone = await adrop_tenant(databases, "acme")

    assert (("crm@acme",), {}) == (gone.parts, known)
    assert {asyncio.get_running_loop()} == {*loops}
    await databases.adispose()
