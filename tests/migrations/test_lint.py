"""What pending revisions would do to a database in production, read from the revisions alone."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Barrier
from typing import Any

import alembic.op
import pytest
from alembic.operations import MigrateOperation, Operations
from alembic.script import Script, ScriptDirectory
from alembic.util import ModuleClsProxy

from manybase.migrations.lint import Risk, risks

POSTGRESQL, MARIADB, MYSQL, SQLITE = EVERYWHERE = ("postgresql", "mariadb", "mysql", "sqlite")
SERVERS = (POSTGRESQL, MARIADB, MYSQL)
MYSQLS = (MARIADB, MYSQL)

HEAD = """
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "r{number}"
down_revision = {down!r}
"""
BATCH = "with op.batch_alter_table('users', recreate='{}') as batch: "
AUTOCOMMIT = "with op.get_context().autocommit_block(): "

USERS, EMAIL = "table users", "column users.email"

CASES: list[tuple[str, tuple[str, ...], list[tuple[str, str]]]] = [
    # Data that is lost
    ("op.drop_table('users')", EVERYWHERE, [("data loss", USERS)]),
    ("op.drop_table('users', schema='shop')", SERVERS, [("data loss", "table shop.users")]),
    ("op.drop_column('users', 'email')", EVERYWHERE, [("data loss", EMAIL)]),
    # NOT NULL
    ("op.add_column('users', sa.Column('email', sa.Text, nullable=False))", EVERYWHERE, [("not null", EMAIL)]),
    ("op.add_column('users', sa.Column('email', sa.Text, nullable=False, server_default=''))", EVERYWHERE, []),
    (
        "op.add_column('users', sa.Column('email', sa.Text, nullable=False, default=''))",
        (SQLITE,),
        [("not null", EMAIL)],
    ),
    ("op.add_column('users', sa.Column('email', sa.Text))", EVERYWHERE, []),
    (
        "op.alter_column('users', 'email', existing_type=sa.Text(), nullable=False)",
        (POSTGRESQL,),
        [("not null", EMAIL), ("long lock", EMAIL)],
    ),
    ("op.alter_column('users', 'email', existing_type=sa.Text(), nullable=False)", MYSQLS, [("not null", EMAIL)]),
    ("op.alter_column('users', 'email', existing_nullable=False, nullable=False)", EVERYWHERE, []),
    ("op.alter_column('users', 'email', existing_type=sa.Text(), nullable=True)", EVERYWHERE, []),
    ("op.alter_column('users', 'email', existing_type=sa.Text(), server_default='x')", EVERYWHERE, []),
    # Columns with a value of their own for each row
    (
        "op.add_column('users', sa.Column('key', sa.Uuid, server_default=sa.text('gen_random_uuid()')))",
        (POSTGRESQL,),
        [("rewrite", "column users.key")],
    ),
    (
        "op.add_column('users', sa.Column('at', sa.DateTime, server_default=sa.func.clock_timestamp()))",
        (POSTGRESQL,),
        [("rewrite", "column users.at")],
    ),
    (
        "op.add_column('users', sa.Column('key', sa.Text, server_default=sa.text('ours.key_of(1)')))",
        (POSTGRESQL,),
        [("rewrite", "column users.key")],
    ),
    ("op.add_column('users', sa.Column('at', sa.DateTime, server_default=sa.func.now()))", EVERYWHERE, []),
    (
        "op.add_column('users', sa.Column('at', sa.DateTime, server_default=sa.text('CURRENT_TIMESTAMP')))",
        EVERYWHERE,
        [],
    ),
    (
        "op.add_column('users', sa.Column('at', sa.DateTime, server_default=sa.text(\"timezone('utc', now())\")))",
        (POSTGRESQL,),
        [],
    ),
    ("op.add_column('users', sa.Column('key', sa.Text, server_default='random()'))", EVERYWHERE, []),
    (
        "op.add_column('users', sa.Column('key', sa.String(36), server_default=sa.text('(uuid())')))",
        MYSQLS,
        [("rewrite", "column users.key")],
    ),
    (
        "op.add_column('users', sa.Column('number', sa.Integer, sa.Identity(), nullable=False))",
        (POSTGRESQL,),
        [("rewrite", "column users.number")],
    ),
    (
        "op.add_column('users', sa.Column('number', sa.Integer, sa.Sequence('numbers').next_value()))",
        (POSTGRESQL,),
        [("unknown", "upgrade()")],  # SQLAlchemy refuses the column
    ),
    (
        "op.add_column('users', sa.Column('number', sa.Integer, server_default=sa.Sequence('numbers').next_value()))",
        (POSTGRESQL,),
        [("rewrite", "column users.number")],
    ),
    (
        "op.add_column('users', sa.Column('twice', sa.Integer, sa.Computed('age * 2', persisted=True)))",
        SERVERS,
        [("rewrite", "column users.twice")],
    ),
    ("op.add_column('users', sa.Column('twice', sa.Integer, sa.Computed('age * 2', persisted=False)))", SERVERS, []),
    # Constraints that a new column brings along
    (
        "op.add_column('users', sa.Column('shop', sa.Integer, sa.ForeignKey('shops.id')))",
        SERVERS,
        [("long lock", USERS)],
    ),
    ("op.add_column('users', sa.Column('email', sa.Text, unique=True))", (POSTGRESQL,), [("long lock", USERS)]),
    (
        "op.add_column('users', sa.Column('email', sa.Text, index=True, unique=True))",
        (POSTGRESQL,),
        [("index not concurrent", "index on users")],
    ),
    # Constraints
    (
        "op.create_foreign_key('fk', 'users', 'shops', ['shop'], ['id'])",
        SERVERS,
        [("long lock", "constraint fk on users")],
    ),
    (
        "op.create_foreign_key('fk', 'users', 'shops', ['shop'], ['id'], source_schema='a', postgresql_not_valid=True)",
        MYSQLS,
        [("long lock", "constraint fk on a.users")],
    ),
    (
        "op.create_foreign_key('fk', 'users', 'shops', ['shop'], ['id'], postgresql_not_valid=True)",
        (POSTGRESQL,),
        [],
    ),
    ("op.create_check_constraint('ck', 'users', 'age > 0')", SERVERS, [("long lock", "constraint ck on users")]),
    ("op.create_check_constraint('ck', 'users', 'age > 0', postgresql_not_valid=True)", (POSTGRESQL,), []),
    ("op.create_unique_constraint(None, 'users', ['email'])", (POSTGRESQL,), [("long lock", USERS)]),
    ("op.create_unique_constraint('uq', 'users', ['email'])", MYSQLS, []),
    ("op.create_primary_key('pk', 'users', ['id'])", (POSTGRESQL,), [("long lock", "constraint pk on users")]),
    ("op.create_primary_key('pk', 'users', ['id'])", MYSQLS, [("rewrite", "constraint pk on users")]),
    (
        "op.create_exclude_constraint('ex', 'users', ('age', '='))",
        (POSTGRESQL,),
        [("long lock", "constraint ex on users")],
    ),
    ("op.drop_constraint('ck', 'users', type_='check')", SERVERS, []),
    # Indexes
    (
        "op.create_index('ix', 'users', ['email'])",
        (POSTGRESQL,),
        [("index not concurrent", "index ix on users")],
    ),
    ("op.create_index('ix', 'users', ['email'])", (*MYSQLS, SQLITE), []),
    ("op.create_index('ix', 'users', ['bio'], mysql_prefix='FULLTEXT')", MYSQLS, [("long lock", "index ix on users")]),
    (
        "op.create_index('ix', 'users', ['email'], postgresql_concurrently=True)",
        (POSTGRESQL,),
        [("index not concurrent", "index ix on users")],
    ),
    (AUTOCOMMIT + "op.create_index('ix', 'users', ['email'], postgresql_concurrently=True)", EVERYWHERE, []),
    (
        AUTOCOMMIT + "pass\nop.create_index('ix', 'users', ['email'], postgresql_concurrently=True)",
        (POSTGRESQL,),
        [("index not concurrent", "index ix on users")],
    ),
    ("op.drop_index('ix')", (POSTGRESQL,), [("index not concurrent", "index ix")]),
    ("op.drop_index('ix', 'users')", (POSTGRESQL,), [("index not concurrent", "index ix on users")]),
    (AUTOCOMMIT + "op.drop_index('ix', 'users', postgresql_concurrently=True)", (POSTGRESQL,), []),
    ("op.drop_index('ix', 'users')", (*MYSQLS, SQLITE), []),
    # Names
    ("op.rename_table('users', 'people')", EVERYWHERE, [("rename", USERS)]),
    (
        "op.alter_column('users', 'email', existing_type=sa.Text(), new_column_name='mail')",
        EVERYWHERE,
        [("rename", EMAIL)],
    ),
    # What changes no rows
    ("op.create_table_comment('users', 'people')", EVERYWHERE, []),
    ("op.bulk_insert(sa.table('users', sa.column('id')), [{'id': 1}])", EVERYWHERE, []),
    # Batches
    (BATCH.format("auto") + "batch.add_column(sa.Column('email', sa.Text))", EVERYWHERE, []),
    (BATCH.format("auto") + "batch.create_index('ix', ['email'])", (*MYSQLS, SQLITE), []),
    (
        BATCH.format("auto") + "batch.create_index('ix', ['email'])",
        (POSTGRESQL,),
        [("index not concurrent", "index ix on users")],
    ),
    (
        BATCH.format("auto") + "batch.add_column(sa.Column('at', sa.DateTime, server_default=sa.func.now()))",
        (SQLITE,),
        [("rewrite", USERS)],
    ),
    (BATCH.format("auto") + "batch.drop_column('email')", (SQLITE,), [("data loss", EMAIL), ("rewrite", USERS)]),
    (BATCH.format("never") + "batch.drop_column('email')", EVERYWHERE, [("data loss", EMAIL)]),
    (BATCH.format("auto") + "batch.drop_column('email')", SERVERS, [("data loss", EMAIL)]),
    (BATCH.format("always") + "batch.add_column(sa.Column('email', sa.Text))", EVERYWHERE, [("rewrite", USERS)]),
    (BATCH.format("auto") + "batch.create_unique_constraint('uq', ['email'])", (SQLITE,), [("rewrite", USERS)]),
    (
        BATCH.format("auto") + "batch.create_check_constraint('ck', 'age > 0')",
        MYSQLS,
        [("long lock", "constraint ck on users")],
    ),
    # What needs a database
    (
        "op.drop_column('users', 'email')\nop.get_bind().execute(sa.text('SELECT 1')).scalar()",
        EVERYWHERE,
        [("data loss", EMAIL), ("unknown", "upgrade()")],
    ),
    ("for row in op.get_bind().execute(sa.text('SELECT 1')): ...", EVERYWHERE, [("unknown", "upgrade()")]),
    ("sa.inspect(op.get_bind()).get_table_names()", EVERYWHERE, [("unknown", "upgrade()")]),
    ("raise NotImplementedError", EVERYWHERE, [("unknown", "upgrade()")]),
    (
        "if op.get_bind().dialect.name == op.get_context().dialect.name: op.drop_table('users')",
        EVERYWHERE,
        [("data loss", USERS)],
    ),
    ("postgresql.ENUM('a', 'b', name='mood').create(op.get_bind(), checkfirst=True)", (POSTGRESQL,), []),
]

TYPES: list[tuple[str, str, tuple[str, ...], list[str]]] = [
    ("sa.String(50)", "sa.String(200)", (POSTGRESQL, SQLITE), []),
    ("sa.String(50)", "sa.String(200)", MYSQLS, ["rewrite"]),
    ("sa.String(70)", "sa.String(200)", MYSQLS, []),
    ("sa.String(200)", "sa.String(300)", MYSQLS, ["rewrite"]),
    ("sa.String(200)", "sa.String(50)", SERVERS, ["data loss", "rewrite"]),
    ("sa.String(200)", "sa.String(50)", (SQLITE,), []),
    ("sa.String(200)", "sa.String(200)", EVERYWHERE, []),
    ("sa.String(200)", "sa.Text()", (POSTGRESQL, SQLITE), []),
    ("sa.String(200)", "sa.Text()", MYSQLS, ["rewrite"]),
    ("sa.Text()", "sa.String", (POSTGRESQL,), []),
    ("sa.Text()", "sa.String(50)", SERVERS, ["data loss", "rewrite"]),
    ("sa.Text()", "mysql.LONGTEXT()", MYSQLS, ["rewrite"]),
    ("mysql.LONGTEXT()", "sa.Text()", MYSQLS, ["data loss", "rewrite"]),
    ("sa.CHAR(5)", "sa.CHAR(9)", SERVERS, ["rewrite"]),
    ("sa.Text()", "sa.Integer()", SERVERS, ["data loss", "rewrite"]),
    ("sa.Text()", "sa.Integer()", (SQLITE,), ["data loss"]),
    ("sa.Date()", "sa.DateTime()", (SQLITE,), ["data loss"]),
    ("sa.Date()", "sa.DateTime()", SERVERS, ["rewrite"]),
    ("sa.DateTime()", "sa.Date()", SERVERS, ["data loss", "rewrite"]),
    ("sa.DateTime()", "sa.DateTime(timezone=True)", (POSTGRESQL,), ["rewrite"]),
    ("sa.DateTime()", "sa.DateTime(timezone=True)", MYSQLS, []),
    ("postgresql.TIMESTAMP(precision=3)", "postgresql.TIMESTAMP(precision=6)", (POSTGRESQL,), []),
    ("postgresql.TIMESTAMP()", "postgresql.TIMESTAMP(precision=3)", (POSTGRESQL,), ["data loss", "rewrite"]),
    ("mysql.DATETIME(fsp=6)", "sa.DateTime()", MYSQLS, ["data loss", "rewrite"]),
    ("sa.Integer()", "sa.BigInteger()", SERVERS, ["rewrite"]),
    ("sa.BigInteger()", "sa.Integer()", SERVERS, ["data loss", "rewrite"]),
    ("mysql.INTEGER(display_width=11)", "sa.Integer()", MYSQLS, []),
    ("mysql.TINYINT(display_width=1)", "sa.Boolean()", MYSQLS, []),
    ("sa.Integer()", "sa.Text()", SERVERS, ["rewrite"]),
    ("sa.Integer()", "sa.String(5)", SERVERS, ["data loss", "rewrite"]),
    ("sa.Integer()", "sa.Numeric(12, 2)", SERVERS, ["rewrite"]),
    ("sa.Integer()", "sa.Numeric(10, 2)", SERVERS, ["data loss", "rewrite"]),
    ("sa.Numeric(10, 2)", "sa.Numeric(12, 2)", (POSTGRESQL,), []),
    ("sa.Numeric(10, 2)", "sa.Numeric(12, 2)", MYSQLS, ["rewrite"]),
    ("sa.Numeric(10, 2)", "sa.Numeric()", (POSTGRESQL,), []),
    ("sa.Numeric(10, 4)", "sa.Numeric(10, 2)", SERVERS, ["data loss", "rewrite"]),
    ("sa.Numeric(10, 2)", "sa.Numeric(10, 4)", SERVERS, ["data loss", "rewrite"]),
    ("sa.Numeric(10, 2)", "sa.Integer()", SERVERS, ["data loss", "rewrite"]),
    ("sa.Numeric(10, 2)", "sa.Double()", SERVERS, ["rewrite"]),
    ("sa.Double()", "sa.Numeric(10, 2)", SERVERS, ["data loss", "rewrite"]),
    ("sa.Double()", "sa.REAL()", (POSTGRESQL,), ["data loss", "rewrite"]),
    ("sa.JSON()", "postgresql.JSONB()", (POSTGRESQL,), ["rewrite"]),
    ("sa.String(36)", "sa.Uuid()", (POSTGRESQL,), ["rewrite"]),
    ("sa.Uuid()", "sa.String(36)", (POSTGRESQL,), ["rewrite"]),
    ("postgresql.CIDR()", "postgresql.INET()", (POSTGRESQL,), []),
    ("postgresql.ARRAY(sa.Integer)", "postgresql.ARRAY(sa.Integer)", (POSTGRESQL,), []),
    ("postgresql.ARRAY(sa.Integer)", "postgresql.ARRAY(sa.BigInteger)", (POSTGRESQL,), ["rewrite"]),
    ("sa.Enum('a', 'b')", "sa.Enum('a', 'b', 'c')", MYSQLS, []),
    ("sa.Enum('a', 'b')", "sa.Enum('c', 'a', 'b')", MYSQLS, ["rewrite"]),
    ("sa.Enum('a', 'b')", "sa.Enum('b')", MYSQLS, ["data loss", "rewrite"]),
    ("None", "sa.Text()", SERVERS, ["rewrite"]),
    ("None", "sa.Text()", (SQLITE,), []),
]

SQL: list[tuple[str, tuple[str, ...], list[tuple[str, str]]]] = [
    ("DROP TABLE users", EVERYWHERE, [("data loss", USERS)]),
    (
        "drop table if exists users, shop.orders cascade;",
        SERVERS,
        [("data loss", USERS), ("data loss", "table shop.orders")],
    ),
    ('DROP TABLE "Users"', (POSTGRESQL,), [("data loss", "table Users")]),
    ("UPDATE users SET age = 0; DROP TABLE users", EVERYWHERE, [("data loss", USERS)]),
    ("DROP SCHEMA IF EXISTS shop CASCADE", (POSTGRESQL,), [("data loss", "schema shop")]),
    ("DROP DATABASE `shop`", MYSQLS, [("data loss", "database shop")]),
    ("TRUNCATE TABLE users", SERVERS, [("data loss", USERS)]),
    (
        "TRUNCATE users, orders RESTART IDENTITY CASCADE",
        (POSTGRESQL,),
        [("data loss", USERS), ("data loss", "table orders")],
    ),
    ("DELETE FROM users", EVERYWHERE, [("data loss", USERS)]),
    ("DELETE FROM users -- WHERE id = 1", EVERYWHERE, [("data loss", USERS)]),
    ("DELETE FROM users WHERE id = 1", EVERYWHERE, []),
    ("DELETE FROM users USING orders WHERE orders.id = users.id", (POSTGRESQL,), []),
    ("ALTER TABLE users DROP COLUMN email", EVERYWHERE, [("data loss", EMAIL)]),
    ("ALTER TABLE users DROP email, ADD age INT", MYSQLS, [("data loss", EMAIL)]),
    ("ALTER TABLE users DROP CONSTRAINT email", SERVERS, []),
    ("ALTER TABLE users DROP INDEX email, DROP PRIMARY KEY", MYSQLS, []),
    ("ALTER TABLE users DROP PARTITION p1", MYSQLS, [("data loss", USERS)]),
    ("ALTER TABLE users ALTER COLUMN email TYPE varchar(50)", (POSTGRESQL,), [("rewrite", EMAIL)]),
    ("ALTER TABLE users ALTER email SET DATA TYPE int USING email::int", (POSTGRESQL,), [("rewrite", EMAIL)]),
    ("ALTER TABLE users ALTER email SET NOT NULL", (POSTGRESQL,), [("not null", EMAIL), ("long lock", EMAIL)]),
    ("ALTER TABLE users ALTER email DROP NOT NULL, ALTER age SET DEFAULT 1", (POSTGRESQL,), []),
    ("ALTER TABLE users MODIFY COLUMN email VARCHAR(50) NOT NULL DEFAULT 'a,b'", MYSQLS, [("rewrite", EMAIL)]),
    ("ALTER TABLE users CHANGE email mail TEXT", MYSQLS, [("rewrite", EMAIL), ("rename", EMAIL)]),
    ("ALTER TABLE users CHANGE email email TEXT", MYSQLS, [("rewrite", EMAIL)]),
    ("ALTER TABLE users RENAME TO people", EVERYWHERE, [("rename", USERS)]),
    ("ALTER TABLE users RENAME COLUMN email TO mail", EVERYWHERE, [("rename", EMAIL)]),
    ("ALTER TABLE users RENAME CONSTRAINT a TO b", (POSTGRESQL,), []),
    ("ALTER TABLE users RENAME INDEX a TO b", MYSQLS, []),
    ("RENAME TABLE users TO people", MYSQLS, [("rename", USERS)]),
    ("ALTER TABLE users ADD COLUMN email TEXT NOT NULL", EVERYWHERE, [("not null", EMAIL)]),
    ("ALTER TABLE users ADD email VARCHAR(50) DEFAULT '' NOT NULL", EVERYWHERE, []),
    (
        "ALTER TABLE users ADD COLUMN key uuid NOT NULL DEFAULT gen_random_uuid()",
        (POSTGRESQL,),
        [("rewrite", "column users.key")],
    ),
    ("ALTER TABLE users ADD INDEX ix (email), ADD KEY (age)", MYSQLS, []),
    ("ALTER TABLE users ADD COLUMN n bigserial NOT NULL", (POSTGRESQL,), [("rewrite", "column users.n")]),
    ("ALTER TABLE users ADD COLUMN at timestamptz DEFAULT now()", (POSTGRESQL,), []),
    ("ALTER TABLE users ADD COLUMN shop int REFERENCES shops (id)", SERVERS, [("long lock", USERS)]),
    (
        "ALTER TABLE users ADD CONSTRAINT ck CHECK (a > 0 AND b IN (1, 2))",
        SERVERS,
        [("long lock", "constraint ck on users")],
    ),
    ("ALTER TABLE users ADD CONSTRAINT ck CHECK (a > 0) NOT VALID", (POSTGRESQL,), []),
    ("ALTER TABLE users ADD FOREIGN KEY (a) REFERENCES b (c)", SERVERS, [("long lock", USERS)]),
    ("ALTER TABLE users ADD UNIQUE (email)", (POSTGRESQL,), [("long lock", USERS)]),
    ("ALTER TABLE users ADD CONSTRAINT uq UNIQUE USING INDEX ix", (POSTGRESQL,), []),
    ("ALTER TABLE users ADD PRIMARY KEY (id)", MYSQLS, [("rewrite", USERS)]),
    ("ALTER TABLE users VALIDATE CONSTRAINT ck", (POSTGRESQL,), []),
    (
        "CREATE UNIQUE INDEX ix ON shop.users (email)",
        (POSTGRESQL,),
        [("index not concurrent", "index ix on shop.users")],
    ),
    ("CREATE INDEX ON users USING gin (tags)", (POSTGRESQL,), [("index not concurrent", "index on users")]),
    (
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON users (a)",
        (POSTGRESQL,),
        [("index not concurrent", "index ix on users")],
    ),
    ("CREATE INDEX ix ON users (email)", (*MYSQLS, SQLITE), []),
    ("DROP INDEX IF EXISTS ix", (POSTGRESQL,), [("index not concurrent", "index ix")]),
    ("VACUUM (FULL, ANALYZE) users", (POSTGRESQL,), [("rewrite", USERS)]),
    ("VACUUM users", (POSTGRESQL,), []),
    ("CLUSTER", (POSTGRESQL,), [("rewrite", "all tables")]),
    # What only looks like it
    ("/* DROP TABLE users */ SELECT 1", EVERYWHERE, []),
    ("-- ; DROP TABLE users\nSELECT 1", EVERYWHERE, []),
    ("# it's so; DROP TABLE users\nSELECT 1", MYSQLS, []),
    ("INSERT INTO notes VALUES ('; DROP TABLE users')", EVERYWHERE, []),
    ("INSERT INTO notes VALUES ('it''s; DROP TABLE users')", EVERYWHERE, []),
    (r"INSERT INTO notes VALUES ('it\'s; DROP TABLE users')", MYSQLS, []),
    (r"INSERT INTO notes VALUES ('C:\'); DROP TABLE users", (POSTGRESQL, SQLITE), [("data loss", USERS)]),
    (r"INSERT INTO notes VALUES (E'it\'s; DROP TABLE users')", (POSTGRESQL,), []),
    ("CREATE FUNCTION f() RETURNS void AS $body$ ; DROP TABLE users; $body$ LANGUAGE sql", (POSTGRESQL,), []),
    ("GRANT ALL ON users TO me", SERVERS, []),
    ("DROP TABLESPACE users", (POSTGRESQL,), []),
]


def revisions(directory: Path, *upgrades: str, downgrade: str = "pass") -> list[Script]:
    """A history of revisions r0, r1, ... with these upgrades; the last of them with the downgrade."""
    for number, upgrade in enumerate(upgrades):
        head = HEAD.format(number=number, down=f"r{number - 1}" if number else None)
        functions = [("upgrade", upgrade), ("downgrade", downgrade)]
        bodies = [f"def {name}():\n    " + "\n    ".join(body.splitlines()) for name, body in functions]
        (directory / f"r{number}.py").write_text("\n\n".join([head, *bodies, ""]))
    scripts = ScriptDirectory(dir=str(directory), version_locations=[str(directory)])
    return list(reversed(list(scripts.walk_revisions())))


def told(found: list[Risk]) -> list[tuple[str, str]]:
    return [(risk.kind, risk.where) for risk in found]


def flat(cases: list[Any]) -> list[Any]:
    return [
        pytest.param(*case, dialect, expected, id="-".join([dialect, *case]))
        for *case, dialects, expected in cases
        for dialect in dialects
    ]


@pytest.mark.parametrize(("upgrade", "dialect", "expected"), flat(CASES))
def test_an_operation(tmp_path: Path, upgrade: str, dialect: str, expected: list[tuple[str, str]]) -> None:
    """Each has its risks on each server, or none."""
    assert expected == told(risks(revisions(tmp_path, upgrade), dialect))


@pytest.mark.parametrize(("old", "new", "dialect", "expected"), flat(TYPES))
def test_a_change_of_type(tmp_path: Path, old: str, new: str, dialect: str, expected: list[str]) -> None:
    """Whether it loses data, and whether the server writes the table anew, depends on both types."""
    scripts = revisions(tmp_path, f"op.alter_column('users', 'email', existing_type={old}, type_={new})")

    assert [(kind, EMAIL) for kind in expected] == told(risks(scripts, dialect))


@pytest.mark.parametrize(("sql", "dialect", "expected"), flat(SQL))
def test_plain_sql(tmp_path: Path, sql: str, dialect: str, expected: list[tuple[str, str]]) -> None:
    """It is read as the operation that it amounts to."""
    assert expected == told(risks(revisions(tmp_path, f"op.execute({sql!r})"), dialect))


@pytest.mark.parametrize(
    ("upgrades", "expected"),
    [
        (["op.create_table('users', sa.Column('id', sa.Integer))", "op.drop_table('users')"], []),
        (["op.drop_table('users')", "op.create_table('users')"], [("data loss", USERS)]),
        (["op.create_table('users')\nop.drop_table('users')", "op.drop_table('users')"], [("data loss", USERS)]),
        (["op.create_table('users', if_not_exists=True)", "op.drop_table('users')"], [("data loss", USERS)]),
        (["op.create_table('users')", "op.create_index('ix', 'users', ['id'])", "op.drop_index('ix')"], []),
        (["op.create_table('users')", "op.create_foreign_key(None, 'users', 'shops', ['a'], ['b'])"], []),
        (
            ["op.create_table('shops')", "op.create_foreign_key(None, 'users', 'shops', ['a'], ['b'])"],
            [("long lock", USERS)],
        ),
        (["op.create_table('users')", "op.rename_table('users', 'people')\nop.drop_table('people')"], []),
        (
            ["op.create_table('users')\nop.rename_table('users', 'people')", "op.drop_table('users')"],
            [("data loss", USERS)],
        ),
        (["op.create_table('users', schema='shop')", "op.drop_table('users')"], [("data loss", USERS)]),
        (["op.create_table('users', schema='shop')", "op.drop_table('users', schema='shop')"], []),
        (["op.create_table('Users')", "op.execute('DELETE FROM public.users')"], []),
        (["op.execute('CREATE TABLE users (id int)')", "op.alter_column('users', 'id', type_=sa.Text())"], []),
        (["op.execute('CREATE TABLE IF NOT EXISTS users (id int)')", "op.drop_table('users')"], [("data loss", USERS)]),
        (
            [
                "sa.Table('users', sa.MetaData(), sa.Column('id', sa.Integer)).create(op.get_bind())",
                "op.drop_table('users')",
            ],
            [],
        ),
        (["op.add_column('users', sa.Column('email', sa.Text))", "op.drop_column('users', 'email')"], []),
        (
            ["op.add_column('users', sa.Column('email', sa.Text))", "op.drop_column('shops', 'email')"],
            [("data loss", "column shops.email")],
        ),
        (
            [
                "users = op.create_table('users', sa.Column('id', sa.Integer))\nop.bulk_insert(users, [{'id': 1}])\n"
                "op.execute(users.delete())",
                "op.execute(sa.table('shops').delete())",
            ],
            [("data loss", "table shops")],
        ),
    ],
)
def test_what_the_run_makes_itself_is_at_no_risk(
    tmp_path: Path, upgrades: list[str], expected: list[tuple[str, str]]
) -> None:
    """Tables that pending revisions create hold no rows, and no release uses them, until the run is over."""
    assert expected == told(risks(revisions(tmp_path, *upgrades), POSTGRESQL))


def test_statements_on_the_connection_are_read(tmp_path: Path) -> None:
    """op.get_bind().execute() does what op.execute() does."""
    upgrade = "op.get_bind().execute(sa.text('DROP TABLE users'))\nop.get_bind().execute(sa.table('shops').delete())"

    assert [("data loss", USERS), ("data loss", "table shops")] == told(risks(revisions(tmp_path, upgrade), SQLITE))


def test_a_downgrade(tmp_path: Path) -> None:
    """What it would lose is told, and what the upgrade would do is not."""
    scripts = revisions(tmp_path, "op.rename_table('a', 'b')", downgrade="op.drop_table('users')")

    found = risks(scripts, POSTGRESQL, upgrade=False)

    assert [("r0", "data loss", USERS, True)] == [
        (each.revision, each.kind, each.where, each.loses_data) for each in found
    ]
    assert [("rename", "table a")] == told(risks(scripts, POSTGRESQL))


def test_each_risk_names_its_revision(tmp_path: Path) -> None:
    """In the order in which they run, also after one that fails without a database."""
    upgrades = ["op.rename_table('a', 'b')", "1 / 0", "op.drop_table('c')"]

    found = risks(revisions(tmp_path, *upgrades), MYSQL)

    assert [("r0", "rename"), ("r1", "unknown"), ("r2", "data loss")] == [(each.revision, each.kind) for each in found]
    assert "without a database it fails (ZeroDivisionError)" in found[1].message


def test_the_error_of_a_revision_is_not_told(tmp_path: Path) -> None:
    """Its text could be anything, a password among others."""
    found = risks(revisions(tmp_path, "raise ValueError('hunter2')"), MYSQL)

    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(("upgrade", "dialect", "expected"), flat([case for case in CASES if case[2]]))
def test_what_is_told(tmp_path: Path, upgrade: str, dialect: str, expected: list[tuple[str, str]]) -> None:
    """A message is one sentence, and each risk has a safer way."""
    for risk in risks(revisions(tmp_path, upgrade), dialect):
        assert risk.message.endswith(".")
        assert ". " not in risk.message
        assert risk.safer


def test_operations_of_others_are_done_into_the_void(tmp_path: Path) -> None:
    """What they execute is read."""

    @Operations.register_operation("empty_table")
    class EmptyTable(MigrateOperation):
        def __init__(self, name: str) -> None:
            self.name = name

        @classmethod
        def empty_table(cls, operations: Operations, name: str) -> Any:
            return operations.invoke(cls(name))

    @Operations.implementation_for(EmptyTable)
    def empty_table(operations: Operations, operation: EmptyTable) -> None:
        operations.execute(f"DELETE FROM {operation.name}")

    try:
        assert [("data loss", USERS)] == told(risks(revisions(tmp_path, "op.empty_table('users')"), SQLITE))
    finally:
        del Operations.empty_table  # type: ignore[attr-defined]
        vars(alembic.op).pop("empty_table", None)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a database Alembic would write the SQL to stdout."""
    risks(revisions(tmp_path, AUTOCOMMIT + "op.drop_table('users')", "op.execute('SELECT 1')"), POSTGRESQL)

    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize("upgrade", ["pass", "1 / 0", "raise KeyboardInterrupt"])
