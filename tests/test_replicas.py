"""Choosing a replica, and what becomes of one. Nothing connects."""

import time
from collections import Counter

import pytest
from sqlalchemy import create_engine

from manybase import ConfigurationError, Database, Databases, Replica
from manybase.position import Gtids, Wal
from manybase.replicas import LOOK_EVERY, RAMP, Look, ReplicaSet, State

HERE = Look("a", follows=True, replayed=Wal(1, 1, 100), system=1)


def replica_set(*weights: float, **options: float) -> ReplicaSet:
    replicas = [Replica("sqlite:///x", weight=weight) for weight in weights]
    return ReplicaSet(Database("shop", "sqlite:///y", replicas=replicas, **options))  # type: ignore[arg-type]


def note(replicas: ReplicaSet, look: Look, now: float, number: int = 0) -> State:
    replica = replicas.replicas[number]
    replica.note(look, replicas.log, replicas.max_lag, now)
    return replica.state


def chosen(replicas: ReplicaSet, times: int = 2_000) -> list[float]:
    """The shares of sessions, each of which stays."""
    found: Counter[str] = Counter()
    for _ in range(times):
        replica = replicas.choose()
        assert replica is not None
        replica.in_use += 1
        found[replica.name] += 1
    return [round(found[each.name] / times, 1) for each in replicas]


@pytest.mark.parametrize(
    ("weights", "shares"), [((1, 1), [0.5, 0.5]), ((3, 1), [0.8, 0.2]), ((1,), [1.0]), ((1, 1, 1), [0.3, 0.3, 0.3])]
)
def test_shares(weights: tuple[float, ...], shares: list[float]) -> None:
    """The less busy one serves, busy for its weight."""
    assert shares == chosen(replica_set(*weights))


def test_idle_replicas() -> None:
    """Where nobody is busy, all get some."""
    replicas = replica_set(1, 1)

    assert 2 == len({each.name for _ in range(100) if (each := replicas.choose()) is not None})


def test_one_that_is_known_to_have_it() -> None:
    """It comes first, however busy; one that has been asked in vain is not asked again, nor are others."""
    replicas = replica_set(1, 1)
    first, second = replicas
    first.note_replayed("a", Wal(1, 1, 100))
    first.in_use = 50

    assert first is replicas.choose(Wal(1, 1, 100))
    assert second is replicas.choose(Wal(1, 1, 101))
    assert None is replicas.choose(Wal(1, 1, 101), [second])
    assert first is replicas.choose(Wal(1, 1, 100), [second])


STATES: list[tuple[Look, State]] = [
    (HERE, "ok"),
    (Look("a", follows=False), "promoted"),
    (Look("a", follows=True, replayed=Wal(2, 1, 100), system=2), "stranger"),
    (Look("a", follows=True, replayed=Wal(1, 1, 100), paused=True, system=1), "paused"),
    (Look("a", follows=True, replayed=Wal(1, 1, 99), system=1), "lagging"),
    (Look("a", follows=True, replayed=Wal(1, 0, 100), system=1), "ok"),
    (Look("a", follows=True, replayed=Wal(1, 0, 99), system=1), "lagging"),
]


@pytest.mark.parametrize(("look", "state"), STATES, ids=str)
def test_state(look: Look, state: State) -> None:
    """What a look tells; whoever lacks for too long what the primary had, is lagging."""
    replicas = replica_set(1, max_lag=5)
    replicas.log.note(Wal(1, 1, 100), 100.0)

    assert state == note(replicas, look, 106.0)


def test_lag() -> None:
    """By time: since something has been committed that it has not; by position: how much that is."""
    replicas = replica_set(1)
    for second in range(10):
        replicas.log.note(Wal(1, 1, 100 + second), float(second))
    (replica,) = replicas

    note(replicas, Look("a", follows=True, replayed=Wal(1, 1, 104), lag=0.5, system=1), 9.0)
    behind = replica.lag_seconds, replica.lag
    note(replicas, Look("a", follows=True, replayed=Wal(1, 1, 109), lag=0.5, system=1), 9.0)

    assert (4.0, 5) == behind
    assert (0.0, 0) == (replica.lag_seconds, replica.lag)


