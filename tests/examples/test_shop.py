"""The example application: its routes and its start page, on SQLite files."""

import itertools
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from examples.shop.answered_by import HEADER
from examples.shop.app import app
from examples.shop.databases import databases
from examples.shop.embedded import sqlite_files
from examples.shop.seed import create_and_seed
from examples.shop.visits import SECTIONS, Visit

pytestmark = pytest.mark.once

VISITS = [visit for visits in SECTIONS.values() for visit in visits]
EXPECTED = {"/orders/failing": 402, "/regions/audit/parcels": 404}
TOO_LARGE = 2**70
numbers = itertools.count()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of the SQLite files, with the first rows in them."""
    directory = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        for variable in (variable for database in databases for variable in database.environment_variables):
            patch.delenv(variable, raising=False)
        with sqlite_files(directory, keep=False):
            create_and_seed()
            yield directory


@pytest.fixture(scope="module")
def client(files: Path) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: f"{visit.method} {visit.path}")
def test_visit_of_the_start_page(visit: Visit, client: TestClient) -> None:
    """It answers, and its sessions ask exactly the databases that the page names."""
    body = visit.body.replace("NUMBER", str(next(numbers)))
    answer = client.request(visit.method, visit.path, content=body, headers={"Content-Type": "application/json"})

    created = 201 if visit.method == "POST" else 200
    assert EXPECTED.get(visit.path, created) == answer.status_code
    asked = [part.partition(":")[0] for part in filter(None, answer.headers[HEADER].split("; "))]
    if visit.path.endswith(".csv"):  # headers are sent before the second database is asked
        asked.append("shop")
    assert list(visit.databases) == asked


def test_start_page(client: TestClient) -> None:
    """It shows every database and every route, and needs nothing from elsewhere."""
    page = client.get("/")

    assert 200 == page.status_code
    assert [] == [name for name in databases.names if f"<h3>{name}</h3>" not in page.text]
    described = {path for path in client.get("/openapi.json").json()["paths"] if not path.startswith("/health/")}
    shown = {re.sub(r"/1$", "/{user_id}", re.sub("/(eu|us|audit)/", "/{region}/", visit.path)) for visit in VISITS}
    assert described <= shown
    assert not re.search(r"(src|href)=.?(https?:)?//", page.text)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert 200 == client.get("/docs").status_code


def test_user_and_order_in_two_databases(client: TestClient, files: Path) -> None:
    """One session writes both, and the relationship finds the order again."""
    user = sign_up(client)
    order = client.post("/orders", json={"user_id": user["id"], "product_id": 1, "quantity": 3}).json()

    assert [order] == client.get(f"/users/{user['id']}").json()["orders"]
    assert [(user["name"],)] == rows(files, "shop", "SELECT name FROM users WHERE id = ?", user["id"])
    assert [(3, 1350)] == rows(
        files, "analytics", "SELECT quantity, total_cents FROM orders WHERE user_id = ?", user["id"]
    )


def test_order_that_fails_after_writing_two_databases(client: TestClient, files: Path) -> None:
    """Nothing of it is kept, but for its entry in the audit database."""
    user = sign_up(client)
    before = contents(files)
    answer = client.post("/orders/failing", json={"user_id": user["id"], "product_id": 1, "quantity": 3})

    assert "shop: SELECT users, SELECT products, UPDATE products; analytics: INSERT" in answer.headers[HEADER]
    assert before == contents(files)
    last = "SELECT action, outcome FROM audit_entries ORDER BY id DESC LIMIT 1"
    assert [("POST /orders/failing", "failed: 402 The payment was declined.")] == rows(files, "audit", last)


def test_order_of_more_than_there_is(client: TestClient, files: Path) -> None:
    """It is refused, and nothing is written."""
    stock = rows(files, "shop", "SELECT stock FROM products WHERE id = 2")[0][0]
    user = sign_up(client)
    orders = [
        client.post("/orders", json={"user_id": user["id"], "product_id": 2, "quantity": 90}).status_code
        for _ in range(stock // 90 + 1)
    ]

    assert [*[201] * (stock // 90), 409] == orders
    assert [(stock % 90,)] == rows(files, "shop", "SELECT stock FROM products WHERE id = 2")


def test_audit_database_that_cannot_be_written(client: TestClient, files: Path) -> None:
    """The client hears how its request ended, for that is decided."""
    rows(files, "audit", "ALTER TABLE audit_entries RENAME TO hidden")
    try:
        user = sign_up(client)
    finally:
        rows(files, "audit", "ALTER TABLE hidden RENAME TO audit_entries")

    assert [(user["name"],)] == rows(files, "shop", "SELECT name FROM users WHERE id = ?", user["id"])


def test_parcel_of_a_region(client: TestClient, files: Path) -> None:
    """It is written to the database of the region that the request names, and to no other."""
    parcel = client.post("/regions/eu/parcels", json={"city": "Narva"}).json()

    assert [("Narva",)] == rows(files, "eu", "SELECT city FROM parcels WHERE id = ?", parcel["id"])
    assert [] == rows(files, "us", "SELECT city FROM parcels WHERE city = 'Narva'")


@pytest.mark.parametrize("region", ["mars", "audit", "shop", "EU", "eu%20", "%00", "%ff", "x" * 5000, "..%2Feu"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_region_that_is_none(method: str, region: str, client: TestClient) -> None:
    """404, be it a declared database, and no database is asked."""
    answer = client.request(method, f"/regions/{region}/parcels", json={"city": "Nowhere"})

    assert (404, "") == (answer.status_code, answer.headers[HEADER])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/users/0", 422),
        ("/users/-1", 422),
        (f"/users/{TOO_LARGE}", 422),
        ("/users/2147483647", 404),
        ("/users/one", 422),
        ("/users/%00", 422),
        ("/users?limit=0", 422),
        ("/users?limit=-1", 422),
        ("/users?limit=1000000", 422),
        (f"/users?after={TOO_LARGE}", 422),
        ("/users?after=2147483647", 200),
        ("/health/mars", 404),
        ("/nothing", 404),
    ],
)
def test_path_with_values_that_make_no_sense(path: str, status: int, client: TestClient) -> None:
    """A clear answer, never a server error."""
    assert status == client.get(path).status_code


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "", "email": "new@example.com"}',
        '{"name": "   ", "email": "new@example.com"}',
        '{"name": "a\\u0000b", "email": "new@example.com"}',
        '{"name": "\\u007f", "email": "new@example.com"}',
        '{"name": "\\ud800", "email": "new@example.com"}',
        f'{{"name": "{"x" * 81}", "email": "new@example.com"}}',
        '{"name": "Somebody", "email": "nobody"}',
        f'{{"name": "Somebody", "email": "{"x" * 200}@example.com"}}',
        '{"name": NaN, "email": "new@example.com"}',
        '{"name": "Somebody"',
        "[]",
        "",
    ],
)
def test_sign_up_with_values_that_make_no_sense(body: str, client: TestClient, files: Path) -> None:
    """422, and nothing is written."""
    before = contents(files)
    answer = client.post("/users", content=body, headers={"Content-Type": "application/json"})

    assert 422 == answer.status_code
    assert before == contents(files)


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"quantity": -1}, 422),
        ({"quantity": 0}, 422),
        ({"quantity": 1.5}, 422),
        ({"quantity": TOO_LARGE}, 422),
        ({"user_id": TOO_LARGE}, 422),
        ({"user_id": 2**31 - 1}, 404),
        ({"product_id": 2**31 - 1}, 404),
    ],
)
def test_order_with_values_that_make_no_sense(
    wish: dict[str, Any], status: int, client: TestClient, files: Path
) -> None:
    """A clear answer, and nothing is written."""
    before = contents(files)
    answer = client.post("/orders", json={"user_id": 1, "product_id": 1, "quantity": 1, **wish})

    assert status == answer.status_code
    assert before == contents(files)


def test_email_address_that_has_signed_up(client: TestClient) -> None:
    """409, whatever its case."""
    assert 409 == client.post("/users", json={"name": "Another Ada", "email": "ADA@example.com"}).status_code


def test_export_with_a_name_that_is_a_formula(client: TestClient) -> None:
    """A spreadsheet would not run it."""
    user = sign_up(client, "=1+1")
    client.post("/orders", json={"user_id": user["id"], "product_id": 4, "quantity": 1})

    assert client.get("/exports/orders.csv").text.endswith(",'=1+1,Honey,1,700\r\n")


def test_best_buyers(client: TestClient, files: Path) -> None:
    """One select over two databases gives what each of them, and a program, would give together."""
    spent: dict[int, list[int]] = {}
    for user_id, cents in rows(files, "analytics", "SELECT user_id, total_cents FROM orders"):
        spent.setdefault(user_id, []).append(cents)
    names = dict(rows(files, "shop", "SELECT id, name FROM users"))
    expected = sorted((-sum(paid), user_id, len(paid)) for user_id, paid in spent.items() if user_id in names)

    assert [
        {"name": names[user_id], "orders": orders, "spent_cents": -spent} for spent, user_id, orders in expected[:10]
    ] == client.get("/reports/buyers").json()


def test_order_whose_user_is_gone(client: TestClient, files: Path) -> None:
    """No server checks a key into another database, so reports and exports go on without the name."""
    rows(files, "analytics", "INSERT INTO orders VALUES (99999, 99999, 99999, 1, 1, '2026-01-01 00:00:00')")
    try:
        export, report = client.get("/exports/orders.csv"), client.get("/reports/revenue")
    finally:
        rows(files, "analytics", "DELETE FROM orders WHERE id = 99999")

    assert export.text.endswith("\r\n99999,,,1,1\r\n")
    assert {"product": "product 99999", "sold": 1, "revenue_cents": 1} in report.json()


def sign_up(client: TestClient, name: str = "A Visitor") -> dict[str, Any]:
    answer = client.post("/users", json={"name": name, "email": f"visitor-{next(numbers)}@example.com"})
    assert 201 == answer.status_code
    user: dict[str, Any] = answer.json()
    return user


def contents(files: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the databases that one session writes together."""
    tables = {"users": "shop", "products": "shop", "orders": "analytics", "events": "analytics"}
    return {table: rows(files, name, f"SELECT * FROM {table} ORDER BY id") for table, name in tables.items()}


def rows(files: Path, database: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(files / f"{database}.sqlite")) as connection, connection:
        return connection.execute(statement, values).fetchall()
