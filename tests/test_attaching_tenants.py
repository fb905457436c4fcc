"""SQLite files of tenants in one transaction with others: one connection, and everything or nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import Database, Databases, Session


class Crm(DeclarativeBase):
    pass


class Shared(DeclarativeBase):
    pass


class Note(Crm):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Plan(Shared):
    __tablename__ = "plan"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    databases = Databases(
        Database("crm", f"sqlite:///{tmp_path}/{{tenant}}.db", models=Crm, tenants={"acme", "globex"}),
        Database("shared", f"sqlite:///{tmp_path}/shared.db", models=Shared),
        max_tenant_engines=1,
    )
    for tenant in ("acme", "globex"):
        Crm.metadata.create_all(databases.engine("crm", tenant=tenant))
    Shared.metadata.create_all(databases.engine("shared"))
    yield databases
    databases.dispose()


@pytest.mark.parametrize("order", [(Note, Plan), (Plan, Note)])
def test_commit_of_both(databases: Databases, order: tuple[type[Note], type[Plan]]) -> None:
    """Each tenant's file in its turn is attached to the shared one, or the other way round."""
    for number, tenant in enumerate(["acme", "globex", "acme"]):
        with Session(databases, tenant=tenant) as session:
            for model in order:
                session.add(model(id=number, text=tenant))
                session.flush()
            session.commit()

    with Session(databases, tenant="acme") as session:
        assert {0: "acme", 2: "acme"} == {each.id: each.text for each in session.scalars(select(Note))}
        assert ["acme", "globex", "acme"] == [*session.scalars(select(Plan.text).order_by(Plan.id))]


@pytest.mark.parametrize("order", [(Note, Plan), (Plan, Note)])
def test_failure_of_one(databases: Databases, order: tuple[type[Note], type[Plan]]) -> None:
    """Neither is written."""
    with Session(databases, tenant="acme") as session:
        session.add(order[1](id=1, text="first"))
        session.commit()
        session.expunge_all()
        session.add(order[0](id=1, text="again"))
        session.flush()
        session.add(order[1](id=1, text="again"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()

        assert session.get(order[0], 1) is None
