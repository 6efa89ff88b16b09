"""What seeds draw: all classes of faults, about half of them off, as plain data; and Ed25519 in every twentieth."""

from __future__ import annotations

import msgspec
import pytest

from outvote.core import quorums
from outvote.core.contract import Claim, Struct
from outvote.protocols.catalogue import protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.faults import KINDS
from outvote.simulator.plan import Plan
from outvote.simulator.runs import BATCH_SEEDS, run_plan
from outvote.simulator.seals import RealSealRegistry, SealRegistry
from outvote.simulator.swarm import draw
from outvote.simulator.world import World

PLANS = [draw(seed) for seed in range(400)]
MOVING = 483  # a seed whose adversary has time to corrupt more than f


def share(chosen: list[bool]) -> float:
    return sum(chosen) / len(chosen)


def test_every_kind_of_fault_is_drawn_and_none_that_does_not_exist() -> None:
    drawn = {fault.kind for plan in PLANS for fault in plan.faults}
    assert drawn <= set(KINDS)
    of_raft = {fault.kind for seed in range(100) for fault in draw(seed, "raft").faults}
    named_one_by_one = {"crash-keeps", "crash-loses", "crash-tears"}
    assert set(KINDS) - drawn - of_raft <= named_one_by_one


@pytest.mark.parametrize(
    "kind", ["crash", "pause", "cut", "clog", "reset", "set-wall", "disk-full", "sync-error", "rot-state"]
)
def test_about_half_of_the_classes_are_off(kind: str) -> None:
    assert 0.2 < share([any(fault.kind == kind for fault in plan.faults) for plan in PLANS]) < 0.85


@pytest.mark.parametrize("rate", ["loss", "duplication", "replay", "heavy_tail", "in_order", "uneven", "bandwidth"])
def test_about_half_of_the_rates_are_off(rate: str) -> None:
    assert 0.2 < share([bool(getattr(plan, rate)) for plan in PLANS]) < 0.65


def test_sizes_and_ranges() -> None:
    assert {plan.n for plan in PLANS} == {4, 5, 7, 10}
    assert max(plan.loss for plan in PLANS) == 0.3
    assert max(plan.duplication for plan in PLANS) == 0.5
    assert max(plan.clock_offset_max for plan in PLANS) == 10 * 10**9
    assert max(plan.clock_drift_ppm_max for plan in PLANS) == 100_000
    for plan in PLANS:
        assert len(plan.liars) <= quorums.faults(plan.n)
        assert list(plan.faults) == sorted(plan.faults, key=lambda fault: fault.at)
        assert all(0 <= fault.replica < plan.n for fault in plan.faults)


def test_some_seeds_rejuvenate_mostly_against_an_adversary_that_moves_and_takes_the_place_of_a_liar() -> None:
    rejuvenated = [plan for plan in PLANS if plan.rejuvenation]
    assert 0.05 < len(rejuvenated) / len(PLANS) < 0.25
    assert 0.3 < share([bool(plan.mover) for plan in rejuvenated]) < 0.95
    for plan in PLANS:
        if plan.mover:
            assert plan.rejuvenation
            assert not plan.adaptive
            assert len(plan.liars) < quorums.faults(plan.n)


def test_the_adversary_that_a_seed_draws_moves_and_is_driven_out_again() -> None:
    world = World(draw(MOVING), protocol("pbft"))
    world.run()
    assert len(world.mover.corrupted) > quorums.faults(world.plan.n)
    assert world.rejuvenation.freed
    assert world.marks["recovered from a corruption"] == len(world.rejuvenation.freed)


def test_a_plan_is_plain_data() -> None:
    for plan in PLANS[:50]:
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_every_twentieth_seed_runs_with_real_seals() -> None:
    assert share([plan.real_seals for plan in PLANS]) == 0.05
    assert any(draw(seed).real_seals for seed in range(123, 123 + BATCH_SEEDS))


class Saying(Struct, frozen=True):
    number: int


@pytest.mark.parametrize("kind", [SealRegistry, RealSealRegistry])
def test_both_kinds_of_seals_open_for_whom_sealed_and_nothing_else(kind: type[SealRegistry]) -> None:
    registry = RealSealRegistry(3, range(4)) if kind is RealSealRegistry else SealRegistry(3)
    again = RealSealRegistry(3, range(4)) if kind is RealSealRegistry else SealRegistry(3)
    seal = registry.sealer(1).seal(Saying(7))
    assert again.seal(1, Saying(7)) == seal, "keys come from the seed"
    assert registry.opens(Claim(1, Saying(7), seal))
    assert not registry.opens(Claim(2, Saying(7), seal))
    assert not registry.opens(Claim(1, Saying(8), seal))
    assert not registry.opens(Claim(1, Saying(7), bytes(64)))
    assert not registry.opens(Claim(99, Saying(7), seal))


def test_a_seal_that_nobody_made_is_a_violation_even_if_it_is_genuine() -> None:
    registry, thief = RealSealRegistry(3, range(4)), RealSealRegistry(3, range(4))
    with pytest.raises(Violation, match="never sealed"):
        registry.opens(Claim(1, Saying(7), thief.seal(1, Saying(7))))


def test_a_run_with_real_seals_goes_like_one_without() -> None:
    plan = draw(4)
    stand_in, real = run_plan("pbft", plan.but(real_seals=False)), run_plan("pbft", plan.but(real_seals=True))
    assert stand_in.violation == real.violation == ""
    assert stand_in.delivered == real.delivered
    assert "real seals" in real.marks
