"""What a query over three databases costs, against the same in one."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session as PlainSession

from manybase import Session
from tests.tpch import answers
from tests.tpch.comparing import Rows, differences
from tests.tpch.databases import Loaded
from tests.tpch.queries.query import Query

Make = Callable[[], Any]


def measure(queries: Sequence[Query], spread: Loaded, scale: float, rounds: int) -> None:
    """Prints a line for each query, and the geometric means of the ratios."""
    print(f"TPC-H at scale {scale:g}: medians of {rounds} rounds; * is answered by one database alone\n")
    print("query     native ms   manybase ms    ratio   answer")
    ratios = {query: ratio for query in queries if (ratio := _measured(query, spread, scale, rounds))}
    crossing = [ratio for query, ratio in ratios.items() if not query.at_home]
    for title, which in {"all": [*ratios.values()], "over several databases": crossing}.items():
        if which:
            print(f"geometric mean, {title}: {statistics.geometric_mean(which):.2f} of {len(which)} queries")


def _measured(query: Query, spread: Loaded, scale: float, rounds: int) -> float | None:
    name = f"{query}{'*' if query.at_home else ''}"
    expected, _ = _timed(lambda: PlainSession(spread.native), query)
    try:
        actual, _ = _timed(lambda: Session(spread.databases), query)
        times = [_round(spread, query) for _ in range(rounds)]
    except Exception as error:  # what one query fails with must not hide the others
        print(f"{name:7}{'':38}{type(error).__name__}: {str(error).splitlines()[0]}", flush=True)
        return None
    theirs, ours = (statistics.median(took) for took in zip(*times, strict=True))
    ratio = statistics.median(mine / native for native, mine in times)
    verdict = _verdict(query, scale, expected, actual)
    print(f"{name:7}{theirs * 1e3:12.1f}{ours * 1e3:14.1f}{ratio:9.2f}   {verdict}", flush=True)
    return ratio


def _round(spread: Loaded, query: Query) -> tuple[float, float]:
    _, native = _timed(lambda: PlainSession(spread.native), query)
    _, ours = _timed(lambda: Session(spread.databases), query)
    return native, ours


def _timed(make: Make, query: Query) -> tuple[Rows, float]:
    with make() as session:
        start = time.perf_counter()
        rows = session.execute(query.make()).all()
        return rows, time.perf_counter() - start


def _verdict(query: Query, scale: float, expected: Rows, actual: Rows) -> str:
    found = differences(query, expected, actual)
    if answers.are_known(scale):
        found += [f"native is wrong: {each}" for each in answers.differences_from_known(query, scale, expected)]
    return "; ".join(found) or "equal"
