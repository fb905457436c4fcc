"""The example with a database for each customer."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from fastapi.testclient import TestClient

from tests.examples.program import ROOT

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tenants")


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANYBASE_EXAMPLE_DATA", str(data))
        from examples.tenants.app import app

        with TestClient(app) as client:
            yield client


def sign_up(client: TestClient, slug: str, plan: str = "free") -> dict[str, str]:
    """The headers of a new customer."""
    answer = client.post("/customers", json={"slug": slug, "plan": plan})
    assert 201 == answer.status_code, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}"}


def test_notes_of_two_customers(client: TestClient, data: Path) -> None:
    """Each sees its own, with the same numbers, joined with the plan that it has."""
    acme, globex = sign_up(client, "acme"), sign_up(client, "globex", "team")

    assert [1, 1] == [client.post("/notes", json={"text": "mine"}, headers=who).json() for who in (acme, globex)]
    assert [{"id": 1, "text": "mine", "most_notes": 3}] == client.get("/notes", headers=acme).json()
    assert [{"id": 1, "text": "mine", "most_notes": 100}] == client.get("/notes", headers=globex).json()
    assert {"slug": "globex", "plan": "team"} == client.get("/customers/me", headers=globex).json()
    assert {"notes-acme.sqlite", "notes-globex.sqlite"} <= {each.name for each in data.iterdir()}


def test_plan_that_is_full(client: TestClient) -> None:
    """402, and nothing is written."""
    headers = sign_up(client, "full")
    statuses = [client.post("/notes", json={"text": "one more"}, headers=headers).status_code for _ in range(4)]

    assert [201, 201, 201, 402] == statuses
    assert 3 == len(client.get("/notes", headers=headers).json())


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer acme"}, {"authorization": "Bearer "}, {"x-tenant": "acme", "host": "acme.test"}],
)
def test_request_without_a_token(headers: dict[str, str], client: TestClient) -> None:
    """401: to name a customer is not to be one."""
    assert 401 == client.get("/notes", headers=headers).status_code


@pytest.mark.parametrize("slug", ["../evil", "evil.sqlite", "EVIL", "e", "evil\n", "evil'--", "%2e%2e", "e" * 300, ""])
def test_name_that_is_hostile(slug: str, client: TestClient, data: Path) -> None:
    """422, and no file is made, here or elsewhere."""
    before = {*data.parent.rglob("*")}

    assert 422 == client.post("/customers", json={"slug": slug}).status_code
    assert before == {*data.parent.rglob("*")}


def test_name_that_is_taken(client: TestClient) -> None:
    """409, and the notes stay whose they were."""
    headers = sign_up(client, "taken")
    client.post("/notes", json={"text": "mine"}, headers=headers)

    assert 409 == client.post("/customers", json={"slug": "taken"}).status_code
    assert ["mine"] == [each["text"] for each in client.get("/notes", headers=headers).json()]


def test_readiness(client: TestClient) -> None:
    """It asks the database that all share."""
    assert 200 == client.get("/readyz").status_code


def test_more_customers_than_engines(client: TestClient) -> None:
    """All are served, by no more engines and connections than declared."""
    from examples.tenants.databases import databases

    everybody = {slug: sign_up(client, slug) for slug in (f"many{number}" for number in range(25))}
    for slug, headers in everybody.items():
        client.post("/notes", json={"text": slug}, headers=headers)

    assert [[slug] for slug in everybody] == [
        [each["text"] for each in client.get("/notes", headers=headers).json()] for headers in everybody.values()
    ]
    usage = databases.usage()
    assert usage.engines <= 10
    assert usage.connections <= 20


def test_program(tmp_path: Path) -> None:
    """The documented command serves it."""
    command = [sys.executable, "-W", "error", "-m", "examples.tenants", "--port", "0", "--data", str(tmp_path / "data")]
    environment = {**os.environ, "NO_PROXY": "*"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
            assert 200 == urlopen(f"{address}/readyz").status
        finally:
            process.terminate()
            process.communicate(timeout=20)

    assert (tmp_path / "data" / "control.sqlite").exists()
