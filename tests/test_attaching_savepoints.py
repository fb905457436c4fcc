"""Savepoints over files that share a connection, first touched at any level."""

import random
from itertools import product
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import SessionTransaction

from manybase import Session
from tests.sessions import Run, SessionKind
from tests.shop import Entry, Event, User, in_files

ENTITIES = {"shop": User, "analytics": Event, "audit": Entry}
TEXTS = {"shop": User.name, "analytics": Event.kind, "audit": Entry.what}
Rows = dict[str, list[str]]


def write(session: Session, name: str, value: str) -> None:
    session.execute(insert(ENTITIES[name].__table__).values({TEXTS[name].key: value, **extra(name)}))


def extra(name: str) -> dict[str, str]:
    return {"kind": "user"} if name == "shop" else {}


def found(session: Session) -> Rows:
    return {name: [*session.scalars(select(text).order_by(ENTITIES[name].id))] for name, text in TEXTS.items()}


class Model:
    """What a session should hold: a stack of states, one for each open level."""

    def __init__(self) -> None:
        self.committed: Rows = {name: [] for name in ENTITIES}
        self.levels = [self.copy(self.committed)]

    @staticmethod
    def copy(rows: Rows) -> Rows:
        return {name: [*values] for name, values in rows.items()}

    def write(self, name: str, value: str) -> None:
        self.levels[-1][name].append(value)

    def begin_nested(self) -> None:
        self.levels.append(self.copy(self.levels[-1]))

    def release(self) -> None:
        top = self.levels.pop()
        self.levels[-1] = top

    def roll_back(self) -> None:
        self.levels.pop()

    def end(self, *, commit: bool) -> None:
        if commit:
            self.committed = self.levels[-1]
        self.levels = [self.copy(self.committed)]


def play(session: Session, program: random.Random, steps: int) -> None:
    """Random steps in a session and in the model, compared after each that ends something."""
    model, nested = Model(), list[SessionTransaction]()
    for step in range(steps):
        action = program.choice(["write"] * 6 + ["read", "nest", "nest", "release", "roll back", "end"])
        if action == "write":
            name = program.choice([*ENTITIES])
            write(session, name, f"{step}")
            model.write(name, f"{step}")
        elif action == "read":
            name = program.choice([*ENTITIES])
            assert model.levels[-1][name] == [*session.scalars(select(TEXTS[name]).order_by(ENTITIES[name].id))]
        elif action == "nest" and len(nested) < 3:
            nested.append(session.begin_nested())
            model.begin_nested()
        elif action == "release" and nested:
            nested.pop().commit()
            model.release()
        elif action == "roll back" and nested:
            nested.pop().rollback()
            model.roll_back()
            assert model.levels[-1] == found(session) or program.random() < 0.5
        elif action == "end" and program.random() < 0.3:
            commit = program.random() < 0.5
            session.commit() if commit else session.rollback()
            nested.clear()
            model.end(commit=commit)
            assert model.committed == found(session)
            session.rollback()
    session.commit()
    model.end(commit=True)
    assert model.committed == found(session)


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(session_kind: SessionKind, tmp_path: Any, seed: int) -> None:
    """Ten at a time: they end as the model of them says."""

    def body(session: Session) -> None:
        for number in range(10):
            play(session, random.Random(seed * 1000 + number), 40)
            for entity in ENTITIES.values():
                session.query(entity).delete()
            session.commit()

    session_kind.run(in_files(tmp_path), body)


ORDERS = [("shop", "analytics"), ("analytics", "shop")]
LEVELS = [*product((0, 1, 2, 3), repeat=2)]


@pytest.mark.parametrize("ends", [*product((True, False), repeat=3)], ids=lambda ends: "".join("rb"[e] for e in ends))
def test_files_first_touched_at_each_level(run: Run, ends: tuple[bool, ...]) -> None:
    """Two files, touched first at each pair of levels, in either order, each level released or rolled back."""

    def body(session: Session) -> None:
        for (one, other), (level_of_one, level_of_other) in product(ORDERS, LEVELS):
            model, nested = Model(), []
            for level in range(4):
                if level:
                    nested.append(session.begin_nested())
                    model.begin_nested()
                for name, first in ((one, level_of_one), (other, level_of_other)):
                    if level >= first:
                        write(session, name, f"{level}")
                        model.write(name, f"{level}")
            for level, release in zip((3, 2, 1), ends, strict=True):
                inner = nested.pop()
                inner.commit() if release else inner.rollback()
                model.release() if release else model.roll_back()
                write(session, other, f"after {level}")
                model.write(other, f"after {level}")
            assert model.levels[-1] == found(session)
            session.rollback()
            assert {"shop": [], "analytics": [], "audit": []} == found(session)
            session.rollback()

    run(body)


def test_savepoint_of_the_connection_itself(run: Run) -> None:
    """begin_nested() of the attached Connection undoes what it should, and its names are its own."""

    def body(session: Session) -> Rows:
        write(session, "shop", "kept")
        write(session, "analytics", "kept")
        mine = session.connection(bind_arguments={"mapper": Event})
        main = session.connection(bind_arguments={"mapper": User})
        outer = main.begin_nested()
        inner = mine.begin_nested()
        write(session, "analytics", "undone")
        write(session, "shop", "undone")
        inner.rollback()
        write(session, "shop", "also kept")
        outer.commit()
        session.commit()
        return found(session)

    assert {"shop": ["kept", "also kept"], "analytics": ["kept"], "audit": []} == run(body)


def test_savepoint_where_only_the_attached_file_is_used(run: Run) -> None:
    """It is undone, though the first file was only read before."""

    def body(session: Session) -> Rows:
        session.scalars(select(User)).all()
        with session.begin_nested():
            write(session, "analytics", "released")
        undone = session.begin_nested()
        write(session, "analytics", "undone")
        undone.rollback()
        assert ["released"] == found(session)["analytics"]
        session.rollback()
        return found(session)

    assert {"shop": [], "analytics": [], "audit": []} == run(body)
