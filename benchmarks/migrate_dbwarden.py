"""DBWarden, for ``benchmarks/migrate.py``: installed into a place of its own, with migrations that do the same.

It has a directory of SQL files for each database, and after each of them it writes down what the schema has become:
more than Alembic does. ``--defer-snapshots`` does that once per database.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

VERSION = "0.20.11"
PACKAGES = [f"dbwarden=={VERSION}", "psycopg[binary]", "psycopg2-binary"]
SETTINGS = """
from pathlib import Path

from dbwarden import database_config

for number, url in enumerate(Path("urls").read_text().splitlines()):
    database_config(
        database_name=f"db{number}",
        default=number == 0,
        database_type=url.partition(":")[0].partition("+")[0],
        database_url_sync=url,
        migrations_dir=f"migrations/db{number}",
        model_paths=["models.py"],
        overlap_models=True,
    )
"""
MODELS = "from sqlalchemy.orm import declarative_base\n\nBase = declarative_base()\n"
MIGRATION = """-- upgrade

CREATE TABLE t{number} (id {id} PRIMARY KEY, name VARCHAR(50));
CREATE INDEX ix_t{number}_name ON t{number} (name);

-- rollback

DROP TABLE t{number};
"""


def install(folder: Path) -> Path | None:
    """Where its program is; None: it cannot be had."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", *PACKAGES]
    if subprocess.run(pip, capture_output=True).returncode:
        return None
    return programs / "dbwarden"


def prepare(folder: Path, urls: list[str], *, program: Path, revisions: int, options: list[str]) -> list[list[str]]:
    """Write what migrates the databases at these URLs, and return what is to be run in the folder."""
    (folder / "urls").write_text("\n".join(urls))
    (folder / "dbwarden.py").write_text(SETTINGS)
    (folder / "models.py").write_text(MODELS)
    for name, url in ((f"db{number}", url) for number, url in enumerate(urls)):
        directory = folder / "migrations" / name
        directory.mkdir(parents=True)
        kind = "INTEGER" if url.startswith("sqlite") else "SERIAL"
        for number in range(1, revisions + 1):
            path = directory / f"{name}__{number:04}_table_{number}.sql"
            path.write_text(MIGRATION.format(number=number, id=kind))
    return [[str(program), "migrate", "--all", *options]]