def test_nothing_stays_installed(tmp_path: Path, upgrade: str) -> None:
    """Afterwards `op` belongs to nobody, however a revision ended."""
    scripts = revisions(tmp_path, upgrade)

    with suppress(KeyboardInterrupt):
        risks(scripts, POSTGRESQL)

    with pytest.raises((NameError, AttributeError)):
        alembic.op.execute("SELECT 1")


@pytest.fixture(params=["Alembic's own proxy", "a proxy for each thread"])
def proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the functions of `op` find the operations that are under way."""
    current: ContextVar[Any] = ContextVar("current")

    class Dispatcher:
        def __getattr__(self, name: str) -> Any:
            return getattr(current.get(), name)

    own = request.param == "Alembic's own proxy"
    install, remove = (ModuleClsProxy._install_proxy, ModuleClsProxy._remove_proxy) if own else (current.set, id)
    monkeypatch.setitem(vars(alembic.op), "_proxy", None if own else Dispatcher())
    monkeypatch.setattr(Operations, "_install_proxy", lambda self: install(self))
    monkeypatch.setattr(Operations, "_remove_proxy", lambda self: remove(self))


@pytest.mark.usefixtures("proxy")
def test_several_threads_at_once(tmp_path: Path) -> None:
    """Each gets the risks of its own revisions."""
    names = [f"t{number}" for number in range(6)]
    histories = {}
    for name in names:
        (tmp_path / name).mkdir()
        pause = f"__import__('time').sleep(0.005)\nop.drop_table('{name}')"
        histories[name] = revisions(tmp_path / name, *[pause] * 3)
    together = Barrier(len(names))

    def lint(name: str) -> list[str]:
        together.wait()
        return [each.where for each in risks(histories[name], POSTGRESQL)]

    with ThreadPoolExecutor(len(names)) as threads:
        assert [[f"table {name}"] * 3 for name in names] == list(threads.map(lint, names))
