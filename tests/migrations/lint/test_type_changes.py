"""What is lost, and what is written anew, where a column changes its type."""

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
    flat,
    revisions,
    told,
)

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


@pytest.mark.parametrize(("old", "new", "dialect", "expected"), flat(TYPES))
def test_a_change_of_type(tmp_path: Path, old: str, new: str, dialect: str, expected: list[str]) -> None:
    """Whether it loses data, and whether the server writes the table anew, depends on both types."""
    scripts = revisions(tmp_path, f"op.alter_column('users', 'email', existing_type={old}, type_={new})")

    assert [(kind, EMAIL) for kind in expected] == told(risks(scripts, dialect))
