"""The guide of the tour: asks the running application, shows what it answers, and checks it."""

import json
from typing import Any

from examples.shop.client import Answer, Client
from examples.shop.terminal import BOLD, CYAN, DIM, GREEN, RED, Terminal


class Unexpected(Exception):
    """A step did not give the expected result."""


class Guide:
    def __init__(self, client: Client, terminal: Terminal) -> None:
        self._client = client
        self._terminal = terminal
        self._steps = 0

    def step(self, title: str, about: str) -> None:
        self._steps += 1
        self._terminal.line()
        self._terminal.line(f"{self._steps:>2}  {title}", style=BOLD)
        self._terminal.line(about, style=DIM, indent=4)

    def ask(self, method: str, path: str, body: object = None, *, status: int = 200, rows: int = 3) -> Any:
        """The JSON that the application answers; ``Unexpected`` if its status is another one."""
        answer = self.show(method, path, body)
        self.expect_status(answer, status)
        self._result(answer, rows)
        self._databases(answer)
        return answer.body

    def peek(self, path: str) -> Any:
        """The JSON at a path, without a word about it."""
        return self._client.ask("GET", path).body

    def refused(self, path: str, error: str) -> str:
        """The message with which manybase refuses a statement; ``Unexpected`` if it does not, or for another reason."""
        answer = self.show("GET", path)
        self.expect_status(answer, 200)
        self._terminal.line(f"{answer.body['error']}: {answer.body['message']}", indent=4)
        self.check(f"{error}, and no SQL ran", answer.body["error"] == error and not answer.databases)
        return str(answer.body["message"])

    def explained(self, path: str) -> dict[str, Any]:
        """An explanation that a route gives, shown as its text."""
        answer = self.show("GET", path)
        self.expect_status(answer, 200)
        for line in answer.body["text"].splitlines():
            self._terminal.cut(line, indent=8)
        body: dict[str, Any] = answer.body
        return body

    def lines(self, path: str, *, show: int) -> list[str]:
        """The lines of a text that the application streams."""
        answer = self.show("GET", path)
        self.expect_status(answer, 200)
        lines = answer.text.splitlines()
        for line in [*lines[:show], "…"] if len(lines) > show else lines:
            self._terminal.cut(line, indent=4)
        self._databases(answer)
        return lines

    def tell(self, database: str, text: str) -> None:
        self._terminal.pair(database, text, indent=8)

    def check(self, claim: str, holds: bool) -> None:
        """Tell a claim that holds; ``Unexpected`` with one that does not."""
        self._terminal.line(f"{'✓' if holds else '✗'} {claim}", style=GREEN if holds else RED, indent=4)
        if not holds:
            raise Unexpected(claim)

    def show(self, method: str, path: str, body: object = None) -> Answer:
        self._terminal.cut(f"{method} {path} {as_json(body) if body else ''}".rstrip(), style=CYAN, indent=4)
        return self._client.ask(method, path, body)

    def expect_status(self, answer: Answer, status: int) -> None:
        if answer.status != status:
            self._terminal.cut(f"{answer.status} {answer.text}", indent=4)
            self.check(f"answers {status}", False)

    def _result(self, answer: Answer, rows: int) -> None:
        if not isinstance(answer.body, list):
            self._terminal.line(f"{answer.status} {as_json(answer.body)}", indent=4)
            return
        self._terminal.line(f"{answer.status} {len(answer.body)} rows", indent=4)
        for row in answer.body[:rows]:
            self._terminal.cut(as_json(row), indent=8)
        if 0 < rows < len(answer.body):
            self._terminal.line("…", indent=8)

    def _databases(self, answer: Answer) -> None:
        for each in filter(None, answer.databases.split("; ")):
            name, _, asked = each.partition(": ")
            self._terminal.pair(name, asked, style=DIM, indent=8)


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
