"""Forked children, for the tests of what a fork leaves behind."""

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any


def in_child(body: Callable[[], Any]) -> str:
    """What `body` returns in a forked child, as text, or its traceback; the child ends without any clean-up."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a deadlock ends the child, and leaves the text empty
        try:
            said = repr(body())
        except BaseException:
            said = traceback.format_exc()
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
