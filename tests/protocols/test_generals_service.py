"""The generals lifted to positions: a replicated service while nothing is late, and what happens when something is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from outvote.core.committee import Committee
from outvote.core.contract import Request
from outvote.core.quorums import faults
from outvote.errors import Mistake
from outvote.protocols.catalogue import PROTOCOLS, SYNCHRONOUS, protocol
from outvote.protocols.generals.dispatches import Commanded, Decided, SignedDispatch, order_of
from outvote.protocols.generals.service import EARLY_MAX, GeneralsConfig, GeneralsCore
from outvote.simulator.checkers.catalogue import CHECKERS
from outvote.simulator.checkers.checker import Checker
from outvote.simulator.checkers.decisions import Decisions
from outvote.simulator.checkers.durability import Durability
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.plan import Plan
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, SEAL_BYTES, SECOND, ReplicaId

NAMES: Final = sorted(SYNCHRONOUS)
ROUND: Final = 20 * MILLISECOND
# These two ask who voted and whose disk remembers: generals do not vote, and who forgets is a traitor.
WATCHING: Final[tuple[type[Checker], ...]] = tuple(one for one in CHECKERS if one not in (Decisions, Durability))
CALM: Final = Plan(
    seed=3, n=4, clients=3, operations_each=12, outstanding=6, pause_max=60 * MILLISECOND, delay_min=MILLISECOND,
    sync_max=MILLISECOND, clock_offset_max=2 * MILLISECOND, clock_drift_ppm_max=50, keys=2, faults_end=SECOND,
    deadline=200 * SECOND, parameters={"round_ms": 20},
)


def world(name: str, **changes: Any) -> World:
    return World(CALM.but(**changes), SYNCHRONOUS[name], checkers=WATCHING)


def core_of(one: World, replica: ReplicaId) -> GeneralsCore:
    turn = one.replicas[replica].turn
    assert turn is not None
    assert isinstance(turn.core, GeneralsCore)
    return turn.core


# ---------------------------------------------------------------------- whole services


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [4, 7])
def test_nothing_late_and_every_operation_is_executed_alike(name: str, n: int) -> None:
    run = world(name, n=n)
    run.run()
    cores = [core_of(run, replica) for replica in range(n)]
    assert {core.position for core in cores} == {cores[0].position} != {0}
    assert [core.astray for core in cores] == [""] * n


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [4, 7])
def test_a_decision_takes_as_many_dispatches_as_the_formula_says(name: str, n: int) -> None:
    run = world(name, n=n, clients=1, operations_each=0, client_retry=100 * SECOND)
    run.start()
    run.run_until(SECOND)
    run.call(0, [("put", ("a", "1"))])
    run.run_until(3 * SECOND)
    counters = [replica.turn.counters for replica in run.replicas if replica.turn is not None]
    kind = SYNCHRONOUS[name].ordering[0]
    assert sum(one.get(f"{kind}_sent", 0) for one in counters) == SYNCHRONOUS[name].formula(n)
    assert {core_of(run, replica).position for replica in range(n)} == {1}


LIES: Final = ("silent", "equivocate", "three-versions", "half-broadcast", "omit", "slow", "replay", "time-travel")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lie", LIES)
def test_a_traitor_does_not_divide_the_others(name: str, lie: str) -> None:
    """From both places that command when a client's requests follow its answers."""
    told = False
    for liar in (0, 2):
        run = world(name, liars=((liar, (lie,)),), seed=liar + 7)
        run.run()
        told = told or f"lie told: {lie}" in run.marks
    assert told


def test_a_commander_that_signs_two_orders_is_convicted() -> None:
    """By the host's witness, as in every protocol: generals themselves do not care who lied."""
    run = world("generals-signed", liars=((0, ("equivocate",)),), seed=7)
    run.run()
    assert any(replica.counts.get("evidence", 0) for replica in run.replicas if replica.me)


def outcomes(kind: str, seeds: Sequence[int], **changes: Any) -> list[str]:
    """The violation of each run; empty where all held."""
    found = []
    for seed in seeds:
        plan = CALM.but(seed=seed, **changes)
        run = (
            World(plan, SYNCHRONOUS[kind], checkers=WATCHING) if kind in SYNCHRONOUS
            else World(plan.but(parameters={}), PROTOCOLS[kind])
        )
        try:
            run.run()
            found.append("")
        except Violation as violation:
            found.append(violation.args[0])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_late_messages_divide_the_generals_and_not_pbft(name: str) -> None:
    """Delays of 20 ms on average, some of them longer than a round: nobody lies, and loyal generals disagree."""
    late = {"delay_mean": 20 * MILLISECOND}
    assert any(text.startswith("agreement") for text in outcomes(name, range(4), **late))
    assert outcomes("pbft", range(4), **late) == [""] * 4


