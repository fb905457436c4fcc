"""The audit at start-up: no route may hold a session in a scope that commits after the response."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient

from manybase import ConfigurationError, Databases
from manybase.fastapi import lifespan, session_dependency, streaming_dependency, sync_session_dependency

Build = Callable[[FastAPI, Any], None]


async def handle(session: Any = None) -> None: ...


def route(app: FastAPI | APIRouter, path: str, wrong: Any) -> None:
    @app.get(path)
    async def get(session: Annotated[Any, wrong]) -> None: ...


def plain(app: FastAPI, wrong: Any) -> None:
    route(app, "/here", wrong)


def in_decorator(app: FastAPI, wrong: Any) -> None:
    app.add_api_route("/here", handle, dependencies=[wrong])


def in_included_router(app: FastAPI, wrong: Any) -> None:
    router = APIRouter()
    route(router, "/here", wrong)
    app.include_router(router)


def in_nested_routers(app: FastAPI, wrong: Any) -> None:
    inner, outer = APIRouter(prefix="/deep"), APIRouter()
    route(inner, "/here", wrong)
    outer.include_router(inner, prefix="/deeper")
    app.include_router(outer, prefix="/v1")


def added_after_the_router_was_included(app: FastAPI, wrong: Any) -> None:
    router = APIRouter()
    app.include_router(router, prefix="/late")
    route(router, "/here", wrong)


def among_the_dependencies_of_a_router(app: FastAPI, wrong: Any) -> None:
    router = APIRouter(dependencies=[wrong])
    router.add_api_route("/here", handle)
    app.include_router(router)


def among_the_dependencies_of_an_inclusion(app: FastAPI, wrong: Any) -> None:
    router = APIRouter()
    router.add_api_route("/here", handle)
    app.include_router(router, dependencies=[wrong])


def in_sub_dependency(app: FastAPI, wrong: Any) -> None:
    def user(session: Annotated[Any, wrong]) -> None: ...

    def role(user: Annotated[None, Depends(user)]) -> None: ...

    route(app, "/here", Depends(role))


def in_websocket(app: FastAPI, wrong: Any) -> None:
    @app.websocket("/here")
    async def talk(websocket: WebSocket, session: Annotated[Any, wrong]) -> None: ...


def in_websocket_of_nested_routers(app: FastAPI, wrong: Any) -> None:
    inner, outer = APIRouter(), APIRouter()

    @inner.websocket("/here")
    async def talk(websocket: WebSocket, session: Annotated[Any, wrong]) -> None: ...

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")


def in_websocket_of_a_router_with_dependencies(app: FastAPI, wrong: Any) -> None:
    router = APIRouter(dependencies=[wrong])

    @router.websocket("/here")
    async def talk(websocket: WebSocket) -> None: ...

    app.include_router(router, prefix="/v1")


def in_mounted_application(app: FastAPI, wrong: Any) -> None:
    mounted = FastAPI()
    route(mounted, "/here", wrong)
    app.mount("/mounted", mounted)


PLACES = {
    plain: "/here",
    in_decorator: "/here",
    in_included_router: "/here",
    in_nested_routers: "/v1/deeper/deep/here",
    added_after_the_router_was_included: "/late/here",
    among_the_dependencies_of_a_router: "/here",
    among_the_dependencies_of_an_inclusion: "/here",
    in_sub_dependency: "/here",
    in_websocket: "/here",
    in_websocket_of_nested_routers: "/v1/here",
    in_websocket_of_a_router_with_dependencies: "/v1/here",
    in_mounted_application: "/mounted/here",
}


@pytest.mark.parametrize(("build", "path"), PLACES.items())
def test_wrong_scope(build: Build, path: str, databases: Databases) -> None:
    """The application does not start, and the error names the route by its whole path."""
    app = FastAPI(lifespan=lifespan(databases))
    build(app, Depends(session_dependency(databases).dependency))

    with pytest.raises(ConfigurationError, match=rf"wrong scope: {path}\. ") as raised, TestClient(app):
        pass
    assert "scope='function'" in str(raised.value)


@pytest.mark.parametrize("build", PLACES)
def test_right_scope(build: Build, databases: Databases) -> None:
    """The application starts."""
    app = FastAPI(lifespan=lifespan(databases))
    build(app, session_dependency(databases))

    with TestClient(app):
        pass


def test_wrong_scope_for_a_whole_application(databases: Databases) -> None:
    """Every route of it is named."""
    wrong = Depends(session_dependency(databases).dependency)
    app = FastAPI(lifespan=lifespan(databases), dependencies=[wrong])
    app.add_api_route("/one", handle)
    router = APIRouter()
    router.add_api_route("/two", handle)
    app.include_router(router)

    with pytest.raises(ConfigurationError, match=r"wrong scope: /one, /two\. "), TestClient(app):
        pass


@pytest.mark.parametrize(
    ("dependency", "scope", "starts"),
    [
        (session_dependency, None, False),
        (session_dependency, "request", False),
        (session_dependency, "function", True),
        (sync_session_dependency, None, False),
        (sync_session_dependency, "request", False),
        (sync_session_dependency, "function", True),
        (streaming_dependency, None, True),
        (streaming_dependency, "request", True),
        (streaming_dependency, "function", False),
    ],
)
def test_scope_of_each_kind(databases: Databases, dependency: Any, scope: Any, starts: bool) -> None:
    """A streaming session needs the request's scope, the others the function's."""
    app = FastAPI(lifespan=lifespan(databases))
    route(app, "/here", Depends(dependency(databases).dependency, scope=scope))

    if starts:
        with TestClient(app):
            return
    with pytest.raises(ConfigurationError, match="/here"), TestClient(app):
        pass


def test_dependency_of_other_databases(databases: Databases) -> None:
    """The audit of one lifespan sees the sessions of all `Databases`."""
    other = Databases(*databases)
    app = FastAPI(lifespan=lifespan(databases))
    route(app, "/here", Depends(session_dependency(other).dependency))

    with pytest.raises(ConfigurationError, match="/here"), TestClient(app):
        pass
