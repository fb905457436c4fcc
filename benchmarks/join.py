"""What a join of two databases costs, against the same in one PostgreSQL and against what people write by hand.

    python -m benchmarks.join [--events 200000] [--rounds 9] [--pairs PG+PG PG+MariaDB PG+SQLite] [--cases Q1 Q5]

Users are in one PostgreSQL, 20 events for each in a second PostgreSQL, a MariaDB or a SQLite; all servers are private.

  Q1  the events of one user, found by e-mail address       Q4  a tenth of all events with their users' names, as rows,
  Q2  of the users of one country, the events of one type       and once more as entities (Event, User)
  Q3  sum and number of all events by country               Q5  the newest 50 events with their users' names
  Q6  users without an event, as LEFT JOIN ... IS NULL and as NOT EXISTS; natively always NOT EXISTS, the faster form

In each round every way runs once, in turn and in a new session; what is written by hand only in each third round.
Printed are medians, the median of the ratios to the native join of the same round, and the bars of the project: what
must be reached and the goal. The last table has them with a network that delays whatever is said by a millisecond,
in each direction, and one has the peak memory of a process that does nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL

from benchmarks import join_memory
from benchmarks.delaying import delayed_places
from benchmarks.join_cases import CASES
from benchmarks.join_data import EventsBase, UsersBase, create, export, fill
from benchmarks.join_measuring import measure
from benchmarks.join_ways import Places
from tests.servers import mariadb, postgresql
from tests.servers.startup import Startup

PAIRS = ("PG+PG", "PG+MariaDB", "PG+SQLite")
MEMORY = "1GB"


def main() -> None:
    options = _parser().parse_args()
    cases = [case for case in CASES if case.name.startswith(tuple(options.cases))]
    postgresql.SETTINGS["shared_buffers"] = MEMORY
    mariadb.SETTINGS["innodb-buffer-pool-size"] = MEMORY.removesuffix("B")
    startup = Startup(["postgresql", "mariadb"] if "PG+MariaDB" in options.pairs else ["postgresql"])
    try:
        with TemporaryDirectory() as folder:
            places = dict(_fill(startup, Path(folder), options))
            for pair, where in places.items():
                measure(f"{pair}, {options.events:,} events", where, cases, options.rounds, bars=pair)
            for pair, where in places.items() if options.delay else ():
                with delayed_places(where, options.delay / 1000) as later:
                    title = f"{pair}, with {options.delay:g} ms more in each direction"
                    measure(title, later, cases, options.rounds)
            join_memory.measure(places, [case for case in cases if case.heavy])
    finally:
        startup.close()


def _fill(startup: Startup, folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, Places]]:
    """The same rows everywhere."""
    pg = startup.server("postgresql")
    native, users = (with_driver(pg.create_database(), options.driver) for _ in range(2))
    create(native, options.events)
    files = {base: folder / f"{base.__name__}.tsv" for base in (UsersBase, EventsBase)}
    for base, path in files.items():
        export(native, base, path)
    fill(users, UsersBase, files[UsersBase])
    for pair in options.pairs:
        events = with_driver(_events(pair, startup, folder), options.driver)
        fill(events, EventsBase, files[EventsBase])
        yield pair, Places(native, users, events)


def _events(pair: str, startup: Startup, folder: Path) -> URL:
    if pair == "PG+SQLite":
        return URL.create("sqlite", database=str(folder / "events.db"))
    return startup.server("mariadb" if pair == "PG+MariaDB" else "postgresql").create_database()


def with_driver(url: URL, mysql: str) -> URL:
    drivers = {"postgresql": "postgresql+psycopg", "mysql": f"mysql+{mysql}", "sqlite": "sqlite+pysqlite"}
    return url.set(drivername=drivers[url.get_backend_name()])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.join", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000, help="at least 100,000; a twentieth of it are users")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=PAIRS)
    parser.add_argument("--cases", nargs="+", metavar="NAME", default=["Q"], help="how their names begin")
    parser.add_argument("--driver", default="pymysql", help="SQLAlchemy's name of the driver for MariaDB")
    parser.add_argument("--delay", type=float, default=1, help="milliseconds; 0 leaves that part out")
    return parser


if __name__ == "__main__":
    main()
