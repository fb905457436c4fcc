"""The risks of each operation, on each server."""

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

BATCH = "with op.batch_alter_table('users', recreate='{}') as batch: "
AUTOCOMMIT = "with op.get_context().autocommit_block(): "

CASES: Cases = [
    # Data that is lost
    ("op.drop_table('users')", (*EVERYWHERE, "oracle"), [("data loss", USERS)]),
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
    (
        "op.add_column('users', sa.Column('id', sa.Integer, primary_key=True))",
        SERVERS,
        [("rewrite", "column users.id")],
    ),
    (
        "op.add_column('users', sa.Column('id', sa.Text, primary_key=True))",
        EVERYWHERE,
        [("not null", "column users.id")],
    ),
    (
        "op.add_column('users', sa.Column('number', sa.Integer, sa.Identity(), nullable=True))",
        (SQLITE,),
        [],  # which knows no identity
    ),
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
    # USING
    (
        "op.alter_column('users', 'email', existing_type=sa.String(9), type_=sa.Text(), "
        "postgresql_using='lower(email)')",
        (POSTGRESQL,),
        [("rewrite", EMAIL)],
    ),
    (
        "op.alter_column('users', 'email', existing_type=sa.String(9), type_=sa.Text(), "
        "postgresql_using='\"email\"::text')",
        (POSTGRESQL,),
        [],
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
    ("raise SystemExit", EVERYWHERE, [("unknown", "upgrade()")]),
    (
        "if op.get_bind().dialect.name == op.get_context().dialect.name: op.drop_table('users')",
        EVERYWHERE,
        [("data loss", USERS)],
    ),
    ("postgresql.ENUM('a', 'b', name='mood').create(op.get_bind(), checkfirst=True)", (POSTGRESQL,), []),
]


@pytest.mark.parametrize(("upgrade", "dialect", "expected"), flat(CASES))
def test_an_operation(tmp_path: Path, upgrade: str, dialect: str, expected: list[tuple[str, str]]) -> None:
    """Each has its risks on each server, or none."""
    assert expected == told(risks(revisions(tmp_path, upgrade), dialect))


@pytest.mark.parametrize(("upgrade", "dialect", "expected"), flat([case for case in CASES if case[2]]))
def test_what_is_told(tmp_path: Path, upgrade: str, dialect: str, expected: list[tuple[str, str]]) -> None:
    """A message is one sentence, and each risk has a safer way."""
    for risk in risks(revisions(tmp_path, upgrade), dialect):
        assert risk.message.endswith(".")
        assert ". " not in risk.message
        assert risk.safer
