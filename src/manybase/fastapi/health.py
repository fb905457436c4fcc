"""Health routes: what a load balancer, an orchestrator and a person may ask."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import JSONResponse

from manybase import Databases
from manybase.fastapi.startup import at_head
from manybase.health import DatabaseHealth, Health, Status


def health_router(databases: Databases, *, details: Any = None, timeout: float = 1.0) -> APIRouter:
    """Routes for ``app.include_router``.

    ``/livez`` touches nothing. ``/readyz`` is 503 while the default database, or one declared with ``required=True``,
    does not answer within ``timeout`` seconds. ``/startupz`` is 503 until they have answered once, at their head where
    the ``lifespan`` got ``migrations="require"`` or ``"upgrade"``. Without these, or where no history is known, it asks
    for no head: a release may well come before its migration. ``/health`` and ``/health/{name}`` tell each database
    apart, and what this process has open where that is bounded; they exist only with ``details``, a ``Depends(...)`` of
    yours that decides who may see them. All ask on connections of their own, at once, at most once per second.
    """
    router = APIRouter(tags=["health"])
    health = Health(databases, timeout=timeout)
    add_probes(router, health)
    if details is not None:
        add_details(router, health, details)
    return router


def add_probes(router: APIRouter, health: Health) -> None:
    started = False

    @router.get("/livez", include_in_schema=False)
    async def livez() -> JSONResponse:
        return told("ok")

    @router.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        return told(worst(await health.check_all(health.required)))

    @router.get("/startupz", include_in_schema=False)
    async def startupz() -> JSONResponse:
        nonlocal started
        started = started or has_started(health.databases, await health.check_all(health.required))
        return told("ok" if started else "fail")


def add_details(router: APIRouter, health: Health, details: Any) -> None:
    @router.get("/health", dependencies=[details])
    async def all_databases() -> JSONResponse:
        found = await health.check_all(health.databases.names)
        required = [each for each in found if each.database in health.required]
        status = "fail" if worst(required) == "fail" else "warn" if worst(found) != "ok" else "ok"
        bounded = health.databases.budget is not None
        usage = {"usage": asdict(health.databases.usage())} if bounded else {}
        return told(status, databases=[asdict(each) for each in found], **usage)

    @router.get("/health/{name}", dependencies=[details])
    async def one_database(name: str) -> JSONResponse:
        if name not in health.databases:
            raise HTTPException(404, "Unknown database.")
        found = await health.check(name)
        return told(**asdict(found))


def has_started(databases: Databases, found: list[DatabaseHealth]) -> bool:
    behind = databases in at_head and any(each.pending_migrations for each in found)
    return worst(found) != "fail" and not behind


def worst(found: list[DatabaseHealth]) -> Status:
    statuses = {each.status for each in found}
    return "fail" if "fail" in statuses else "warn" if "warn" in statuses else "ok"


def told(status: str, **body: Any) -> JSONResponse:
    code = 503 if status == "fail" else 200
    return JSONResponse({"status": status, **body}, code, {"Cache-Control": "no-store"})
