"""The demonstration: migrate and seed the databases, show a tour, then serve the application."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from socket import socket

from examples.shop.client import Client
from examples.shop.databases import databases
from examples.shop.embedded import sqlite_files
from examples.shop.guide import Guide, Unexpected
from examples.shop.seed import create_and_seed
from examples.shop.serving import HOST, listen, serving
from examples.shop.terminal import BOLD, DIM, GREEN, RED, Terminal, standard_output
from examples.shop.tour import tour
from manybase.migrations import histories

DATA = Path(__file__).parent / "data"
PORT = 8000


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 only if every step of the tour gave the expected result."""
    asked = options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        return run(asked, standard_output())
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the tour has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes it at exit
        return 1


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.shop", description="A shop over five databases.")
    parser.add_argument("--once", action="store_true", help="stop after the tour")
    parser.add_argument("--port", type=port, default=PORT, help="where to serve after the tour (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="directory of the SQLite files")
    parser.add_argument("--keep", action="store_true", help="go on with the SQLite files of an earlier run")
    return parser.parse_args(arguments)


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number up to 65535, or 0 for any free one")
    return int(text)


def run(asked: argparse.Namespace, terminal: Terminal) -> int:
    if asked.once:
        with sqlite_files(asked.data, keep=asked.keep):
            return 0 if show(terminal) else 1
    # The port first: if it is taken, a demo may be running there, and its files stay as they are.
    with listen(asked.port) as listening, sqlite_files(asked.data, keep=asked.keep):
        if not show(terminal):
            return 1
        serve_until_interrupted(listening, terminal)
        return 0


def show(terminal: Terminal) -> bool:
    """Migrate, seed, and the tour; on a port that nobody knows, so that no other client comes in between."""
    create_and_seed()
    introduce(terminal)
    with listen(0) as listening, serving(listening):
        return guided(Guide(Client(HOST, listening.getsockname()[1]), terminal), terminal)


def introduce(terminal: Terminal) -> None:
    terminal.line("manybase: one session over many databases", style=BOLD)
    terminal.line()
    for database in databases:
        url = database.resolve_url()
        file = f", {url.database}" if url.get_backend_name() == "sqlite" else ""  # of a server, nothing else is told
        terminal.pair(database.name, f"{url.get_backend_name()}{file}", indent=4)
    terminal.line()
    terminal.line(
        f"Each is at its head, {len(databases)} databases by {len(histories(databases))} histories.", indent=4
    )


def guided(guide: Guide, terminal: Terminal) -> bool:
    try:
        tour(guide)
    except Unexpected:
        terminal.line()
        terminal.line("That is not the expected result. The tour stops here.", style=RED)
        return False
    terminal.line()
    terminal.line("Every step gave the expected result.", style=GREEN)
    return True


def serve_until_interrupted(listening: socket, terminal: Terminal) -> None:
    try:
        with serving(listening) as server:
            terminal.line()
            terminal.line(f"Now yours: http://{HOST}:{listening.getsockname()[1]}    Ctrl-C to stop", style=BOLD)
            while server.is_alive():
                server.join(0.5)
    except KeyboardInterrupt:
        terminal.line()
        terminal.line("Stopped.", style=DIM)
