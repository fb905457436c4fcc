"""Auditing: one row per request that writes, in a transaction of its own, so that failed requests leave one too."""

import logging
from collections.abc import AsyncIterator

from fastapi import Depends, HTTPException, Request
from sqlalchemy.exc import SQLAlchemyError

from examples.shop.audit_models import AuditEntry
from examples.shop.sessions import AuditDep
from manybase import AsyncSession

logger = logging.getLogger(__name__)


async def audited(request: Request, audit: AuditDep) -> AsyncIterator[None]:
    """Notes in ``audit`` how the request ended.

    A dependency of a route is entered before the sessions in its parameters, and left after them: by then they are
    committed or rolled back.
    """
    outcome = "cancelled"
    try:
        yield
    except Exception as error:
        outcome = describe(error)
        raise
    else:
        outcome = "committed"
    finally:
        await note(audit, f"{request.method} {request.url.path}", outcome)


Audited = Depends(audited, scope="function")


async def note(audit: AsyncSession, action: str, outcome: str) -> None:
    audit.add(AuditEntry(action=action[:120], outcome=outcome[:120]))
    try:
        await audit.commit()  # here: an exception on its way out would roll it back
    except SQLAlchemyError:  # how the request ended is decided, and the client must hear that
        await audit.rollback()
        logger.exception("No audit entry for %s: %s", action, outcome)


def describe(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return f"failed: {error.status_code} {error.detail}"
    return f"failed: {type(error).__name__}"
