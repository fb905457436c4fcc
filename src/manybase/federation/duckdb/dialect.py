"""Dialect: DuckDB for SQLAlchemy, as an executor needs it. It opens nothing and commits nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.interfaces import BindTyping

from manybase.federation.duckdb import dbapi
from manybase.federation.duckdb.compiler import DuckDBCompiler
from manybase.federation.duckdb.types import COLSPECS, DuckDBTypeCompiler
from manybase.federation.semantics import POSTGRESQL, Semantics

__all__ = ["DuckDBCompiler", "DuckDBDialect", "DuckDBTypeCompiler"]


class DuckDBDialect(PGDialect):
    name = "duckdb"
    driver = "manybase"
    supports_statement_cache = True
    supports_server_side_cursors = False
    supports_native_enum = False  # CAST(... AS VARCHAR); a column of an enum is staged as one
    default_paramstyle = "named"
    bind_typing = BindTyping.NONE
    statement_compiler = DuckDBCompiler
    type_compiler_cls = DuckDBTypeCompiler
    execution_ctx_cls = DefaultExecutionContext  # type: ignore[assignment]
    colspecs = COLSPECS
    server_version_info = (15, 0)
    default_schema_name = "main"
    max_identifier_length = 255

    def __init__(self, *, semantics: Semantics = POSTGRESQL, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.semantics = semantics
        self.aware = semantics.aware

    @classmethod
    def import_dbapi(cls) -> Any:
        return dbapi

    def initialize(self, connection: Any) -> None:
        """Nothing is asked: what it can do is known."""

    def nothing(self, *arguments: Any, **options: Any) -> None:
        """Nobody else sees a statement's tables: there is nothing to begin, commit or roll back."""

    do_begin = do_commit = do_rollback = do_close = do_terminate = nothing
    do_savepoint = do_rollback_to_savepoint = do_release_savepoint = nothing
    do_begin_twophase = do_prepare_twophase = do_rollback_twophase = do_commit_twophase = nothing
    set_isolation_level = reset_isolation_level = nothing
