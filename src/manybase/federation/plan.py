"""Plan: what is fetched from where, and what is left to be executed here. Kept with the compiled statement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select

from manybase.federation.fragments import Fragment, Output
from manybase.federation.trees import Pool


@dataclass(eq=False)
class Scope:
    """One SELECT of the statement: its FROM as a tree, and what else it says."""

    select: Select[Any]  # as the ORM has compiled it
    columns: list[ColumnElement[Any]]
    around: list[Scope]  # the SELECTs that it is a part of, outermost first
    tree: Pool = field(default_factory=Pool)
    fragments: dict[int, Fragment] = field(default_factory=dict)  # by the hash of a FROM element
    nullable: set[Fragment] = field(default_factory=set)  # what may be missing, where the rest is computed
    tables: set[int] = field(default_factory=set)  # hashes of all its FROM elements
    whole: Fragment | None = None  # one database answers all of it
    grouping: list[Any] | None = None  # the expressions of GROUP BY; empty where aggregates make one row of all
    named: list[Any] = field(default_factory=list)  # those of them that GROUP BY refers to by a name
    rolls_up: bool = False
    in_aggregate: int = 0  # where the SELECT within it stands that is being rendered
    selects_nothing: bool = False  # EXISTS: only whether there are rows matters


@dataclass(eq=False)
class Plan:
    """``scopes`` by the identity of the SELECT they were made of; ``names`` of the parameters that fragments use."""

    fragments: list[Fragment] = field(default_factory=list)
    scopes: dict[int, Scope] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)  # those SELECTs, so that no other takes their identity
    root: Any = None  # the statement, or the SELECT that it is
    types: list[Any] = field(default_factory=list)  # of the result
    origins: list[Fragment] = field(default_factory=list)  # where the columns of the result come from; any, if several
    fills: dict[bool, Any] = field(default_factory=dict)  # what makes something of NULL, under asyncio and not
    carried: list[int] = field(default_factory=list)  # the columns of the result that nothing computes with
    carried_outputs: set[Output] = field(default_factory=set)
    makes_entities: bool = False  # of the rows of the result
    is_ordered: bool = False
    program: Any = None  # of the executor in plain Python, where it does all that is left
    beyond: str = ""  # else what it does not do
    is_estimated: bool = False  # its databases have been asked what they suppose
    sendings: dict[Any, Any] = field(default_factory=dict)  # how keys get to its fragments, once that was made
    prepared: dict[Any, Any] = field(default_factory=dict)  # what fetches its fragments, once it was made
    names: dict[BindParameter[Any], str] = field(default_factory=dict)
