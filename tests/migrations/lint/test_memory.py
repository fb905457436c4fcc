"""What pending revisions make themselves."""

from pathlib import Path

import pytest

from manybase.migrations.lint import risks
from tests.migrations.lint.histories import (
    POSTGRESQL,
    USERS,
    revisions,
    told,
)


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
        (
            [
                "op.add_column('users', sa.Column('a', sa.Text))\nop.alter_column('users', 'a', new_column_name='b')",
                "op.drop_column('users', 'b')",
            ],
            [],
        ),
        (
            [
                "op.add_column('users', sa.Column('a', sa.Text))",
                "op.alter_column('users', 'a', new_column_name='b', nullable=False)",
            ],
            [("not null", "column users.a"), ("long lock", "column users.a"), ("rename", "column users.a")],
        ),
        (["op.create_table('users')", "with op.batch_alter_table('users', recreate='always'): ..."], []),
    ],
)
def test_what_the_run_makes_itself_is_at_no_risk(
    tmp_path: Path, upgrades: list[str], expected: list[tuple[str, str]]
) -> None:
    """Tables that pending revisions create hold no rows, and no release uses them, until the run is over."""
    assert expected == told(risks(revisions(tmp_path, *upgrades), POSTGRESQL))
