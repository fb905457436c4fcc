"""The risks of constraints and indexes."""

from __future__ import annotations

from alembic.operations import ops

from manybase.migrations.lint.places import Place, Risks, table_name

ONLINE = "Run it while nobody writes to the table, or use pt-online-schema-change or gh-ost."


def add_constraint(operation: ops.AddConstraintOp, place: Place) -> Risks:
    name = getattr(operation, "constraint_name", None)
    where = f"constraint {name} on {table_name(operation)}" if name else f"table {table_name(operation)}"
    options = getattr(operation, "kw", {})
    if isinstance(operation, ops.CreateForeignKeyOp | ops.CreateCheckConstraintOp):
        if not (place.server == "postgresql" and options.get("postgresql_not_valid")):
            foreign = isinstance(operation, ops.CreateForeignKeyOp)
            yield from foreign_key(where, place) if foreign else check(where, place)
    elif isinstance(operation, ops.CreatePrimaryKeyOp) and place.server == "mysql":
        yield place.risk("rewrite", where, "The whole table is written anew, in the order of the new key.", ONLINE)
    else:
        yield from unique(where, place)


def foreign_key(where: str, place: Place) -> Risks:
    yield from checked(
        where, place, "Nobody can write to this table, nor to the other, while all its rows are checked."
    )


def check(where: str, place: Place) -> Risks:
    nobody = "Nobody can read or write the table" if place.server == "postgresql" else "Nobody can write to the table"
    yield from checked(where, place, f"{nobody} while all its rows are checked.")


def checked(where: str, place: Place, message: str) -> Risks:
    if place.server == "postgresql":
        safer = (
            "Pass postgresql_not_valid=True, and op.execute('ALTER TABLE ... VALIDATE CONSTRAINT ...') in the next "
            "revision: it locks nobody out."
        )
        yield place.risk("long lock", where, message, safer)
    elif place.server == "mysql":
        yield place.risk("long lock", where, message, ONLINE)


def unique(where: str, place: Place) -> Risks:
    """MariaDB and MySQL build the index while others write."""
    if place.server == "postgresql":
        message = "Nobody can read or write the table while its index is built."
        safer = (
            "Inside op.get_context().autocommit_block(): op.create_index(..., unique=True, "
            "postgresql_concurrently=True); then op.execute('ALTER TABLE ... ADD CONSTRAINT ... UNIQUE USING INDEX "
            "...')."
        )
        yield place.risk("long lock", where, message, safer)


def create_index(operation: ops.CreateIndexOp, place: Place) -> Risks:
    where = index_name(operation)
    if place.server == "mysql" and (operation.kw.get("mysql_prefix") or operation.kw.get("mariadb_prefix")):
        yield place.risk("long lock", where, "Nobody can write to the table while the index is built.", ONLINE)
    yield from index(where, place, concurrently=bool(operation.kw.get("postgresql_concurrently")))


def drop_index(operation: ops.DropIndexOp, place: Place) -> Risks:
    concurrently = bool(operation.kw.get("postgresql_concurrently"))
    yield from index(index_name(operation), place, concurrently=concurrently, dropped=True)


def index_name(operation: ops.CreateIndexOp | ops.DropIndexOp) -> str:
    name = f"index {operation.index_name}" if operation.index_name else "index"
    table = table_name(operation) if operation.table_name else None
    return f"{name} on {table}" if table else name


def index(where: str, place: Place, *, concurrently: bool, dropped: bool = False) -> Risks:
    """Only on PostgreSQL does it matter."""
    if place.server != "postgresql" or (concurrently and place.autocommit):
        return
    if concurrently:
        message = "It fails: PostgreSQL does nothing concurrently inside a transaction."
    elif dropped:
        message = "It waits for all who use the table, and meanwhile nobody else can read or write it."
    else:
        message = "Nobody can write to the table while the index is built."
    safer = (
        f"with op.get_context().autocommit_block(): op.{'drop' if dropped else 'create'}_index(..., "
        "postgresql_concurrently=True)"
    )
    yield place.risk("index not concurrent", where, message, safer)
