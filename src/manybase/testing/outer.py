"""OuterTransaction: one connection in a transaction that never commits, and in it the transactions of all sessions.

Each of these is a savepoint. Sessions begin and end in any order, savepoints are a stack: what follows keeps a session
from undoing, with its own writes, those of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from sqlalchemy import PoolProxiedConnection
from sqlalchemy import exc as sa_exc

from manybase.errors import ManybaseError

SHARED = (
    "a session undid what it had written, and with it went what another session had written since: all share one "
    "connection. End the first session before the second one writes, or run this test without rollback()."
)


class RollbackConflict(ManybaseError, sa_exc.InvalidRequestError, sa_exc.DontWrapMixin):
    """Inside ``rollback()`` the program did what one connection per database cannot do."""

    def __init__(self, database: str, message: str) -> None:
        self.database = database
        super().__init__(f"rollback() of database {database!r}: {message}")


@dataclass(eq=False, slots=True)
class Savepoint:
    """Where the transaction of one session began. ``behind``: how many writes there had been until then."""

    name: str
    behind: int
    wrote: bool = False
    over: bool = False


class OuterTransaction:
    """``written``: a session has committed writes, which are there for those that use this connection only."""

    def __init__(self, database: str, connection: PoolProxiedConnection) -> None:
        self.database = database
        self.connection = connection
        self.written = False
        self.schema: str | None = None  # that of the tenant whose session was the last one to run something
        self._savepoints: list[Savepoint] = []  # those of the server, oldest first
        self._writes: list[Savepoint] = []  # whose statement it was, for each one that may have written
        self._failed: Savepoint | None = None
        self.numbers = count(1)

    def savepoint(self, current: Savepoint | None) -> Savepoint:
        """The savepoint for the next statement of a session.

        One that only read gets a new one once others have written: its rollback must not undo them.
        """
        self._recover_unless(current)
        if current is not None and not current.over:
            if current.wrote or current.behind == len(self._writes):
                return current
            self._leave(current)
        savepoint = Savepoint(f"manybase_{next(self.numbers)}", len(self._writes))
        self._savepoints.append(savepoint)
        try:
            self.run(f"SAVEPOINT {savepoint.name}")
        except BaseException:
            self._savepoints.remove(savepoint)
            raise
        return savepoint

    def note_write(self, savepoint: Savepoint) -> None:
        savepoint.wrote = True
        self._writes.append(savepoint)

    def note_error(self, savepoint: Savepoint) -> None:
        """The server accepts nothing more before a rollback, from others neither."""
        self._failed = savepoint

    def commit(self, savepoint: Savepoint) -> None:
        if savepoint.over and savepoint.wrote:
            raise RollbackConflict(self.database, "what this session wrote was undone by the rollback of another one.")
        if savepoint.over:
            return
        if self._failed is savepoint:  # the server would answer COMMIT with ROLLBACK
            self.roll_back(savepoint)
            return
        self.written = self.written or savepoint.wrote
        self._leave(savepoint)

    def roll_back(self, savepoint: Savepoint) -> None:
        if savepoint.over:
            return
        failed = self._failed is savepoint
        if failed:
            self._failed = None
        if not (failed or savepoint.wrote) and self._others_wrote_since(savepoint):
            self._leave(savepoint)  # nothing of its own to undo
            return
        conflict = self._undo(savepoint)
        self._leave(savepoint)
        if conflict:
            raise conflict

    def end(self) -> None:
        """Nothing was written, and the connection goes back to where it came from."""
        try:
            if self.connection.is_valid:
                self.connection.rollback()
        except Exception as error:  # a broken one; the server has rolled back
            self.connection.invalidate(error)
        self.connection.close()

    def run(self, statement: str) -> None:
        cursor = self.connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()

    def _recover_unless(self, current: Savepoint | None) -> None:
        """Undo what has failed, which can only be undone, so that another session can go on."""
        failed, self._failed = self._failed, None
        if failed is None or failed is current or failed.over:
            return
        conflict = self._undo(failed)
        failed.wrote = False
        if conflict:
            raise conflict

    def _others_wrote_since(self, savepoint: Savepoint) -> bool:
        return any(writer is not savepoint for writer in self._writes[savepoint.behind :])

    # What is noted here changes before the statement is sent: in an event loop others may go on while it runs.

    def _undo(self, savepoint: Savepoint) -> RollbackConflict | None:
        conflict = self._others_wrote_since(savepoint)
        del self._writes[savepoint.behind :]
        while (last := self._savepoints[-1]) is not savepoint:
            last.over = True
            self._savepoints.pop()
        self.run(f"ROLLBACK TO SAVEPOINT {savepoint.name}")
        return RollbackConflict(self.database, SHARED) if conflict else None

    def _leave(self, savepoint: Savepoint) -> None:
        savepoint.over = True
        lowest = None
        while self._savepoints and self._savepoints[-1].over:
            lowest = self._savepoints.pop()
        if lowest is None:
            return
        if not self._savepoints:
            self._writes.clear()
        self.run(f"RELEASE SAVEPOINT {lowest.name}")
