"""What a session tells of a select over several databases, before it runs and after it ran."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import URL, Select, event, func, insert, literal, select, text
from sqlalchemy.orm import ORMExecuteState, joinedload, with_loader_criteria

from manybase import (
    ConfigurationError,
    CrossDatabaseError,
    Explanation,
    Federation,
    FederationError,
    FederationLimit,
    RoutingError,
    Session,
    UnsupportedStatement,
)
from tests.servers.mixed import DRIVERS, Drivers, Urls
from tests.sessions import Run, databases, run, run_async, session_kind, statements
from tests.shop import Entry, Event, User, ann, in_files, shop_databases

__all__ = ["databases", "run", "session_kind"]

SECRET = "s3cret"
EVENTS_OF_ANN = select(User.name, Event.kind).join(Event, Event.user_id == User.id).where(User.name == "ann")
WINDOW = select(Event.kind, func.row_number().over(order_by=[User.name, Event.id])).join(User, Event.user_id == User.id)


def filled(session: Session) -> None:
    session.add(ann())
    session.commit()


def explained(run: Run, statement: Any, *, analyze: bool = False, **options: Any) -> Explanation:
    """Of a session whose databases hold one user with two events."""

    def body(session: Session) -> Explanation:
        filled(session)
        return session.explain(statement, analyze=analyze)

    explanation: Explanation = run(body, **options)
    return explanation


def test_plan(run: Run) -> None:
    """It names the fragments in the order in which they are asked, what reduces them, and what is left."""
    explanation = explained(run, EVENTS_OF_ANN)

    first, second = explanation.fragments
    assert ["shop", "analytics"] == [first.database, second.database]
    assert ["primary", "primary"] == [first.role, second.role]
    assert "SELECT users.id AS c0, users.name AS c1 FROM users WHERE users.name = ?" == first.sql
    assert second.sql.startswith("SELECT events.user_id AS c0, events.kind AS c1 FROM events WHERE events.user_id IN (")
    assert [(), (first.name,)] == [first.reduced_by, second.reduced_by]
    assert [1, None] == [first.estimated_rows, second.estimated_rows]  # a name is unique
    assert ("python", "it does all that is left") == (explanation.executor, explanation.reason)
    assert (
        f"join {second.name} with {first.name} on {second.name}.user_id = {first.name}.id",
        "give 2 columns",
    ) == explanation.steps


def test_plan_runs_nothing(run: Run) -> None:
    """No server hears of it, no transaction begins, nothing is flushed, and no number is made up."""

    def body(session: Session) -> tuple[Explanation, int, bool]:
        session.add(User(name="new"))
        session.commit()
        with statements(session.databases) as ran:
            explanation = session.explain(EVENTS_OF_ANN)
            began = session.in_transaction()
            session.add(User(name="newer"))
            session.explain(EVENTS_OF_ANN)
        return explanation, len(ran), began

    explanation, ran, began = run(body)

    assert (0, False) == (ran, began)
    assert not explanation.analyzed
    assert {None} == {
        number for each in explanation.fragments for number in (each.rows, each.keys, each.bytes, each.ms)
    }
    assert {None} == {explanation.result_rows, explanation.rows, explanation.bytes, explanation.ms}


def test_analyze(run: Run) -> None:
    """It tells what came of each database, with how many keys, and how much that was."""
    explanation = explained(run, EVENTS_OF_ANN, analyze=True)

    assert [(1, None, 1), (2, 1, 1)] == [(each.rows, each.keys, each.statements) for each in explanation.fragments]
    assert (2, 3) == (explanation.result_rows, explanation.rows)
    assert explanation.bytes == sum(each.bytes or 0 for each in explanation.fragments) > 0
    assert explanation.ms is not None
    assert explanation.ms >= max(each.ms or 0 for each in explanation.fragments) > 0
    assert explanation.analyzed


def test_analyze_of_a_stream(run: Run) -> None:
    """What only passes through is counted too."""
    explanation = explained(run, EVENTS_OF_ANN.execution_options(yield_per=1), analyze=True)

    assert [(1, None, 1), (2, 1, 1)] == [(each.rows, each.keys, each.statements) for each in explanation.fragments]


def test_analyze_sends_what_it_tells(run: Run) -> None:
    """The SQL of each fragment is what its database was sent, once each."""

    def body(session: Session) -> tuple[Explanation, list[Any]]:
        filled(session)
        with statements(session.databases) as ran:
            explanation = session.explain(EVENTS_OF_ANN, analyze=True)
        return explanation, ran

    explanation, ran = run(body)

    told = [(each.database, plain(each.sql)) for each in explanation.fragments]
    assert told == [(each.database, plain(each.sql)) for each in ran]


def plain(sql: str) -> str:
    """Without the names of files that SQLite attached."""
    return " ".join(sql.split()).replace("analytics.", "").replace("shop.", "")


def test_analyze_sees_what_is_not_committed(run: Run) -> None:
    """It runs in the transaction of the session, which goes on; what was added is flushed, as before any select."""

    def body(session: Session) -> list[int | None]:
        session.add(ann())
        before = session.explain(EVENTS_OF_ANN, analyze=True).result_rows
        session.rollback()
        return [before, session.explain(EVENTS_OF_ANN, analyze=True).result_rows]

    assert [2, 0] == run(body)


def test_fragment_that_cannot_match(run: Run) -> None:
    """Where no key is left to be sent, its database is not asked, and the explanation says so."""
    explanation = explained(run, EVENTS_OF_ANN.where(User.name == "nobody"), analyze=True)

    assert [("shop", 1), ("analytics", 0)] == [(each.database, each.statements) for each in explanation.fragments]
    assert "not asked: nothing of it could match" in str(explanation)


def test_duckdb(run: Run) -> None:
    """What Python does not do is told as the SQL that DuckDB runs, and why it is needed."""
    explanation = explained(run, WINDOW, analyze=True)

    assert "duckdb" == explanation.executor
    assert "Over" in explanation.reason
    assert "row_number() OVER (ORDER BY" in (explanation.sql or "")
    assert () == explanation.steps
    assert 2 == explanation.result_rows


def test_executor_that_is_asked_for(run: Run) -> None:
    """The explanation is of that one."""
    asked = EVENTS_OF_ANN.execution_options(federation_executor="duckdb")

    def body(session: Session) -> list[Explanation]:
        return [session.explain(asked), session.explain(asked, analyze=True)]

    assert [("duckdb", "asked for")] * 2 == [(each.executor, each.reason) for each in run(body)]


def test_duckdb_that_is_not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises what the statement would raise, and names what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(UnsupportedStatement, match=r'pip install "manybase\[join\]"'):
        explained(run, WINDOW)


@pytest.mark.parametrize("analyze", [False, True], ids=["planned", "analyzed"])
def test_statement_of_one_database(run: Run, analyze: bool) -> None:
    """It has one fragment, and that is the reason."""
    explanation = explained(run, select(User).options(joinedload(User.orders)), analyze=analyze)

    (fragment,) = explanation.fragments
    assert (None, "one database answers it") == (explanation.executor, explanation.reason)
    assert "shop" == fragment.database
    assert "FROM users LEFT OUTER JOIN orders" in fragment.sql
    assert ([2, 1, True] if analyze else [None, None, False]) == [
        fragment.rows,
        fragment.statements,
        explanation.analyzed,
    ]
    assert str(explanation).startswith("One database answers it\n")


SECRETS: dict[str, Select[Any]] = {
    "compared": EVENTS_OF_ANN.where(Event.kind == SECRET),
    "in a list": EVENTS_OF_ANN.where(Event.kind.in_([SECRET])),
    "executed literally": EVENTS_OF_ANN.where(Event.kind == literal(SECRET, literal_execute=True)),
    "selected": EVENTS_OF_ANN.add_columns(literal(SECRET)),
    "in DuckDB": WINDOW.where(User.name + Event.kind != SECRET),
    "of one database": select(User).where(User.name.in_([SECRET]), User.name != literal(SECRET, literal_execute=True)),
}


@pytest.mark.parametrize("analyze", [False, True], ids=["planned", "analyzed"])
@pytest.mark.parametrize("statement", SECRETS.values(), ids=SECRETS)
def test_values_of_parameters(run: Run, statement: Select[Any], analyze: bool) -> None:
    """None is in it, in no form of it."""
    explanation = explained(run, statement, analyze=analyze)

    assert SECRET not in str(explanation) + json.dumps(explanation.to_dict()) + repr(explanation) + drawn(explanation)
    assert "ann'" not in str(explanation)
    assert "POSTCOMPILE" not in str(explanation)


def drawn(explanation: Explanation) -> str:
    console = Console(width=500)
    with console.capture() as capture:
        console.print(explanation.tree)
    return capture.get()


def test_text(run: Run) -> None:
    """Each fragment with its SQL and its numbers, then the rest, then the whole."""
    lines = str(explained(run, EVENTS_OF_ANN, analyze=True)).splitlines()

    heads = [line.strip() for line in lines if line.startswith("  ") and not line.startswith("    ")]
    assert "2 fragments, then Python: it does all that is left" == lines[0]
    assert ["_f0 shop (primary)", "_f1 analytics (primary)", "then, in Python"] == heads[:3]
    assert heads[3].startswith("result: 2 rows, fetched 3 rows, ")
    assert "reduced by the keys of _f0" in lines[7]
    assert lines[8].strip().startswith("2 rows, 1 key sent, ")


@pytest.mark.parametrize(
    "statement", [EVENTS_OF_ANN, select(User.name.label("[red]"))], ids=["joined", "with brackets"]
)
def test_tree(run: Run, statement: Select[Any]) -> None:
    """Rich prints the same; nothing of it is taken for markup."""
    explanation = explained(run, statement, analyze=True)

    told = [line.strip() for line in str(explanation).splitlines()]
    assert told == [line.lstrip("│├└─ ").rstrip() for line in drawn(explanation).splitlines()]


def test_rich_that_is_not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree says what to install; the text needs nothing."""
    explanation = explained(run, EVENTS_OF_ANN)
    monkeypatch.setitem(sys.modules, "rich.text", None)
    monkeypatch.setitem(sys.modules, "rich", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'manybase\[cli\]'"):
        _ = explanation.tree
    assert "2 fragments" in str(explanation)


def test_document(run: Run) -> None:
    """It is JSON, and holds every fact by its name."""
    document = json.loads(json.dumps(explained(run, EVENTS_OF_ANN, analyze=True).to_dict()))

    numbers = {"result_rows", "rows", "bytes", "ms", "analyzed"}
    assert {"fragments", "executor", "reason", "steps", "sql", *numbers} == set(document)
    assert ["shop", "analytics"] == [each["database"] for each in document["fragments"]]
    assert [1, 2] == [each["rows"] for each in document["fragments"]]
    assert [[], ["_f0"]] == [each["reduced_by"] for each in document["fragments"]]


def test_query(run: Run) -> None:
    """A legacy Query is explained too."""

    def body(session: Session) -> list[str]:
        query = session.query(User).join(User.events)
        return [each.database for each in session.explain(query).fragments]

    assert ["shop", "analytics"] == run(body)


def test_first_rows(run: Run) -> None:
    """Where only the first rows are wanted, the database that orders them is asked first, and for no more."""
    newest = select(User.name, Event.id).join(Event, Event.user_id == User.id).order_by(Event.id.desc()).limit(1)

    def body(session: Session) -> list[Explanation]:
        return [session.explain(newest), session.explain(newest, analyze=True)]

    for explanation in run(body):
        assert ["analytics", "shop"] == [each.database for each in explanation.fragments]
        assert "ORDER BY events.id DESC LIMIT" in explanation.fragments[0].sql


@pytest.mark.parametrize(
    ("statement", "options", "error"),
    [
        (EVENTS_OF_ANN, {"database": "shop"}, CrossDatabaseError),
        (select(Entry), {"database": "shop"}, RoutingError),
        (insert(User).from_select(["name"], select(Event.kind)), {}, CrossDatabaseError),
        (EVENTS_OF_ANN.with_for_update(), {}, UnsupportedStatement),
        (EVENTS_OF_ANN.where(text("users.id > 0")), {}, FederationError),
    ],
    ids=["pinned", "of another database", "a write", "FOR UPDATE", "text"],
)
def test_statement_that_cannot_be_answered(run: Run, statement: Any, options: Any, error: type[Exception]) -> None:
    """It raises what running it would raise."""

    def body(session: Session) -> None:
        with pytest.raises(error) as raised:
            session.execute(statement)
        session.rollback()
        with pytest.raises(error) as told:
            session.explain(statement)
        assert (type(raised.value), str(raised.value)) == (type(told.value), str(told.value))

    run(body, **options)


def test_limit(run: Run) -> None:
    """One that is too small is an error of the analysis, for it runs."""
    limited = EVENTS_OF_ANN.execution_options(federation=Federation(max_rows=1))

    assert "shop" == explained(run, limited).fragments[0].database
    with pytest.raises(FederationLimit):
        run(lambda session: session.explain(limited, analyze=True))


def test_write(run: Run) -> None:
    """One of one database is explained, and never run."""

    def body(session: Session) -> tuple[str, int]:
        sql = session.explain(insert(User).values(name="bob")).fragments[0].sql
        with pytest.raises(FederationError, match="no SELECT"):
            session.explain(insert(User).values(name="bob"), analyze=True)
        return sql, session.scalar(select(func.count(User.id))) or 0

    sql, count = run(body)

    assert sql.startswith("INSERT INTO users")
    assert 0 == count


def test_hooks_of_the_session(run: Run) -> None:
    """What they add to each statement is in the explanation."""

    def only_bought(state: ORMExecuteState) -> None:
        state.statement = state.statement.options(with_loader_criteria(Event, Event.kind == "buy"))

    def body(session: Session) -> list[Explanation]:
        filled(session)
        event.listen(session, "do_orm_execute", only_bought)
        return [session.explain(EVENTS_OF_ANN), session.explain(EVENTS_OF_ANN, analyze=True)]

    planned, analyzed = run(body)

    assert "events.kind = ?" in planned.fragments[1].sql
    assert 1 == analyzed.result_rows


def test_async_session(tmp_path: Any) -> None:
    """It is awaited there."""
    explanation = run_async(in_files(tmp_path), lambda session: session.explain(EVENTS_OF_ANN, analyze=True))

    assert ["shop", "analytics"] == [each.database for each in explanation.fragments]
    assert 0 == explanation.result_rows


@pytest.mark.parametrize("drivers", DRIVERS, ids=str)
def test_servers(drivers: Drivers, postgresql_url: URL, mariadb_url: URL, sqlite_url: URL) -> None:
    """The SQL of each fragment is in the language of its home; without connecting, and as it was sent."""
    urls = Urls(drivers, {"postgresql": postgresql_url, "mariadb": mariadb_url, "sqlite": sqlite_url})
    declared = shop_databases({"shop": urls["postgresql"], "analytics": urls["mariadb"], "audit": urls["sqlite"]})

    def body(session: Session) -> list[Explanation]:
        filled(session)
        return [session.explain(EVENTS_OF_ANN), session.explain(EVENTS_OF_ANN, analyze=True)]

    planned, analyzed = partial(drivers.kind.run, declared)(body)

    sent = [each.sql.partition(" LIMIT ")[0] for each in analyzed.fragments]  # few keys: first so many rows at most
    assert [each.sql for each in planned.fragments] == sent
    assert "ann" not in planned.fragments[0].sql
    assert "events.user_id IN (" in planned.fragments[1].sql
    assert [(1, None), (2, 1)] == [(each.rows, each.keys) for each in analyzed.fragments]
