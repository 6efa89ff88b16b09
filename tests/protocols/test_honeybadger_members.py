"""Members of HoneyBadger change: what the order says about them, and what every replica makes of it in simulated
clusters, with liars, crashes and laggards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from outvote.broadcast.binary_agreement import BVal
from outvote.broadcast.stand_in import Dealer, StandInCoin
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Job, Outbox, digest_of
from outvote.protocols.catalogue import FOUNDING, PROTOCOLS
from outvote.protocols.honeybadger import checkpoint, jobs, membership, turnover
from outvote.protocols.honeybadger.handing import Handover, Part, possession_name
from outvote.protocols.honeybadger.membership import (
    CHANGES_MAX,
    Change,
    Era,
    Handed,
    Members,
    Roster,
    Word,
    after,
    first_roster,
    mask_of,
)
from outvote.protocols.honeybadger.messages import (
    Agreeing,
    Batch,
    Certificate,
    Contribution,
    Handing,
    Possessed,
    StableProof,
    encoded,
)
from outvote.protocols.honeybadger.records import Certified, Output, Passed
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica
from outvote.protocols.honeybadger.shares import Group, StandInCeremony, StandInOutcome, StandInShares
from outvote.protocols.honeybadger.state import State
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND
from outvote.wire.codec import RecordCodec

HONEYBADGER = PROTOCOLS["honeybadger"]
AHEAD = 4
FIVE = first_roster(5, 1 << 4)  # members 0 to 3, and 4 learns
OTHERS = (1, 2, 3, 4)
WISH = Word(mask_of(OTHERS))


def stepped(roster: Roster, position: int, *words: tuple[int, Word]) -> Roster:
    return after(roster, position, words, 5, AHEAD)


# ---------------------------------------------------------------- a function of the order


def test_a_change_begins_when_a_quorum_of_members_wish_the_same() -> None:
    roster = stepped(FIVE, 1, (0, WISH), (1, Word(mask_of((0, 1, 2, 4)))))
    roster = stepped(roster, 2, (4, WISH), (2, WISH))
    assert roster.change is None, "a learner's wish counts for nothing, and two members are no quorum of four"
    roster = stepped(roster, 3, (1, WISH))
    assert roster.change == Change(OTHERS, 3)
    assert stepped(roster, 4, (3, WISH)).change == Change(OTHERS, 3), "it is under way already"


def test_wishes_for_the_members_as_they_are_end_a_change() -> None:
    roster = stepped(FIVE, 1, *((one, WISH) for one in range(3)))
    as_they_are = Word(mask_of((0, 1, 2, 3)))
    roster = stepped(roster, 2, *((one, as_they_are) for one in range(3)))
    assert roster.change is None
    assert stepped(roster, 3, *((one, WISH) for one in range(3))).change == Change(OTHERS, 3)


def test_no_fewer_than_four_and_nobody_who_is_unknown() -> None:
    for mask in (0b111, 0b110000, 1 << 40, -1):
        assert stepped(FIVE, 1, *((one, Word(mask)) for one in range(4))).wishes == ()
    most = Roster(Era(CHANGES_MAX, 1, (0, 1, 2, 3)))
    assert stepped(most, 1, *((one, WISH) for one in range(4))).change is None


def test_an_era_ends_when_a_quorum_of_its_members_say_the_same_new_keys() -> None:
    roster = stepped(FIVE, 3, *((one, WISH) for one in range(3)))
    keys, others = Handed(3, b"t" * 32, b"keys"), Handed(3, b"t" * 32, b"others")
    roster = stepped(roster, 4, (0, Word(0, keys)), (1, Word(0, others)), (4, Word(0, keys)))
    roster = stepped(roster, 5, (2, Word(0, keys)), (3, Word(0, Handed(2, b"t" * 32, b"keys"))))
    assert roster.next is None
    assert stepped(roster, 6, (3, Word(0, Handed(3, b"t" * 32, bytes(9999))))).handed_by(3) is None, "too long"
    roster = stepped(roster, 6, (1, Word(0, keys)))
    assert roster.next == Era(1, 6 + AHEAD + 1, OTHERS, 3, b"t" * 32, b"keys")
    assert roster.last == 10
    assert stepped(roster, 7, *((one, Word(mask_of((0, 1, 2, 4)))) for one in range(4))) == roster, "too late"
    fresh = membership.entered(roster)
    assert (fresh.era.members, fresh.wishes, fresh.change, fresh.handed) == (OTHERS, (), None, ())
    assert stepped(fresh, 12, (0, Word(mask_of((0, 1, 2, 3)))), (1, Word(mask_of((0, 1, 2, 3))))).wishes == (
        (1, mask_of((0, 1, 2, 3))),
    ), "who has left has no say"


def test_a_quorum_is_one_of_the_members() -> None:
    members = Members(Era(1, 1, OTHERS))
    assert members.sound(((1, b""), (2, b""), (4, b"")))
    for signers in ((0, 1, 2), (1, 2), (2, 1, 3), (1, 1, 2)):
        assert not members.sound(tuple((one, b"") for one in signers))


def test_a_state_certified_by_those_whom_no_link_leads_to_is_a_lie() -> None:
    """Five strangers say that they are the members now, and seal a state."""
    core = HONEYBADGER.make(0, Committee(9), {"learners": 0b111110000})
    core.restore(0, b"", [])
    strangers, seals = (4, 5, 6, 7, 8), tuple((one, b"seal") for one in (4, 5, 6, 7))
    core.receive(4, StableProof(Certificate(64, b"state", seals, Roster(Era(1, 33, strangers)))), b"")
    assert core.out.lies == [(4, "stable checkpoint without a quorum")]
    assert core.out.transfers == []


def test_records_and_contributions_of_before_there_were_members() -> None:
    """A log of an earlier version is read, and who has nothing to say about members proposes as it did."""
    codec = RecordCodec(HONEYBADGER.records)
    certified = codec.decode(msgspec.msgpack.encode([3, [32, b"d" * 32, [[0, b"seal"], [1, b"seal"]]]]))
    assert certified == Certified(Certificate(32, b"d" * 32, ((0, b"seal"), (1, b"seal"))))
    assert codec.decode(msgspec.msgpack.encode([2, 5, [7, []]])) == Output(5, Batch(7, ()))
    assert encoded(Contribution(7, ())) == msgspec.msgpack.encode([7, []])
    assert msgspec.msgpack.decode(encoded(Contribution(7, (), WISH)), type=Contribution).word == WISH


def handover(me: int, out: Outbox, old: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Handover, StandInShares]:
    shares = StandInShares(me, old, 7)
    coin = StandInCoin(Dealer(Committee(4), 7), me) if me in old else None
    part = Part(me, b"cluster", shares, coin, out)
    return Handover(part, Era(0, 1, old), Change(OTHERS, 3), ()), shares


def test_what_is_said_in_a_re_sharing_is_recorded() -> None:
    out = Outbox()
    handing, _ = handover(1, out)
    handing.begin()
    assert len(out.messages) == 4
    assert [(one.receiver, one.message) for one in out.records if isinstance(one, Passed)] == out.messages


def test_who_asks_all_the_time_is_not_told_all_of_it_all_the_time() -> None:
    out = Outbox()
    handing, _ = handover(1, out)
    handing.begin()
    told = []
    for _ in range(48):
        out.clear()
        handing.say_again(2)
        told.append(len(out.messages))
    assert told[0] == 2, "a VAL for replica 2, and the ECHO"
    assert [number for number, words in enumerate(told, 1) if words] == [1, 2, 4, 8, 16, 32, 48]
    out.clear()
    handing.spoken.append(next(one for one in handing.spoken if one.receiver == ALL))
    handing.say_again(2)
    assert len(out.messages) == 3, "there is something new"


def test_new_keys_are_known_when_enough_have_shown_that_they_hold_them() -> None:
    """Three of four, of one content; a wrong proof counts for nothing, and a sender once."""
    handing, shares = handover(1, Outbox())
    ceremony = shares.ceremony(b"any", Group((0, 1, 2, 3), b""), OTHERS)
    keys, name = Handed(3, b"t" * 32, b"sharing"), possession_name(b"t" * 32)
    dealer = Dealer(Committee(4), 7, b"sharing")
    said = {replica: Possessed(keys, dealer.share(place, b"possess", name)) for place, replica in enumerate(OTHERS)}
    for sender, told in ((1, said[1]), (2, said[3]), (3, said[3])):
        assert handing.admits_possessed(sender, told)
        handing.on_possessed(sender, told)
    assert handing.handed is None, "replica 2 has shown the share of another one"
    assert not handing.admits_possessed(2, said[2])
    assert not handing.admits_possessed(0, said[1])
    assert not handing.admits_possessed(4, Possessed(Handed(2, b"t" * 32, b"sharing"), b""))
    handing.on_possessed(4, said[4])
    assert handing.handed == keys
    assert ceremony.sizes == (32 + 4 * 16, 4)


def test_who_lacks_words_of_a_re_sharing_asks_though_epochs_go_on() -> None:
    """Else a cluster under load, where something is heard at any time, might never come to the end of it."""
    core = HONEYBADGER.make(1, Committee(5), {"learners": 1 << 4}).inner  # type: ignore[attr-defined]
    core.restore(0, b"", [])
    core.state.roster = stepped(FIVE, 1, *((one, WISH) for one in range(3)))
    turnover.follow(core.state)
    before = core.heard()
    core.receive(0, Agreeing(1, 0, BVal(0, True)), b"")
    assert core.heard() == before
    assert core.unfinished()
    core.receive(0, Handing(1, 0, 0, BVal(0, True)), b"")
    assert core.heard() == before, "one member's word is no step"
    core.receive(2, Handing(1, 0, 0, BVal(0, True)), b"")
    assert core.heard() != before
    assert core.state.handover is not None
    core.state.handover.handed = Handed(1, b"", b"")
    before = core.heard()
    core.receive(2, Agreeing(1, 0, BVal(0, True)), b"")
    assert core.heard() != before


# ---------------------------------------------------------------- simulated clusters


def plan(**changes: Any) -> Plan:
    """A calm run of a few operations."""
    calm = draw(0).but(
        seed=1, n=5, clients=1, operations_each=8, outstanding=2, pause_max=SECOND // 2, loss=0.0, duplication=0.0,
        delay_min=MILLISECOND, delay_mean=MILLISECOND, sync_max=MILLISECOND, clock_offset_max=0, operations_after=3,
        clock_drift_ppm_max=0, liars=(), faults=(), faults_end=5 * SECOND, deadline=120 * SECOND,
    )
    return calm.but(**changes)


def wishes(at_ms: int, owners: Sequence[int], members: Sequence[int]) -> tuple[Fault, ...]:
    """Told to owners' replicas one after the other."""
    mask = mask_of(members)
    return tuple(
        Fault((at_ms + 20 * index) * MILLISECOND, "change-members", owner, mask) for index, owner in enumerate(owners)
    )


