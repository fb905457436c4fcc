"""The servers of one test run: started in the background, all that are wanted at once, and closed together."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.servers import mariadb, postgresql
from tests.servers.server import Server

STARTERS: dict[str, Callable[[], Server]] = {"postgresql": postgresql.start, "mariadb": mariadb.start}


class Startup:
    """Servers by name. They begin to start when this is made; asking for one waits for that one only."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._executor = ThreadPoolExecutor(len(STARTERS), thread_name_prefix="server-start")
        self._futures: dict[str, Future[Server]] = {}
        for name in wanted:
            self._submit(name)

    def server(self, name: str) -> Server:
        """The running server, or whatever kept it from starting."""
        return self._submit(name).result()

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        for future in self._futures.values():
            if not future.cancelled() and future.exception() is None:
                future.result().close()

    def _submit(self, name: str) -> Future[Server]:
        if name not in self._futures:
            self._futures[name] = self._executor.submit(STARTERS[name])
        return self._futures[name]
