"""Embedded databases: an SQLite file for each database that has no URL in the environment."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from examples.shop.databases import databases

SUFFIXES = ("", "-journal", "-wal", "-shm")


@contextmanager
def sqlite_files(directory: Path, *, keep: bool) -> Iterator[None]:
    """Every database without a URL is a file in ``directory``, until this block is left.

    The files are new unless ``keep`` says to go on with those that are there. Ends the program where the directory
    cannot be used, or another demonstration is using it.
    """
    with sole_user_of(directory):
        missing = [each for each in databases if not any(map(os.environ.get, each.environment_variables))]
        for database in missing:
            path = directory.resolve() / f"{database.name}.sqlite"
            if not keep:
                remove(path)
            os.environ[database.environment_variables[0]] = f"sqlite:///{path}"
        try:
            yield
        finally:
            for database in missing:
                del os.environ[database.environment_variables[0]]


@contextmanager
def sole_user_of(directory: Path) -> Iterator[None]:
    with closing(lock_of(directory)):
        yield


def lock_of(directory: Path) -> sqlite3.Connection:
    """SQLite's own file lock, which the operating system releases however this process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(directory / "in-use.sqlite", timeout=0, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
            sys.exit(f"Another demo is using {directory}. Stop it, or give this one its own directory: --data PATH")
        reason = getattr(error, "strerror", None) or error
        sys.exit(f"The directory {directory} cannot be used ({reason}). Give another one: --data PATH")
    return lock


def remove(path: Path) -> None:
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
