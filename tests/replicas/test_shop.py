"""The example application on a PostgreSQL that has a replica, declared as its README says."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import pytest
from sqlalchemy import URL

from tests.examples.program import serving_demo
from tests.servers.replicated import Streaming

pytestmark = [pytest.mark.server, pytest.mark.once]

LATE = 60_000  # milliseconds


@pytest.fixture
def shop(streaming: Streaming, tmp_path: Path) -> Iterator[str]:
    """The address of the demo after its tour; from then on its replica is late."""
    url = streaming.primary.create_database()
    streaming.wait()
    urls = {"shop": text_of(url), "replicas": text_of(streaming.url_on_replica(url))}
    with serving_demo("--port", 0, "--data", tmp_path, urls=urls) as (process, address):
        streaming.wait()
        streaming.delay(LATE)
        yield address
        process.terminate()
        process.communicate(timeout=20)
    streaming.delay(0)
    streaming.primary.drop_database(url)


def text_of(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def ask(client: OpenerDirector, url: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    with client.open(Request(url, data, {"Content-Type": "application/json"}), timeout=20) as answer:
        return str(answer.read().decode())


def test_list_of_users(shop: str) -> None:
    """It comes from the replica; but who has just signed up finds himself in it."""
    zoe, somebody = build_opener(HTTPCookieProcessor()), build_opener()
    ask(zoe, f"{shop}/users", {"name": "Zoe", "email": "zoe@example.com"})
    found = ["Zoe" in ask(each, f"{shop}/users") for each in (zoe, somebody)]
    (replica,) = json.loads(ask(somebody, f"{shop}/health"))["databases"][0]["replicas"]

    assert [True, False] == found
    assert ("shop/1", "replica", "ok") == (replica["replica"], replica["role"], replica["state"])