def run(changed: Plan, learners: int = 0, **parameters: int) -> World:
    numbers = {"checkpoint_interval": 4, "window": 8, "batch_requests_max": 8, "learners": learners, **parameters}
    faults = tuple(sorted(changed.faults, key=lambda fault: fault.at))
    world = World(changed.but(parameters=numbers, faults=faults), HONEYBADGER)
    world.run()
    return world


def state_of(world: World, replica: int) -> State:
    turn = world.replicas[replica].turn
    assert turn is not None
    return turn.core.inner.state  # type: ignore[attr-defined, no-any-return]


def members_of(world: World, replica: int) -> tuple[int, ...]:
    return state_of(world, replica).members.era.members


@pytest.mark.parametrize("real", [0, 1])
def test_one_leaves_and_another_comes(real: int) -> None:
    """With real keys too: replica 0 has no share afterwards, and what 4 holds is another share of the same secret."""
    if real:
        pytest.importorskip("py_arkworks_bls12381")
    world = run(plan(faults=wishes(300, range(4), OTHERS), operations_each=3), 1 << 4, real_threshold=real)
    for replica in range(5):
        assert members_of(world, replica) == OTHERS
        assert state_of(world, replica).takes_part == (replica in OTHERS)
        assert state_of(world, replica).handover is None
    assert state_of(world, 0).keys.coin.share(b"name") == b""
    held = state_of(world, 0).keys.shares
    assert held is not None
    assert not (held._share if real else held._held), "it is forgotten"  # type: ignore[attr-defined]
    coins = {place: state_of(world, replica).keys.coin for place, replica in enumerate(OTHERS)}
    shares = {place: coin.share(b"name") for place, coin in coins.items()}
    together = [
        coins[3].combine(b"name", {one: share for one in chosen if (share := shares[one]) is not None})
        for chosen in ((0, 1), (1, 3))
    ]
    before = HONEYBADGER.make(0, world.committee, {**world.plan.parameters}), HONEYBADGER.make(
        1, world.committee, {**world.plan.parameters})  # fmt: skip
    old = [core.inner.state.keys.coin for core in before]  # type: ignore[attr-defined]
    assert together == [old[0].combine(b"name", {one: old[one].share(b"name") for one in (0, 1)})] * 2
    assert coins[0].share(b"name") not in [coin.share(b"name") for coin in old]


