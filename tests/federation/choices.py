"""Choices: random numbers that are written down, so that what was made of them can be made again, and made smaller."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Numbers from a seed, or those of an earlier run; past their end all are 0, which always means the simplest."""

    def __init__(self, seed: int | str | None = None, given: Sequence[int] | None = None) -> None:
        self._random = random.Random(seed)
        self._given = given
        self.taken: list[int] = []

    def below(self, bound: int) -> int:
        place = len(self.taken)
        if self._given is None:
            number = self._random.randrange(bound)
        else:
            number = self._given[place] % bound if place < len(self._given) else 0
        self.taken.append(number)
        return number

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def maybe(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def some(self, options: Sequence[T], most: int) -> list[T]:
        return [self.one_of(options) for _ in range(self.below(most + 1))]


def shrunk(choices: Sequence[int], still_wrong: Callable[[list[int]], bool], *, attempts: int = 150) -> list[int]:
    """Fewer and smaller numbers that are still wrong."""
    best = list(choices)
    progress = True
    while progress and attempts > 0:
        progress = False
        for smaller in simpler(best):
            attempts -= 1
            if still_wrong(smaller):
                best, progress = smaller, True
                break
            if attempts <= 0:
                break
    return best


def simpler(choices: list[int]) -> Iterator[list[int]]:
    """Without a part of them, the large parts first; then with one of them 0."""
    size = len(choices) // 2
    while size > 0:
        for start in range(0, len(choices), size):
            yield choices[:start] + choices[start + size :]
        size //= 2
    for place, number in enumerate(choices):
        if number:
            yield [*choices[:place], 0, *choices[place + 1 :]]
