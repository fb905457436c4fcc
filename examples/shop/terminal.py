"""The look of the tour in a terminal: plain text when piped, colours when somebody is looking."""

import io
import os
import shutil
import sys
import textwrap
from typing import TextIO

BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "36"


class Terminal:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = max(50, min(shutil.get_terminal_size((100, 0)).columns, 100))

    def line(self, text: str = "", *, style: str = "", indent: int = 0) -> None:
        """Some text, wrapped to the width of the terminal."""
        margin = " " * indent
        wrapped = textwrap.wrap(text, self._width - indent, break_on_hyphens=False) or [""]
        for each in wrapped:
            self._write(margin + self._styled(each, style))

    def cut(self, text: str, *, style: str = "", indent: int = 0) -> None:
        """One line, cut where it is too long."""
        space = self._width - indent
        self._write(" " * indent + self._styled(text if len(text) <= space else f"{text[: space - 1]}…", style))

    def pair(self, name: str, text: str, *, style: str = "", indent: int = 0) -> None:
        """A name and what there is to say of it, in two columns."""
        margin = " " * (indent + 11)
        wrapped = textwrap.wrap(text, self._width - len(margin), break_on_hyphens=False) or [""]
        self._write(" " * indent + self._styled(f"{name:<10} ", style) + wrapped[0])
        for each in wrapped[1:]:
            self._write(margin + each)

    def _styled(self, text: str, style: str) -> str:
        return f"\033[{style}m{text}\033[0m" if style and self._colours else text

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def standard_output() -> Terminal:
    if isinstance(sys.stdout, io.TextIOWrapper):  # an old console may not know every character: better "?" than no tour
        sys.stdout.reconfigure(errors="replace")
    return Terminal(sys.stdout)
