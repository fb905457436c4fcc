"""A dependency of the user's chooses the database: declared names it may choose work, everything else is a 404."""

import enum
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header, HTTPException, Query
from fastapi import Path as PathParameter
from fastapi.testclient import TestClient
from sqlalchemy import MetaData, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from manybase import AsyncSession, ConfigurationError, Database, Databases, Session, UnknownDatabase
from manybase.fastapi import session_dependency, streaming_dependency, sync_session_dependency
from tests.fastapi.rows import rows
from tests.sessions import statements

BY_PATH = "/{region}/customers"
KINDS = [session_dependency, sync_session_dependency, streaming_dependency]


class Base(DeclarativeBase):
    metadata = MetaData()


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class InternalBase(DeclarativeBase):
    metadata = MetaData()


class Secret(InternalBase):
    __tablename__ = "secrets"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Databases]:
    """The same models in two regions, and a third database that no client may reach."""
    databases = Databases(
        Database("eu", f"sqlite:///{tmp_path / 'eu'}.db", models=Base, shared_models=True),
        Database("us", f"sqlite:///{tmp_path / 'us'}.db", models=Base, shared_models=True),
        Database("internal", f"sqlite:///{tmp_path / 'internal'}.db", models=InternalBase, default=True),
    )
    databases.create_all()
    for name in ("eu", "us"):
        with Session(databases, database=name) as session, session.begin():
            session.add(Customer(name=f"{name} customer"))
    yield databases
    databases.dispose()


def by_header(region: Annotated[str | None, Header()] = None) -> str | None:
    return region


async def by_path(region: Annotated[str, PathParameter()]) -> str:
    return region


def application(dependency: Any, *, path: str = "/customers", sync: bool = False) -> FastAPI:
    app = FastAPI()

    async def customers(session: Annotated[AsyncSession, dependency]) -> list[str]:
        return list(await session.scalars(select(Customer.name)))

    def sync_customers(session: Annotated[Session, dependency]) -> list[str]:
        return list(session.scalars(select(Customer.name)))

    app.add_api_route(path, sync_customers if sync else customers)
    return app


@pytest.mark.parametrize("kind", KINDS)
def test_region_from_a_header(kind: Callable[..., Any], regions: Databases) -> None:
    """Each request reads the database it names."""
    app = application(kind(regions, database=by_header), sync=kind is sync_session_dependency)
    with TestClient(app) as client:
        for region in ("eu", "us", "eu"):
            response = client.get("/customers", headers={"region": region})

            assert [f"{region} customer"] == response.json()


def test_region_from_the_path(regions: Databases) -> None:
    """An async dependency chooses just as well."""
    client = TestClient(application(session_dependency(regions, database=by_path), path=BY_PATH))

    assert ["us customer"] == client.get("/us/customers").json()


def test_write_to_the_chosen_region(regions: Databases) -> None:
    """Only that one is written."""
    app = FastAPI()

    @app.post("/{region}/customers")
    async def post(session: Annotated[AsyncSession, session_dependency(regions, database=by_path)]) -> None:
        session.add(Customer(name="new"))

    assert 200 == TestClient(app).post("/us/customers").status_code
    assert ["new", "us customer"] == rows(regions, "us", "customers", "name")
    assert ["eu customer"] == rows(regions, "eu", "customers", "name")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("region", ["internal", "mars", "EU", "", "eu;us", "__class__"])
def test_name_that_is_not_among_the_choices(kind: Callable[..., Any], regions: Databases, region: str) -> None:
    """A 404, be it declared or not, and no SQL runs."""
    app = application(kind(regions, database=by_header), sync=kind is sync_session_dependency)
    with statements(regions) as ran:
        response = TestClient(app).get("/customers", headers={"region": region})

    assert 404 == response.status_code
    assert {"detail": "Unknown database."} == response.json()
    assert "application/problem+json" == response.headers["content-type"]
    assert [] == ran


def test_declared_name_that_was_not_declared_as_a_choice(regions: Databases) -> None:
    """`choices` narrows what `shared_models` would allow."""
    client = TestClient(application(session_dependency(regions, database=by_path, choices=["eu"]), path=BY_PATH))

    assert 404 == client.get("/us/customers").status_code
    assert ["eu customer"] == client.get("/eu/customers").json()


