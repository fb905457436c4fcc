"""Explanation: how a statement is answered, and, once it ran, what that took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from manybase.federation.drawing import Tree

Lines = Iterator[tuple[str, list[str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainedFragment:
    """What one database is asked: ``sql`` without the values of its parameters.

    ``reduced_by`` are the fragments whose keys are sent with it. ``estimated_rows`` is None where nothing is known
    beforehand; what follows is None until the statement ran. One that could not match anything ran 0 ``statements``.
    """

    name: str
    database: str
    role: str
    sql: str
    reduced_by: tuple[str, ...] = ()
    estimated_rows: int | None = None
    rows: int | None = None
    keys: int | None = None
    bytes: int | None = None
    ms: float | None = None
    statements: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """How a statement is answered: ``print()`` it, or take ``to_dict()`` or, with Rich installed, ``tree``.

    ``executor`` does what is left of it once the ``fragments`` are there, for that ``reason``: ``"python"`` in these
    ``steps``, ``"duckdb"`` by this ``sql``. It is None where one database answers everything. With ``analyze`` it ran:
    ``result_rows`` is the size of its answer, and ``rows``, ``bytes`` and ``ms`` what that took over all fragments.
    """

    fragments: tuple[ExplainedFragment, ...]
    executor: Literal["python", "duckdb"] | None
    reason: str
    steps: tuple[str, ...] = ()
    sql: str | None = None
    result_rows: int | None = None
    rows: int | None = None
    bytes: int | None = None
    ms: float | None = None

    @property
    def analyzed(self) -> bool:
        """Whether the statement ran."""
        return self.ms is not None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        document = asdict(self)
        fragments = [{**each, "reduced_by": list(each["reduced_by"])} for each in document["fragments"]]
        return {**document, "fragments": fragments, "steps": list(self.steps), "analyzed": self.analyzed}

    @property
    def tree(self) -> Tree:
        """A Rich tree, which Rich prints in colours. It needs Rich: ``pip install "manybase[cli]"``."""
        from manybase.federation.drawing import drawn

        return drawn(self.title, self.parts())

    def __str__(self) -> str:
        lines = [self.title]
        for head, details in self.parts():
            lines += [f"  {head}", *(f"    {each}" for each in details)]
        return "\n".join(lines)

    @property
    def title(self) -> str:
        """What answers it, and why."""
        if self.executor is None:
            return self.reason[:1].upper() + self.reason[1:]
        name = "Python" if self.executor == "python" else "DuckDB"
        return f"{len(self.fragments)} fragments, then {name}: {self.reason}"

    def parts(self) -> Lines:
        """A headline and its details: for each fragment, for the rest, for the whole."""
        for each in self.fragments:
            yield f"{each.name} {each.database} ({each.role})", list(details(each))
        if self.sql is not None:
            yield "then, in DuckDB", [self.sql]
        elif self.steps:
            yield "then, in Python", [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        if self.analyzed:
            took = "" if self.rows is None or self.executor is None else f"fetched {counted(self.rows, 'row')}"
            size = "" if self.bytes is None else f"{self.bytes:,} bytes"
            numbers = [counted(self.result_rows or 0, "row"), took, size, f"{self.ms:,} ms"]
            yield f"result: {', '.join(filter(None, numbers))}", []


def details(each: ExplainedFragment) -> Iterator[str]:
    yield each.sql
    if each.reduced_by:
        yield f"reduced by the keys of {', '.join(each.reduced_by)}"
    if each.estimated_rows is not None:
        yield f"{counted(each.estimated_rows, 'row')} expected"
    if each.statements == 0:
        yield "not asked: nothing of it could match"
    elif each.ms is not None:
        numbers = [counted(each.rows or 0, "row")]
        numbers += [] if each.keys is None else [f"{counted(each.keys, 'key')} sent"]
        numbers += [] if each.bytes is None else [f"{each.bytes:,} bytes"]
        numbers += [f"{each.ms:,} ms", counted(each.statements or 0, "statement")]
        yield ", ".join(numbers)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
