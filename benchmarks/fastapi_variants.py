"""The applications that fastapi_overhead.py compares: the same GET route, with the session from different hands."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, insert, select
from sqlalchemy.ext.asyncio import AsyncSession as PlainAsyncSession
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import AsyncSession, Database, Databases
from manybase.fastapi import lifespan, session_dependency


class Base(DeclarativeBase):
    pass


class SecondBase(DeclarativeBase):
    pass


class ThirdBase(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "bench_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


folder = Path(os.environ["BENCH_FOLDER"])
url = os.environ["BENCH_URL"] or f"sqlite:///{folder / 'rows.sqlite'}"
async_url = url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
PREBUILT = select(Row).order_by(Row.id).limit(10)


def fill() -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if connection.execute(select(Row.id).limit(1)).first() is None:
            connection.execute(insert(Row), [{"name": f"name{n}"} for n in range(100)])
    engine.dispose()


async def rows(session: PlainAsyncSession) -> list[dict[str, Any]]:
    found: Sequence[Row] = (await session.scalars(PREBUILT)).all()
    return [{"id": row.id, "name": row.name} for row in found]


fill()

# What people write by hand, done right: it commits before the response.
make_session = async_sessionmaker(create_async_engine(async_url), expire_on_commit=False)


async def by_hand() -> AsyncIterator[PlainAsyncSession]:
    async with make_session() as session:
        yield session
        await session.commit()


hand_written = FastAPI()


@hand_written.get("/rows")
async def hand_written_rows(
    session: Annotated[PlainAsyncSession, Depends(by_hand, scope="function")],
) -> list[dict[str, Any]]:
    return await rows(session)


def application(databases: Databases, dependency: Any) -> FastAPI:
    app = FastAPI(lifespan=lifespan(databases))

    @app.get("/rows")
    async def get_rows(session: AsyncSession = dependency) -> list[dict[str, Any]]:
        return await rows(session)

    return app


one = Databases(Database("main", url, models=Base))
three = Databases(
    Database("main", url, models=Base),
    Database("second", f"sqlite:///{folder / 'second.sqlite'}", models=SecondBase),
    Database("third", f"sqlite:///{folder / 'third.sqlite'}", models=ThirdBase),
)
manybase_one = application(one, session_dependency(one))
manybase_pinned = application(three, session_dependency(three, database="main"))
manybase_three = application(three, session_dependency(three))

try:
    from fastapi_async_sqlalchemy import SQLAlchemyMiddleware, db
except ImportError:
    pass
else:
    fastapi_async_sqlalchemy_app = FastAPI()
    fastapi_async_sqlalchemy_app.add_middleware(SQLAlchemyMiddleware, db_url=async_url, commit_on_exit=True)

    @fastapi_async_sqlalchemy_app.get("/rows")
    async def middleware_rows() -> list[dict[str, Any]]:
        return await rows(db.session)