def test_what_later_eras_work_out_are_jobs_that_carry_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Done by another core of the same replica, as in the process beside it: it knows the first era's keys alone."""
    works: dict[str, None] = {}
    beside = [HONEYBADGER.make(me, Committee(5), {"learners": 1 << 4, "dealer_seed": 0}) for me in range(5)]
    compute = HoneyBadgerReplica.compute

    def elsewhere(core: HoneyBadgerReplica, job: Job) -> bytes:
        works[job.work] = None
        there = beside[core.me].inner  # type: ignore[attr-defined]
        return compute(there, job) if job.work.startswith(jobs.LATER) else compute(core, job)

    monkeypatch.setattr(HoneyBadgerReplica, "compute", elsewhere)
    changed = plan(faults=wishes(300, range(4), OTHERS), operations_each=3)
    world = run(changed, 1 << 4, deferred=1, dealer_seed=0)
    assert all(members_of(world, replica) == OTHERS for replica in range(5))
    for work in (jobs.ENCRYPT, jobs.COIN_SHARE, jobs.COIN_COMBINE, jobs.OPEN_SHARE, jobs.OPEN_COMBINE):
        assert {work, jobs.LATER + work} <= set(works)
    assert all(state_of(world, replica).keys.deferred for replica in OTHERS)


