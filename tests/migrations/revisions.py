"""Revisions written by hand, for the tests of what runs them."""

from pathlib import Path
from textwrap import dedent, indent

TEMPLATE = '''"""{message}"""

import sqlalchemy as sa
from alembic import context, op

revision = {revision!r}
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade({argument}):
{upgrade}


def downgrade({argument}):
{downgrade}
'''


def write_revision(
    folder: Path, revision: str, down: str | None, upgrade: str, downgrade: str = "pass", *, argument: str = ""
) -> Path:
    """A revision in a directory of Alembic's; its functions do what is given as text."""
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    path = versions / f"{revision}.py"
    path.write_text(
        TEMPLATE.format(
            message=f"Revision {revision}",
            revision=revision,
            down=down,
            argument=argument,
            upgrade=indent(dedent(upgrade).strip(), "    "),
            downgrade=indent(dedent(downgrade).strip(), "    "),
        )
    )
    return path


def write_chain(folder: Path, count: int, *, pause: float = 0.0) -> list[str]:
    """Revisions that each create a table, t1 and so on, and write into it which database it is in."""
    names = [f"rev{number:03}" for number in range(1, count + 1)]
    for number, (name, down) in enumerate(zip(names, [None, *names], strict=False), 1):
        write_revision(
            folder,
            name,
            down,
            f"""
            import time
            op.create_table("t{number}", sa.Column("who", sa.String(200)))
            time.sleep({pause})
            who = str(op.get_bind().engine.url.database)
            op.execute(sa.text("INSERT INTO t{number} (who) VALUES (:who)").bindparams(who=who))
            """,
            f'op.drop_table("t{number}")',
        )
    return names
