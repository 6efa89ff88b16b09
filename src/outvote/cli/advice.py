"""Which kind of replication a service needs: the rules of `outvote advise`, without a terminal or a clock.

They follow the questions of the usual textbook chapter on Byzantine generals: who owns the machines, whether somebody
gains by lying, whether a rule demands it, what latency is allowed, whether hardware is trusted, whether all run the
same code. Lies are answered by BFT, crashes by Raft, accidents by checksums and ECC memory.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from outvote.errors import Mistake
from outvote.protocols.catalogue import FACTS
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.performance_model import Costs, Deployment, Operation, Tally, ordered, throughput_per_s

BFT: Final = "BFT"
RAFT: Final = "Raft"
CHECKSUMS: Final = "checksums and ECC memory"

FAULTS_MAX: Final = 33  # 3f + 1 = 100 replicas
OUTSTANDING: Final = 64  # requests, for operations a second
CORES: Final = 1 << 10  # every replica and the client have one of their own


class Answers(NamedTuple):
    """What somebody said of a service. 0 for a budget is none."""

    several_owners: bool
    adversary: bool
    regulation: bool
    accidents: bool
    trusted_hardware: bool
    same_code: bool
    latency_ms: float = 0.0
    operations: int = 0
    faults: int = 1
    round_trip_ms: float = 0.0  # between two of the machines

    def check(self) -> None:
        """Raises Mistake."""
        if not 1 <= self.faults <= FAULTS_MAX:
            raise Mistake(f"--faults is {self.faults}: choose 1 to {FAULTS_MAX}")
        if not 0 <= self.latency_ms < 1e9 or not 0 <= self.round_trip_ms < 1e9 or not 0 <= self.operations < 1 << 40:
            raise Mistake("--latency-ms, --round-trip-ms and --operations cannot be negative; 0 means none")


class Advice(NamedTuple):
    """What to run, why, and what to mind."""

    answer: str
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]


class Choice(NamedTuple):
    """One way to run the service, with what it takes. The times are of the model, from costs measured here."""

    answer: str
    replicas: int
    quorum: int
    messages: int
    delays: int
    latency_ms: float
    operations_per_s: float


def advise(told: Answers) -> Advice:
    """Raises Mistake for numbers that make no sense."""
    told.check()
    needs = []
    if told.several_owners:
        needs.append("different owners run the machines: each could gain by a lie, and no single one can be believed")
    if told.adversary:
        needs.append("somebody may take over some of the machines, and a machine that is taken over lies")
    if told.regulation:
        needs.append("a regulation or a safety case demands that a component that lies is outvoted")
    spared = told.trusted_hardware and not told.several_owners and not told.regulation
    if needs and not spared:
        return Advice(BFT, tuple(needs), tuple(_cautions_of_bft(told)))
    if needs:
        return Advice(
            RAFT,
            (
                "trusted hardware attests which program each machine runs, so one that was taken over is shut out "
                "before it is heard; crashes remain",
            ),
            (
                "whatever the attestation stands on - its maker, its keys - can now lie for all machines at once; "
                "outvote checks no attestation",
                _ONE_LIAR,
            ),
        )
    alike = ("all machines run the same program: a bug strikes all at once, and no number of replicas bears that",)
    if told.accidents:
        return Advice(
            CHECKSUMS,
            (
                "accidents are not adversaries: ECC memory corrects flipped bits, checksums from end to end find what "
                "disks, firmware and networks corrupt, and a machine that stops at the first inconsistency has only "
                "crashed",
                *(alike if told.same_code else ()),
            ),
            (
                f"they detect, and do not replace: if the service must go on when a machine stops, run Raft on "
                f"{2 * told.faults + 1} of them",
                *(() if told.same_code else ("mixed versions can part silently: outvote check compares them first",)),
            ),
        )
    return Advice(
        RAFT,
        (
            "nobody is expected to lie: machines crash, networks part, and a majority that is up goes on",
            *(alike if told.same_code else ()),
            *(("the latency budget is tight, and every lie that need not be borne is time saved",)
              if 0 < told.latency_ms < 1 else ()),
        ),
        (_ONE_LIAR,),
    )


_ONE_LIAR: Final = "one machine that lies breaks Raft: it can forge what clients read and lose what they wrote"


def _cautions_of_bft(told: Answers) -> list[str]:
    found = []
    if told.same_code:
        found.append(
            "all machines run the same program: one bug makes more than f of them wrong at once. Run two versions of "
            "your class and of outvote; outvote doctor lists what replicas share"
        )
    else:
        found.append("different programs have to answer alike to the byte: outvote check compares them")
    if told.trusted_hardware:
        found.append(
            "trusted hardware does not spare it here: it vouches for a program, not for an owner who feeds it, delays "
            "it or keeps it from others"
        )
    if not told.several_owners:
        found.append("with one owner, whoever has the administrator's keys has all machines: part them among people")
    return found


# ---------------------------------------------------------------------- what each way takes


def how_to_run(advice: Advice, faults: int) -> str:
    """The command that begins with it."""
    if advice.answer == BFT:
        return f"outvote up --replicas {FACTS['pbft'].replicas.of(faults)}"
    raft = f"outvote up --protocol raft --replicas {FACTS['raft'].replicas.of(faults)}"
    return raft if advice.answer == RAFT else f"{raft} (to go on when a machine has stopped itself)"


def choices(told: Answers, costs: Costs) -> list[Choice]:
    """All three, for the same service, each machine with a core of its own."""
    return [_bft(told, costs), _raft(told, costs), _one_machine(told, costs)]


def _bft(told: Answers, costs: Costs) -> Choice:
    facts = FACTS["pbft"]
    n = facts.replicas.of(told.faults)
    config = PbftConfig()
    where = Deployment(n, True, config.tentative, CORES, config.pipeline)
    path_s = ordered(where, Operation(0, 0)).path.seconds(costs) + _travel_s(facts.delays.of(n), told)
    rate = throughput_per_s(where, Operation(0, 0), costs, OUTSTANDING, config.batch_requests_max)
    # Batches under way side by side hide computing, not the way to the other machines.
    rate = min(rate, OUTSTANDING / path_s)
    return Choice(
        BFT, n, facts.quorum.of(n), facts.messages.of(n), facts.delays.of(n), path_s * 1e3, rate
    )


def _raft(told: Answers, costs: Costs) -> Choice:
    """Request, AppendEntries, its answer, reply (Ongaro and Ousterhout 2014); the leader writes its log meanwhile."""
    facts = FACTS["raft"]
    n = facts.replicas.of(told.faults)
    delays = facts.delays.of(n)
    path = Tally(signatures=1, verifications=1, digests=2, ends=2 * delays, syncs=1)
    path_s = path.seconds(costs) + _travel_s(delays, told)
    batch = OUTSTANDING
    leader = Tally(verifications=batch, digests=batch, ends=2 * batch + 2 * (n - 1), syncs=1)
    client = Tally(signatures=batch, digests=batch, ends=2 * batch)
    rate = batch / max(path_s, leader.seconds(costs), client.seconds(costs))
    return Choice(RAFT, n, facts.quorum.of(n), facts.messages.of(n), delays, path_s * 1e3, rate)


def _one_machine(told: Answers, costs: Costs) -> Choice:
    """A request, a write to the log, a reply; nobody else is asked."""
    path_s = Tally(ends=4, syncs=1).seconds(costs) + _travel_s(2, told)
    rate = OUTSTANDING / max(path_s, Tally(ends=2 * OUTSTANDING, syncs=1).seconds(costs))
    return Choice(CHECKSUMS, 1, 1, 0, 2, path_s * 1e3, rate)


def _travel_s(delays: int, told: Answers) -> float:
    return delays * told.round_trip_ms / 2 / 1e3


def over_budget(told: Answers, choice: Choice) -> list[str]:
    """What the budget does not allow, in words; empty if all is kept."""
    found = []
    if told.latency_ms and choice.latency_ms > told.latency_ms:
        found.append(
            f"{choice.answer} takes {choice.latency_ms:.2f} ms by the model and the budget is {told.latency_ms:g} ms"
        )
    if told.operations and choice.operations_per_s < told.operations:
        found.append(
            f"{choice.answer} does {choice.operations_per_s:.0f} operations a second by the model and "
            f"{told.operations} are wanted"
        )
    return found
