"""An adversary that corrupts one replica after the other, more than f in the end and at most f at a time.

Passes if rejuvenation frees each of them in time and every checker holds; and if the same adversary gets no further
than f without it.
"""

from __future__ import annotations

import pytest
from puppet import plan

from outvote.protocols.catalogue import protocol
from outvote.simulator.checkers.violation import Violation
from outvote.simulator.faults import Faults
from outvote.simulator.plan import Plan
from outvote.simulator.replica import SimulatedReplica
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, ReplicaId

FORMS = ("pbft", "pbft-authenticators")
SINS = (("equivocate",), ("silent",), ("forge-replies", "withhold-votes"))
PERIOD_NS = 2 * SECOND


def moving(seed: int, sins: tuple[str, ...], period_ns: int = PERIOD_NS) -> Plan:
    chosen = plan(operations=150, pause=80 * MILLISECOND, faults_end=8 * SECOND)
    return chosen.but(seed=seed, clients=2, keys=4, mover=sins, rejuvenation=period_ns)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sins", SINS, ids="+".join)
@pytest.mark.parametrize("seed", range(3))
def test_more_than_f_liars_over_time_are_survived(form: str, sins: tuple[str, ...], seed: int) -> None:
    world = World(moving(seed, sins), protocol(form))
    world.run()
    assert len(dict.fromkeys(world.mover.corrupted)) > world.committee.faults, world.mover.corrupted
    assert len(world.rejuvenation.freed) >= len(world.mover.corrupted) - world.committee.faults
    assert world.marks["rejuvenated"] >= world.plan.n


@pytest.mark.parametrize("form", FORMS)
def test_without_rejuvenation_the_adversary_is_stuck_with_f(form: str) -> None:
    world = World(moving(0, ("equivocate",), 0), protocol(form))
    world.run()
    assert len(world.mover.corrupted) == world.committee.faults
    other = next(one for one in range(world.plan.n) if one not in world.liars)
    with pytest.raises(ValueError, match="one liar too many"):
        world.corrupt(other, ("equivocate",))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sins", SINS, ids="+".join)
def test_more_than_f_at_once_are_found_out(form: str, sins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the model no guarantee holds, and the checkers say which one went."""
    monkeypatch.setattr(Faults, "affects_too_many", lambda faults, one: len({*faults._world.liars, one}) > 2)
    with pytest.raises(Violation):
        World(moving(0, sins, 0), protocol(form)).run()


class Leaky(SimulatedReplica):
    """Its process loses memory with every message and ends when it has none left; nobody starts it again for that."""

    BOUND = 1000  # messages; under this load a replica of four hears some 300 a second, and 600 in a period

    def __init__(self, world: World, me: ReplicaId) -> None:
        super().__init__(world, me, me)
        self.leaked = 0
        self.most = 0

    def start(self) -> None:
        if self.leaked < self.BOUND:
            super().start()

    def hear(self, sender: ReplicaId, body: bytes) -> None:
        if self.turn is not None:
            self.leaked += 1
            self.most = max(self.most, self.leaked)
            if self.leaked >= self.BOUND:
                self.world.mark("out of memory")
                self.crash()
        super().hear(sender, body)

    def crash(self) -> None:
        """A process that is ended gives its memory back; one that ran out is not missed by anybody."""
        if self.leaked < self.BOUND:
            self.leaked = 0
        super().crash()


def leaking(form: str, period_ns: int) -> World:
    world = World(moving(0, (), period_ns), protocol(form))
    world.replicas = [Leaky(world, me) for me in range(world.plan.n)]
    return world


@pytest.mark.parametrize("form", FORMS)
def test_a_leak_in_all_replicas_is_survived_by_rejuvenation_alone(form: str) -> None:
    with pytest.raises(Violation) as caught:
        leaking(form, 0).run()
    assert caught.value.invariant == "liveness"
    world = leaking(form, PERIOD_NS)
    world.run()
    assert "out of memory" not in world.marks