@pytest.mark.parametrize("choices", [["eu"], ["eu", "us"]])
def test_nothing_chosen(regions: Databases, choices: list[str]) -> None:
    """A 404, also where there is but one choice: no database is guessed."""
    client = TestClient(application(session_dependency(regions, database=by_header, choices=choices)))

    assert 404 == client.get("/customers").status_code


@pytest.mark.parametrize("chosen", [b"eu", 1, ["eu"], {"eu"}, object()])
def test_something_chosen_that_is_no_name(regions: Databases, chosen: Any) -> None:
    """A 404."""
    client = TestClient(application(session_dependency(regions, database=lambda: chosen)))

    assert 404 == client.get("/customers").status_code


class Region(str, enum.Enum):  # noqa: UP042  # as many programs have it; str() of it is not the name
    europe = "eu"
    america = "us"


class StrRegion(enum.StrEnum):
    europe = "eu"
    america = "us"


@pytest.mark.parametrize("region", [Region.america, StrRegion.america])
def test_name_chosen_with_an_enum(regions: Databases, region: Any) -> None:
    """An enum of strings, as path parameters often are, is the name it stands for."""
    client = TestClient(application(session_dependency(regions, database=lambda: region)))

    assert ["us customer"] == client.get("/customers").json()


def test_error_of_the_choosing_dependency(regions: Databases) -> None:
    """It passes as it is: who may choose what is the application's own business."""

    def choose() -> str:
        raise HTTPException(403, "not yours")

    response = TestClient(application(session_dependency(regions, database=choose))).get("/customers")

    assert (403, {"detail": "not yours"}) == (response.status_code, response.json())


def test_two_choices_in_one_request(regions: Databases) -> None:
    """Two dependencies choose for two sessions."""

    def source(source: Annotated[str, Query()]) -> str:
        return source

    def target(target: Annotated[str, Query()]) -> str:
        return target

    app = FastAPI()

    @app.post("/move")
    async def move(
        here: Annotated[AsyncSession, session_dependency(regions, database=source)],
        there: Annotated[AsyncSession, session_dependency(regions, database=target)],
    ) -> None:
        customer = (await here.scalars(select(Customer))).one()
        there.add(Customer(name=customer.name))
        await here.delete(customer)

    assert 200 == TestClient(app).post("/move", params={"source": "eu", "target": "us"}).status_code
    assert [] == rows(regions, "eu", "customers")
    assert ["eu customer", "us customer"] == rows(regions, "us", "customers", "name")


@pytest.mark.parametrize("kind", KINDS)
def test_no_choices(kind: Callable[..., Any], databases: Databases) -> None:
    """The error says where to name them: a client must not reach every declared database."""
    with pytest.raises(ConfigurationError, match=r"choices=\[\.\.\.\].*shared_models=True"):
        kind(databases, database=by_header)
    with pytest.raises(ConfigurationError, match="choices"):
        kind(databases, database=by_header, choices=[])


def test_choice_that_is_not_declared(regions: Databases) -> None:
    """It is refused where the dependency is made."""
    with pytest.raises(UnknownDatabase, match="'mars' is not declared"):
        session_dependency(regions, database=by_header, choices=["eu", "mars"])


@pytest.mark.parametrize("database", [None, "eu"])
def test_choices_without_someone_to_choose(regions: Databases, database: str | None) -> None:
    """They would silently mean nothing: refused."""
    with pytest.raises(ConfigurationError, match="choices"):
        session_dependency(regions, database=database, choices=["eu", "us"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database", [None, "eu", by_header])
def test_documented_parameters(kind: Callable[..., Any], regions: Databases, database: Any) -> None:
    """Only what the choosing dependency asks for is a parameter of the route: no `name`, no `connection`."""
    app = FastAPI()

    @app.get("/")
    async def get(session: Annotated[Any, kind(regions, database=database)]) -> None: ...

    operation = app.openapi()["paths"]["/"]["get"]

    expected = ["region"] if database is by_header else []
    assert expected == [parameter["name"] for parameter in operation.get("parameters", [])]
    assert "requestBody" not in operation


def test_name_in_the_query(regions: Databases) -> None:
    """It chooses nothing."""
    client = TestClient(application(session_dependency(regions, database="eu")))

    assert ["eu customer"] == client.get("/customers", params={"name": "us"}).json()
