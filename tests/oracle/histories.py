"""Histories of simulated runs, in the form in which main.go reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from outvote.protocols.catalogue import protocol as find_protocol
from outvote.simulator.checkers.linearizability import Operation, Verdict
from outvote.simulator.swarm import draw
from outvote.simulator.workload import StoreWorkload
from outvote.simulator.world import World


class Told(StoreWorkload):
    """Keeps what it is asked to judge."""

    history: Sequence[Operation] = ()

    def judge(self, history: Sequence[Operation]) -> Verdict:
        self.history = history
        return super().judge(history)


def history_of(protocol: str, seed: int) -> Sequence[Operation]:
    """What the clients of one run of the swarm saw; what liars among them had executed included. Raises Violation if
    outvote's own checkers find fault with it."""
    plan = draw(seed, protocol)
    workload = Told(plan.keys, plan.large)
    World(plan, find_protocol(protocol), workload=workload).run()
    return workload.history


def write(path: Path, history: Sequence[Operation]) -> None:
    """One JSON object a line, an operation each."""
    path.write_text("".join(_line(one) + "\n" for one in history))


def _line(one: Operation) -> str:
    assert isinstance(one.operation, tuple)
    name, arguments = one.operation
    known = one.returned is not None
    return json.dumps({
        "client": one.client, "call": one.call, "return": one.returned, "operation": name,
        "arguments": arguments, "result": one.result if known else None,
    })
