"""tenant: one that is there for a test, with its tables in a place of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count

from manybase.database import TENANT, Database
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.tenants import AT, Placement, has_own_url, url_of
from manybase.testing.places import Place, folder, invented
from manybase.testing.rollback import after_rollback

numbers = count(1)


@contextmanager
def tenant(databases: Databases, name: str, *, shard: str | None = None) -> Iterator[None]:
    """Inside the block, ``name`` is a tenant of all databases that have tenants, whatever their directories say.

    It has its tables, empty: in a new SQLite file, a new schema or a new database, which is gone afterwards. So a test
    never touches what a tenant of that name has. With ``rollback()``, what is written is undone as usual. Shards that
    hold the tables of several tenants have no place for one of its own: there the tables are those of the ``shard``, by
    default the first one, and ``rollback()`` is needed.
    """
    databases.load()
    databases.tenants.check(name, None)
    with ExitStack() as stack:
        for each in databases.tenants:
            stack.enter_context(visiting(databases, databases[each], name, shard))
        yield


@contextmanager
def visiting(databases: Databases, declared: Database, name: str, shard: str | None) -> Iterator[None]:
    """The tenant in one database."""
    usual = databases.tenants.placed(declared.name, name, (shard or next(iter(declared.shards), None)))
    if usual.schema is None and not has_own_url(declared):
        if not databases.is_taken_over:
            raise ConfigurationError(
                f"Tenants of {declared.name!r} share the tables of their shards, so that nothing of one of them can be "
                "dropped. Put `with rollback(databases):` around tenant(), or @pytest.mark.rollback on the test."
            )
        with databases.tenants.including(usual):
            yield
        return
    placement, place = place_of(databases, declared, usual)
    with ExitStack() as gone:
        gone.callback(after_rollback, databases, partial(drop, databases, place))
        with databases.tenants.including(placement, place.declared if placement.schema is None else None):
            place.make(databases.tables(declared.name))
            yield


def place_of(databases: Databases, declared: Database, usual: Placement) -> tuple[Placement, Place]:
    options = databases.options_of(declared.name)
    if usual.schema is not None:
        schema = invented(usual.tenant)
        placement = Placement(usual.database, usual.tenant, usual.shard, schema, usual.name)
        return placement, Place(databases.declaration(usual.name), options, schema)
    part = ".".join([each for each in (usual.shard, usual.tenant) if each is not None])
    name = f"{declared.name}{AT}{part}.{next(numbers)}"  # an engine of its own, which nobody has kept
    url = declared.shards[usual.shard] if usual.shard is not None else declared.resolve_url()
    own = folder() if url.get_backend_name() == "sqlite" else invented(usual.tenant)
    url = url_of(url.set(database=str(url.database).replace(TENANT, "")), usual.tenant).set(database=own)
    placement = Placement(usual.database, usual.tenant, usual.shard, None, name)
    return placement, Place(declared.elsewhere(name, url), options, None)


def drop(databases: Databases, place: Place) -> None:
    if place.schema is None:
        databases.close_engine(place.declared.name)
    place.drop()
