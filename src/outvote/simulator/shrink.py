"""Makes a failing plan small: fewer faults, fewer lies, then fewer clients, operations and replicas.

Delta debugging (Zeller and Hildebrandt 2002) over everything in the plan that disturbs: a smaller plan is taken if it
breaks the same invariant. The run is another one each time, so what is kept is not proven minimal; it is what a
person can read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from outvote.simulator.plan import Plan
from outvote.types import FIRST_CLIENT

RUNS_MAX: Final = 400  # about half a minute: a failing run mostly ends early
# What says how large the run is, or how it is judged, rather than what disturbs it.
STRUCTURE: Final = frozenset({
    "seed", "n", "clients", "operations_each", "outstanding", "pause_max", "keys", "parameters", "faults_end",
    "deadline", "liars", "false_clients", "twins", "faults",
})

Element = tuple[str, Any]  # a field of the plan, and which of its entries


class Shrunk(NamedTuple):
    """`plan` fails like the first one did; sizes are numbers of elements of the fault schedule."""

    plan: Plan
    violation: str
    size_before: int
    size_after: int
    runs: int

    @property
    def share(self) -> float:
        return self.size_after / self.size_before if self.size_before else 0.0


def elements(plan: Plan) -> list[Element]:
    """Everything in the plan that disturbs: each fault, each sin, each rate that is not what it is in calm."""
    found: list[Element] = [("faults", index) for index in range(len(plan.faults))]
    found += [("liars", (replica, sin)) for replica, sins in plan.liars for sin in sins]
    found += [("false_clients", (index, sin)) for index, sins in enumerate(plan.false_clients) for sin in sins]
    found += [("twins", twin) for twin in plan.twins]
    for field in msgspec.structs.fields(Plan):
        if field.name not in STRUCTURE:
            value = getattr(plan, field.name)
            if isinstance(value, tuple):
                found += [(field.name, index) for index in range(len(value))]
            elif value != _calm(field):
                found.append((field.name, None))
    return found


def only(plan: Plan, kept: Sequence[Element]) -> Plan:
    """The plan with these elements and no others."""
    chosen = frozenset(kept)
    changes: dict[str, Any] = {
        "faults": tuple(fault for index, fault in enumerate(plan.faults) if ("faults", index) in chosen),
        "twins": tuple(twin for twin in plan.twins if ("twins", twin) in chosen),
        # Who was a liar stays one, without a sin: it is only no longer told to lie.
        "liars": tuple(
            (replica, tuple(sin for sin in sins if ("liars", (replica, sin)) in chosen))
            for replica, sins in plan.liars
        ),
        "false_clients": tuple(
            tuple(sin for sin in sins if ("false_clients", (index, sin)) in chosen)
            for index, sins in enumerate(plan.false_clients)
        ),
    }
    for field in msgspec.structs.fields(Plan):
        if field.name not in STRUCTURE:
            value = getattr(plan, field.name)
            if isinstance(value, tuple):
                changes[field.name] = tuple(
                    one for index, one in enumerate(value) if (field.name, index) in chosen
                )
            elif (field.name, None) not in chosen:
                changes[field.name] = _calm(field)
    return plan.but(**changes)


def _calm(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def invariant_of(violation: str) -> str:
    """`agreement` of `agreement: position 3: ...`"""
    return violation.partition(":")[0]


class _Search:
    def __init__(self, plan: Plan, violation: str, run: Callable[[Plan], str], runs_max: int) -> None:
        self.plan = plan
        self.violation = violation
        self.runs = 0
        self._run = run
        self._runs_max = runs_max
        self._invariant = invariant_of(violation)

    @property
    def tired(self) -> bool:
        return self.runs >= self._runs_max

    def try_plan(self, plan: Plan) -> bool:
        """Take it over if it fails in the same way."""
        if self.tired or plan == self.plan:
            return False
        self.runs += 1
        violation = self._run(plan)
        if invariant_of(violation) != self._invariant:
            return False
        self.plan, self.violation = plan, violation
        return True

    def drop_elements(self) -> None:
        """Halves first, then ever smaller pieces; the whole first of all."""
        start = self.plan
        kept = elements(start)
        if self.try_plan(only(start, [])):
            return
        pieces = 2
        while len(kept) >= 2 and not self.tired:
            size = max(1, len(kept) // pieces)
            for begin in range(0, len(kept), size):
                rest = kept[:begin] + kept[begin + size :]
                if self.try_plan(only(start, rest)):
                    kept, pieces = rest, max(2, pieces - 1)
                    break
            else:
                if size == 1:
                    break
                pieces = min(len(kept), pieces * 2)

    def make_smaller(self) -> None:
        """Less work for fewer parties, as far as the failure stays."""
        for name, smaller in (
            ("clients", 1), ("keys", 1), ("outstanding", 1), ("pause_max", 0),
        ):
            if getattr(self.plan, name) > smaller:
                self.try_plan(self.plan.but(**{name: smaller}))
        while self.plan.operations_each > 1 and self.try_plan(
            self.plan.but(operations_each=self.plan.operations_each // 2)
        ):
            pass
        last = max((fault.at for fault in self.plan.faults), default=0)
        if last < self.plan.faults_end:
            self.try_plan(self.plan.but(faults_end=last + 1, deadline=self.plan.deadline))
        if self.plan.n > 4 and all(_fits(fault.replica, 4) and _fits(fault.other, 4) for fault in self.plan.faults):
            liars = tuple(one for one in self.plan.liars if one[0] < 4)[:1]
            self.try_plan(self.plan.but(n=4, liars=liars))


def _fits(party: int, n: int) -> bool:
    return party < n or party >= FIRST_CLIENT


def shrink(plan: Plan, violation: str, run: Callable[[Plan], str], runs_max: int = RUNS_MAX) -> Shrunk:
    """`run` gives the violation of a plan, or "". `violation` is what `plan` gave."""
    before = len(elements(plan))
    search = _Search(plan, violation, run, runs_max)
    while not search.tired:
        held = search.plan
        search.drop_elements()
        search.make_smaller()
        if search.plan == held:
            break
    return Shrunk(search.plan, search.violation, before, len(elements(search.plan)), search.runs)