@pytest.mark.parametrize("name", NAMES)
def test_who_was_away_is_out_and_the_others_go_on(name: str) -> None:
    run = world(name, operations_each=30, client_retry=100 * MILLISECOND)
    run.after(300 * MILLISECOND, run.replicas[3].crash)
    run.after(500 * MILLISECOND, run.replicas[3].start)
    run.run()
    assert core_of(run, 3).standing().note == "out of the battle: was away for some rounds"
    assert not core_of(run, 3).standing().active
    assert core_of(run, 0).position > core_of(run, 3).position > 0


@pytest.mark.parametrize("name", NAMES)
def test_who_comes_late_learns_from_the_others_that_it_is(name: str) -> None:
    """With an empty disk nothing of its own says so."""
    run = world(name, operations_each=30, client_retry=100 * MILLISECOND)
    run.after(0, run.replicas[3].crash)
    run.after(500 * MILLISECOND, run.replicas[3].start)
    run.run()
    assert core_of(run, 3).astray == "others have executed more"
    assert core_of(run, 3).position == 0


def test_who_sleeps_through_a_round_knows_it() -> None:
    run = world("generals-signed", operations_each=30, client_retry=100 * MILLISECOND)
    run.after(300 * MILLISECOND, run.replicas[3].pause)
    run.after(400 * MILLISECOND, run.replicas[3].resume)
    run.run()
    assert core_of(run, 3).astray == "slept through a round"


def test_no_cluster_is_made_of_generals() -> None:
    for name in NAMES:
        with pytest.raises(Mistake, match="there is no protocol"):
            protocol(name)


# ---------------------------------------------------------------------- one general


BATTLE: Final = 100


def request(number: int = 1) -> Request:
    return Request(FIRST_CLIENT, number, 0, (b"operation",), bytes(SEAL_BYTES))


def general(me: ReplicaId = 1, battle: int = BATTLE, n: int = 4) -> GeneralsCore:
    """One that has been there for a battle, at the beginning of another."""
    core = GeneralsCore(me, Committee(n), GeneralsConfig(round_ns=ROUND), signed=True)
    at(core, battle - 2)
    core.restore(0, b"", [])
    for round_ in (*range((battle - 2) * core.rounds + 1, battle * core.rounds + 1),):
        core.wall = core.now = round_ * ROUND
        core.wake()
    assert core.astray == ""
    core.out.clear()
    return core


def at(core: GeneralsCore, battle: int, round_: int = 1) -> None:
    core.wall = core.now = (battle * core.rounds + round_ - 1) * ROUND


def dispatch(
    *path: ReplicaId, battle: int = BATTLE, height: int = 0, requests: tuple[Request, ...] = (request(),)
) -> SignedDispatch:
    seals = (bytes(SEAL_BYTES),) * (len(path) - 1)
    return SignedDispatch(battle, height, path, order_of(requests), seals, requests)


SEAL: Final = bytes(SEAL_BYTES)


def test_an_order_is_relayed_and_executed() -> None:
    core = general()
    core.receive(0, dispatch(0), SEAL)
    at(core, BATTLE, 2)
    core.wake()
    relays = [(to, message) for to, message in core.out.messages if isinstance(message, SignedDispatch)]
    assert [(to, message.path) for to, message in relays] == [(2, (0, 1)), (3, (0, 1))]
    assert core.out.deliveries == []
    at(core, BATTLE + 1)
    core.wake()
    assert [one.requests for one in core.out.deliveries] == [(request(),)]
    assert [type(record) for record in core.out.records] == [Decided]
    assert core.wake_at == core.now + ROUND


def test_two_orders_cancel_each_other() -> None:
    core = general()
    core.receive(0, dispatch(0), SEAL)
    core.receive(0, dispatch(0, requests=(request(2),)), SEAL)
    at(core, BATTLE, 2)
    core.wake()
    at(core, BATTLE + 1)
    core.wake()
    assert core.out.deliveries == []


def test_what_is_early_waits_and_what_is_late_is_dropped() -> None:
    core = general()
    ahead = dispatch(1 + BATTLE % 4, battle=BATTLE + 1)
    assert not core.admits(1 + BATTLE % 4, ahead)  # two rounds ahead
    at(core, BATTLE, 2)
    core.wake()
    relay = dispatch(0, 2)
    assert core.admits(2, relay)
    assert not core.admits(0, dispatch(0))  # of round 1
    core.receive(0, dispatch(0), SEAL)
    assert not core.bodies
    core.receive(2, dispatch(0, 2, battle=BATTLE + 1), SEAL)  # of the round after the next: dropped as well
    assert core.early == {}
    core.receive(1, ahead, SEAL)
    assert core.early == {}  # my own name
    other = general(me=2, battle=BATTLE)
    at(other, BATTLE, 2)
    other.wake()
    assert other.admits(1, ahead)
    for _ in range(EARLY_MAX + 1):
        other.receive(1, ahead, SEAL)
    assert len(other.early[1]) == EARLY_MAX
    assert not other.admits(1, ahead)
    at(other, BATTLE + 1)
    other.wake()
    assert list(other.bodies) == [ahead.order]
    assert other.out.lies == []


