"""The GTID in an answer to COMMIT, as MariaDB writes it."""

import pytest

from manybase.replication.tracking import gtid_in

LAST_GTID = b"\x00\x14\tlast_gtid\t0-1-13507"  # a variable of the system: its name and its value
SCHEMA = b"\x01\x05\x04shop"


@pytest.mark.parametrize("before", [b"\x00", b"\x02ok", b"\xfc\x02\x00ok"])
@pytest.mark.parametrize("changes", [LAST_GTID, SCHEMA + LAST_GTID, LAST_GTID + SCHEMA])
def test_gtid(before: bytes, changes: bytes) -> None:
    """It is found, whatever else the answer tells."""
    assert "0-1-13507" == gtid_in(before + bytes([len(changes)]) + changes)


def test_many_changes() -> None:
    """A length of more than one byte."""
    changes = SCHEMA * 60 + LAST_GTID

    assert "0-1-13507" == gtid_in(b"\x00\xfc" + len(changes).to_bytes(2, "little") + changes)


@pytest.mark.parametrize("message", [None, b"", b"\x00\x07" + SCHEMA, b"\x00\x0d\x00\x0b\tlast_gtid\x00"])
def test_answer_without_one(message: bytes | None) -> None:
    """There is none, and somebody has to ask."""
    assert gtid_in(message) is None
