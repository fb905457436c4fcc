"""A PostgreSQL server for tests: the one of an environment variable, or a private one in a temporary directory."""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from sqlalchemy import URL, Connection, make_url, text

from tests.servers.account import server_account
from tests.servers.directory import PrivateDirectory, for_data, for_programs
from tests.servers.process import ServerProcess, free_port
from tests.servers.programs import POSTGRESQL, Programs, find_or_install
from tests.servers.server import PASSWORD, USER, Server

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "max_prepared_transactions": "64",
    "wal_level": "logical",
    # The system survives our kills, so what was written need not be on the disk. synchronous_commit stays on:
    # off, a commit may still be in the server's own memory when it is killed, and a test would miss its rows.
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",  # in the data directory, so it goes with it
}


class PostgreSQL(Server):
    driver: ClassVar[str] = "postgresql+psycopg"
    gentle: ClassVar[signal.Signals] = signal.SIGINT
    immediate: ClassVar[signal.Signals] = signal.SIGQUIT

    def _clear(self, connection: Connection, database: str) -> None:
        self._roll_back_prepared(connection, database)
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :database"),
            {"database": database},
        )

    def _roll_back_prepared(self, connection: Connection, database: str) -> None:
        prepared = text("SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = :database")
        statements = connection.execute(prepared, {"database": database}).scalars().all()
        if not statements:
            return
        with self.connect(database) as inside:  # PostgreSQL ends them only from within their database
            for statement in statements:
                inside.exec_driver_sql(statement, execution_options={"no_parameters": True})


def start() -> PostgreSQL:
    """A PostgreSQL that answers."""
    if url := os.environ.get(POSTGRESQL.variable):
        server = PostgreSQL(address=_given(make_url(url)), origin=POSTGRESQL.variable, process=None)
        server.wait_until_it_answers()
        return server
    return start_private()


def start_private(**settings: str) -> PostgreSQL:
    """A PostgreSQL of our own that answers, with these settings besides those of all tests."""
    return _start_private(find_or_install(POSTGRESQL), settings)


def _given(url: URL) -> URL:
    return url.set(drivername=url.get_backend_name(), database=url.database or "postgres")


def _start_private(programs: Programs, settings: Mapping[str, str]) -> PostgreSQL:
    directory = PrivateDirectory("postgresql", inside=for_data())
    try:
        return _start_in(directory, executable(programs), settings)
    except BaseException:
        directory.remove()
        raise


def _start_in(directory: PrivateDirectory, programs: Programs, settings: Mapping[str, str]) -> PostgreSQL:
    port, data = free_port(), directory.path / "data"
    environment = programs.environment(directory.path)
    _initialise(programs, data, environment)
    options = [f"--{name}={value}" for name, value in {**SETTINGS, **settings}.items()]
    command: list[str | Path] = [programs.server, "-D", data, "-p", str(port), *options]
    server = PostgreSQL(
        address=URL.create("postgresql", USER, PASSWORD, "127.0.0.1", port, "postgres"),
        origin=programs.origin,
        process=ServerProcess(command, directory=directory, environment=environment),
    )
    server.start()
    return server


def _initialise(programs: Programs, data: Path, environment: dict[str, str]) -> None:
    password = data.with_name("password")
    password.write_text(PASSWORD)
    server_account().own(password)
    options = ["--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command: list[str | Path] = [programs.companion("initdb"), "-D", data, "-U", USER, *options]
    server_account().run(command, cwd=data.parent, env=environment)


def executable(programs: Programs) -> Programs:
    """The programs as they are, or a copy: PostgreSQL refuses root, and nobody else may see into root's directories."""
    if server_account().can_execute(programs.server):
        return programs
    place = PrivateDirectory("postgresql-programs", inside=for_programs()).path  # goes when the run ends
    prefix, *libraries = [
        Path(shutil.copytree(folder, place / str(number), symlinks=True))
        for number, folder in enumerate([programs.prefix, *programs.libraries])
    ]
    for path in place.rglob("*"):
        server_account().own(path)
    return replace(programs, server=prefix / "bin" / programs.server.name, libraries=tuple(libraries))
