"""Learned: what a server has told about itself, asked once and believed for a few minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
BELIEVED = 300  # seconds


class Learned:
    def __init__(self) -> None:
        self._answers: dict[object, tuple[float, Any]] = {}

    def get(self, question: object, ask: Callable[[], T], *, believed: float = BELIEVED) -> T:
        """The answer from before, or what ``ask`` returns now; an error is not remembered."""
        now = time.monotonic()
        known = self._answers.get(question)
        if known is not None and now - known[0] < believed:
            answer: T = known[1]
            return answer
        answer = ask()
        self._answers[question] = now, answer
        return answer

    def forget(self, question: object) -> None:
        self._answers.pop(question, None)
