"""What routing costs: the same statements through a plain one-engine Session and through manybase, interleaved.

    python benchmarks/routing.py [--rounds 15] [--url postgresql://...]

Prints medians per statement and the median of the ratios manybase / plain of each round: in CPU time for SQLite,
which other programs on the machine disturb less, in elapsed time where a server takes part.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, Engine, create_engine, insert, make_url, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm import Session as PlainSession
from sqlalchemy.pool import StaticPool

from manybase import Database, Databases, Session


class Home(DeclarativeBase):
    pass


class Other(DeclarativeBase):
    pass


class User(Home):
    __tablename__ = "bench_users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]


class Event(Other):
    __tablename__ = "bench_events"
    id: Mapped[int] = mapped_column(primary_key=True)


PREBUILT = select(User).where(User.id == 7)
table = User.__table__

CASES: dict[str, Callable[[PlainSession], object]] = {
    "ORM select, new statement": lambda s: s.execute(select(User).where(User.id == 7)).all(),
    "ORM select, prebuilt": lambda s: s.execute(PREBUILT).all(),
    "ORM scalars, 3 criteria": lambda s: s.scalars(
        select(User).where(User.id == 7, User.name == "name7").order_by(User.id)
    ).all(),
    "Core select": lambda s: s.execute(select(table.c.id, table.c.name).where(table.c.id == 7)).all(),
    "get()": lambda s: (s.expunge_all(), s.get(User, 7)),
    "add, flush, rollback": lambda s: (s.add(User(name="x", country="y")), s.flush(), s.rollback()),
    "open, select, commit, close": None,  # type: ignore[dict-item]  # makes its own session, see below
}


def whole(make: Callable[[], PlainSession]) -> None:
    with make() as session:
        session.execute(PREBUILT).all()
        session.commit()


def run(work: Callable[[], object], number: int, clock: Callable[[], float]) -> float:
    gc.disable()
    start = clock()
    for _ in range(number):
        work()
    seconds = clock() - start
    gc.enable()
    return seconds / number * 1e6


def measure(
    plain: Callable[[], PlainSession],
    ours: Callable[[], PlainSession],
    *,
    rounds: int,
    number: int,
    clock: Callable[[], float],
) -> None:
    print(f"{'':32}{'plain us':>10}{'manybase us':>13}{'ratio':>8}   min-max of the rounds")
    for name, case in CASES.items():
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        with plain() as plain_session, ours() as our_session:
            for round_ in range(rounds + 1):
                pairs = [("plain", plain, plain_session), ("ours", ours, our_session)]
                for which, make, session in pairs if round_ % 2 else reversed(pairs):
                    work = (lambda make=make: whole(make)) if case is None else (lambda s=session, c=case: c(s))
                    seconds = run(work, number, clock)
                    if round_:  # the first one warms the caches
                        times[which].append(seconds)
        ratios = [o / p for p, o in zip(times["plain"], times["ours"], strict=True)]
        print(
            f"{name:32}{statistics.median(times['plain']):>10.1f}{statistics.median(times['ours']):>13.1f}"
            f"{statistics.median(ratios):>8.3f}   {min(ratios):.2f}-{max(ratios):.2f}"
        )


def fill(engine: Engine) -> None:
    Home.metadata.drop_all(engine)
    Home.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"name": f"name{n}", "country": "NZ"} for n in range(1, 101)])


def memory() -> Engine:
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def compare(
    title: str, engine: Engine, *, rounds: int, number: int, clock: Callable[[], float] = time.thread_time
) -> None:
    fill(engine)
    databases = Databases(Database("home", engine=engine, models=Home), Database("other", "sqlite://", models=Other))
    print(f"\n{title}: two databases declared, {rounds} rounds of {number} statements")
    measure(lambda: PlainSession(engine), lambda: Session(databases), rounds=rounds, number=number, clock=clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--url", help="PostgreSQL to measure too; its bench_users table is dropped and made anew")
    options = parser.parse_args()
    compare("SQLite in memory", memory(), rounds=options.rounds, number=options.number)
    with TemporaryDirectory() as folder:
        file = create_engine(f"sqlite:///{Path(folder) / 'bench.sqlite'}")
        compare("SQLite file", file, rounds=options.rounds, number=options.number // 2)
    if options.url:
        url: URL = make_url(options.url)
        compare(
            "PostgreSQL", create_engine(url), rounds=options.rounds, number=options.number // 4, clock=time.perf_counter
        )


if __name__ == "__main__":
    main()
