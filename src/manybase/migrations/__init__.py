"""Migrations: every declared database brought to its head, on Alembic, several at a time.

Each function takes the ``Databases``, and ``names`` where not all are meant whose schema is managed here. They block;
under asyncio, await those that begin with ``a``, or call any other in a thread.
"""

from manybase.migrations.asking import arequire, check, require, status
from manybase.migrations.drift import Drift
from manybase.migrations.histories import History, histories
from manybase.migrations.lint import Risk
from manybase.migrations.looking import State
from manybase.migrations.moving import (
    agreeing,
    arun,
    aupgrade,
    downgrade,
    initialize,
    ordered,
    refuse_data_loss,
    risks_of,
    run,
    setup,
    stamp,
    upgrade,
)
from manybase.migrations.offline import write_sql
from manybase.migrations.orders import Migrated, Observer, Order, Plan, Silent, Stopped
from manybase.migrations.revising import Revised, Wanted, merge, revise
from manybase.migrations.running import Agree, How, Outcome

__all__ = [
    "Agree",
    "Drift",
    "History",
    "How",
    "Migrated",
    "Observer",
    "Order",
    "Outcome",
    "Plan",
    "Revised",
    "Risk",
    "Silent",
    "State",
    "Stopped",
    "Wanted",
    "agreeing",
    "arequire",
    "arun",
    "aupgrade",
    "check",
    "downgrade",
    "histories",
    "initialize",
    "merge",
    "ordered",
    "refuse_data_loss",
    "require",
    "revise",
    "risks_of",
    "run",
    "setup",
    "stamp",
    "status",
    "upgrade",
    "write_sql",
]
