"""Log: one line for each select over several databases, with what it took; a warning where it was slow.

The line holds names of databases and numbers: no value, no SQL and no URL.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from manybase.federation.explanation import counted
from manybase.federation.measuring import Taken, rounded, taken

if TYPE_CHECKING:
    from manybase.federation.execution import Execution

logger = logging.getLogger("manybase.federation")


def tell(execution: Execution) -> None:
    seconds = execution.measured.seconds
    level = logging.WARNING if seconds > execution.limits.slow else logging.DEBUG
    if logger.isEnabledFor(level):
        logger.log(level, "%s", line(execution, slow=level == logging.WARNING))


def line(execution: Execution, *, slow: bool) -> str:
    measured, fragments = execution.measured, taken(execution.staging)
    databases = dict.fromkeys(each.database for each in execution.plan.fragments)
    ended = f"failed ({measured.failure})" if measured.failure else counted(measured.rows, "row")
    fetched = counted(sum(each.rows for each in fragments), "row")
    keys = counted(sum(each.keys or 0 for each in fragments), "key")
    return (
        f"{'Slow select' if slow else 'Select'} over {', '.join(databases)}: {ended} in {rounded(measured.seconds)} ms "
        f"by {execution.executor}; fetched {fetched}, {sum(each.bytes for each in fragments):,} bytes, sent {keys}; "
        f"{'; '.join(map(told, fragments)) or 'no fragment'}"
    )


def told(each: Taken) -> str:
    numbers = [counted(each.rows, "row"), f"{each.bytes:,} bytes"]
    numbers += [] if each.keys is None else [counted(each.keys, "key")]
    numbers += [counted(len(each.statements), "statement"), f"{each.ms} ms"]
    return f"{each.fragment.name} of {each.fragment.database}: {', '.join(numbers)}"
