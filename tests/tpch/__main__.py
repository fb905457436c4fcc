"""TPC-H: one PostgreSQL against the same data in three databases, or only whether the answers are right.

    python -m tests.tpch [--scale 0.1] [--rounds 5] [--queries 3 5 10]
    python -m tests.tpch --native --scale 1 [--official FOLDER] [--record]

Starts private servers, makes the data of dbgen at the scale and loads them (scale 1: some three minutes). A round runs
each query on both sides in turn; printed are medians, their ratio, and whether values, types and order are the same.
"""

import argparse
import tempfile
from pathlib import Path

from tests.servers import mariadb, postgresql
from tests.servers.startup import Startup
from tests.tpch import checking, measuring
from tests.tpch.databases import loaded, loaded_natively
from tests.tpch.queries import QUERIES

MEMORY = "1GB"


def main() -> None:
    options = _parser().parse_args()
    queries = [QUERIES[number] for number in options.queries or QUERIES]
    postgresql.SETTINGS["shared_buffers"] = MEMORY
    mariadb.SETTINGS["innodb-buffer-pool-size"] = MEMORY.removesuffix("B")
    startup = Startup(["postgresql"] if options.native else ["postgresql", "mariadb"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            if options.native:
                with loaded_natively(startup.server("postgresql"), Path(folder), options.scale) as native:
                    checking.check(queries, native, options.scale, official=options.official, record=options.record)
            else:
                servers = startup.server("postgresql"), startup.server("mariadb")
                with loaded(*servers, Path(folder), options.scale) as spread:
                    measuring.measure(queries, spread, options.scale, options.rounds)
    finally:
        startup.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.tpch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=0.1, help="1 is a gigabyte, six million line items")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, nargs="+", metavar="NUMBER", choices=QUERIES, help="all, if not given")
    parser.add_argument("--native", action="store_true", help="check the statements on one PostgreSQL, measure nothing")
    parser.add_argument("--official", type=Path, help="with --native --scale 1: the folder 'answers' of TPC's dbgen")
    parser.add_argument(
        "--record", action="store_true", help="with --native: from now on these answers are the right ones"
    )
    return parser


if __name__ == "__main__":
    main()
