"""Questions: what somebody at a terminal answers."""

from __future__ import annotations

import select
import sys

from manybase.cli.interrupting import interrupting
from manybase.concurrency import LOOK


def is_answered() -> bool:
    """Whether somebody is there."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def answer(question: str) -> str:
    """What they say; nothing where they end the input. Ctrl-C raises ``KeyboardInterrupt``.

    Also at the very moment when the question appears, where ``input()`` misses it and waits on.
    """
    with interrupting():
        if sys.platform == "win32":  # which cannot look
            try:
                return input(question)
            except EOFError:
                return ""
        print(question, end="", flush=True)
        while not select.select([sys.stdin], [], [], LOOK)[0]:
            pass
        return sys.stdin.readline()
