"""Questions on a terminal: what is typed is the answer, and Ctrl-C is heard whenever it comes."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.terminals import CTRL_C, Terminal, on_terminal

ASKING = """
from manybase.cli.questions import answer
for number in range({count}):
    try:
        print(f"<{{answer(f'Question {{number}}? ')!r}}>")
    except KeyboardInterrupt:
        print("<interrupted>")
"""
Ask = Callable[[int], AbstractContextManager[Terminal]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """So many questions, one after the other."""
    return lambda count: on_terminal([sys.executable, "-c", ASKING.format(count=count)], tmp_path)


@pytest.mark.parametrize(
    ("typed", "answered"), [("yes\n", "'yes\\n'"), ("\n", "'\\n'"), ("\x04", "''"), (CTRL_C, "interrupted")]
)
def test_answer(ask: Ask, typed: str, answered: str) -> None:
    """The line; nothing where the input ends; Ctrl-C raises."""
    with ask(1) as terminal:
        terminal.until("Question 0? ")
        terminal.type(typed)
        assert 0 == terminal.end()

    assert f"<{answered}>" in terminal.text


@pytest.mark.once
def test_ctrl_c_as_the_question_appears(ask: Ask) -> None:
    """``input()`` misses one in some hundreds, for it has yet to begin to wait, and then waits for ever."""
    count = 2_000
    with ask(count) as terminal:
        for number in range(count):
            terminal.until(f"Question {number}? ")
            terminal.type(CTRL_C)
            terminal.text = ""
        assert 0 == terminal.end()
