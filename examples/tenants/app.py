"""The application: customers sign up, and write notes that nobody else can see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from examples.tenants.databases import DATA, databases
from examples.tenants.models import Note, Plan
from examples.tenants.signing_up import Taken, sign_up
from examples.tenants.tokens import ControlDep, CustomerDep, NotesDep
from manybase import AsyncSession, UnknownTenant
from manybase.fastapi import health_router, running

PLANS = {"free": 3, "team": 100}


class NewCustomer(BaseModel):
    slug: str
    plan: str = "free"


class Token(BaseModel):
    token: str


class NewNote(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=500)]


class ShownNote(BaseModel):
    id: int
    text: str
    most_notes: int | None
    """Of the plan under which it was written, which stands in another database."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    DATA.mkdir(parents=True, exist_ok=True)
    async with running(databases):
        await databases.acreate_all()
        await add_plans()
        yield


async def add_plans() -> None:
    async with AsyncSession(databases, database="control") as control, control.begin():
        for name, most_notes in PLANS.items():
            await control.merge(Plan(name=name, most_notes=most_notes))


app = FastAPI(title="manybase notes", lifespan=lifespan)
app.include_router(health_router(databases))


@app.post("/customers", status_code=201)
async def create_customer(new: NewCustomer, control: ControlDep) -> Token:
    """The token of a new customer."""
    if new.plan not in PLANS:
        raise HTTPException(422, "There is no such plan.")
    try:
        return Token(token=await sign_up(control, new.slug, new.plan))
    except UnknownTenant:  # before anything was made
        raise HTTPException(422, "A name is 2 to 30 small letters and digits, and begins with a letter.") from None
    except Taken:
        raise HTTPException(409, "Somebody has that name.") from None


@app.get("/notes")
async def notes(session: NotesDep) -> list[ShownNote]:
    """The notes of this customer, joined with the plans that all share."""
    statement = select(Note.id, Note.text, Plan.most_notes).join(Note.plan, isouter=True).order_by(Note.id)
    rows = await session.execute(statement)
    return [ShownNote(id=number, text=text, most_notes=most) for number, text, most in rows]


@app.post("/notes", status_code=201)
async def write_note(new: NewNote, customer: CustomerDep, session: NotesDep) -> int:
    """The number of the new note. Each customer counts from 1."""
    plan = await session.get_one(Plan, customer.plan_name)
    if (await session.scalar(select(func.count()).select_from(Note)) or 0) >= plan.most_notes:
        raise HTTPException(402, "This plan has no room for more notes.")
    note = Note(text=new.text, plan_name=plan.name)
    session.add(note)
    await session.flush()
    return note.id


@app.get("/customers/me")
async def me(customer: CustomerDep) -> dict[str, str]:
    return {"slug": customer.slug, "plan": customer.plan_name}
