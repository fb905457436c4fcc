"""Many requests at once over three databases: some fail, some are cancelled, and afterwards everything is counted."""

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx2
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import insert, select

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, sync_session_dependency
from tests.ledgers import ENTRIES, NAMES

ORDERS = ["".join(order) for order in itertools.permutations("012")]


class Written(BaseModel):
    """What a route has read back of its own row, by database."""

    numbers: dict[str, int]


class Failure(Exception): ...


def application(databases: Databases, *, one_writer: bool = False) -> FastAPI:
    """Routes that write a row to each database, taking the databases in the order of the path.

    ``one_writer``: databases that let one transaction write at a time are only read in that order, else the requests
    would wait for each other's files for ever.
    """
    app = FastAPI(lifespan=lifespan(databases))
    app.add_middleware(CancelOnDemand)

    @app.post("/async/{order}/{number}", response_model=Written)
    async def post(
        order: str, number: int, session: Annotated[AsyncSession, session_dependency(databases)], end: str = ""
    ) -> Any:
        for name in names(order):
            await session.scalars(select(ENTRIES[name]).where(ENTRIES[name].c.id == number))
            await asyncio.sleep(0.001)
        for name in NAMES if one_writer else names(order):
            await session.execute(insert(ENTRIES[name]).values(id=number))
        if end:
            raise Failure if end == "fail" else HTTPException(409)
        return {"numbers": {name: await session.scalar(read(name, number)) for name in names(order)}}

    @app.post("/sync/{order}/{number}", response_model=Written)
    def post_sync(
        order: str, number: int, session: Annotated[Session, sync_session_dependency(databases)], end: str = ""
    ) -> Any:
        for name in names(order):
            session.scalars(select(ENTRIES[name]).where(ENTRIES[name].c.id == number))
        for name in NAMES if one_writer else names(order):
            session.execute(insert(ENTRIES[name]).values(id=number))
        if end:
            raise Failure if end == "fail" else HTTPException(409)
        return {"numbers": {name: session.scalar(read(name, number)) for name in names(order)}}

    return app


def names(order: str) -> list[str]:
    return [NAMES[int(digit)] for digit in order]


def read(name: str, number: int) -> Any:
    return select(ENTRIES[name].c.id).where(ENTRIES[name].c.id == number)


class CancelOnDemand:
    """A middleware that cancels the request's task after so many seconds as its header says, and answers 504."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        seconds = dict(scope.get("headers", [])).get(b"cancel-after")
        try:
            async with asyncio.timeout(None if seconds is None else float(seconds)):
                await self.app(scope, receive, send)
        except TimeoutError:
            await send({"type": "http.response.start", "status": 504, "headers": []})
            await send({"type": "http.response.body", "body": b""})


@dataclass
class Outcome:
    """What clients know of their rows."""

    written: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    statuses: Counter[int | str] = field(default_factory=Counter)


async def send(url: str, count: int, *, at_once: int, seed: int = 0) -> Outcome:
    """Send so many requests, so many at a time: of 100, 10 fail and 5 are cancelled, by the client or in the server."""
    dice, outcome, gate = random.Random(seed), Outcome(), asyncio.Semaphore(at_once)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as client:

        async def one(number: int) -> None:
            async with gate:
                await send_one(client, number, dice, outcome)

        await asyncio.gather(*(one(number) for number in range(1, count + 1)))
    return outcome


async def send_one(client: httpx2.AsyncClient, number: int, dice: random.Random, outcome: Outcome) -> None:
    fate = number % 100
    path = f"/{dice.choice(['async', 'sync'])}/{dice.choice(ORDERS)}/{number}"
    params = {"end": dice.choice(["fail", "refuse"])} if fate < 10 else {}
    headers = {"cancel-after": f"{dice.uniform(0, 0.3):.3f}"} if 10 <= fate < 13 else {}
    patience = dice.uniform(0, 0.3) if 13 <= fate < 15 else 60
    try:
        async with asyncio.timeout(patience):
            response = await client.post(path, params=params, headers=headers)
    except TimeoutError:
        outcome.statuses["disconnected"] += 1
        outcome.unknown.add(number)
        return
    outcome.statuses[response.status_code] += 1
    if response.status_code == 200:
        assert {"numbers": dict.fromkeys(NAMES, number)} == response.json()
        outcome.written.add(number)
    elif response.status_code == 504:
        outcome.unknown.add(number)
    else:
        outcome.refused.add(number)
