"""Routes: the path and the dependencies they have, given the routers and applications they are included in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import routing
from fastapi.dependencies.models import Dependant

# Newer versions of FastAPI keep an included router as it is; then only a context knows its prefix and dependencies.
as_included: Callable[[Any], Iterable[Any]] = getattr(routing, "iter_route_contexts", iter)


def dependants(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, Dependant]]:
    """The whole path of each route and what it depends on, also in included routers and mounted applications."""
    for route in as_included(routes):
        path = f"{prefix}{getattr(route, 'path', None) or ''}"
        if isinstance(dependant := getattr(route, "dependant", None), Dependant):
            yield path, dependant
        else:
            yield from dependants(getattr(route, "routes", None) or (), path)


def dependants_of(route: Any, app: Any) -> list[Dependant]:
    """What one route depends on, once for each time it is included in the application."""
    included = [each for each in as_included(app.routes) if getattr(each, "original_route", each) is route]
    return [each.dependant for each in included or [route] if hasattr(each, "dependant")]


def dependencies_of(dependant: Dependant) -> Iterator[Dependant]:
    """All dependencies of a route, those of dependencies too."""
    for each in dependant.dependencies:
        yield each
        yield from dependencies_of(each)
