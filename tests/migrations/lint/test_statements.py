"""Plain SQL in revisions, read as operations."""

from pathlib import Path

import pytest

from manybase.migrations.lint import risks
from tests.migrations.lint.histories import (
    EMAIL,
    EVERYWHERE,
    MYSQLS,
    POSTGRESQL,
    SERVERS,
    SQLITE,
    USERS,
    Cases,
    flat,
    revisions,
    told,
)

SQL: Cases = [
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
    ("ALTER TABLE users ADD FULLTEXT INDEX ix (bio)", MYSQLS, [("long lock", "index ix on users")]),
    ("CREATE FULLTEXT INDEX ix ON users (bio)", MYSQLS, [("long lock", "index ix on users")]),
    ("ALTER TABLE users ADD n int GENERATED ALWAYS AS (a * 2) STORED", SERVERS, [("rewrite", "column users.n")]),
    ("ALTER TABLE users ADD n int GENERATED ALWAYS AS (a * 2) VIRTUAL", MYSQLS, []),
    ("ALTER TABLE users ADD price NUMERIC(10, 2) NOT NULL", SERVERS, [("not null", "column users.price")]),
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


@pytest.mark.parametrize(("sql", "dialect", "expected"), flat(SQL))
def test_plain_sql(tmp_path: Path, sql: str, dialect: str, expected: list[tuple[str, str]]) -> None:
    """It is read as the operation that it amounts to."""
    assert expected == told(risks(revisions(tmp_path, f"op.execute({sql!r})"), dialect))


def test_statements_on_the_connection_and_the_context_are_read(tmp_path: Path) -> None:
    """They do what op.execute() does."""
    upgrade = "op.get_bind().execute(sa.text('DROP TABLE users'))\nop.get_context().execute(sa.table('shops').delete())"

    assert [("data loss", USERS), ("data loss", "table shops")] == told(risks(revisions(tmp_path, upgrade), SQLITE))
