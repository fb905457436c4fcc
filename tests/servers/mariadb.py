"""A MariaDB server for tests: the one of an environment variable, or a private one in a temporary directory."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.servers.account import server_account
from tests.servers.directory import PrivateDirectory, for_data
from tests.servers.process import ServerProcess, free_port
from tests.servers.programs import MARIADB, Programs, find_or_install
from tests.servers.server import PASSWORD, USER, Server

SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "max-connections": "300",
    "default-storage-engine": "InnoDB",
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "16M",
    # 2: each commit is written, not flushed to the disk. With 0 it stays in the server's own memory for up to a
    # second, and a killed server would come back without it.
    "innodb-flush-log-at-trx-commit": "2",
}
# One statement per line; run at each start, before the first client is let in.
ACCOUNTS = f"""\
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;
"""


class MariaDB(Server):
    driver: ClassVar[str] = "mysql+pymysql"
    gentle: ClassVar[signal.Signals] = signal.SIGTERM

    def _clear(self, connection: Connection, database: str) -> None:
        _end_sessions(connection, database)
        if self.process is not None:  # they name no database, so on a server of others they may be others'
            _roll_back_prepared(connection)
        connection.exec_driver_sql("SET lock_wait_timeout = 10")


def start() -> MariaDB:
    """A MariaDB that answers."""
    if url := os.environ.get(MARIADB.variable):
        server = MariaDB(address=_given(make_url(url)), origin=MARIADB.variable, process=None)
        server.wait_until_it_answers()
        return server
    return start_private()


def start_private(**settings: str) -> MariaDB:
    """One more MariaDB, of ours whatever the environment says, with these settings besides those of all tests."""
    return _start_private(find_or_install(MARIADB), settings)


def _given(url: URL) -> URL:
    return url.set(drivername=url.get_backend_name())


def _start_private(programs: Programs, settings: Mapping[str, str]) -> MariaDB:
    directory = PrivateDirectory("mariadb", inside=for_data())
    try:
        return _start_in(directory, programs, settings)
    except BaseException:
        directory.remove()
        raise


def _start_in(directory: PrivateDirectory, programs: Programs, settings: Mapping[str, str]) -> MariaDB:
    port, environment = free_port(), programs.environment(directory.path)
    places = [f"--basedir={programs.prefix}", f"--datadir={directory.path / 'data'}"]
    _initialise(programs, places, directory.path, environment)
    accounts = directory.path / "accounts.sql"
    accounts.write_text(ACCOUNTS)
    server_account().own(accounts)
    given = {name.replace("_", "-"): value for name, value in settings.items()}
    options = [f"--{name}={value}" for name, value in {**SETTINGS, **given}.items()]
    files = [f"--socket={directory.path / 'socket'}", f"--init-file={accounts}", f"--pid-file={directory.path / 'pid'}"]
    command: list[str | Path] = [programs.server, "--no-defaults", *places, f"--port={port}", *files, *options]
    server = MariaDB(
        address=URL.create("mysql", USER, PASSWORD, "127.0.0.1", port),
        origin=programs.origin,
        process=ServerProcess(command, directory=directory, environment=environment),
    )
    server.start()
    return server


def _initialise(programs: Programs, places: list[str], directory: Path, environment: dict[str, str]) -> None:
    # Forced, because it refuses a machine whose own name does not resolve.
    options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
    program, settings = programs.companion("mariadb-install-db"), ["--innodb-log-file-size=16M"]
    command: list[str | Path] = [program, "--no-defaults", *places, *options, *settings]
    server_account().run(command, cwd=directory, env=environment)


def _end_sessions(connection: Connection, database: str) -> None:
    """A session that a test forgot would keep its tables locked."""
    sessions = text("SELECT id FROM information_schema.processlist WHERE db = :database")
    deadline = time.monotonic() + 5
    while found := connection.execute(sessions, {"database": database}).scalars().all():
        for session in found:
            with contextlib.suppress(DBAPIError):  # it went by itself
                connection.exec_driver_sql(f"KILL {session}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"Sessions {list(found)} do not leave database {database}.")
        time.sleep(0.01)


def _roll_back_prepared(connection: Connection) -> None:
    for transaction in connection.exec_driver_sql("XA RECOVER FORMAT='SQL'").all():
        statement = f"XA ROLLBACK {transaction.data}"
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
