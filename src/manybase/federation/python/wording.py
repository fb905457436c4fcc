"""Wording: what a program does, in words, step by step."""

from __future__ import annotations

from collections.abc import Iterator

from manybase.federation.explanation import counted
from manybase.federation.fragments import Fragment, Output, is_column
from manybase.federation.python.evaluating import Value
from manybase.federation.python.joining import Keys
from manybase.federation.python.program import (
    Concatenation,
    Distinct,
    Fetch,
    Filter,
    Group,
    Join,
    Limit,
    Match,
    Program,
    Project,
    Sort,
    Source,
    Step,
)


def steps(program: Program) -> list[str]:
    """In the order in which they are done, for people to read."""
    return list(worded(program.source))


def worded(source: Source) -> Iterator[str]:
    if isinstance(source, Fetch):
        return
    if isinstance(source, Concatenation):
        for each in source.sources:
            yield from worded(each)
        yield f"put the rows of {' and '.join(map(named, source.sources))} together"
        return
    if isinstance(source, (Join, Match)):
        yield from worded(source.other)
    assert isinstance(source, Step)
    yield from worded(source.source)
    yield sentence(source)


def sentence(source: Source) -> str:
    if isinstance(source, Join):
        kind = "left join" if source.outer else "join"
        return (
            f"{kind} {named(source.source)} with {named(source.other)}{by(source.keys)}{also(len(source.conditions))}"
        )
    if isinstance(source, Match):
        kept = "a" if source.wanted else "no"
        return f"keep the rows of {named(source.source)} with {kept} match in {named(source.other)}{by(source.keys)}"
    if isinstance(source, Filter):
        return f"keep the rows that meet {counted(len(source.conditions), 'condition')}"
    if isinstance(source, Group):
        return grouping(source)
    if isinstance(source, Project):
        return f"give {counted(source.width, 'column')}"
    if isinstance(source, Distinct):
        return "drop rows that are there already"
    if isinstance(source, Sort):
        return f"sort by {counted(len(source.orders), 'value')}"
    if isinstance(source, Limit):
        said = {"LIMIT": source.limit, "OFFSET": source.offset}
        return f"apply {' and '.join(word for word, value in said.items() if value is not None)}"
    return type(source).__name__.lower()


def grouping(source: Group) -> str:
    computed = f"compute {counted(len(source.aggregates), 'aggregate')}"
    if not source.keys:
        return f"{computed} of all rows"
    return f"group by {counted(len(source.keys), 'value')}" + (f" and {computed}" if source.aggregates else "")


def named(source: Source) -> str:
    return "+".join(dict.fromkeys(names(source)))


def names(source: Source) -> Iterator[str]:
    """Of the fragments whose rows are in it."""
    if isinstance(source, Fetch):
        yield source.fragment.name
    elif isinstance(source, Concatenation):
        for each in source.sources:
            yield from names(each)
    elif isinstance(source, Step):
        yield from names(source.source)
        if isinstance(source, Join):
            yield from names(source.other)


def by(keys: Keys) -> str:
    pairs = [f"{called(one)} = {called(other)}" for one, other in zip(keys.left, keys.right, strict=True)]
    return f" on {', '.join(pairs)}" if pairs else ", each with each"


def called(value: Value) -> str:
    """A column of a fragment; by the name that its SQL gives it, where that computes it."""
    output, fragment = getattr(value, "column", None), getattr(value, "item", None)
    if isinstance(output, Output) and isinstance(fragment, Fragment):
        return f"{fragment.name}.{output.expression.name if is_column(output.expression) else output.name}"
    return "what is computed"


def also(conditions: int) -> str:
    return f", where {counted(conditions, 'condition')} hold{'s' if conditions == 1 else ''}" if conditions else ""
