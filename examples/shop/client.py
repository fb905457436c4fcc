"""A client of the application: one request at a time, over a real connection."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from examples.shop.answered_by import HEADER


@dataclass(frozen=True)
class Answer:
    status: int
    databases: str
    """What was asked of which database, as the application tells it."""
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Client:
    host: str
    port: int

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        connection = HTTPConnection(self.host, self.port, timeout=30)  # knows no proxies
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, response.getheader(HEADER, ""), response.read().decode())
        finally:
            connection.close()
