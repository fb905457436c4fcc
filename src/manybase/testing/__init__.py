"""What a program's tests need: everything they write rolled back, over all databases. Not for production."""

from manybase.testing.outer import RollbackConflict
from manybase.testing.rollback import rollback

__all__ = ["RollbackConflict", "rollback"]
