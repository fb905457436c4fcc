"""Belonging: objects that say whose they are, once they were loaded in the session of a tenant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper

# In the __dict__ of an object, so that it stays with one that was pickled. FastAPI's encoder leaves out what begins
# with "_sa" where a route returns the object itself.
OWNER = "_sa_manybase_tenant"


def mark(instance: object, context: Any) -> None:
    """Note whose an object is that was loaded in the session of a tenant."""
    scope = getattr(context.session, "scope", None)
    if scope is not None and scope.tenant is not None:
        vars(instance)[OWNER] = scope.tenant


def mark_when_loaded(mapper: Mapper[Any]) -> None:
    """Have the objects of a class that tenants own say whose they are, from now on."""
    if not event.contains(mapper.class_, "load", mark):
        event.listen(mapper.class_, "load", mark)
