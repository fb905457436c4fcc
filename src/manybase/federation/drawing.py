"""Drawing: an explanation as a Rich tree. Nothing else here imports Rich."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from manybase.extras import needing

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["Tree", "drawn"]


def drawn(title: str, parts: Iterable[tuple[str, list[str]]]) -> Tree:
    with needing("rich", extra="cli"):
        from rich.text import Text
        from rich.tree import Tree

    tree = Tree(Text(title, style="bold"))  # as text: nothing in it is markup
    for head, details in parts:
        branch = tree.add(Text(head, style="cyan"))
        for each in details:
            branch.add(Text(each))
    return tree