def test_what_is_spoilt_is_a_lie() -> None:
    core = general()
    good = dispatch(0)
    for bad in (
        SignedDispatch(BATTLE, 0, (0,), order_of((request(2),)), (), (request(),)),
        SignedDispatch(BATTLE, 0, (0,), order_of(()), (), ()),
        dispatch(0, requests=tuple(request(number) for number in range(1, 66))),
    ):
        assert not core.admits(0, bad)
        core.receive(0, bad, SEAL)
    assert [who for who, _ in core.out.lies] == [0, 0, 0]
    large = tuple(Request(FIRST_CLIENT, number, 0, (bytes(40_000),), SEAL) for number in (1, 2))
    assert not core.admits(0, dispatch(0, requests=large))
    assert core.admits(0, dispatch(0, requests=large[:1]))
    assert core.admits(0, good)


def test_one_liar_leads_nobody_astray() -> None:
    core = general(n=4)
    assert faults(4) == 1
    core.receive(0, dispatch(0, height=10**6), SEAL)
    assert core.astray == ""
    at(core, BATTLE, 2)
    core.wake()
    core.receive(2, dispatch(0, 2, height=0), SEAL)
    assert core.astray == ""
    core.receive(3, dispatch(0, 3, height=1), SEAL)
    assert core.astray == "others have executed more"
    assert not core.admits(2, dispatch(0, 2))


def test_a_commander_orders_once_a_battle_and_remembers_it() -> None:
    core = general(me=0, battle=BATTLE - 1)
    core.submit([request()])
    at(core, BATTLE - 1, 2)
    core.wake()
    at(core, BATTLE)
    core.wake()
    assert [(type(record), record.battle) for record in core.out.records if isinstance(record, Commanded)] == [
        (Commanded, BATTLE)
    ]
    assert [receiver for receiver, _ in core.out.messages] == [1, 2, 3]
    record = core.out.records[0]
    again = GeneralsCore(0, Committee(4), GeneralsConfig(round_ns=ROUND), signed=True)
    at(again, BATTLE)
    again.restore(0, b"", [record])
    assert again.summary() == [record]
    assert again.astray
    assert not again.admits(1, dispatch(0, 1))


def test_what_was_decided_is_executed_again_behind_the_checkpoint() -> None:
    core = GeneralsCore(1, Committee(4), GeneralsConfig(round_ns=ROUND, checkpoint_interval=2), signed=True)
    at(core, BATTLE)
    records = [Decided(position, BATTLE - 9 + position, 0, (request(position),)) for position in (1, 2, 2, 3)]
    core.restore(1, b"digest", records)
    assert [(one.position, one.checkpoint) for one in core.out.deliveries] == [(2, True), (3, False)]
    core.executed(2, b"other")
    assert [record.position for record in core.summary() if isinstance(record, Decided)] == [3]
    assert [stable.position for stable in core.out.stable] == [2]


def test_numbers_that_make_no_sense() -> None:
    with pytest.raises(Mistake, match="round_ns"):
        GeneralsConfig(round_ns=0).validated()
    with pytest.raises(Mistake, match="choose 2 to 13"):
        GeneralsCore(0, Committee(14), GeneralsConfig(), signed=True)


# ---------------------------------------------------------------------- planted bugs


def nothing_is_kept_early(core: GeneralsCore, sender: ReplicaId, message: Any, seal: bytes) -> None:
    if core._round_of(message) == core.round:
        TAKE(core, sender, message, seal)


def commands_nothing_in_its_first_battle() -> None:
    core = GeneralsCore(0, Committee(4), GeneralsConfig(round_ns=ROUND), signed=True)
    at(core, BATTLE - 1, 2)
    core.restore(0, b"", [])
    core.submit([request()])
    at(core, BATTLE)
    core.wake()
    assert core.out.messages == []


TAKE: Final = GeneralsCore._take

BUGS: Final[dict[str, tuple[str, Any, Any]]] = {
    "early_dispatches_dropped": (
        "_take", nothing_is_kept_early, test_what_is_early_waits_and_what_is_late_is_dropped
    ),
    "heights_ignored": (
        "_weigh", lambda core, sender, height: None,
        lambda: test_who_comes_late_learns_from_the_others_that_it_is("generals-signed"),
    ),
    "bodies_unchecked": ("_spoils", lambda core, message: "", test_what_is_spoilt_is_a_lie),
    "commands_before_others_have_joined": (
        "_may_command", lambda core, battle: True, commands_nothing_in_its_first_battle
    ),
    "rounds_slept_through": (
        "_stray", lambda core, why: None, test_who_sleeps_through_a_round_knows_it
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    attribute, instead, check = BUGS[name]
    check()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GeneralsCore, attribute, instead)
        with pytest.raises((AssertionError, Violation, KeyError)):
            check()
