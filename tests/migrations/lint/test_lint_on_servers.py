"""Whether the servers do what the lint says of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from manybase.migrations.lint import risks
from tests.migrations.lint.histories import MARIADB, POSTGRESQL, revisions
from tests.migrations.lint.test_type_changes import TYPES

pytestmark = pytest.mark.server

NAMESPACE = "import sqlalchemy as sa\nfrom sqlalchemy.dialects import mysql, postgresql\n"
WRITTEN_ANEW = "SELECT pg_relation_filenode('users')"
ONLINE = ", ALGORITHM=NOCOPY, LOCK=NONE"
NOT_ONLINE = (1845, 1846)

ON_POSTGRESQL = [
    "ADD COLUMN x timestamptz DEFAULT now()",
    "ADD COLUMN x timestamp DEFAULT timezone('utc', now())",
    "ADD COLUMN x text DEFAULT 'random()' NOT NULL",
    "ADD COLUMN x timestamptz DEFAULT clock_timestamp()",
    "ADD COLUMN x uuid DEFAULT gen_random_uuid()",
    "ADD COLUMN x float DEFAULT random()",
    "ADD COLUMN x int GENERATED ALWAYS AS IDENTITY",
    "ADD COLUMN x bigserial",
    "ADD COLUMN x jsonb DEFAULT jsonb_build_object('a', 1)",
    "ADD COLUMN x int GENERATED ALWAYS AS (id * 2) STORED",
    "ADD COLUMN x jsonb DEFAULT '{}'::jsonb",
    "ADD COLUMN x varchar(5) DEFAULT CAST('a' AS varchar(5))",
]
ON_MARIADB = [
    "ADD COLUMN x TEXT",
    "ADD COLUMN x DATETIME DEFAULT now()",
    "ADD COLUMN x VARCHAR(36) DEFAULT (uuid())",
    "ADD COLUMN x FLOAT DEFAULT (rand())",
    "ADD COLUMN x INT NOT NULL DEFAULT 0",
    "ADD COLUMN x INT NOT NULL AUTO_INCREMENT UNIQUE",
    "ADD COLUMN x INT AS (id * 2) STORED",
    "ADD COLUMN x INT AS (id * 2) VIRTUAL",
    "ADD UNIQUE (email)",
    "ADD INDEX ix (email)",
    "ADD FULLTEXT INDEX ix (email)",
    "ADD CONSTRAINT ck CHECK (id > 0)",
    "ADD CONSTRAINT fk FOREIGN KEY (shop) REFERENCES shops (id)",
    "ADD COLUMN x INT REFERENCES shops (id)",
    "ADD PRIMARY KEY (id)",
    "DROP COLUMN email",
    "CHANGE email mail VARCHAR(50)",
]


@pytest.fixture
def on_postgresql(postgresql_url: URL) -> Iterator[Connection]:
    engine = create_engine(postgresql_url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        connection.execute(
            text("SET timezone TO 'Europe/Berlin'")
        )  # at UTC, times with and without a zone are the same
        connection.commit()
        yield connection
    engine.dispose()


@pytest.fixture
def on_mariadb(mariadb_url: URL) -> Iterator[Connection]:
    engine = create_engine(mariadb_url.set(drivername="mysql+pymysql"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def kinds(directory: Path, upgrade: str, dialect: str) -> set[str]:
    directory.mkdir()
    return {risk.kind for risk in risks(revisions(directory, upgrade), dialect)}


def spelled(type_: str, connection: Connection) -> str:
    names: dict[str, object] = {}
    exec(f"{NAMESPACE}type_ = sa.types.to_instance({type_})", names)
    return names["type_"].compile(dialect=connection.dialect)  # type: ignore[attr-defined, no-any-return]


def is_rewritten(connection: Connection, column: str, action: str) -> bool:
    connection.execute(text(f"CREATE TABLE users (id int, email {column})"))
    before = connection.execute(text(WRITTEN_ANEW)).scalar()
    connection.execute(text(f"ALTER TABLE users {action}"))
    after = connection.execute(text(WRITTEN_ANEW)).scalar()
    connection.rollback()
    return before != after


def test_postgresql_writes_anew_what_is_said(on_postgresql: Connection, tmp_path: Path) -> None:
    """Each change of type and each new column, looked at as the file in which the table lies."""
    wrong = []
    for number, (old, new, dialects, _) in enumerate(TYPES):
        if POSTGRESQL in dialects and old != "None":
            type_ = spelled(new, on_postgresql)
            upgrade = f"op.alter_column('users', 'email', existing_type={old}, type_={new})"
            said = "rewrite" in kinds(tmp_path / f"{number}", upgrade, POSTGRESQL)
            action = f"ALTER email TYPE {type_} USING email::{type_}"
            if said != is_rewritten(on_postgresql, spelled(old, on_postgresql), action):
                wrong.append((old, new))
    for action in ON_POSTGRESQL:
        upgrade = f"op.execute({f'ALTER TABLE users {action}'!r})"
        said = "rewrite" in kinds(tmp_path / f"{ON_POSTGRESQL.index(action)} of all", upgrade, POSTGRESQL)
        if said != is_rewritten(on_postgresql, "text", action):
            wrong.append(("", action))

    assert [] == wrong


def is_online(connection: Connection, column: str, action: str, charset: str) -> bool:
    """MariaDB refuses what it cannot do without a copy and without a lock."""
    for name in ("users", "shops"):
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
    connection.execute(text("CREATE TABLE shops (id INT PRIMARY KEY)"))
    connection.execute(text(f"CREATE TABLE users (id INT NOT NULL, shop INT, email {column}) CHARSET {charset}"))
    try:
        connection.execute(text(f"ALTER TABLE users {action}{ONLINE}"))
    except DBAPIError as error:
        if error.orig is None or error.orig.args[0] not in NOT_ONLINE:
            raise
        return False
    return True


def test_mariadb_does_online_what_is_not_said(on_mariadb: Connection, tmp_path: Path) -> None:
    """Each change that it can only do with a copy or a lock is a risk."""
    missed = []
    for number, (old, new, dialects, _) in enumerate(TYPES):
        if MARIADB in dialects and old != "None":
            upgrade = f"op.alter_column('users', 'email', existing_type={old}, type_={new})"
            said = kinds(tmp_path / f"{number}", upgrade, MARIADB)
            action = f"MODIFY email {spelled(new, on_mariadb)}"
            for charset in ("utf8mb4", "latin1"):
                online = is_online(on_mariadb, spelled(old, on_mariadb), action, charset)
                if not online and not said & {"rewrite", "long lock"}:
                    missed.append((old, new))
    for action in ON_MARIADB:
        upgrade = f"op.execute({f'ALTER TABLE users {action}'!r})"
        said = kinds(tmp_path / f"{ON_MARIADB.index(action)} of all", upgrade, MARIADB)
        online = is_online(on_mariadb, "VARCHAR(50)", action, "utf8mb4")
        if not online and not said & {"rewrite", "long lock"}:
            missed.append(("", action))

    assert [] == missed
