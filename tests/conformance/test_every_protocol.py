"""What any protocol of the catalogue must pass; nothing here knows one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

from outvote.core.committee import Committee
from outvote.core.contract import Core, Hint, Lost, Message, Note, Outbox, Record, Standing, canonical
from outvote.machines.state_transfer import TRANSFER_MESSAGES
from outvote.protocols.catalogue import PROTOCOLS, Protocol
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import run_seed
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SEAL_BYTES, SECOND, Digest, Position, ReplicaId
from outvote.wire.codec import Codec, RecordCodec

NAMES = sorted(PROTOCOLS)
SEEDS = (2, 5, 9)  # with crashes, cuts and liars, whatever the swarm drew
MENDING = {"raft": (44,), "honeybadger": (138,)}  # with damaged logs or laggards, for what only these make anybody say
CHANGING = {"honeybadger": (181,)}  # with members that change
LIVES = [(name, seed) for name in NAMES for seed in (*SEEDS, *CHANGING.get(name, ()))]
CALLS = (
    "restore", "submit", "receive", "admits", "wake", "executed", "forget", "transferred", "ask_to_read",
    "operate",
)
LANES = ("hints", "records", "notes", "messages", "deliveries", "stable", "transfers", "lies")


def plan(**changes: Any) -> Plan:
    """A calm run of a few operations."""
    calm = draw(0).but(
        seed=1, n=4, clients=2, operations_each=10, outstanding=2, pause_max=0, loss=0.0, duplication=0.0,
        delay_min=MILLISECOND, delay_mean=MILLISECOND, sync_max=MILLISECOND, clock_offset_max=0,
        clock_drift_ppm_max=0, liars=(), faults=(), faults_end=2 * SECOND, deadline=120 * SECOND, parameters={},
    )
    return calm.but(**changes)


def few(name: str, otherwise: int = 10) -> int:
    """Operations of a client, where each takes many messages."""
    return 2 if PROTOCOLS[name].deals else otherwise


class Call:
    """One call of a core, and what it added to the outbox."""

    def __init__(self, name: str, arguments: tuple[Any, ...], now: int, wall: int, gave: bytes) -> None:
        self.name = name
        self.arguments = arguments
        self.now = now
        self.wall = wall
        self.gave = gave


class Moment(NamedTuple):
    """A core in the middle of a run: its last stable checkpoint, its summary then, and all that it ever recorded."""

    stable: tuple[Position, Digest]
    summary: list[Record]
    records: list[Record]
    standing: Standing


class Life:
    """One core from its making to its crash."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.calls: list[Call] = []
        self.messages: list[Message] = []
        self.records: list[Record] = []
        self.stable: tuple[Position, Digest] = (0, b"")
        self.summaries: list[Moment] = []
        for name in CALLS:
            if hasattr(core, name):
                setattr(core, name, self._wrapped(name))

    def _wrapped(self, name: str) -> Callable[..., Any]:
        method = getattr(self.core, name)

        def call(*arguments: Any) -> Any:
            core, out = self.core, self.core.out
            starts = [len(getattr(out, lane)) for lane in LANES]
            now, wall = core.now, core.wall
            result = method(*arguments)
            self.calls.append(Call(name, arguments, now, wall, given(core, starts, result)))
            self._note(arguments, starts, name)
            return result

        return call

    def _note(self, arguments: tuple[Any, ...], starts: Sequence[int], name: str) -> None:
        out = self.core.out
        self.messages += [message for _, message in [*out.hints[starts[0] :], *out.messages[starts[3] :]]]
        self.records += [*out.records[starts[1] :], *out.notes[starts[2] :]]
        if name == "restore":
            self.stable = (arguments[0], arguments[1])
            self.records += arguments[2]
        for stable in out.stable[starts[5] :]:
            self.stable = (stable.position, stable.digest)
        standing = self.core.standing()
        if len(self.calls) % 50 == 0 and standing.stable == self.stable[0]:
            moment = Moment(self.stable, self.core.summary(), list(self.records), standing)
            self.summaries.append(moment)


def given(core: Core, starts: Sequence[int], result: object) -> bytes:
    """What a call gave: the new entries of each lane, its result, when to wake, where the core stands."""
    lanes = [getattr(core.out, lane)[start:] for lane, start in zip(LANES, starts, strict=True)]
    return msgspec.msgpack.encode((lanes, result, core.wake_at, core.standing()))


@cache
def lives_of(name: str, seed: int) -> tuple[World, list[Life]]:
    protocol = PROTOCOLS[name]
    lives: list[Life] = []

    def make(me: ReplicaId, committee: Committee, parameters: Mapping[str, int]) -> Core:
        lives.append(Life(protocol.make(me, committee, parameters)))
        return lives[-1].core

    world = World(draw(seed, name), protocol._replace(make=make))
    world.run()
    return world, lives


