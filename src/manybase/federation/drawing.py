"""Drawing: an explanation as a Rich tree. Nothing else here imports Rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manybase.extras import needing

if TYPE_CHECKING:
    from rich.tree import Tree

    from manybase.federation.explanation import Explanation

__all__ = ["Tree", "drawn"]


def drawn(explanation: Explanation) -> Tree:
    with needing("rich", extra="cli"):
        from rich.text import Text
        from rich.tree import Tree

    tree = Tree(Text(explanation.title, style="bold"))  # as text: nothing in it is markup
    for head, details in explanation.parts():
        branch = tree.add(Text(head, style="cyan"))
        for each in details:
            branch.add(Text(each))
    return tree
