"""What a program's tests need: everything rolled back, commits that fail where you like,
replicas that are behind, tenants that are there for a test. Not for production."""

from manybase.testing.failing import Failure, fail_at
from manybase.testing.lagging import lag
from manybase.testing.outer import RollbackConflict
from manybase.testing.rollback import rollback
from manybase.testing.tenants import tenant

__all__ = ["Failure", "RollbackConflict", "fail_at", "lag", "rollback", "tenant"]
