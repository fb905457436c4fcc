"""What the session dependency costs: one GET route, a hand-written dependency against manybase's, over real sockets.

    python benchmarks/fastapi_overhead.py [--rounds 9] [--seconds 2] [--url postgresql://...]

One uvicorn process per variant, all alive at once, asked in turn by 16 connections. Prints requests per second and
requests per CPU second of the server process (which a busy machine disturbs less), and the median ratio per round to
the hand-written dependency. fastapi-async-sqlalchemy is measured too where it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

CONNECTIONS = 16
VARIANTS = {
    "hand-written": "hand_written",
    "manybase, one database": "manybase_one",
    "manybase, pinned": "manybase_pinned",
    "manybase, three databases": "manybase_three",
}
REQUEST = b"GET /rows HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def ask(port: int, until: float) -> int:
    """Ask one request after the other on one connection; how many were answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    while time.perf_counter() < until:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        answered += 1
    writer.close()
    return answered


async def load(port: int, seconds: float) -> int:
    until = time.perf_counter() + seconds
    return sum(await asyncio.gather(*(ask(port, until) for _ in range(CONNECTIONS))))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(variant: str, folder: str, url: str | None) -> Iterator[tuple[int, int]]:
    """The port and the pid of a uvicorn that serves a variant."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    environment = {**os.environ, "BENCH_FOLDER": folder, "BENCH_URL": url or ""}
    program = [sys.executable, "-m", "uvicorn", f"fastapi_variants:{variant}", "--port", str(port)]
    server = subprocess.Popen([*program, "--log-level", "warning"], cwd=Path(__file__).parent, env=environment)
    try:
        wait_for(port)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("uvicorn did not start")


def measure(title: str, variants: dict[str, str], *, url: str | None, rounds: int, seconds: float) -> None:
    per_second: dict[str, list[float]] = {name: [] for name in variants}
    per_cpu: dict[str, list[float]] = {name: [] for name in variants}
    with TemporaryDirectory() as folder:
        servers = {name: served(variant, folder, url) for name, variant in variants.items()}
        alive = {name: server.__enter__() for name, server in servers.items()}
        try:
            for round_ in range(rounds + 1):
                for name in list(variants) if round_ % 2 else reversed(list(variants)):
                    port, pid = alive[name]
                    before, start = cpu_seconds(pid), time.perf_counter()
                    answered = asyncio.run(load(port, seconds))
                    if round_:  # the first one warms up
                        per_second[name].append(answered / (time.perf_counter() - start))
                        per_cpu[name].append(answered / (cpu_seconds(pid) - before))
        finally:
            for server in servers.values():
                server.__exit__(None, None, None)
    print(f"\n{title}: {rounds} rounds of {seconds:g} s, {CONNECTIONS} connections")
    print(f"{'':32}{'req/s':>9}{'ratio':>8}{'req/CPU s':>12}{'ratio':>8}   min-max of the rounds (CPU)")
    base = next(iter(variants))
    for name in variants:
        wall = statistics.median(a / b for a, b in zip(per_second[name], per_second[base], strict=True))
        ratios = [a / b for a, b in zip(per_cpu[name], per_cpu[base], strict=True)]
        print(
            f"{name:32}{statistics.median(per_second[name]):>9.0f}{wall:>8.3f}{statistics.median(per_cpu[name]):>12.0f}"
            f"{statistics.median(ratios):>8.3f}   {min(ratios):.2f}-{max(ratios):.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--url", help="PostgreSQL to measure too (its bench_rows table is dropped and made anew)")
    options = parser.parse_args()
    variants = dict(VARIANTS)
    if find_spec("fastapi_async_sqlalchemy") is not None:
        variants["fastapi-async-sqlalchemy"] = "fastapi_async_sqlalchemy_app"
    measure("SQLite file", variants, url=None, rounds=options.rounds, seconds=options.seconds)
    if options.url:
        measure("PostgreSQL", variants, url=options.url, rounds=options.rounds, seconds=options.seconds)


if __name__ == "__main__":
    main()
