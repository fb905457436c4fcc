"""Openings: what is open of all that a process may have."""

import gc
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event

from manybase.openings import Openings


def test_connection_that_is_collected_while_somebody_counts(tmp_path: Path) -> None:
    """The collector may come at any moment, also to the thread that counts, which must not wait for itself."""
    openings = Openings(5, 1, lambda: False)
    engine = create_engine(f"sqlite:///{tmp_path / 'some.db'}")
    openings.watch(engine)
    closed: list[Any] = []
    event.listen(engine.pool, "close", lambda *_: closed.append(True))

    def count() -> None:
        dropped: Any = engine.raw_connection()
        dropped.itself = dropped  # garbage that only the collector finds
        dropped.dbapi_connection.close()  # so that the pool has no use for it
        del dropped
        with openings._lock:
            gc.collect()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    thread.join(10)

    assert not thread.is_alive()
    assert closed
    engine.dispose()
