"""Migrations from a program of yours."""

from pathlib import Path
from typing import assert_type

from manybase import Database, Databases, MigrationFailed, PartlyMigrated, PendingMigrations
from manybase.migrations import (
    Drift,
    Migrated,
    Outcome,
    Revised,
    State,
    Wanted,
    arequire,
    aupgrade,
    check,
    downgrade,
    require,
    revise,
    stamp,
    status,
    upgrade,
)

databases = Databases(
    Database("shop", "sqlite://", migrations=Path("alembic")),
    Database("theirs", "sqlite://", manage_schema=False),
    migrations="migrations",
)


def migrate() -> None:
    assert_type(revise(databases, ["shop"], Wanted("users")), list[Revised])
    try:
        assert_type(upgrade(databases, names=["shop"], jobs=2, keep_going=True, canary=1), list[Migrated])
    except PartlyMigrated as error:
        assert_type(error.done, tuple[str, ...])
        assert_type(error.failed, dict[str, BaseException])
    except MigrationFailed as error:
        assert_type(error.revision, str | None)
    assert_type(downgrade(databases, "-1", allow_data_loss=True), list[Migrated])
    assert_type(stamp(databases, "head"), list[Migrated])
    assert_type(status(databases), Outcome[State])
    assert_type(check(databases), Outcome[Drift])


async def start() -> None:
    try:
        await arequire(databases)
        require(databases, names={"shop"})
    except PendingMigrations as error:
        assert_type(error.pending, dict[str, int])
    assert_type(await aupgrade(databases), list[Migrated])
