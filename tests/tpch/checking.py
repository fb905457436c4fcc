"""Whether the statements are those of TPC-H: their answers on one PostgreSQL against what is known."""

import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.tpch import answers
from tests.tpch.official import differences_from_official
from tests.tpch.queries.query import Query


def check(queries: Sequence[Query], native: Engine, scale: float, *, official: Path | None, record: bool) -> None:
    found = {}
    for query in queries:
        start = time.perf_counter()
        with Session(native) as session:
            found[query] = rows = session.execute(query.make()).all()
        print(f"{query!s:5}{(time.perf_counter() - start) * 1e3:9.0f} ms {len(rows):6} rows  ", end="")
        against = []
        if answers.are_known(scale) and not record:
            against += [("known", answers.differences_from_known(query, scale, rows))]
        if official:
            against += [("official", differences_from_official(query, official, rows))]
        print("; ".join(f"{which}: {'; '.join(differences) or 'equal'}" for which, differences in against), flush=True)
    if record:
        print(f"Recorded in {answers.record(scale, found)}")
