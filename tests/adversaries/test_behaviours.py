"""Every behaviour of a lying replica really does something, and the cluster stays right and live under it."""

from __future__ import annotations

from random import Random

import pytest

from outvote.core.contract import Claim
from outvote.errors import Mistake
from outvote.host.voice import Voice
from outvote.protocols.catalogue import PROTOCOLS, protocol
from outvote.protocols.pbft.messages import Prepare
from outvote.simulator.adversaries.catalogue import BEHAVIOURS, GENERAL, behaviour, names_for, told_of
from outvote.simulator.adversaries.powers import Powers
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.runs import RunResult, run_plan
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND, ReplicaId

DIGEST = b"!" * 32
HONEST: tuple[str, ...] = ()


def busy(liar: ReplicaId, sins: tuple[str, ...], seed: int) -> Plan:
    """With view changes, for the first primary and then another one crash, and with replicas that fall behind."""
    crashed = 1 if liar != 1 else 2
    dark = 3 if liar != 3 else 2
    links = [(dark, one) for one in range(4) if one != dark] + [(one, dark) for one in range(4) if one != dark]
    faults = [Fault(200 * MILLISECOND, "crash", crashed, 5), Fault(SECOND, "restart", crashed, 0)]
    if liar:
        faults += [Fault(1200 * MILLISECOND, "crash", 0, 3), Fault(1800 * MILLISECOND, "restart", 0, 0)]
    faults += [Fault(2 * SECOND, "cut", a, b) for a, b in links]
    faults += [Fault(2600 * MILLISECOND, "heal", a, b) for a, b in links]
    return Plan(
        seed=seed, clients=2, operations_each=45, outstanding=2, keys=2, pause_max=SECOND // 5, liars=((liar, sins),),
        parameters={"checkpoint_interval": 2, "window": 4, "batch_requests_max": 4, "view_timeout_ms": 100},
        delay_mean=3 * MILLISECOND, faults=tuple(sorted(faults)), faults_end=3 * SECOND, deadline=400 * SECOND,
        reads=seed % 3 != 2, receipts=seed % 3 == 2, large=2000,
    )


def run(plan: Plan, protocol: str = "pbft") -> RunResult:
    result = run_plan(protocol, plan)
    assert result.violation == ""
    return result


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_it_acts_and_the_cluster_stays_right(name: str) -> None:
    """As its mark says, which is only set where what was said or done is not what honesty would."""
    told, spoken = False, next(one for one in PROTOCOLS if name in names_for(one))
    for seed in range(8):
        liar = seed % 4
        plan = busy(liar, (name,), seed)
        if PROTOCOLS[spoken].deals:
            plan = plan.but(operations_each=12)  # of which each takes hundreds of messages
        told = told or run(plan, spoken).marks.get(f"lie told: {name}", 0) > 0
        if told and seed >= 1:
            return
    assert told


def test_without_sins_no_lie_is_told() -> None:
    marks = run(busy(0, HONEST, 1)).marks
    assert [name for name in marks if name.startswith("lie told: ")] == []


def test_there_are_more_than_fifty_and_each_says_what_it_does() -> None:
    assert len(BEHAVIOURS) >= 50
    assert len({told_of(name) for name in BEHAVIOURS}) == len(BEHAVIOURS)
    assert all(told_of(name) for name in BEHAVIOURS)
    assert set(GENERAL) < set(BEHAVIOURS)


def test_several_sins_at_once() -> None:
    names = sorted(BEHAVIOURS)
    for seed in range(6):
        sins = tuple(names[(seed * 7 + step * 11) % len(names)] for step in range(3))
        run(busy(seed % 4, sins, seed))


def powers_over(world: World, replica: ReplicaId) -> Powers:
    voice = Voice(replica, world.plan.n, world.registry.sealer(replica), world.codec, world.replicas[replica])
    return Powers(voice, world.protocol, Random(1), lambda: world.now, world.after, world.ring)


def test_nobody_signs_for_an_honest_replica() -> None:
    world = World(Plan(liars=((0, ()), (1, ()))), protocol("pbft"))
    first, second = powers_over(world, 0), powers_over(world, 1)
    vote = Prepare(0, 1, DIGEST)
    assert world.registry.opens(Claim(1, vote, first.ring.seal_as(1, vote))), "liars share their keys"
    assert second.ring is first.ring
    with pytest.raises(KeyError):
        first.ring.seal_as(2, vote)
    assert not world.registry.opens(Claim(2, vote, first.seal(vote))), "its own seal is nobody else's"
    assert not world.registry.opens(Claim(2, vote, bytes(64)))


def test_a_sin_aimed_at_one_replica_and_a_moment_spares_the_others() -> None:
    """Silent towards 2 only, and only in the second second: 3 hears everything, 2 all of the rest."""
    plan = busy(0, ("silent@2/1s-2s",), 1).but(faults=())
    world = World(plan, protocol("pbft"), keep_trace=True)
    world.run()
    heard = [
        (float(line.split("ms")[0]), int(line.split()[1])) for line in world.trace.lines if " <- 0 " in line
    ]
    late = 30  # milliseconds that a message may be on its way
    assert [at for at, who in heard if who == 2 and 1000 + late < at < 2000] == []
    for who, since, until in ((2, 0, 1000), (2, 2000 + late, 3000), (3, 1000 + late, 2000), (1, 1000 + late, 2000)):
        assert any(one == who and since < at < until for at, one in heard), (who, since, until)


@pytest.mark.parametrize(
    "text",
    ["nonsense", "omit@", "omit@x", "silent/1-2", "silent/2s", "Silent", "", "silent:3", "slow-proposals:x"],
)
def test_what_is_no_behaviour_is_a_mistake_with_a_sentence(text: str) -> None:
    world = World(Plan(liars=((0, ()),)), protocol("pbft"))
    with pytest.raises(Mistake, match=r"is no |there is no behaviour|targets are|takes no argument|MILLISECONDS"):
        behaviour(text, powers_over(world, 0))
