"""One case of a test: which protocol on how many replicas, who lies and how, which faults, which seed.

Words come in from options, markers and arguments; a plan for the simulator comes out. Everything that a user can get
wrong is a Mistake here, before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

import msgspec

from outvote.core import quorums
from outvote.core.committee import Committee
from outvote.errors import Mistake
from outvote.protocols.catalogue import PROTOCOLS, protocol
from outvote.simulator.adversaries.catalogue import GENERAL
from outvote.simulator.adversaries.sins import parse_sin
from outvote.simulator.plan import Plan, Sins
from outvote.types import MILLISECOND, NEVER, ReplicaId

NONE: Final = "none"
ALL: Final = "all"
RANDOM: Final = "random"

# What goes wrong besides lies. The first three concern every message, the others come again and again.
FAULTS: Final = ("loss", "duplication", "delays", "clocks", "crashes", "partitions")

# Small numbers, so that a test of twenty calls sees checkpoints, state transfers and view changes.
PARAMETERS: Final[Mapping[str, int]] = {"checkpoint_interval": 8, "window": 16, "view_timeout_ms": 300}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides how a run goes, besides the test's own calls."""

    behaviours: str = "equivocate"  # of every liar: a name, several with + between them, "none" or "random"
    seed: int = 0
    replicas: int = 4
    protocol: str = "pbft"
    faults: str = NONE  # names from FAULTS with commas between them, "none", "all" or "random"

    def describe(self) -> str:
        """One line for people."""
        liars = ", ".join(f"replica {replica} lies ({'+'.join(sins)})" for replica, sins in liars_of(self).items())
        faults = ", ".join(faults_of(self))
        return (
            f"seed {self.seed}: {self.protocol} on {self.replicas} replicas, {liars or 'nobody lies'}"
            f"{', with ' + faults if faults else ''}"
        )


def behaviours_against(name: str) -> tuple[str, ...]:
    """Every behaviour there is against a protocol: those that any has, and its own. Raises Mistake."""
    return (*GENERAL, *protocol(name).lies)


def split_behaviours(text: str, against: str) -> tuple[str, ...]:
    """One entry a run: `equivocate,silent` is two, `all` one for each behaviour against this protocol. Raises
    Mistake."""
    entries = tuple(entry.strip() for entry in text.split(","))
    if ALL in entries:
        entries = behaviours_against(against)
    for entry in entries:
        check_behaviours(entry, against)
    return entries


def check_behaviours(entry: str, against: str) -> None:
    """Raises Mistake, with the list of all names, if it is not what `Case.behaviours` takes."""
    if entry in (NONE, RANDOM):
        return
    known = behaviours_against(against)
    for word in entry.split("+"):
        name = parse_sin(word).name if word else word
        if name not in known:
            raise Mistake(
                f"there is no behaviour {word!r} against {against}: choose from {', '.join(known)}; {ALL} runs each "
                f"of them, {RANDOM} lets the seed choose, {NONE} corrupts nobody"
            )


def check_faults(text: str) -> None:
    """Raises Mistake, with the list of all names, if it is not what `Case.faults` takes."""
    if text in (NONE, ALL, RANDOM):
        return
    for word in text.split(","):
        if word.strip() not in FAULTS:
            raise Mistake(
                f"there is no fault {word.strip()!r}: choose from {', '.join(FAULTS)}; {ALL} means all of them at "
                f"once, {RANDOM} lets the seed choose, {NONE} leaves them out"
            )


def check_case(case: Case) -> Case:
    """Returns it, or raises Mistake."""
    quorums.check_size(case.replicas)
    if not protocol(case.protocol).byzantine and case.behaviours != NONE:
        lies = ", ".join(name for name, one in PROTOCOLS.items() if one.byzantine)
        raise Mistake(f"{case.protocol} tolerates crashes and no lies: choose {lies}, or behaviours {NONE!r}")
    check_behaviours(case.behaviours, case.protocol)
    check_faults(case.faults)
    if case.seed < 0:
        raise Mistake(f"the seed is {case.seed}: seeds are counted from 0")
    if case.behaviours != NONE and not quorums.faults(case.replicas):
        raise Mistake(
            f"{case.replicas} replicas tolerate no liar: take at least 4, or behaviours {NONE!r}"
        )
    return case


def check_liars(liars: Mapping[ReplicaId, Sins], case: Case) -> None:
    """Raises Mistake if one of them is no replica, or if they are more than the cluster tolerates."""
    replicas = case.replicas
    for replica, sins in liars.items():
        check_replica(replica, replicas)
        check_behaviours("+".join(sins), case.protocol)
    most = Committee(replicas, protocol(case.protocol).tolerates).liars
    if len(liars) > most:
        raise Mistake(
            f"{len(liars)} of {replicas} replicas would lie ({', '.join(map(str, sorted(liars)))}), and {replicas} "
            f"replicas tolerate {most}: nothing is promised then. Corrupt fewer, or take {3 * len(liars) + 1} replicas"
        )


def check_replica(replica: ReplicaId, replicas: int) -> None:
    """Raises Mistake."""
    if not 0 <= replica < replicas:
        raise Mistake(f"there is no replica {replica}: they are numbered from 0 to {replicas - 1}")


def liars_of(case: Case) -> dict[ReplicaId, Sins]:
    """As many as are tolerated. Seed 0 corrupts replica 0, the first primary; further seeds go round."""
    most = quorums.faults(case.replicas)
    if case.behaviours == NONE or not most:
        return {}
    if case.behaviours == RANDOM:
        rng = Random(case.seed)
        chosen = sorted(rng.sample(range(case.replicas), most))
        known = behaviours_against(case.protocol)
        return {replica: tuple(sorted(rng.sample(known, rng.choice((1, 1, 2))))) for replica in chosen}
    sins = tuple(case.behaviours.split("+"))
    return dict.fromkeys(sorted((case.seed + place) % case.replicas for place in range(most)), sins)


def faults_of(case: Case) -> tuple[str, ...]:
    """The names of what goes wrong in this case."""
    if case.faults == NONE:
        return ()
    if case.faults == ALL:
        return FAULTS
    if case.faults == RANDOM:
        rng = Random(case.seed + 1)
        return tuple(name for name in FAULTS if rng.random() < 0.5)
    named = [word.strip() for word in case.faults.split(",")]
    return tuple(name for name in FAULTS if name in named)


def plan_of(case: Case, liars: Mapping[ReplicaId, Sins], parameters: Mapping[str, int]) -> Plan:
    """The simulator's numbers. The clients are added by the cluster, and nothing heals by itself."""
    faults = faults_of(case)
    return Plan(
        seed=case.seed,
        n=case.replicas,
        clients=0,
        parameters={**PARAMETERS, **parameters},
        loss=0.05 if "loss" in faults else 0.0,
        duplication=0.1 if "duplication" in faults else 0.0,
        delay_min=MILLISECOND,
        delay_mean=(20 if "delays" in faults else 1) * MILLISECOND,
        sync_max=MILLISECOND,
        clock_offset_max=(1000 if "clocks" in faults else 0) * MILLISECOND,
        clock_drift_ppm_max=1000 if "clocks" in faults else 0,
        liars=tuple(sorted(liars.items())),
        faults_end=NEVER,
        deadline=NEVER,
    )
