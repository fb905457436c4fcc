"""Projects: a folder with databases and their revisions, and `manybase` run on them, in this process or another."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from tests.commands import Commands, Ran, commands
from tests.migrations.revisions import write_revision
from tests.terminals import Terminal, on_terminal

__all__ = ["commands", "project"]

DOWN = "postgresql+psycopg://me:s3cret!@127.0.0.1:1/down"
APPLICATION = """
from sqlalchemy import Column, Integer, MetaData, String, Table
from manybase import Database, Databases

{tables}
databases = Databases({databases})
"""
USERS = 'Table("users", {name}, Column("id", Integer, primary_key=True))'


@dataclass(frozen=True)
class Project:
    """The databases of `--app app:databases`, which pyproject.toml names."""

    commands: Commands

    @property
    def folder(self) -> Path:
        return self.commands.folder

    def __call__(self, *arguments: str) -> Ran:
        return self.commands("--app", "app:databases", *arguments)

    def declare(self, *more: str, **urls: str) -> None:
        """Databases at these URLs, each with a table of users; ``more`` is Python that changes the models."""
        tables = [f"{name} = MetaData()\n{USERS.format(name=name)}" for name in urls]
        databases = [f"Database({name!r}, {url!r}, models={name})" for name, url in urls.items()]
        source = APPLICATION.format(tables="\n".join([*tables, *more]), databases=", ".join(databases))
        self.write(source)

    def write(self, source: str) -> None:
        """The module of the application; a former one is forgotten."""
        (self.folder / "app.py").write_text(source)
        sys.modules.pop("app", None)

    def revision(self, database: str, revision: str, down: str | None, upgrade: str, downgrade: str = "pass") -> None:
        write_revision(self.folder / "migrations" / database, revision, down, upgrade, downgrade)

    def users(self, *databases: str) -> None:
        """A first revision, r1, in each of these databases, which makes the table of users."""
        for each in databases:
            self.revision(each, "r1", None, 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))')

    def tables(self, database: str) -> set[str]:
        engine = create_engine(f"sqlite:///{self.folder / database}.db")
        try:
            return set(inspect(engine).get_table_names()) - {"alembic_version"}
        finally:
            engine.dispose()

    def started(self, *arguments: str, **options: object) -> "subprocess.Popen[str]":
        """`manybase` as a process of its own."""
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, text=True, **options)  # type: ignore[call-overload,no-any-return]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "manybase.cli", "--app", "app:databases", *arguments]

    def on_terminal(self, *arguments: str, **environment: str) -> AbstractContextManager[Terminal]:
        return on_terminal(self.command(*arguments), self.folder, **environment)


@pytest.fixture
def project(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Two databases, shop and audit, in SQLite files, with no revisions yet."""
    made = Project(commands)
    made.declare(shop="sqlite:///shop.db", audit="sqlite:///audit.db")
    yield made
    sys.modules.pop("app", None)
