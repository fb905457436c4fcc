"""Log: one line for each select over several databases, with what it took; a warning where it was slow.

The line holds names of databases and numbers: no value, no SQL and no URL.
"""

from __future__ import annotations

import logging

from manybase.federation.explanation import counted
from manybase.federation.measuring import Measured, Taken, rounded, taken
from manybase.federation.staging import Staging

logger = logging.getLogger("manybase.federation")


def tell(executor: str, staging: Staging, measured: Measured) -> None:
    level = logging.WARNING if measured.seconds > staging.limits.slow else logging.DEBUG
    if logger.isEnabledFor(level):
        logger.log(level, "%s", line(executor, staging, measured, slow=level == logging.WARNING))


def line(executor: str, staging: Staging, measured: Measured, *, slow: bool) -> str:
    fragments = taken(staging)
    databases = dict.fromkeys(each.database for each in staging.plan.fragments)
    ended = f"failed ({measured.failure})" if measured.failure else counted(measured.rows, "row")
    fetched = counted(sum(each.rows for each in fragments), "row")
    keys = counted(sum(each.keys or 0 for each in fragments), "key")
    return (
        f"{'Slow select' if slow else 'Select'} over {', '.join(databases)}: {ended} in {rounded(measured.seconds)} ms "
        f"by {executor}; fetched {fetched}, {sum(each.bytes for each in fragments):,} bytes, sent {keys}; "
        f"{'; '.join(map(told, fragments)) or 'no fragment'}"
    )


def told(each: Taken) -> str:
    numbers = [counted(each.rows, "row"), f"{each.bytes:,} bytes"]
    numbers += [] if each.keys is None else [counted(each.keys, "key")]
    numbers += [counted(len(each.statements), "statement"), f"{each.ms} ms"]
    return f"{each.fragment.name} of {each.fragment.database}: {', '.join(numbers)}"
