"""History: the revisions of one database, or of several that share a schema, and the directory they are in."""

from __future__ import annotations

import os
import re
import tomllib
from argparse import Namespace
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError, coerce_resource_to_filename
from sqlalchemy import URL

from manybase.database import Database
from manybase.engines import Databases
from manybase.errors import ConfigurationError
from manybase.parts import base_of

ASYNC = re.compile(r"async_engine|AsyncEngine")  # in an env.py: it makes an async engine
ENVIRONMENT = Path(__file__).parent / "environment"  # what Alembic runs where a directory has no env.py


@dataclass(frozen=True)
class History:
    """``databases`` are those that share it; ``folder`` holds their revisions, in ``versions`` unless it says else."""

    name: str
    folder: Path
    databases: tuple[str, ...]

    @property
    def has_environment(self) -> bool:
        """Whether an ``env.py`` of the user's runs the migrations, which may do as it likes."""
        return (self.folder / "env.py").is_file()

    @property
    def exists(self) -> bool:
        return self.has_environment or (self.folder / "versions").is_dir()

    @property
    def runs_async(self) -> bool:
        """Whether its ``env.py`` makes an async engine."""
        return ASYNC.search((self.folder / "env.py").read_text(encoding="utf-8", errors="replace")) is not None

    @cached_property
    def scripts(self) -> ScriptDirectory:
        """The revisions, read once. Raises ``ConfigurationError`` where they cannot be read."""
        if not self.exists:
            raise ConfigurationError(
                f"History {self.name!r} has no directory {self.folder}. Make it: manybase init. Or say where it is: "
                "Database(..., migrations=...)."
            )
        try:
            scripts = self._make_scripts()
            list(scripts.walk_revisions())
        except CommandError as error:
            raise ConfigurationError(f"History {self.name!r} in {self.folder} cannot be read. {error}") from error
        except Exception as error:  # a revision that raises, or one whose file is gone
            raise ConfigurationError(
                f"History {self.name!r} in {self.folder} cannot be read. {type(error).__name__}: {error}"
            ) from error
        return scripts

    def load(self) -> None:
        """Read the revisions now, so that no thread has to and what is wrong with them is told at once."""
        self.scripts.get_heads()

    def has(self, revision: str) -> bool:
        """Whether it has a revision of that name."""
        return revision in self._revisions

    @cached_property
    def _revisions(self) -> frozenset[str]:
        return frozenset(each.revision for each in self.scripts.walk_revisions())

    def _make_scripts(self) -> ScriptDirectory:
        if self.has_environment:
            return ScriptDirectory.from_config(self.configuration())
        return ScriptDirectory(
            ENVIRONMENT, version_locations=[self.folder / "versions"], messaging_opts={"quiet": True}
        )

    def configuration(self, urls: dict[str, URL] | None = None, name: str = "", **attributes: Any) -> Config:
        """What Alembic and an ``env.py`` read, fresh for each use: ``urls`` by database are those they connect to, the
        one called ``name`` where they ask for one."""
        config = read_settings(self.folder) if self.has_environment else settings(ENVIRONMENT)
        config.cmd_opts = Namespace(quiet=True, x=None, sql=False, tag=None, autogenerate=False)
        config.attributes.update(attributes)
        for each, url in (urls or {}).items():
            text = url.render_as_string(hide_password=False).replace("%", "%%")
            if each == name:
                config.set_main_option("sqlalchemy.url", text)
            if config.get_main_option("databases"):
                config.set_section_option(each, "sqlalchemy.url", text)
        if urls and config.get_main_option("databases"):
            config.set_main_option("databases", ", ".join(urls))
        return config


def settings(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder.absolute()).replace("%", "%%"))
    return config


def read_settings(folder: Path) -> Config:
    """The alembic.ini or pyproject.toml that belongs to a directory of Alembic's, or one that only names it.

    Its logging stays out: it is for the whole process, and would be set up anew by each database.
    """
    for above in (folder, *folder.parents):
        ini, toml = above / "alembic.ini", above / "pyproject.toml"
        config = Config(ini if ini.is_file() else None, toml if configures_alembic(toml) else None)
        location = config.get_alembic_option("script_location") if ini.is_file() or config.toml_file_name else None
        if location is not None and leads_to(location, above, folder):
            config.set_main_option("script_location", str(folder.absolute()).replace("%", "%%"))
            config.file_config.sections()  # reads the file now: nobody finds it afterwards
            config.config_file_name = None
            return config
    return settings(folder)


def leads_to(location: str, above: Path, folder: Path) -> bool:
    """Whether this is the folder, from the working directory or from where it is written."""
    path = coerce_resource_to_filename(location)
    return folder.resolve() in (path.resolve(), (above / path).resolve())


def configures_alembic(toml: Path) -> bool:
    if not toml.is_file():
        return False
    try:
        return "alembic" in tomllib.loads(toml.read_text(encoding="utf-8")).get("tool", {})
    except (ValueError, OSError):
        return False


def histories(databases: Databases, names: Collection[str] | None = None) -> list[History]:
    """The histories of these databases, or of all whose schema is managed here, in the order of declaration.

    Raises ``UnknownDatabase``, and ``ConfigurationError`` where a database is named whose schema is not managed.
    """
    for name in names or ():  # parts of them, too
        if not databases[name].manage_schema:
            raise ConfigurationError(f"Database {name!r} has manage_schema=False: its schema is somebody else's.")
    found: dict[Path, list[Database]] = {}
    sharing: dict[tuple[Any, ...], Path] = {}
    for database in databases:
        if database.manage_schema:
            folder = folder_of(databases, database, sharing)
            found.setdefault(folder, []).append(database)
    every = [
        History(together[0].name, folder, tuple(each.name for each in together)) for folder, together in found.items()
    ]
    if names is None:
        return every
    meant = {base_of(name) for name in names}
    chosen = [History(each.name, each.folder, tuple(n for n in each.databases if n in meant)) for each in every]
    return [each for each in chosen if each.databases]


def folder_of(databases: Databases, database: Database, sharing: dict[tuple[Any, ...], Path]) -> Path:
    """Its own directory, or that of the first database with the same models."""
    if database.migrations is not None:
        return located(database.migrations)
    if database.shared_models and database.models:
        return sharing.setdefault(database.models, located(databases.migrations) / database.name)
    return located(databases.migrations) / database.name


def located(directory: str) -> Path:
    """Where it is: a path, or a folder of a package, as "package:folder"."""
    if os.path.isabs(directory):
        return Path(directory)
    return Path(coerce_resource_to_filename(directory)).absolute()
