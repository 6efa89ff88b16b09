"""Events that break what the checker of Raft's logs holds: real records, cores and turns; only what happened is made
up. For test_checkers_fire.py."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from outvote.core.committee import Committee
from outvote.core.contract import Delivery, Record
from outvote.protocols.catalogue import protocol
from outvote.protocols.raft import replication
from outvote.protocols.raft.messages import Entry
from outvote.protocols.raft.records import Voted, Wrote
from outvote.protocols.raft.replica import RaftReplica
from outvote.types import Position, ReplicaId

Event = tuple[Any, ...]
RAFT = protocol("raft")


def entry(term: int, time: int = 1) -> Entry:
    return Entry(term, time, ())


def delivery(position: Position, time: int = 1) -> Delivery:
    return Delivery(position, time, (), 0, False)


def replica(me: ReplicaId, *records: Record, leads: bool = False) -> Any:
    """A turn with a core of these records."""
    core = RAFT.make(me, Committee(3, "crashes"), {})
    assert isinstance(core, RaftReplica)
    core.restore(0, b"", records)
    if leads:
        replication.lead(core.state)
    return SimpleNamespace(me=me, core=core)


def begun(stage: Any) -> list[Event]:
    """Three replicas with empty disks."""
    stage.protocol = RAFT
    stage.committee = Committee(3, "crashes")
    stage.up = [replica(me) for me in range(3)]
    return [("read_back", me, 0, []) for me in range(3)]


def wrote(me: ReplicaId, after: Position, *entries: Entry, ticket: int = 0) -> list[Event]:
    return [("recorded", me, Wrote(after, entries)), ("written", me, ticket)]


def two_leaders(stage: Any) -> Sequence[Event]:
    turns = [replica(me, Voted(2, me), leads=True) for me in (0, 1)]
    return [*begun(stage), *(("turned", turn.me, turn, True) for turn in turns)]


def other_entry_of_a_term(stage: Any) -> Sequence[Event]:
    return [*begun(stage), *wrote(0, 0, entry(1)), ("recorded", 1, Wrote(0, (entry(1, time=2),)))]


def other_prefix_of_an_entry(stage: Any) -> Sequence[Event]:
    return [
        *begun(stage), *wrote(0, 0, entry(1), entry(3)), *wrote(1, 0, entry(2)), ("recorded", 1, Wrote(1, (entry(3),))),
    ]


def leader_without_a_decision(stage: Any) -> Sequence[Event]:
    held = [event for me in (0, 1) for event in wrote(me, 0, entry(1))]
    return [
        *begun(stage), *held, ("delivered", 0, delivery(1), [], b""),
        ("turned", 2, replica(2, Voted(2, 2), leads=True), True),
    ]


def executed_on_one_disk(stage: Any) -> Sequence[Event]:
    """Both have written it, and one of the two has not synced."""
    return [
        *begun(stage), *wrote(0, 0, entry(1)), *wrote(1, 0, entry(1), ticket=7), ("delivered", 0, delivery(1), [], b""),
    ]


def acknowledged_and_overwritten(stage: Any) -> Sequence[Event]:
    held = [event for me in (0, 1) for event in wrote(me, 0, entry(1))]
    answer = SimpleNamespace(position=1)
    return [
        *begun(stage), *held, ("delivered", 0, delivery(1), [], b""), ("answered", 1 << 16, answer),
        *wrote(1, 0, entry(2, time=2)), ("healed",),
    ]


def younger_than_it_is(stage: Any) -> Sequence[Event]:
    """Its state of position 4 held all that was answered at 10, and not what was at 20."""
    turn = replica(1)
    core = turn.core

    def at(now: int, known: tuple[Position, int] | None) -> Event:
        def act() -> None:
            core.now, core.known_at = now, known

        return (act,)

    turned = "turned", 1, turn, True
    return [
        *begun(stage), ("started", 1), ("answered", 1 << 16, SimpleNamespace(position=4)), at(10, None), turned,
        ("answered", 1 << 16, SimpleNamespace(position=5)), at(20, None), turned, at(30, (4, 10)), turned,
        at(40, (5, 20)), turned, at(50, (4, 20)), turned,
    ]
