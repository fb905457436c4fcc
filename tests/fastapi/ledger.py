"""Routes over `tests.ledgers`, whose commits can be made to fail."""

from typing import Annotated

from fastapi import FastAPI

from manybase import AsyncSession, Databases, Session
from manybase.fastapi import lifespan, session_dependency, sync_session_dependency
from tests.ledgers import write, write_what_cannot_be_committed


def application(databases: Databases, *, atomic: bool = True) -> FastAPI:
    """`POST /async` and `POST /sync` write to both databases; `?broken=first` makes the commit of that one fail."""
    app = FastAPI(lifespan=lifespan(databases))

    async_session = Annotated[AsyncSession, session_dependency(databases, atomic=atomic)]
    sync_session = Annotated[Session, sync_session_dependency(databases, atomic=atomic)]

    @app.post("/async")
    async def post(session: async_session, broken: str = "") -> dict[str, str]:
        await session.run_sync(write_to_both, broken)
        return {"status": "written"}

    @app.post("/sync")
    def post_sync(session: sync_session, broken: str = "") -> dict[str, str]:
        write_to_both(session, broken)
        return {"status": "written"}

    return app


def write_to_both(session: Session, broken: str) -> None:
    for name in ("first", "second"):
        if name == broken:
            write_what_cannot_be_committed(session, name)
        else:
            write(session, name)
