"""manybase in a FastAPI application: sessions as dependencies, a lifespan, health routes."""

from manybase.fastapi.dependencies import session_dependency, streaming_dependency, sync_session_dependency
from manybase.fastapi.health import health_router
from manybase.fastapi.positions import PositionMiddleware, by_method
from manybase.fastapi.startup import lifespan, running

__all__ = [
    "PositionMiddleware",
    "by_method",
    "health_router",
    "lifespan",
    "running",
    "session_dependency",
    "streaming_dependency",
    "sync_session_dependency",
]
