"""The fixtures of all tests."""

pytest_plugins = ["tests.modules", "tests.servers.fixtures", "tests.sessions"]
