"""The time, as the databases of the shop store it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now, in UTC and without a time zone: the one form that SQLite, PostgreSQL and MariaDB all give back unchanged."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
