"""manybase in a FastAPI application: sessions as dependencies, a lifespan."""

from manybase.fastapi.dependencies import session_dependency, streaming_dependency, sync_session_dependency
from manybase.fastapi.startup import lifespan, running

__all__ = ["lifespan", "running", "session_dependency", "streaming_dependency", "sync_session_dependency"]