def test_keys_that_were_made_together_are_handed_over_and_the_first_share_is_forgotten() -> None:
    pytest.importorskip("py_arkworks_bls12381")
    few = plan(operations_each=1, operations_after=1, faults=wishes(1000, range(4), (0, 1, 2, 3)))
    world = World(few.but(parameters={"checkpoint_interval": 8, "window": 16}), FOUNDING["honeybadger"])
    world.run()
    for replica in range(5):
        turn = world.replicas[replica].turn
        assert turn is not None
        core = turn.core.inner  # type: ignore[attr-defined]
        assert core.state.members.era.members == (0, 1, 2, 3)
        assert core.state.takes_part == (replica < 4)
        assert (core._share, core._row, core._late.keys) == (b"", [], None)


@pytest.mark.parametrize("lie", ["false-shares", "both-bits"])
def test_seven_instead_of_four_though_one_lies_and_one_crashes(lie: str) -> None:
    crash = Fault(450 * MILLISECOND, "crash", 2, 9), Fault(1500 * MILLISECOND, "restart", 2, 0)
    world = run(
        plan(n=7, liars=((1, (lie,)),), faults=(*wishes(300, range(4), range(7)), *crash), operations_each=3),
        0b1110000,
    )
    assert [members_of(world, replica) for replica in range(7)] == [tuple(range(7))] * 7


def test_four_instead_of_seven_though_two_lie_and_one_crashes() -> None:
    crash = Fault(500 * MILLISECOND, "crash", 3, 5), Fault(1500 * MILLISECOND, "restart", 3, 0)
    liars = ((2, ("false-outputs", "early-ends")), (5, ("turned-bits",)))
    world = run(plan(n=7, liars=liars, faults=(*wishes(300, range(7), (2, 3, 4, 6)), *crash), operations_each=3))
    assert [members_of(world, replica) for replica in (0, 1, 3, 4, 6)] == [(2, 3, 4, 6)] * 5


def cut_off(replica: int, n: int, since_ms: int, until_ms: int) -> list[Fault]:
    others = [one for one in range(n) if one != replica]
    ends = [(replica, one) for one in others] + [(one, replica) for one in others]
    since, until = since_ms * MILLISECOND, until_ms * MILLISECOND
    return [Fault(at, kind, *end) for at, kind in ((since, "cut"), (until, "heal")) for end in ends]


