"""The fixtures of all tests."""

import signal

import pytest
import sqlalchemy

pytest_plugins = ["tests.modules", "tests.servers.fixtures", "tests.sessions"]


def pytest_configure(config: pytest.Config) -> None:
    """SQLAlchemy 2.0 leaves a connection that it terminates, or that a cancelled task was using, to the garbage
    collector, which finds its socket in the middle of some other test. On 2.1, where it closes them, warnings of ours
    are errors."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job of a shell: tests press Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sqlalchemy.__version__.startswith("2.0."):
        config.addinivalue_line("filterwarnings", "ignore:unclosed:ResourceWarning")
        config.addinivalue_line("filterwarnings", "ignore:.*was deleted before being closed:ResourceWarning")
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")