def test_lag_in_transactions() -> None:
    """On MariaDB it is counted in transactions, over all domains."""
    replicas = replica_set(1)
    replicas.log.note(Gtids.parse("0-1-9,1-1-4"), 0.0)

    note(replicas, Look("a", follows=True, replayed=Gtids.parse("0-1-5")), 3.0)

    assert (3.0, 8) == (replicas.replicas[0].lag_seconds, replicas.replicas[0].lag)


def test_primary_that_was_promoted() -> None:
    """What was known of its old timeline counts no more."""
    replicas = replica_set(1)
    replicas.log.note(Wal(1, 1, 500), 0.0)
    replicas.log.note(Wal(1, 2, 100), 10.0)

    assert "ok" == note(replicas, Look("a", follows=True, replayed=Wal(1, 2, 100), system=1), 100.0)


def test_replica_without_its_primary() -> None:
    """It serves for as long as a lag is allowed."""
    replicas, alone = replica_set(1, max_lag=5), Look("a", follows=True, replayed=Wal(1, 1, 1), streaming=False)

    assert ["ok", "ok", "disconnected"] == [note(replicas, alone, now) for now in (0.5, 5.0, 6.0)]


def test_return() -> None:
    """One that is out is looked at again by one session at a time, ever less often; back, it starts with a few."""
    replicas = replica_set(1, 1)
    first, _ = replicas
    now = time.monotonic()
    first.note_failure(now)

    assert None is replicas.take_due(now)
    assert first is replicas.take_due(now + 1.3)
    assert None is replicas.take_due(now + 1.3)
    first.note_failure(now)
    assert first.due > now + 1.5
    assert "ok" == note(replicas, HERE, now)
    assert 0.1 == pytest.approx(chosen(replicas, 1_000)[0], abs=0.05)
    assert first.load(now + RAMP) == first.in_use + 1


def test_waiting() -> None:
    """It is tried while it has been quick, and now and then where it has not."""
    (replica,) = replica_set(1)
    now = time.monotonic()

    assert replica.wait(now) > 0
    replica.note_wait(0.05, reached=False)
    assert 0 == replica.wait(time.monotonic())
    assert replica.wait(time.monotonic() + 2 * LOOK_EVERY) > 0
    for _ in range(20):
        replica.note_wait(0.001, reached=True)
    assert replica.wait(time.monotonic()) > 0


def test_declaration() -> None:
    """Replicas are URLs, or say more; nothing secret shows."""
    engine = create_engine("sqlite://")
    replicas = ["postgresql://u:s3cret!@h/d", Replica(engine=engine, weight=2)]
    databases = Databases(Database("shop", "postgresql://u@p/d", replicas=replicas, engine_options={"echo": True}))

    first, second = (databases.declaration(f"shop/{number}") for number in (1, 2))

    assert ("h", True, None) == (first.url.host if first.url else None, first.engine_options["echo"], second.url)
    assert engine is databases.engine("shop/2")
    assert "s3cret" not in repr(databases) + repr(databases["shop"].replicas)
    assert ["shop"] == [each.name for each in databases]
    assert "shop/1" not in databases


@pytest.mark.parametrize(
    ("replicas", "told"),
    [("postgresql://h/d", "list of URLs"), (["nonsense s3cret"], "cannot be read"), ([5], "is a string")],
)
def test_declaration_that_is_wrong(replicas: object, told: str) -> None:
    """Refused at once, without repeating a URL."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        Database("shop", "postgresql://h/d", replicas=replicas)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


WRONG: list[dict[str, object]] = [
    {},
    {"url": "sqlite://", "engine": create_engine("sqlite://")},
    {"url": "sqlite://", "weight": 0},
]


@pytest.mark.parametrize("options", WRONG, ids=["nothing", "both", "weight"])
def test_replica_that_is_wrong(options: dict[str, object]) -> None:
    """A URL or an engine, and a weight."""
    with pytest.raises(ConfigurationError):
        Replica(**options)  # type: ignore[arg-type]