def made(name: str, seed: int, me: ReplicaId) -> Core:
    world, _ = lives_of(name, seed)
    core = PROTOCOLS[name].make(me, world.committee, world.plan.parameters)
    core.genuine = world.registry.opens
    return core


# ---------------------------------------------------------------------- the core as an object


@pytest.mark.parametrize(("name", "seed"), LIVES)
def test_the_same_calls_give_the_same_outbox(name: str, seed: int) -> None:
    _, lives = lives_of(name, seed)
    assert sum(len(life.calls) for life in lives) > 500
    for life in lives:
        again = made(name, seed, life.core.me)
        for call in life.calls:
            again.out.clear()
            again.now, again.wall = call.now, call.wall
            result = getattr(again, call.name)(*call.arguments)
            assert given(again, [0] * len(LANES), result) == call.gave, (call.name, call.arguments)


@pytest.mark.parametrize(("name", "seed"), LIVES)
def test_a_core_restored_from_its_summary_stands_where_it_stood(name: str, seed: int) -> None:
    _, lives = lives_of(name, seed)
    compared = 0
    for life in lives:
        for moment in life.summaries:
            again = made(name, seed, life.core.me)
            again.restore(*moment.stable, moment.summary)
            stands, stood = again.standing(), moment.standing
            assert (stands.view, stands.stable) == (stood.view, stood.stable)
            if PROTOCOLS[name].insight.log is None:  # an elected leader is unknown after a restart
                assert stands.active == stood.active
            once = again.summary()
            known = [canonical(record) for record in moment.summary]
            assert all(canonical(record) in known for record in once), "nothing is invented"
            twice = made(name, seed, life.core.me)
            twice.restore(*moment.stable, once)
            assert twice.summary() == once
            longhand = made(name, seed, life.core.me)
            longhand.restore(*moment.stable, moment.records)
            assert longhand.out.messages == again.out.messages, "the summary binds to as much as the whole log does"
            compared += 1
    assert compared > 10


@pytest.mark.parametrize(("name", "seed"), LIVES)
def test_restoring_from_records_repeated_changes_nothing(name: str, seed: int) -> None:
    _, lives = lives_of(name, seed)
    for life in lives:
        for moment in life.summaries[-2:]:
            once, twice = made(name, seed, life.core.me), made(name, seed, life.core.me)
            once.restore(*moment.stable, moment.summary)
            twice.restore(*moment.stable, [record for record in moment.summary for _ in range(2)])
            assert once.summary() == twice.summary()


@pytest.mark.parametrize("name", NAMES)
def test_admits_changes_nothing(name: str) -> None:
    _, lives = lives_of(name, SEEDS[0])
    for life in lives:
        again = made(name, SEEDS[0], life.core.me)
        for call in life.calls[:200]:
            again.out.clear()
            again.now, again.wall = call.now, call.wall
            if call.name == "receive":
                sender, message, _ = call.arguments
                before = again.summary()
                assert again.admits(sender, message) == again.admits(sender, message)
                assert again.summary() == before
                assert not any(getattr(again.out, lane) for lane in LANES)
            getattr(again, call.name)(*call.arguments)


# ---------------------------------------------------------------------- messages and records


@pytest.mark.parametrize("name", NAMES)
def test_tags_are_unique_and_lanes_are_of_the_right_kind(name: str) -> None:
    protocol = PROTOCOLS[name]
    Codec((*protocol.messages, *TRANSFER_MESSAGES), epoch=0)  # raises ValueError if two types share a tag
    RecordCodec(protocol.records)
    for kind in protocol.messages:
        if issubclass(kind, Hint):
            assert not kind.sealed, "a hint promises nothing, so it is not sealed"
    for seed in SEEDS:
        for life in lives_of(name, seed)[1]:
            assert {type(message) for message in life.messages} <= set(protocol.messages)
            assert {type(record) for record in life.records} <= set(protocol.records)


@pytest.mark.parametrize("name", NAMES)
def test_messages_and_records_survive_their_encoding(name: str) -> None:
    protocol = PROTOCOLS[name]
    codec, records = Codec(protocol.messages, epoch=3), RecordCodec(protocol.records)
    seen: dict[type, None] = {}
    for seed in (*SEEDS, *MENDING.get(name, ()), *CHANGING.get(name, ())):
        for life in lives_of(name, seed)[1]:
            for message in life.messages:
                seal = bytes(SEAL_BYTES) if message.sealed else b""
                assert codec.decode(codec.encode(message, seal)) == (message, seal)
                seen[type(message)] = None
            for record in life.records:
                if isinstance(record, Lost):
                    continue  # the storage's word, in the place of one that cannot be read
                assert records.decode(records.encode(record)) == record
                seen[type(record)] = None
    kinds = {kind.__name__ for kind in (*protocol.messages, *protocol.records)}
    assert len(seen) >= 0.8 * len(kinds), f"never said: {sorted(kinds - {kind.__name__ for kind in seen})}"


