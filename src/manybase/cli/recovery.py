"""``manybase in-doubt``: what is in doubt, and an end to it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from manybase import recovery
from manybase.cli import asking, printing
from manybase.cli.application import UsageError
from manybase.engines import Databases
from manybase.gid import TRANSACTION
from manybase.parts import in_order

Ended = Literal["committed", "rolled back"]
DONE, PARTLY = 0, 3
COLUMNS = ("transaction", "database", "coordinator", "age", "decided", "why")


def list_in_doubt(databases: Databases, names: list[str], *, json: bool) -> int:
    found, silent = asking.through_its_drivers(
        databases, lambda asyncio: asking.in_doubt(databases, names, asyncio=asyncio)
    )
    if json:
        printing.as_json({"in_doubt": [asdict(each) for each in found], "unreachable": silent})
    else:
        if found:
            rows = [
                (each.transaction_id, each.database, each.coordinator, printing.age(each.age), each.decided, each.why)
                for each in found
            ]
            printing.table(COLUMNS, rows)
        elif not silent:
            printing.say("Nothing is in doubt.")
        else:
            printing.say("Nothing is in doubt in the databases that answer.")
        tell_silent(silent)
    return PARTLY if silent else DONE


def resolve(databases: Databases, transaction: str | None, *, min_age: float, json: bool) -> int:
    if transaction is not None and not TRANSACTION.fullmatch(transaction):
        raise UsageError(
            "That is no id of a transaction: it has 28 characters, 0-9 and a-f. The errors, the log and "
            "`manybase in-doubt` name it."
        )

    def work(asyncio: bool) -> tuple[recovery.Report, Ended | None, list[str]]:
        report = recovery.resolve(databases, transaction, min_age=min_age, asyncio=asyncio)
        if transaction is None:
            return report, None, report.unreachable
        decided, silent = asking.decided(databases, transaction, asyncio=asyncio)
        return report, ended(report, decided), sorted({*report.unreachable, *silent}, key=in_order(databases))

    report, how, silent = asking.through_its_drivers(databases, work)
    if json:
        document = {
            "resolutions": [asdict(each) for each in report.resolutions],
            "unreachable": silent,
            "forgotten": report.forgotten,
        }
        asked = {} if transaction is None else {"transaction_id": transaction, "outcome": how}
        printing.as_json({**asked, **document})
    else:
        tell(report, silent)
        if transaction is not None:
            printing.say(said(transaction, how, over=not report.left and not silent))
    return PARTLY if report.left or silent else DONE


def ended(report: recovery.Report, decided: str | None) -> Ended | None:
    """How a transaction ends everywhere: as it is decided, or as it was ended here."""
    if decided is not None:
        return "committed" if decided == "commit" else "rolled back"
    for each in report.resolutions:
        if each.ended != "left":
            return each.ended
    return None


def tell(report: recovery.Report, silent: list[str]) -> None:
    if report.resolutions:
        rows = [(each.transaction_id, each.database, each.ended, each.why) for each in report.resolutions]
        printing.table(("transaction", "database", "ended", "why"), rows)
    elif not silent:
        printing.say("Nothing was there to be ended.")
    if report.forgotten:
        printing.say(f"Decisions deleted that nobody needs any more: {report.forgotten}.")
    tell_silent(silent)


def tell_silent(silent: list[str]) -> None:
    if silent:
        printing.say(f"Did not answer: {', '.join(silent)}. Try again once they do.")


def said(transaction: str, how: Ended | None, *, over: bool) -> str:
    if how is not None:
        return f"Transaction {transaction} is {how}{'' if over else ': that is decided, and not done everywhere yet'}."
    if not over:
        return f"How transaction {transaction} ended cannot be told yet."
    return (
        f"Nothing is known of transaction {transaction}: no database has it prepared or decided. Either it ended long "
        "ago, and the decision is deleted, or it was never prepared, and is rolled back."
    )
