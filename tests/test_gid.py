"""Names of prepared transactions: ours are read back, those of others are not."""

import time

import pytest

from manybase import ConfigurationError, Database, Databases
from manybase.gid import POSTGRESQL_LIMIT, XA_LIMIT, Gid, Xid, begun, new_transaction

TRANSACTION = "0193f2a4b5c60123456789abcdef"


def test_gid_and_back() -> None:
    """What is written can be read."""
    gid = Gid("shop", "main-db", "0a1b2c3d", TRANSACTION, "audit_2")

    assert f"mb1:shop:main-db.0a1b2c3d:{TRANSACTION}:audit_2" == str(gid)
    assert gid == Gid.parse(str(gid))


def test_xid_and_back() -> None:
    """XA splits it in two."""
    xid = Xid("shop", TRANSACTION, "audit_2")

    assert f"'mb1:shop:{TRANSACTION}','audit_2'" == str(xid)
    assert xid == Xid.parse(f"mb1:shop:{TRANSACTION}", "audit_2")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "_sa_0123456789abcdef",
        f"mb2:shop:main.0a1b:{TRANSACTION}:audit",
        f"mb1:shop:main:{TRANSACTION}:audit",
        "mb1:shop:main.0a1b:123:audit",
        f"mb1:shop:main.0a1b:{TRANSACTION}:audit:more",
        f"mb1:shop:main.0a1b:{TRANSACTION}:au'dit",
        f"mb1:shop:main.0a1b:{TRANSACTION}:audit\n",
        f"mb1:shöp:main.0a1b:{TRANSACTION}:audit",
    ],
)
def test_gid_of_somebody_else(text: str) -> None:
    """It is not ours, so nothing is known of it."""
    assert Gid.parse(text) is None


def test_transaction_ids() -> None:
    """Each is another one, and tells when it was made."""
    made = {new_transaction() for _ in range(1_000)}

    assert 1_000 == len(made)
    assert all(abs(begun(each) - time.time()) < 60 for each in made)


def test_lengths() -> None:
    """The longest names that are common fit; XA takes any participant of up to 64 characters."""
    name = "n" * 60

    assert POSTGRESQL_LIMIT >= len(str(Gid("a" * 16, name, "0" * 8, new_transaction(), name)))
    assert XA_LIMIT >= len(Xid("a" * 16, new_transaction(), name).gtrid)


@pytest.mark.parametrize("app", ["", "a" * 17, "a:b", "a'b", "ä", "a\n", None])
def test_app_that_is_no_name(app: str) -> None:
    """It stands in those names, so it is refused at the declaration."""
    with pytest.raises(ConfigurationError, match="up to 16 letters"):
        Databases(Database("main", "sqlite://"), app=app)