@pytest.mark.parametrize("name", NAMES)
def test_notes_go_to_their_own_lane(name: str) -> None:
    for seed in SEEDS:
        for life in lives_of(name, seed)[1]:
            out: Outbox = life.core.out
            assert all(isinstance(note, Note) for note in out.notes)
            for kind in {type(record) for record in life.records}:
                assert kind in PROTOCOLS[name].records


# ---------------------------------------------------------------------- clusters


def finishes_by(world: World, at: int) -> bool:
    """Before anything heals."""
    world.start()
    world.run_until(at)
    return all(client.finished for client in world.clients)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [4, 7])
def test_f_crashed_replicas_stop_nobody(name: str, n: int) -> None:
    for first in range(0, n, 2):
        down = [(first + step) % n for step in range(Committee(n, PROTOCOLS[name].tolerates).faults)]
        world = World(plan(n=n, seed=first, faults_end=60 * SECOND, operations_each=few(name)), PROTOCOLS[name])
        for replica in down:
            world.after(0, world.replicas[replica].crash)
        assert finishes_by(world, 30 * SECOND), f"without {down}"


@pytest.mark.parametrize("name", NAMES)
def test_f_silent_replicas_stop_nobody(name: str) -> None:
    for n in (4, 7):
        for first in range(0, n, 3):
            most = Committee(n, PROTOCOLS[name].tolerates).liars
            liars = tuple(sorted(((first + step) % n, ("silent",)) for step in range(most)))
            World(plan(n=n, seed=first, liars=liars, operations_each=few(name)), PROTOCOLS[name]).run()


@pytest.mark.parametrize("name", NAMES)
def test_everything_acknowledged_survives_restarts_of_all_at_once(name: str) -> None:
    """The run's history must be linearizable across five power failures."""
    for seed in range(few(name, 4)):
        faults = []
        for step in range(5):
            at = (150 + 300 * step) * MILLISECOND
            for replica in range(4):
                faults.append(Fault(at, "crash", replica, 1 + (seed + 3 * replica) % 7))
                faults.append(Fault(at + SECOND // 9, "restart", replica, 0))
        # Where leaders are elected, it must be often enough that somebody leads when the power fails.
        hurried = {"view_timeout_ms": 50} if PROTOCOLS[name].insight.log is not None else {}
        world = World(
            plan(seed=seed, faults=tuple(sorted(faults)), pause_max=SECOND // 4, parameters=hurried), PROTOCOLS[name]
        )
        world.run()
        assert sum(replica.crashes for replica in world.replicas) >= 12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_losing_messages_costs_time_only(name: str, loss: float) -> None:
    world = World(plan(loss=loss, faults_end=110 * SECOND), PROTOCOLS[name])
    assert finishes_by(world, 100 * SECOND)
    assert world.network.lost > 50


def counted(world: World) -> tuple[int, list[int]]:
    """Ordering messages sent by all, and positions delivered by each."""
    counters = [replica.turn.counters for replica in world.replicas if replica.turn is not None]
    sent = sum(one.get(f"{kind}_sent", 0) for one in counters for kind in world.protocol.ordering)
    return sent, [one.get("delivered", 0) for one in counters]


@pytest.mark.parametrize("name", NAMES)
def test_one_decision_takes_as_many_messages_as_the_formula_says(name: str) -> None:
    protocol = PROTOCOLS[name]
    for n in (4, 5, 7):
        world = World(plan(n=n, clients=1, operations_each=0, delay_mean=0, sync_max=0), protocol)
        world.start()
        world.run_until(SECOND)  # leaders that are elected are by now
        sent, delivered = counted(world)
        world.call(0, [("put", ("a", "1"))])
        world.run_until(SECOND + 100 * MILLISECOND)
        sent_by_then, delivered_by_then = counted(world)
        assert sent_by_then - sent == protocol.formula(n)
        assert [after - before for after, before in zip(delivered_by_then, delivered, strict=True)] == [1] * n


SWARM = [(name, seed) for name in NAMES for seed in range(500, 500 + (3 if PROTOCOLS[name].deals else 20))]


@pytest.mark.parametrize(("name", "seed"), SWARM)
def test_a_short_swarm(name: str, seed: int) -> None:
    result = run_seed(name, seed)
    assert result.ok, result.violation


def test_the_catalogue_is_complete() -> None:
    for name, protocol in PROTOCOLS.items():
        assert isinstance(protocol, Protocol)
        assert protocol.name == name
        assert {kind.__name__ for kind in protocol.messages} >= set(protocol.ordering)