def test_who_was_away_for_two_changes_learns_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the links: each certified by the members before. Its state comes from others."""
    proofs: list[StableProof] = []
    on_proof = checkpoint.on_stable_proof

    def noting(state: State, sender: int, message: StableProof) -> None:
        proofs.append(message)
        on_proof(state, sender, message)

    monkeypatch.setattr(checkpoint, "on_stable_proof", noting)
    faults = (
        *cut_off(3, 6, 100, 4500), *wishes(300, (0, 1, 2), (0, 1, 2, 4)), *wishes(2500, (0, 1, 2, 4), (0, 1, 4, 5)),
    )
    world = run(plan(n=6, faults=faults, operations_each=12), 0b110000)
    assert [members_of(world, replica) for replica in range(6)] == [(0, 1, 4, 5)] * 6
    assert max(len(proof.links) for proof in proofs) >= 1
    assert [link.position for link in state_of(world, 3).links] == [link.position for link in state_of(world, 0).links]
    assert all(
        digest_of(one) == digest_of(other)
        for one, other in zip(
            [link.roster.next for link in state_of(world, 3).links if link.roster and link.roster.next],
            [link.roster.next for link in state_of(world, 0).links if link.roster and link.roster.next], strict=True,
        )
    )


def test_a_new_member_that_was_away_and_lied_to_is_helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replica 1 deals replica 4 a row that is none; 4 is cut off, so its accusation is in nobody's set."""
    deal, helped = StandInCeremony.deal, []

    def crooked(self: StandInCeremony) -> bytes:
        dealing = deal(self)
        assert self._held is not None
        return dealing[:-1] + b"?" if self._held[1] == 1 else dealing

    take_help = StandInOutcome.take_help

    def noting(self: StandInOutcome, helper: int, box: bytes) -> None:
        helped.append(helper)
        take_help(self, helper, box)

    monkeypatch.setattr(StandInCeremony, "deal", crooked)
    monkeypatch.setattr(StandInOutcome, "take_help", noting)
    faults = (*cut_off(4, 5, 350, 3000), *wishes(300, range(4), OTHERS))
    world = run(plan(faults=faults, liars=((1, ("repeat",)),), operations_each=12), 1 << 4)
    assert members_of(world, 4) == OTHERS
    assert state_of(world, 4).takes_part
    assert len(helped) >= 2


def test_all_lose_power_at_every_step_of_a_change() -> None:
    faults = [*wishes(100, range(4), OTHERS), *wishes(250, range(4), OTHERS)]  # one that is down does not hear it
    for step in range(8):
        for replica in range(5):
            at = (220 + 130 * step) * MILLISECOND
            faults.append(Fault(at, "crash", replica, 1 + (3 * replica + step) % 11))
            faults.append(Fault(at + 60 * MILLISECOND, "restart", replica, 0))
    world = run(plan(faults=tuple(faults), operations_each=4), 1 << 4)
    assert [members_of(world, replica) for replica in range(5)] == [OTHERS] * 5
    assert sum(replica.crashes for replica in world.replicas) >= 15


def test_all_lose_power_after_several_changes() -> None:
    """Whoever starts again goes through all the links to the era in force, and needs the share of the last alone."""
    changes = [((0, 1, 2, 3), OTHERS), (OTHERS, (0, 2, 3, 4)), ((0, 2, 3, 4), range(5))]
    faults = [fault for at, change in enumerate(changes) for fault in wishes(300 + 1000 * at, *change)]
    for replica in range(5):
        faults.append(Fault(4 * SECOND, "crash", replica, 1 + replica))
        faults.append(Fault(5 * SECOND, "restart", replica, 0))
    ends = {"faults_end": 6 * SECOND, "deadline": 9 * SECOND}
    world = run(plan(faults=tuple(faults), operations_each=20, pause_max=SECOND, **ends), 1 << 4)
    for replica in range(5):
        assert members_of(world, replica) == tuple(range(5))
        assert len(state_of(world, replica).links) == 3
        assert state_of(world, replica).takes_part
    assert [replica.crashes for replica in world.replicas] == [1] * 5
