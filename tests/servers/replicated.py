"""A primary and its replica, real and private: how far the replica is behind is for the test to say."""

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection

from tests.servers import mariadb, postgresql
from tests.servers.account import server_account
from tests.servers.directory import PrivateDirectory, for_data
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import SETTINGS, PostgreSQL
from tests.servers.process import ServerProcess, free_port
from tests.servers.programs import POSTGRESQL, find_or_install
from tests.servers.server import PASSWORD, USER, Server

FAST = {"wal_retrieve_retry_interval": "100ms", "wal_receiver_status_interval": "1s"}


@dataclass(frozen=True)
class Replicated:
    """``replica`` follows ``primary``. What is created on the primary is on the replica after ``wait()``."""

    primary: Server
    replica: Server

    def url_on_replica(self, url: URL) -> URL:
        return url.set(host=self.replica.address.host, port=self.replica.address.port)

    def close(self) -> None:
        self.replica.close()
        self.primary.close()

    def pause(self) -> None:
        """The replica receives, and replays nothing."""
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    def wait(self) -> None:
        """All that is committed by now is on the replica."""
        raise NotImplementedError


class Streaming(Replicated):
    """PostgreSQL, by streaming replication."""

    def delay(self, milliseconds: int) -> None:
        """From now on the replica replays each commit so much later."""
        with self.replica.connect() as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET recovery_min_apply_delay = '{milliseconds}ms'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            setting = "SELECT setting::int FROM pg_settings WHERE name = 'recovery_min_apply_delay'"
            until(connection, setting, lambda it: it == milliseconds)

    def pause(self) -> None:
        with self.replica.connect() as connection:
            connection.exec_driver_sql("SELECT pg_wal_replay_pause()")
            until(connection, "SELECT pg_get_wal_replay_pause_state()", lambda it: it == "paused")

    def resume(self) -> None:
        with self.replica.connect() as connection:
            connection.exec_driver_sql("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        with self.replica.connect() as connection:
            connection.exec_driver_sql("SELECT pg_promote()")

    def wait(self) -> None:
        with self.primary.connect() as connection:
            reached = connection.exec_driver_sql("SELECT pg_current_wal_insert_lsn()").scalar_one()
        with self.replica.connect() as connection:
            question = f"SELECT pg_last_wal_replay_lsn() >= '{reached}'::pg_lsn"
            until(connection, question, bool)


class ByGtid(Replicated):
    """MariaDB, by global transaction identifiers."""

    def delay(self, seconds: int) -> None:
        """From now on the replica replays each commit so many seconds later; it knows nothing shorter."""
        with self.replica.connect() as connection:
            connection.exec_driver_sql("STOP SLAVE")
            connection.exec_driver_sql(f"CHANGE MASTER TO MASTER_DELAY = {seconds}")
            connection.exec_driver_sql("START SLAVE")

    def pause(self) -> None:
        with self.replica.connect() as connection:
            connection.exec_driver_sql("STOP SLAVE SQL_THREAD")

    def resume(self) -> None:
        with self.replica.connect() as connection:
            connection.exec_driver_sql("START SLAVE SQL_THREAD")

    def wait(self) -> None:
        with self.primary.connect() as connection:
            reached = connection.exec_driver_sql("SELECT @@global.gtid_binlog_pos").scalar_one()
        with self.replica.connect() as connection:
            assert 0 == connection.exec_driver_sql(f"SELECT MASTER_GTID_WAIT('{reached}', 20)").scalar_one()


def start_postgresql(**settings: str) -> Streaming:
    """A primary and a hot standby of it."""
    primary = postgresql.start_private(**FAST, **settings)
    try:
        return Streaming(primary, start_standby(primary))
    except BaseException:
        primary.close()
        raise


def start_standby(primary: PostgreSQL) -> PostgreSQL:
    """Another hot standby of that primary, whose data are copied while it stands still."""
    programs = postgresql.executable(find_or_install(POSTGRESQL))
    directory = PrivateDirectory("postgresql-standby", inside=for_data())
    try:
        port, data = free_port(), directory.path / "data"
        assert primary.process is not None
        primary.stop()
        shutil.copytree(primary.process.directory.path / "data", data)
        primary.start()
        (data / "standby.signal").touch()
        own(data)
        settings = {**SETTINGS, **FAST, "primary_conninfo": conninfo(primary.address)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        command: list[str | Path] = [programs.server, "-D", data, "-p", str(port), *options]
        environment = programs.environment(directory.path)
        standby = PostgreSQL(
            address=URL.create("postgresql", USER, PASSWORD, "127.0.0.1", port, "postgres"),
            origin=programs.origin,
            process=ServerProcess(command, directory=directory, environment=environment),
        )
        standby.start()
    except BaseException:
        directory.remove()
        raise
    return standby


def start_mariadb() -> ByGtid:
    """A primary and a replica of it, both with accounts of their own."""
    replicating = {"binlog_format": "ROW", "sync_binlog": "0"}
    primary = mariadb.start_private(server_id="1", log_bin="bin", **replicating)
    replica: MariaDB | None = None
    try:
        replica = mariadb.start_private(server_id="2", log_bin="bin", read_only="1", **replicating)
        follow(primary, replica)
        return ByGtid(primary, replica)
    except BaseException:
        if replica is not None:
            replica.close()
        primary.close()
        raise


def follow(primary: Server, replica: Server) -> None:
    with primary.connect() as connection:
        reached = connection.exec_driver_sql("SELECT @@global.gtid_binlog_pos").scalar_one()
    with replica.connect() as connection:
        connection.exec_driver_sql("RESET MASTER")
        connection.exec_driver_sql(f"SET GLOBAL gtid_slave_pos = '{reached}'")
        connection.exec_driver_sql(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary.address.port}, MASTER_USER='{USER}', "
            f"MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
        )
        connection.exec_driver_sql("START SLAVE")


def conninfo(address: URL) -> str:
    return f"host={address.host} port={address.port} user={USER} password={PASSWORD} application_name=standby"


def own(folder: Path) -> None:
    account = server_account()
    for path in (folder, *folder.rglob("*")):
        account.own(path)
    folder.chmod(0o700)


def until(connection: Connection, question: str, wanted: Callable[[Any], bool], *, timeout: float = 20) -> None:
    """Ask until the answer is the wanted one."""
    deadline = time.monotonic() + timeout
    while not wanted(answer := connection.exec_driver_sql(question).scalar()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{question} still says {answer!r}.")
        time.sleep(0.002)


@contextlib.contextmanager
def paused(pair: Replicated) -> Any:
    """Inside, the replica replays nothing."""
    pair.pause()
    try:
        yield
    finally:
        pair.resume()
