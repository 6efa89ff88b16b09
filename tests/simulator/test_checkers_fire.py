"""Each checker fires at what breaks its invariant and at nothing before: told of events one by one, the last one bad.

Statements, seals, records, cores and turns are real ones of PBFT; only what happened is made up. The table at the end
must name every invariant of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import honeybadger_cases
import log_cases
import msgspec
import pytest

from outvote.core.checkpoints import Checkpoint, CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Delivery, Message, Record, Request, RequestStatement, Struct, digest_of
from outvote.machines.executor import Executor
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import protocol
from outvote.protocols.pbft.messages import (
    Batch,
    Commit,
    Decision,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    ProposalStatement,
    ViewChange,
)
from outvote.protocols.pbft.records import Accepted, Certified, Committed, Left, Prepared
from outvote.protocols.pbft.replica import PbftReplica
from outvote.simulator.checkers.accusations import Accusations
from outvote.simulator.checkers.bounds import TURNS_BETWEEN, Bounds
from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.certificates import Certificates
from outvote.simulator.checkers.checker import EVENTS, Checker, Scene, Watch
from outvote.simulator.checkers.decisions import Decisions
from outvote.simulator.checkers.digests import Digests
from outvote.simulator.checkers.double_sign import DoubleSign
from outvote.simulator.checkers.durability import Durability
from outvote.simulator.checkers.exactly_once import ExactlyOnce
from outvote.simulator.checkers.false_lies import FalseLies
from outvote.simulator.checkers.logs import Logs
from outvote.simulator.checkers.memory import LOGS_BETWEEN, Memory
from outvote.simulator.checkers.monotonic import Monotonic
from outvote.simulator.checkers.order import Order
from outvote.simulator.checkers.pace import Pace
from outvote.simulator.checkers.promises import Promises
from outvote.simulator.checkers.real_time import RealTime
from outvote.simulator.checkers.reference import Reference
from outvote.simulator.checkers.reply_table import ReplyTable
from outvote.simulator.checkers.snapshots import Snapshots
from outvote.simulator.checkers.stable_states import StableStates
from outvote.simulator.checkers.staleness import Staleness
from outvote.simulator.checkers.storms import Storms
from outvote.simulator.checkers.validity import Validity
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.seals import SealRegistry
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, SECOND, Digest, ReplicaId
from outvote.wire.client_messages import ReplyStatement

Event = tuple[Any, ...]  # the event's name and its arguments
PBFT = protocol("pbft")
LIAR: ReplicaId = 3
A, B, NO_HISTORY, CLIENT = b"a" * 32, b"b" * 32, bytes(32), FIRST_CLIENT


class Stage(Scene):
    """A scene whose time, disks and turns the test sets."""

    __slots__ = ("synced", "time", "up")

    def __init__(self) -> None:
        self.time = 0
        self.synced = 0
        self.up: list[Any] = []
        super().__init__(
            Plan(n=4), PBFT, Committee(4), SealRegistry(1), {LIAR}, lambda: self.time, lambda _what, _amount: None,
            KeyValueStore, lambda _replica: self.synced, lambda: self.up,
        )

    def claim(self, signer: int, statement: Struct) -> Claim:
        return Claim(signer, statement, self.registry.seal(signer, statement))

    def seals(self, statement: Struct, *signers: int) -> tuple[tuple[int, bytes], ...]:
        return tuple((signer, self.registry.seal(signer, statement)) for signer in signers)


Doctor = Callable[[Stage], Sequence[Event]]


def core(me: ReplicaId, *records: Record) -> PbftReplica:
    made = PBFT.make(me, Committee(4), {"checkpoint_interval": 2, "window": 4})
    made.restore(0, b"", records)
    assert isinstance(made, PbftReplica)
    return made


def turn_with(one: PbftReplica) -> Any:
    """What checkers of cores look at in a turn."""
    return SimpleNamespace(me=one.me, core=one)


def request(stage: Stage, number: int, operation: bytes = b"?", acknowledged: int = 0) -> Request:
    statement = RequestStatement(CLIENT, number, acknowledged, (operation,))
    return Request(CLIENT, number, acknowledged, (operation,), stage.registry.seal(CLIENT, statement))


def delivery(position: int, *requests: Request) -> Delivery:
    return Delivery(position, 1000 + position, requests, 0, False)


def reply(number: int, position: int, result: bytes = b"r") -> ReplyStatement:
    return ReplyStatement(CLIENT, number, position, (result,))


def delivered(replica: ReplicaId, what: Delivery, *replies: ReplyStatement, history: Digest = A) -> Event:
    return "delivered", replica, what, list(replies), history


# ---------------------------------------------------------------------- order, state, replies


def agreement(stage: Stage) -> Sequence[Event]:
    return delivered(0, delivery(1, request(stage, 1))), delivered(1, delivery(1, request(stage, 2)))


def prefix_order(_stage: Stage) -> Sequence[Event]:
    return delivered(0, delivery(1)), delivered(0, delivery(3))


def validity(stage: Stage) -> Sequence[Event]:
    forged = msgspec.structs.replace(request(stage, 2), operations=(b"other",))
    return delivered(0, delivery(1, request(stage, 1))), delivered(0, delivery(2, forged))


def exactly_once(_stage: Stage) -> Sequence[Event]:
    return delivered(0, delivery(1), reply(1, 1)), delivered(1, delivery(2), reply(1, 2))


def history_digest(_stage: Stage) -> Sequence[Event]:
    return delivered(0, delivery(1), history=A), delivered(1, delivery(1), history=B)


def state_digest(_stage: Stage) -> Sequence[Event]:
    return ("checkpointed", 0, 2, A), ("checkpointed", 1, 2, A), ("checkpointed", 2, 2, B)


def snapshot_bytes(_stage: Stage) -> Sequence[Event]:
    return ("imaged", 0, 2, b"state"), ("imaged", 1, 2, b"state"), ("imaged", 0, 2, b"State")


def reply_table(_stage: Stage) -> Sequence[Event]:
    return delivered(0, delivery(1), reply(1, 1, b"x")), delivered(1, delivery(1), reply(1, 1, b"y"))


def reply_said_and_not_computed(_stage: Stage) -> Sequence[Event]:
    return (
        delivered(0, delivery(1), reply(1, 1)), ("said", 0, reply(1, 1)), ("said", LIAR, reply(1, 1, b"lie")),
        ("said", 1, reply(1, 1, b"wrong")),
    )


def reply_out_of_nothing(_stage: Stage) -> Sequence[Event]:
    return ("said", LIAR, reply(1, 1)), ("said", 0, reply(1, 1))


def answer_that_nobody_computed(_stage: Stage) -> Sequence[Event]:
    lie = reply(1, 1, b"lie")
    return delivered(0, delivery(1), reply(1, 1)), ("said", LIAR, lie), ("answered", CLIENT, lie)


def answer_of_too_few(_stage: Stage) -> Sequence[Event]:
    return delivered(0, delivery(1), reply(1, 1)), ("said", 0, reply(1, 1)), ("answered", CLIENT, reply(1, 1))


def reference_execution(stage: Stage) -> Sequence[Event]:
    """The class run alone gives the right replies; then one is changed."""
    executor = Executor(KeyValueStore())
    first = delivery(1, request(stage, 1), request(stage, 1))
    told = executor.deliver(first)
    good = ("delivered", 0, first, told, executor.history)
    second = delivery(2, request(stage, 2))
    wrong = [msgspec.structs.replace(one, results=(b"wrong",)) for one in executor.deliver(second)]
    return good, ("delivered", 0, second, wrong, executor.history)


def executed_twice(stage: Stage) -> Sequence[Event]:
    """Two executions of one request at one position: no other position tells of it, and all replicas might agree."""
    twice = delivery(1, request(stage, 1), request(stage, 1))
    executor = Executor(KeyValueStore())
    answers = executor.deliver(twice)
    other = msgspec.structs.replace(answers[0], results=(b"again",))
    return (), ("delivered", 0, twice, [answers[0], other], executor.history)


# ---------------------------------------------------------------------- certificates


def prepared(stage: Stage, *signers: int) -> Prepared:
    proposal = stage.registry.seal(0, ProposalStatement(0, 1, A))
    return Prepared(PreparedCertificate(0, 1, A, 0, proposal, stage.seals(Prepare(0, 1, A), *signers)))


def certificate(stage: Stage) -> Sequence[Event]:
    forged = ((1, stage.registry.seal(1, Prepare(0, 1, A))), (2, bytes(64)))
    bad = msgspec.structs.replace(prepared(stage).certificate, prepares=forged)
    return ("recorded", 1, prepared(stage, 1, 2)), ("recorded", 1, Prepared(bad))


def certificate_held_and_not_recorded(stage: Stage) -> Sequence[Event]:
    sound = Certified(CheckpointCertificate(2, A, stage.seals(Checkpoint(2, A), 0, 1, 2)))
    one = core(1, sound)
    stage.up = [turn_with(one)]

    def spoil() -> None:
        one.state.ahead = CheckpointCertificate(4, A, stage.seals(Checkpoint(4, A), 0, 1))

    return ("recovered", 1, turn_with(one)), (spoil,), ("finished",)


def unspoken_votes(stage: Stage) -> Sequence[Event]:
    for voter in (0, 1):
        stage.registry.speak(voter, Commit(0, 1, A))
    return (), ("recorded", 1, Committed(Decision(0, 1, A, (0, 1, 2), False)))


def membership(stage: Stage) -> Sequence[Event]:
    return ("recorded", 1, prepared(stage, 1, 2)), ("recorded", 1, prepared(stage, 1, 1, 2))


def stranger(stage: Stage) -> Sequence[Event]:
    return ("recorded", 1, prepared(stage, 1, 2)), ("recorded", 1, prepared(stage, 1, 2, 4))


def decision(_stage: Stage) -> Sequence[Event]:
    """Three votes, but two views: no quorum in either."""
    first, second = delivery(1), delivery(2)
    digests = [digest_of(Batch(one.time, one.requests)) for one in (first, second)]
    votes = [("said", voter, Commit(0, 1, digests[0])) for voter in (0, 1, LIAR)]
    split = [("said", voter, Commit(voter, 2, digests[1])) for voter in (0, 1, LIAR)]
    return *votes, *split, delivered(0, first), delivered(1, first), delivered(0, second)


def stable_state(_stage: Stage) -> Sequence[Event]:
    votes = [("said", voter, Checkpoint(2, A)) for voter in (0, 1, LIAR)]
    others = [("said", 0, Checkpoint(4, A)), ("said", 0, Checkpoint(4, A)), ("said", LIAR, Checkpoint(4, A))]
    return *votes, *others, ("renewed", 0, 2, A, []), ("renewed", 0, 4, A, [])


# ---------------------------------------------------------------------- promises


def double_signature(_stage: Stage) -> Sequence[Event]:
    return (
        ("said", LIAR, Prepare(0, 1, A)), ("said", LIAR, Prepare(0, 1, B)), ("said", 0, Prepare(0, 1, A)),
        ("said", 0, Prepare(0, 1, A)), ("crashed", 0), ("said", 0, Prepare(0, 1, B)),
    )


def accepted(view: int, position: int, digest: Digest) -> Accepted:
    return Accepted(view, position, digest, Batch(0, ()), bytes(64))


def recorded_and_synced(replica: ReplicaId, *records: Record) -> list[Event]:
    return [("read_back", replica, 0, []), *(("recorded", replica, one) for one in records), ("written", replica, 0)]


def promise_without_a_record(_stage: Stage) -> Sequence[Event]:
    return (
        *recorded_and_synced(1, accepted(0, 1, A)), ("said", 1, Prepare(0, 1, A)), ("said", 1, Commit(0, 1, A)),
    )


def promise_of_something_else(_stage: Stage) -> Sequence[Event]:
    return *recorded_and_synced(1, accepted(0, 1, A)), ("said", 1, Prepare(0, 1, B))


def proposal_of_a_backup(_stage: Stage) -> Sequence[Event]:
    return *recorded_and_synced(1, accepted(0, 1, A)), ("said", 1, ProposalStatement(0, 1, A))


def promise_on_a_record_lost_in_a_crash(_stage: Stage) -> Sequence[Event]:
    return (
        *recorded_and_synced(1, accepted(0, 1, A)), ("crashed", 1), ("read_back", 1, 0, []),
        ("said", 1, Prepare(0, 1, A)),
    )


def promise_too_early(stage: Stage) -> Sequence[Event]:
    def sync() -> None:
        stage.synced = 1

    return (
        ("read_back", 1, 0, []), ("recorded", 1, accepted(0, 1, A)), ("written", 1, 1), (sync,),
        ("said", 1, Prepare(0, 1, A)), ("recorded", 1, accepted(0, 2, A)), ("written", 1, 2),
        ("said", 1, Prepare(0, 2, A)),
    )


def promise_in_a_view_left(_stage: Stage) -> Sequence[Event]:
    left = ViewChange(1, CheckpointCertificate(0, b"", ()), ())
    return (
        *recorded_and_synced(1, accepted(0, 1, A), accepted(0, 2, A), Left(left)), ("said", 1, Prepare(0, 1, A)),
        ("said", 1, left), ("said", 1, Prepare(0, 2, A)),
    )


def forgotten_after_a_restart(_stage: Stage) -> Sequence[Event]:
    return (
        ("said", 1, Prepare(0, 1, A)), ("recovered", 1, turn_with(core(1, accepted(0, 1, A)))),
        ("recovered", 1, turn_with(core(1))),
    )


def forgotten_in_a_new_log(stage: Stage) -> Sequence[Event]:
    """The certificate that a COMMIT spoke of is not among the records that the log begins with."""
    certificate = prepared(stage, 1, 2)
    stable = Certified(CheckpointCertificate(0, b"", ()))
    complete = ("renewed", 1, 0, b"", [stable, accepted(0, 1, A), certificate])
    lacking = ("renewed", 1, 0, b"", [stable, accepted(0, 1, A)])
    said = [("said", 1, Prepare(0, 1, A)), ("said", 1, Commit(0, 1, A))]
    return *said, *[complete] * LOGS_BETWEEN, *[lacking] * LOGS_BETWEEN


def forgotten_view_change(_stage: Stage) -> Sequence[Event]:
    left = ViewChange(1, CheckpointCertificate(0, b"", ()), ())
    return ("said", 1, left), ("recovered", 1, turn_with(core(1, Left(left)))), ("recovered", 1, turn_with(core(1)))


# ---------------------------------------------------------------------- what never goes back


def view_back(_stage: Stage) -> Sequence[Event]:
    one = core(1)

    def change(view: int) -> Event:
        return (lambda: setattr(one.state, "view", view),)

    turn = turn_with(one)
    return change(2), ("turned", 1, turn, True), change(3), ("turned", 1, turn, False), change(2), (
        "turned", 1, turn, True), change(1), ("turned", 1, turn, True)


def snapshot_back(_stage: Stage) -> Sequence[Event]:
    return (
        ("kept", 1, 2, A), ("read_back", 1, 2, []), ("kept", 1, 4, A), ("state_rotted", 1, 2), ("read_back", 1, 2, []),
        ("kept", 1, 4, A), ("read_back", 1, 2, []),
    )


def kept_back(_stage: Stage) -> Sequence[Event]:
    return ("kept", 1, 4, A), ("kept", 1, 2, A)


def standing(position: int, time: int, **low: int) -> Any:
    marks = {CLIENT: low["low"]} if low else {}
    return SimpleNamespace(position=position, time=time, low_marks=lambda: marks)


def settled_back(_stage: Stage) -> Sequence[Event]:
    return ("executed", 1, standing(1, 10, low=3)), ("executed", 1, standing(2, 11, low=2))


def agreed_time(_stage: Stage) -> Sequence[Event]:
    return ("executed", 1, standing(1, 10)), ("executed", 2, standing(1, 10)), ("executed", 0, standing(1, 11))


def agreed_time_back(_stage: Stage) -> Sequence[Event]:
    return ("executed", 1, standing(1, 10)), ("executed", 1, standing(2, 10))


# ---------------------------------------------------------------------- lies and evidence


def no_false_lies(_stage: Stage) -> Sequence[Event]:
    return ("took_for_lie", 0, LIAR, "seal", "x"), ("took_for_lie", 0, 1, "seal", "x")


def evidence(_stage: Stage) -> Sequence[Event]:
    pair = (Prepare(0, 1, A), b""), (Prepare(0, 1, B), b"")
    return ("accused", 0, LIAR, *pair), ("accused", 0, 1, *pair)


def evidence_with_a_forged_seal(stage: Stage) -> Sequence[Event]:
    first, second = stage.claim(LIAR, Prepare(0, 1, A)), stage.claim(LIAR, Prepare(0, 1, B))
    return ("started", 0), ("accused", 0, LIAR, first[1:], second[1:]), ("accused", 0, LIAR, first[1:], (
        second.statement, bytes(64)))


def evidence_that_is_none(stage: Stage) -> Sequence[Event]:
    first, second = stage.claim(LIAR, Prepare(0, 1, A)), stage.claim(LIAR, Prepare(0, 2, B))
    return ("started", 0), ("accused", 0, LIAR, first[1:], second[1:])


def evidence_missed(stage: Stage) -> Sequence[Event]:
    first, second = stage.claim(LIAR, Prepare(0, 1, A)), stage.claim(LIAR, Prepare(0, 1, B))
    turned = "turned", 0, turn_with(core(0)), True
    return (
        ("started", 0), ("verified", 0, first), turned, ("verified", 0, second),
        ("accused", 0, LIAR, first[1:], second[1:]), turned, ("started", 0), ("verified", 0, first),
        ("verified", 0, second), turned,
    )


# ---------------------------------------------------------------------- memory, durability, time


def bounded_memory(_stage: Stage) -> Sequence[Event]:
    world = World(Plan(n=4), PBFT)
    world.start()
    turn = world.replicas[1].turn
    assert turn is not None
    assert isinstance(turn.core, PbftReplica)
    early = turn.core.state.early
    full: list[tuple[Message, bytes]] = [(PrePrepare(1, 1, A, Batch(0, ())), b"")] * turn.core.state.config.window

    def fill(count: int) -> Event:
        return (lambda: early.__setitem__(LIAR, full * count),)

    turned = "turned", 1, turn, True
    return fill(1), *[turned] * TURNS_BETWEEN, fill(2), *[turned] * TURNS_BETWEEN


def durability(_stage: Stage) -> Sequence[Event]:
    votes = [("said", voter, Commit(0, 1, A)) for voter in (0, 1, LIAR)] + [
        ("said", voter, Commit(0, 2, A)) for voter in (0, LIAR)
    ]
    return *votes, ("answered", CLIENT, reply(1, 1)), ("finished",), ("answered", CLIENT, reply(2, 2))


def vouched_state_lost(stage: Stage) -> Sequence[Event]:
    stable = Certified(CheckpointCertificate(2, A, stage.seals(Checkpoint(2, A), 0, 1, 2)))
    back = "recovered", 1, turn_with(core(1, stable))
    return (
        ("said", 1, Checkpoint(2, A)), back, ("state_rotted", 1, 0), ("said", 1, Checkpoint(4, A)), back,
        ("kept", 1, 2, A), back,
    )


def real_time_order(_stage: Stage) -> Sequence[Event]:
    return (
        ("requested", CLIENT, 1, ()), ("requested", CLIENT, 2, ()), ("answered", CLIENT, reply(2, 5)),
        ("requested", CLIENT, 3, ()), ("answered", CLIENT, reply(1, 4)), ("answered", CLIENT, reply(3, 5)),
    )


def answer_never_asked_for(_stage: Stage) -> Sequence[Event]:
    return ("requested", CLIENT, 1, ()), ("answered", CLIENT, reply(2, 5))


def view_storm(stage: Stage) -> Sequence[Event]:
    one = core(1)
    stage.up = [turn_with(one)]
    limit = PBFT.insight.fruitless_views_max({}, Committee(4))

    def change(view: int) -> Event:
        return (lambda: setattr(one.state, "view", view),)

    turned = "turned", 1, turn_with(one), True
    return (
        change(40), turned, ("healed",), change(40 + limit), turned, delivered(0, delivery(1)),
        change(40 + 2 * limit), turned, change(41 + 2 * limit), turned,
    )


def livelock(stage: Stage) -> Sequence[Event]:
    one = core(1)
    one.submit([request(stage, 1)])

    def later() -> None:
        stage.time += 30 * SECOND

    turned = "turned", 1, turn_with(one), True
    return (later,), turned, ("healed",), turned, (later,), turned, delivered(0, delivery(1)), (later,), turned, (
        later,), turned


def slow_primary_kept(stage: Stage) -> Sequence[Event]:
    """Two backups wait for 13 s five times: more than four times sixteen timeouts of 1 s."""
    cores = [core(1), core(2)]
    turned = [("turned", one.me, turn_with(one), True) for one in cores]

    def deliver() -> None:
        stage.time += 13 * SECOND
        for one in cores:
            one.state.delivered += 1

    for one in cores:
        one.submit([request(stage, 1)])
    return [("healed",), *turned, *([(deliver,), *turned] * 5)]


CASES: tuple[tuple[type[Checker], str, Doctor], ...] = (
    (Order, "agreement", agreement),
    (Order, "prefix order", prefix_order),
    (Validity, "validity", validity),
    (ExactlyOnce, "exactly-once", exactly_once),
    (Digests, "history digest", history_digest),
    (Digests, "state digest", state_digest),
    (Snapshots, "snapshot bytes", snapshot_bytes),
    (ReplyTable, "reply table", reply_table),
    (ReplyTable, "reply table", reply_said_and_not_computed),
    (ReplyTable, "reply table", reply_out_of_nothing),
    (ReplyTable, "correct reply", answer_that_nobody_computed),
    (ReplyTable, "correct reply", answer_of_too_few),
    (Reference, "reference execution", reference_execution),
    (Reference, "reference execution", executed_twice),
    (Certificates, "certificate", certificate),
    (Certificates, "certificate", certificate_held_and_not_recorded),
    (Certificates, "certificate", unspoken_votes),
    (Certificates, "membership", membership),
    (Certificates, "membership", stranger),
    (Decisions, "decision", decision),
    (StableStates, "stable state", stable_state),
    (DoubleSign, "double signature", double_signature),
    (Promises, "promise without a record", promise_without_a_record),
    (Promises, "promise without a record", promise_of_something_else),
    (Promises, "promise without a record", proposal_of_a_backup),
    (Promises, "promise without a record", promise_on_a_record_lost_in_a_crash),
    (Promises, "promise before its record is durable", promise_too_early),
    (Promises, "promise in a view left", promise_in_a_view_left),
    (Memory, "forgotten promise", forgotten_after_a_restart),
    (Memory, "forgotten promise", forgotten_in_a_new_log),
    (Memory, "forgotten promise", forgotten_view_change),
    (Monotonic, "monotonic", view_back),
    (Monotonic, "monotonic", snapshot_back),
    (Monotonic, "monotonic", kept_back),
    (Monotonic, "monotonic", settled_back),
    (Monotonic, "agreed time", agreed_time),
    (Monotonic, "agreed time", agreed_time_back),
    (FalseLies, "no false lies", no_false_lies),
    (FalseLies, "evidence", evidence),
    (Accusations, "evidence holds", evidence_with_a_forged_seal),
    (Accusations, "evidence holds", evidence_that_is_none),
    (Accusations, "evidence is complete", evidence_missed),
    (Bounds, "bounded memory", bounded_memory),
    (Durability, "durability", durability),
    (Durability, "vouched state lost", vouched_state_lost),
    (Staleness, "stale read", log_cases.younger_than_it_is),
    (Logs, "two leaders", log_cases.two_leaders),
    (Logs, "log matching", log_cases.other_entry_of_a_term),
    (Logs, "log matching", log_cases.other_prefix_of_an_entry),
    (Logs, "leader completeness", log_cases.leader_without_a_decision),
    (Logs, "not durable in a majority", log_cases.executed_on_one_disk),
    (Logs, "not durable in a majority", log_cases.acknowledged_and_overwritten),
    (RealTime, "real-time order", real_time_order),
    (RealTime, "real-time order", answer_never_asked_for),
    (Storms, "view storm", view_storm),
    (Storms, "livelock", livelock),
    (Pace, "slow primary kept", slow_primary_kept),
    *honeybadger_cases.CASES,
)


def tell(checker: Checker, event: Event) -> None:
    """An event of its checker, or something that the test does in between."""
    if event and callable(event[0]):
        event[0]()
    elif event:
        getattr(checker, event[0])(*event[1:])


@pytest.mark.parametrize(("kind", "invariant", "doctor"), CASES, ids=[case[2].__name__ for case in CASES])
def test_it_fires_at_the_last_event_and_not_before(kind: type[Checker], invariant: str, doctor: Doctor) -> None:
    stage = Stage()
    checker = kind(stage)
    *before, last = doctor(stage)
    for event in before:
        tell(checker, event)
    with pytest.raises(Violation) as caught:
        tell(checker, last)
    assert caught.value.invariant == invariant
    assert str(caught.value).startswith(f"{invariant}: ")


def test_every_invariant_of_every_checker_has_a_case() -> None:
    assert {(kind, name) for kind, name, _ in CASES} == {(kind, name) for kind in CHECKERS for name in kind.invariants}


def test_liars_may_say_and_do_what_they_like() -> None:
    """What only liars said raises nothing, in any checker."""
    stage = Stage()
    watch = Watch(kind(stage) for kind in CHECKERS)
    for statement in (Prepare(5, 1, A), Prepare(5, 1, B), Commit(2, 1, A), Checkpoint(4, A), reply(1, 1)):
        for told in watch.said:
            told(LIAR, statement)


def test_a_watch_calls_only_those_that_listen() -> None:
    watch = Watch([Order(Stage()), DoubleSign(Stage())])
    assert len(watch.said) == len(watch.delivered) == 1
    assert watch.healed == []
    assert all(isinstance(getattr(watch, name), list) for name in EVENTS)
