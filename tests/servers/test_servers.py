"""The servers that the other tests stand on: real ones, private, and gone when the run is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, create_engine, make_url

from tests.servers import mariadb as mariadb_module
from tests.servers import postgresql as postgresql_module
from tests.servers.process import alive
from tests.servers.programs import MARIADB, POSTGRESQL
from tests.servers.server import PASSWORD, Server, ServerNotPrivate
from tests.servers.startup import STARTERS

ROOT = Path(__file__).parents[2]


@pytest.fixture(
    params=[pytest.param(name, marks=[getattr(pytest.mark, name), pytest.mark.server]) for name in STARTERS]
)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(str(request.param))
    return found


@pytest.fixture(
    params=[pytest.param(name, marks=[getattr(pytest.mark, name), pytest.mark.server]) for name in STARTERS]
)
def private_server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"private_{request.param}")
    return found


@pytest.fixture
def table(private_server: Server, create_database: Callable[[Server], URL]) -> tuple[Server, str]:
    """A server and the name of a database on it that has a table `t`."""
    name = create_database(private_server).database
    assert name is not None
    with private_server.connect(name) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    return private_server, name


def rows(server: Server, database: str) -> list[int]:
    with server.connect(database) as connection:
        return list(connection.exec_driver_sql("SELECT id FROM t ORDER BY id").scalars())


def insert(connection: Connection, row: int) -> None:
    connection.exec_driver_sql(f"INSERT INTO t VALUES ({row})")


def test_postgresql_prepares_transactions(postgresql: Server, postgresql_url: URL) -> None:
    """Two-phase commit is switched on, and a prepared transaction can be committed by another connection."""
    assert postgresql_url.database is not None
    with postgresql.connect(postgresql_url.database) as connection:
        assert int(connection.exec_driver_sql("SHOW max_prepared_transactions").scalar_one()) > 0
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        for statement in ("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'one'"):
            connection.exec_driver_sql(statement)
    with postgresql.connect(postgresql_url.database) as connection:
        connection.exec_driver_sql("COMMIT PREPARED 'one'")

    assert [1] == rows(postgresql, postgresql_url.database)


def test_mariadb_has_innodb_and_all_of_unicode(mariadb: Server) -> None:
    """Tables are transactional and text is utf8mb4 unless a test says otherwise."""
    with mariadb.connect() as connection:
        row = connection.exec_driver_sql("SELECT version(), @@default_storage_engine, @@character_set_server").one()

    assert ("InnoDB", "utf8mb4") == (row[1], row[2])
    assert "MariaDB" in row[0]


def test_url_of_a_fresh_database(server_url: URL) -> None:
    """It names a backend without a driver, and the database is there and empty."""
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
    assert server_url.drivername in driver
    engine = create_engine(server_url.set(drivername=driver[server_url.drivername]))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER)")
        insert(connection, 1)
    engine.dispose()


def test_fresh_databases_differ_and_go(server: Server) -> None:
    """Each has its own name, and dropping one leaves the other."""
    first, second = server.create_database(), server.create_database()
    server.drop_database(first)

    assert first.database != second.database
    with pytest.raises(Exception, match=str(first.database)), server.connect(first.database):
        pass
    with server.connect(second.database):
        pass
    server.drop_database(second)


def test_database_with_what_a_test_forgot(table: tuple[Server, str]) -> None:
    """An open transaction and a prepared one do not keep the database from being dropped."""
    server, database = table
    prepare = {
        "postgresql": ("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION '100% ''s'"),
        "mysql": ("XA START '100% o'", "INSERT INTO t VALUES (1)", "XA END '100% o'", "XA PREPARE '100% o'"),
    }[server.address.drivername]
    with server.connect(database) as prepared, server.connect(database) as forgotten:
        for statement in prepare:
            prepared.exec_driver_sql(statement, execution_options={"no_parameters": True})
        forgotten.exec_driver_sql("BEGIN")
        insert(forgotten, 2)

        server.drop_database(server.url(database))
        for connection in (prepared, forgotten):
            connection.invalidate()

    with server.connect() as connection:
        in_doubt = {"postgresql": "SELECT gid FROM pg_prepared_xacts", "mysql": "XA RECOVER"}
        assert [] == connection.exec_driver_sql(in_doubt[server.address.drivername]).all()


def test_database_of_somebody_else_is_not_dropped(server: Server) -> None:
    """Only what create_database() made is ever dropped: the server may be a real one, given by its URL."""
    with pytest.raises(ValueError, match="'mysql' was not made by"):
        server.drop_database(server.url("mysql"))


def test_killed_right_after_a_commit(table: tuple[Server, str]) -> None:
    """The server comes back on the same port, and every row whose commit had returned is there."""
    server, database = table
    url, pid = server.url(database), server.pid
    with server.connect(database) as connection:
        for row in range(50):
            insert(connection, row)
        server.kill()
        connection.invalidate()
    dead = not alive(pid) and not server.running
    server.start()

    assert dead
    assert url == server.url(database)
    assert list(range(50)) == rows(server, database)


def test_stopped_and_started_again(table: tuple[Server, str]) -> None:
    """A gentle stop ends open sessions too, and the rows are there afterwards."""
    server, database = table
    with server.connect(database) as connection:
        insert(connection, 1)
        server.stop()
        connection.invalidate()
    stopped = not server.running
    server.start()

    assert stopped
    assert [1] == rows(server, database)


def test_postgresql_stopped_at_once(private_postgresql: Server) -> None:
    """The immediate stop is a crash: the next start recovers."""
    private_postgresql.stop(signal.SIGQUIT)
    assert not private_postgresql.running
    private_postgresql.start()

    with private_postgresql.connect() as connection:
        assert 1 == connection.exec_driver_sql("SELECT 1").scalar_one()


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
OWNER = """
import sys, time
from tests.servers.startup import STARTERS
server = STARTERS[sys.argv[1]]()
print(server.pid, server.process.directory.path, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_owner_is_killed(private_server: Server, how: signal.Signals) -> None:
    """Neither a process of its server nor the directory survives the test run, however that ends."""
    name = "postgresql" if private_server.address.drivername == "postgresql" else "mariadb"
    command = [sys.executable, "-c", OWNER, name]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().decode().split()
        before = processes_in(directory)
        owner.send_signal(how)
        owner.wait(10)

    deadline = time.monotonic() + 10
    while (Path(directory).exists() or processes_in(directory)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert int(pid) in before
    assert [] == processes_in(directory)
    assert not alive(int(pid))
    assert not Path(directory).exists()
    assert pid not in shared_memory_makers()


def processes_in(directory: str) -> list[int]:
    """Linux: the processes that work in the directory, children of the server included. Elsewhere ps must do."""
    if not Path("/proc").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,command="], check=True, capture_output=True, text=True)
        return [int(line.split()[0]) for line in listing.stdout.splitlines() if directory in line]
    numbers = [int(entry.name) for entry in Path("/proc").glob("[1-9]*") if works_in(entry, directory)]
    return [number for number in numbers if alive(number)]


def shared_memory_makers() -> list[str]:
    listing = Path("/proc/sysvipc/shm")
    return [line.split()[4] for line in listing.read_text().splitlines()] if listing.exists() else []


def works_in(process: Path, directory: str) -> bool:
    try:
        return os.readlink(process / "cwd").startswith(directory)
    except OSError:
        return False


def test_server_given_by_its_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used as it is, whatever driver the URL names, and is not ours to kill or stop."""
    is_postgresql = server.address.drivername == "postgresql"
    product, module = (POSTGRESQL, postgresql_module) if is_postgresql else (MARIADB, mariadb_module)
    address = server.address.set(drivername=server.driver).render_as_string(hide_password=False)
    monkeypatch.setenv(product.variable, address)

    given: Server = module.start()
    url = given.create_database()

    assert server.address.drivername == url.drivername
    for refused in (given.kill, given.stop, given.start):
        with pytest.raises(ServerNotPrivate, match=product.variable):
            refused()
    given.drop_database(url)
    given.close()
    server.wait_until_it_answers()


def test_server_given_by_its_url_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is an error at once, never a skip: somebody asked for this very server. The password is not shown."""
    monkeypatch.setenv(POSTGRESQL.variable, f"postgresql://u:{PASSWORD}@127.0.0.1:1/x")
    with pytest.raises(RuntimeError, match=POSTGRESQL.variable) as failure:
        postgresql_module.start()

    assert PASSWORD not in str(failure.value)


def test_password_is_not_shown(server: Server) -> None:
    """Neither by the server's repr nor in the list of processes."""
    assert make_url(server.address).password == PASSWORD
    assert PASSWORD not in repr(server)
    if server.process is not None and Path("/proc").exists():
        assert PASSWORD.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()


def test_install_where_both_are_there(postgresql: Server, mariadb: Server) -> None:
    """One line for each server, saying where it comes from."""
    command = [sys.executable, "-m", "tests.servers.install"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert 0 == done.returncode
    assert ["postgresql", "mariadb"] == [line.partition(":")[0] for line in done.stdout.splitlines()]
