"""What is asked once, and believed for a while."""

import pytest

from manybase import learned as module
from manybase.learned import Learned


def test_question_asked_twice() -> None:
    """The second time the answer is known."""
    answers = iter([1, 2])
    learned = Learned()

    assert [1, 1] == [learned.get("how many", lambda: next(answers)) for _ in range(2)]


def test_answer_that_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again, except by those who believe it for longer."""
    answers = iter([1, 2])
    learned = Learned()
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    first = learned.get("how many", lambda: next(answers))
    now = module.BELIEVED + 1

    assert 1 == first
    assert 1 == learned.get("how many", lambda: next(answers), believed=float("inf"))
    assert 2 == learned.get("how many", lambda: next(answers))


def test_question_that_fails() -> None:
    """Nothing is remembered, the next one asks again."""
    learned = Learned()

    def fail() -> int:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  # it is ours
        learned.get("how many", fail)
    assert 3 == learned.get("how many", lambda: 3)


def test_forgotten_answer() -> None:
    """It is asked again."""
    learned = Learned()
    learned.get("how many", lambda: 1)
    learned.forget("how many")

    assert 2 == learned.get("how many", lambda: 2)
