"""Swarm testing: each seed leaves out about half of the fault classes and draws the rates of the others."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from outvote.core.committee import Committee, Tolerates
from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator import swarm_faults
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.swarm_liars import draw_lies, draw_mover
from outvote.types import MILLISECOND, SECOND, Nanos, ReplicaId

REAL_SEALS_EVERY = 20  # seeds: 5 % of them; a signature costs a hundred times its stand-in
EPOCH_TIMES = 5  # the paper's formula: rounds of agreement on each bit, and what is said again to those who ask
REAL_THRESHOLD_EVERY = 20  # seeds of a protocol with a dealer: 5 % of them
HELD_SHARE = 0.25
MEMBERS_SHARE = 0.1
MEMBERS_N_MAX = 5
REAL_THRESHOLD_OPERATIONS = 6  # of all clients
SIZES: Final[Mapping[Tolerates, tuple[int, ...]]] = {
    "lies": (4, 4, 4, 4, 5, 7, 7, 10), "crashes": (3, 3, 3, 3, 5, 5, 4, 6, 7),
}
RECOVERY_SHARE = 0.125  # of the seeds
WITNESS_SHARE = 0.15
ROT_SHARE = 0.3
GONE = ("stay-down", "stay-cut", "rot-states", "rot-entry")  # who is hurt so may be lost for good
TURN_EVERY_MS = (200, 500, 1200)  # from one rejuvenation to the next
LIVENESS_MAX: Nanos = 900 * SECOND  # 20 view timeouts for each operation leave longer runs than this unlikely


def draw(seed: int, protocol: str = "pbft") -> Plan:
    """The run that this seed stands for: what liars may say is the protocol's. Each part draws from a stream of its
    own."""
    rng = Random(f"{seed} size")
    found = find_protocol(protocol)
    tolerates = found.tolerates
    n = rng.choice(found.swarm_sizes or SIZES[tolerates])
    faults_end = rng.randrange(3, 9) * SECOND
    # Short ones expire while votes are on their way: then views change with half-prepared positions.
    timeout_ms = rng.choice((1000, 500, 300, 100))
    clients, operations_each = (
        _work(rng, EPOCH_TIMES * found.formula(n), 1) if found.deals else _work(rng, 2 * n * (n - 1), 3)
    )
    interval = rng.choice((2, 4, 8, 16) if n < 7 else (1, 2, 4))
    lies = draw_lies(protocol, seed, n)
    plan = Plan(
        seed=seed,
        n=n,
        clients=clients,
        operations_each=operations_each,
        outstanding=rng.choice((1, 3, 8)),
        # Without pauses all work is done in the first tenth of a second, and most faults fall into idleness.
        pause_max=rng.choice((0, 2, 3, 4)) * faults_end // operations_each,
        keys=rng.choice((1, 3, 6)),
        parameters={
            "checkpoint_interval": interval,
            "window": 2 * interval,
            "pipeline": rng.choice((1, 2, 4)),
            "batch_requests_max": rng.choice((1, 1, 8)),  # batches of one are always full: they are pipelined
            "view_timeout_ms": timeout_ms,
        },
        liars=lies.liars,
        false_clients=lies.false_clients,
        adaptive=lies.adaptive,
        faults=_faults(
            seed, Committee(n, tolerates), [replica for replica, _ in lies.liars], faults_end, timeout_ms * MILLISECOND
        ),
        faults_end=faults_end,
        deadline=faults_end + LIVENESS_MAX,
        real_seals=seed % REAL_SEALS_EVERY == 7,
        sync_max=rng.choice((0, 1, 10)) * MILLISECOND,
    )
    plan = _with_answers(plan, Random(f"{seed} answers"))
    plan = _with_clocks(_with_network(plan, Random(f"{seed} network")), Random(f"{seed} clocks"))
    if tolerates == "crashes":
        return _with_flags(plan, Random(f"{seed} flags"))
    if found.deals:  # no recovery: a share of a key that was dealt once cannot be replaced
        return _with_threshold(plan)
    return _with_recovery(plan, Random(f"{seed} recovery"), protocol)


def _with_threshold(plan: Plan) -> Plan:
    """The dealer's keys are stand-ins but for every 20th seed: an epoch takes a second of pairings then, so it does a
    few operations only, in batches. A quarter of the seeds have a scheduler who holds back one replica at a time."""
    schedule = Random(f"{plan.seed} schedule")
    if schedule.random() < HELD_SHARE:
        held = swarm_faults.holds(schedule, plan.n, plan.faults_end)
        plan = plan.but(faults=tuple(sorted((*plan.faults, *held), key=lambda fault: fault.at)))
    deferred = Random(f"{plan.seed} jobs").randrange(2)  # cryptography as jobs, or within the turn
    plan = _with_members(plan, Random(f"{plan.seed} members"))
    parameters = {**plan.parameters, "dealer_seed": plan.seed, "deferred": deferred}
    if plan.seed % REAL_THRESHOLD_EVERY != 13:
        return plan.but(parameters=parameters)
    each = max(1, min(plan.operations_each, REAL_THRESHOLD_OPERATIONS // plan.clients))
    parameters |= {"real_threshold": 1, "batch_requests_max": 8}
    return plan.but(parameters=parameters, operations_each=each)


def _with_members(plan: Plan, rng: Random) -> Plan:
    """Owners wish other members, not all of them the same and not all of them heard. With five or six replicas, and
    four of them or more members: then one may fail, whoever the members are."""
    if rng.random() >= MEMBERS_SHARE or plan.n > MEMBERS_N_MAX:
        return plan
    n = rng.choice((5, 5, 6))
    end = plan.faults_end
    drawn = list(plan.faults)
    for _ in range(rng.choice((1, 1, 2))):
        wished = sum(1 << one for one in rng.sample(range(n), rng.randint(4, n)))
        at, heard = rng.randrange(end), rng.choice((0.4, 0.9, 0.9))
        for again in range(rng.choice((1, 3))):
            for owner in range(n):
                if rng.random() < heard:
                    moment = at + again * end // 4 + rng.randrange(end // 8)
                    drawn.append(Fault(min(moment, end - 1), "change-members", owner, wished))
    learners = (1 << n) - (1 << 4) if rng.random() < 0.5 else 0
    return plan.but(
        n=n, parameters={**plan.parameters, "learners": learners},
        faults=tuple(sorted(drawn, key=lambda fault: fault.at)),
        operations_after=max(plan.operations_after, 2),
    )


def _work(rng: Random, decision: int, least: int) -> tuple[int, int]:
    """Clients and operations each, for about 1,000 to 3,000 messages: a decision of PBFT costs 2n(n - 1), a request
    bundles 1.7 operations, and what faults add is about as much again as batches save."""
    clients = rng.choice((1, 2, 3))
    messages = rng.choice((700, 1000, 1400))
    operations = messages * 17 // (10 * decision)
    return clients, max(least, operations // clients)


def _with_answers(plan: Plan, rng: Random) -> Plan:
    """How clients ask and are answered."""
    reads, receipts, large = (rng.random() < 0.5 for _ in range(3))
    parameters = {**plan.parameters, "tentative": rng.randrange(2)}
    return plan.but(reads=reads, receipts=receipts, large=2000 if large else 0, parameters=parameters)


def _with_recovery(plan: Plan, rng: Random, protocol: str) -> Plan:
    """Now and then every replica is rejuvenated in turn, mostly against an adversary that moves: it takes the place of
    one liar, and of an adversary that chooses."""
    if rng.random() >= RECOVERY_SHARE:
        return plan
    period = plan.n * rng.choice(TURN_EVERY_MS) * MILLISECOND
    mover = draw_mover(protocol, rng, plan.n)
    if not mover:
        return plan.but(rejuvenation=period)
    liars = plan.liars[: Committee(plan.n).faults - 1]
    return plan.but(rejuvenation=period, mover=mover, liars=liars, adaptive=())


def _with_network(plan: Plan, rng: Random) -> Plan:
    lossy, doubling, replaying, slow, heavy, ordered, uneven, narrow = (rng.random() < 0.5 for _ in range(8))
    return plan.but(
        loss=rng.choice((0.02, 0.1, 0.3)) if lossy else 0.0,
        duplication=rng.choice((0.05, 0.5)) if doubling else 0.0,
        replay=rng.choice((0.02, 0.2)) if replaying else 0.0,
        delay_min=rng.choice((0, 1, 5)) * MILLISECOND,
        delay_mean=rng.choice((20, 60, 120) if slow else (1, 3)) * MILLISECOND,
        heavy_tail=heavy,
        in_order=ordered,
        uneven=uneven,
        bandwidth=rng.choice((20_000, 100_000, 1_000_000)) if narrow and rng.random() < 0.5 else 0,
    )


def _with_clocks(plan: Plan, rng: Random) -> Plan:
    """Offsets beyond the protocol's tolerance make honest primaries refused: views change until clocks are set right,
    when the world heals."""
    if rng.random() < 0.5:
        return plan
    return plan.but(
        clock_offset_max=rng.choice((10, 1000, 4000, 10_000)) * MILLISECOND,
        clock_drift_ppm_max=rng.choice((100, 20_000, 100_000)),
    )


def _with_flags(plan: Plan, rng: Random) -> Plan:
    """Each optimisation of Raft is off now and then. A lease relies on clocks: then none of them stands still or
    leaps, and no two are further apart in their rates than the lease allows for."""
    pre_vote, check_quorum, read_index, pipelining = (rng.random() < 0.8 for _ in range(4))
    lease = check_quorum and rng.random() < 0.4
    flags = {
        "pre_vote": int(pre_vote), "check_quorum": int(check_quorum), "read_index": int(read_index),
        "pipelining": int(pipelining), "lease": int(lease),
    }
    # Of an even number one is no loss: as many may fail as before.
    learner = 1 << rng.randrange(plan.n) if plan.n % 2 == 0 and rng.random() < 0.7 else 0
    plan = plan.but(parameters={**plan.parameters, **flags, "learners": learner})
    plan = _with_rot(plan, Random(f"{plan.seed} rot"))
    plan = _with_witness(_with_operations(plan, rng), Random(f"{plan.seed} witness"))
    if not lease:
        return plan
    return plan.but(
        clock_drift_ppm_max=min(plan.clock_drift_ppm_max, 20_000),
        faults=tuple(fault for fault in plan.faults if fault.kind not in ("leap", "freeze", "thaw")),
    )


def _with_rot(plan: Plan, rng: Random) -> Plan:
    """Entries of some logs go bad; whose identifiers are lost with them may not start any more. Now and then nobody
    keeps identifiers."""
    parameters = {**plan.parameters, "repair": int(rng.random() < 0.9)}
    if rng.random() >= ROT_SHARE:
        return plan.but(parameters=parameters)
    drawn = list(plan.faults)
    end = plan.faults_end
    for replica in rng.sample(range(plan.n), rng.randint(1, (plan.n - 1) // 2)):
        at = rng.randrange(end // 4, end)
        drawn.append(Fault(at, "rot-entry", replica, rng.randrange(1 << 30)))
        drawn.append(Fault(at + 1, "crash", replica, 1))
        drawn.append(Fault(rng.randrange(at, end) + 1, "restart", replica, 0))
    return plan.but(parameters=parameters, faults=tuple(sorted(drawn, key=lambda fault: fault.at)))


def _with_witness(plan: Plan, rng: Random) -> Plan:
    """One of three or more. While a replica that keeps data is away a witness stands in for it, and then nobody else
    may be lost for good."""
    if rng.random() >= WITNESS_SHARE or plan.parameters["learners"]:
        return plan
    return plan.but(
        parameters={**plan.parameters, "witnesses": 1 << rng.randrange(plan.n)},
        faults=tuple(fault for fault in plan.faults if fault.kind not in GONE),
    )


def _with_operations(plan: Plan, rng: Random) -> Plan:
    """Operators hand over and change who votes, at any time. Fewer voters bear fewer faults, so where voters change
    nobody is lost for good."""
    n, end = plan.n, plan.faults_end
    drawn: list[Fault] = list(plan.faults)
    if rng.random() < 0.4:
        drawn += [Fault(rng.randrange(end), "hand-over", 0, rng.randrange(n)) for _ in range(rng.choice((1, 3, 10)))]
    if rng.random() < 0.3:
        drawn = [fault for fault in drawn if fault.kind not in GONE]
        for _ in range(rng.choice((1, 2, 6))):
            voters = rng.sample(range(n), rng.randint(1, n))
            drawn.append(Fault(rng.randrange(end), "change-voters", 0, sum(1 << one for one in voters)))
    return plan.but(faults=tuple(sorted(drawn, key=lambda fault: fault.at)))


def _faults(
    seed: int, committee: Committee, liars: list[ReplicaId], end: Nanos, timeout: Nanos
) -> tuple[Fault, ...]:
    """Each class from a stream of its own, about half of them not at all."""
    drawn: list[Fault] = []
    n = committee.n

    def stream(what: str, share: float = 0.5) -> Random | None:
        rng = Random(f"{seed} {what}")
        return rng if rng.random() < share else None

    if (rng := stream("crashes")) is not None:
        drawn += swarm_faults.crashes(rng, n, end)
    if (rng := stream("pauses")) is not None:
        drawn += swarm_faults.pauses(rng, n, end, timeout)
    if (rng := stream("cuts")) is not None:
        drawn += swarm_faults.cuts(rng, n, end)
    if (rng := stream("chase")) is not None:
        drawn += swarm_faults.chase(rng, n, end, timeout)
    if (rng := stream("clogs")) is not None:
        drawn += swarm_faults.clogs(rng, n, end)
    if (rng := stream("resets")) is not None:
        drawn += swarm_faults.resets(rng, n, end)
    if (rng := stream("clocks")) is not None:
        drawn += swarm_faults.clocks(rng, n, end)
    if (rng := stream("failing disks")) is not None:
        drawn += swarm_faults.failing_disks(rng, n, end)
    # Liars, replicas whose disks forget, and those left behind: at most f in all.
    others = Random(f"{seed} others")
    honest = others.sample([replica for replica in range(n) if replica not in liars], n - len(liars))
    spare = committee.faults - len(liars)
    count = others.randint(0 if others.random() < 0.4 else 1, spare) if spare > 0 else 0
    # A disk that forgets is a liar to those whom it made promises.
    stories = swarm_faults.STORIES if committee.liars else swarm_faults.HARMLESS_STORIES
    drawn += swarm_faults.spoiled_disks(others, honest[:count], end, stories)
    if others.random() < 0.8:
        drawn += swarm_faults.left_behind(others, honest[count : max(count, spare)], end)
    return tuple(sorted(drawn, key=lambda fault: fault.at))
