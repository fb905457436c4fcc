"""DuckDB, in memory, as the executor of what remains of a statement once its fragments are fetched."""
