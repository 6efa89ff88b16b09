"""`outvote check module:Class`: the same operations in three processes that share nothing but the operations.

    straight   PYTHONHASHSEED=0
    elsewhere  another hash seed, another clock, another time zone, python -O
    restored   a third hash seed; every few operations its state goes through a snapshot into a fresh instance, and
               a few times into a fresh process

After each operation all three must have given the same outcome and be in the same state.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from outvote.configuration.machine_class import load_machine
from outvote.errors import Lie, Mistake
from outvote.machines.blueprint import QUERY, Blueprint
from outvote.machines.contract import Context
from outvote.machines.determinism import (
    CheckReport,
    Entropy,
    OperationMaker,
    Shown,
    both_shortened,
    likely_cause,
    parting,
    show,
    spelled_outcome,
    warnings_about,
)
from outvote.machines.machine import StateMachine
from outvote.machines.operations import DONE, operation_name, outcome_kind
from outvote.types import FIRST_CLIENT, SECOND

_ANSWER_TIMEOUT_S: Final = 60.0  # an operation that takes longer than this would stop a cluster
_CLOCK_SHIFT_S: Final = 400 * 86400 + 12345.678  # another year, day, hour, minute and second
_RENEW_EVERY: Final = 10  # operations, on average, between two restores in the same process
_MOVES: Final = 3  # restores into a fresh process; each costs the start of an interpreter
_CLIENTS: Final = 3
_START_NS: Final = 1_700_000_000 * SECOND


class _Order(msgspec.Struct, array_like=True):
    """To a worker. kind: "apply", "renew", "snapshot", "restore", "show"."""

    kind: str
    data: bytes = b""
    index: int = 0


class _Answer(msgspec.Struct, array_like=True):
    """From a worker. `problem` is a sentence; then nothing else counts."""

    problem: str = ""
    outcome: bytes = b""
    digest: bytes = b""
    data: bytes = b""
    changed: str = ""  # the attribute that a query changed
    shown: list[Shown] = []


def check_machine(reference: str, operations: int = 500, seed: int = 0) -> CheckReport:
    """Run random operations of the class `reference` (module:Class). Raises Mistake if there is no such class or it
    cannot be replicated at all; whatever else is found is in the report."""
    blueprint = load_machine(reference).blueprint()
    report = CheckReport(reference, seed, warnings=warnings_about(blueprint))
    workers: list[_Worker] = []
    try:
        workers.append(_Worker("straight", reference, 0, False))
        workers.append(_Worker("elsewhere", reference, 1, True))
        workers.append(_Worker("restored", reference, 2, False))
        _run(blueprint, workers, report, operations)
    finally:
        for worker in workers:
            worker.stop()
    return report


def _run(blueprint: Blueprint, workers: list[_Worker], report: CheckReport, operations: int) -> None:
    maker = OperationMaker(blueprint, report.seed)
    entropy = Entropy(report.seed + 1)
    moves = {entropy.below(max(1, operations)) for _ in range(_MOVES)}
    called = dict.fromkeys(blueprint.commands, 0)
    report.done = dict.fromkeys(blueprint.commands, 0)
    for answer in [worker.read() for worker in workers]:
        if answer.problem:
            report.problems.append(answer.problem)
            return
    for index in range(operations):
        made = maker.make()
        if made is None:
            break
        name, operation = made
        answers = _ask_all(workers, _Order("apply", operation, index))
        report.operations = index + 1
        called[name] += 1
        report.done[name] += bool(answers[0].outcome) and outcome_kind(answers[0].outcome) == DONE
        if _differ(blueprint, workers, answers, report, operation):
            return
        if index in moves:
            workers[2] = workers[2].moved(3 + index)
        kind = "renew" if index in moves or entropy.below(_RENEW_EVERY) == 0 else ""
        problem = workers[2].ask(_Order(kind)).problem if kind else ""
        if problem:
            report.problems.append(f"after {index + 1} operations, the last of them {name}: {problem}")
            return
    for name in blueprint.commands:
        if name in maker.impossible:
            report.warnings.append(f"{name} was not called: no arguments were found that fit its types")
        elif not report.done[name]:
            report.warnings.append(f"{name} was refused each of the {called[name]} times it was called")


def _differ(
    blueprint: Blueprint, workers: list[_Worker], answers: list[_Answer], report: CheckReport, operation: bytes
) -> bool:
    """Report the first thing that is wrong after an operation."""
    command = blueprint.commands[operation_name(operation)]
    called = f"operation {report.operations}, {_call_text(operation)}"
    for answer in answers:
        if answer.problem:
            report.problems.append(f"{called}: {answer.problem}")
            return True
    first = answers[0]
    if command.kind == QUERY and first.changed:
        report.problems.append(f"{called} is a query and changed self.{first.changed}: mark it with @command")
        return True
    other = next((place for place in (1, 2) if answers[place].outcome != first.outcome), 0)
    what = "answered"
    left, right = "", ""
    if other:
        left, right = both_shortened(spelled_outcome(first.outcome), spelled_outcome(answers[other].outcome))
    else:
        other = next((place for place in (1, 2) if answers[place].digest != first.digest), 0)
        if not other:
            return False
        found = parting(workers[0].ask(_Order("show")).shown, workers[other].ask(_Order("show")).shown)
        what, left, right = found or ("snapshot", "one snapshot", "another, of equal attributes")
        what = f"left self.{what} as" if found else "left"
    one_only = (answers[1].outcome, answers[1].digest) == (first.outcome, first.digest)
    bare_only = (answers[2].outcome, answers[2].digest) == (first.outcome, first.digest)
    cause = likely_cause(blueprint, command, (left, right), one_only and other == 2, bare_only and other == 1)
    report.problems.append(
        f"{called} {what} {left} in the process {workers[0].label!r} and {right} in the process "
        f"{workers[other].label!r}. Likely: {cause}."
    )
    return True


def _call_text(operation: bytes) -> str:
    name, arguments = msgspec.msgpack.decode(operation)
    return both_shortened(f"{name}({', '.join(map(repr, arguments))})", "")[0]


def _ask_all(workers: list[_Worker], order: _Order) -> list[_Answer]:
    for worker in workers:
        worker.send(order)
    return [worker.read() for worker in workers]


class _Worker:
    """One process. `read` gives its greeting first."""

    def __init__(self, label: str, reference: str, hash_seed: int, elsewhere: bool) -> None:
        self.label = label
        self._reference = reference
        environment = dict(os.environ)
        environment["PYTHONHASHSEED"] = str(hash_seed)
        environment["PYTHONPATH"] = os.pathsep.join([entry or str(Path.cwd()) for entry in sys.path])
        environment["TZ"] = "XXX-14" if elsewhere else "YYY+12"  # 26 hours apart: never the same day
        flags = ["-O"] if elsewhere else []
        shift = str(_CLOCK_SHIFT_S if elsewhere else 0.0)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module, arguments not parsed by a shell
            [sys.executable, *flags, "-m", "outvote.cli.check", reference, shift],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        self._input = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)

    def send(self, order: _Order) -> None:
        with suppress(BrokenPipeError):  # `read` finds the end of the output and says so
            _write(self._input, msgspec.msgpack.encode(order))

    def read(self) -> _Answer:
        ready, _, _ = select.select([self._output], [], [], _ANSWER_TIMEOUT_S)
        if not ready:
            return _Answer(f"it did not return within {_ANSWER_TIMEOUT_S:.0f} s, which would stop a cluster")
        data = _read(self._output)
        if data is None:
            return _Answer("the process ended: a command must not call sys.exit or use up the memory")
        return msgspec.msgpack.decode(data, type=_Answer)

    def ask(self, order: _Order) -> _Answer:
        self.send(order)
        return self.read()

    def moved(self, hash_seed: int) -> _Worker:
        """The same state in a fresh process, by way of a snapshot."""
        snapshot = self.ask(_Order("snapshot")).data
        self.stop()
        heir = _Worker(self.label, self._reference, hash_seed, False)
        heir.read()
        heir.ask(_Order("restore", snapshot))
        return heir

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._input.close()
        self._output.close()


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    prefix = stream.read(4)
    if len(prefix) < 4:
        return None
    size = int.from_bytes(prefix, "big")
    data = stream.read(size)
    return data if len(data) == size else None


class _Subject:
    """The machine inside a worker."""

    def __init__(self, machine_class: type[StateMachine]) -> None:
        self._class = machine_class
        self._blueprint = machine_class.blueprint()
        self._machine = machine_class()

    def obey(self, order: _Order) -> _Answer:
        if order.kind == "apply":
            return self._apply(order)
        if order.kind == "snapshot":
            return _Answer(data=self._machine.snapshot())
        if order.kind == "show":
            return _Answer(shown=show(self._attributes()))
        before = order.data if order.kind == "restore" else self._machine.snapshot()
        fresh = self._class()
        fresh.restore(before)
        if fresh.snapshot() != before:
            found = parting(show(self._attributes()), show(_attributes(self._blueprint, fresh)))
            where = f"self.{found[0]} was {found[1]} and became {found[2]}" if found else "the bytes differ"
            return _Answer(
                f"a snapshot, restored, gives another snapshot ({where}): declare the types that the attributes "
                "have, and let equal states give equal bytes"
            )
        self._machine = fresh
        return _Answer()

    def digest(self) -> bytes:
        return sha256(self._machine.snapshot()).digest()

    def _apply(self, order: _Order) -> _Answer:
        command = self._blueprint.commands[operation_name(order.data)]
        before = show(self._attributes()) if command.kind == QUERY else []
        index = order.index
        context = Context(
            index + 1, _START_NS + index * SECOND, FIRST_CLIENT + index % _CLIENTS, index.to_bytes(4, "big")
        )
        outcome = self._machine.apply(order.data, context)
        changed = parting(before, show(self._attributes())) if command.kind == QUERY else None
        return _Answer(outcome=outcome, digest=self.digest(), changed=changed[0] if changed else "")

    def _attributes(self) -> dict[str, object]:
        return _attributes(self._blueprint, self._machine)


def _attributes(blueprint: Blueprint, machine: StateMachine) -> dict[str, object]:
    return {name: value for name, value in vars(machine).items() if name not in blueprint.derived}


def _work(reference: str, shift_s: float) -> None:
    """The life of a worker: orders on standard input, answers on standard output, until the input ends."""
    orders = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the user's class prints must not mix with the answers
    real = time.time
    if shift_s:
        # A replica's clock may be off by years; only the clock's readers are fooled, timeouts use another one.
        setattr(time, "time", lambda: real() + shift_s)  # noqa: B010
        setattr(time, "time_ns", lambda: int((real() + shift_s) * SECOND))  # noqa: B010
    subject: _Subject | None = None
    order: _Order | None = None
    while True:
        try:
            if subject is None:
                subject = _Subject(load_machine(reference))
                answer = _Answer(digest=subject.digest())
            elif order is not None:
                answer = subject.obey(order)
        except (Mistake, Lie) as error:
            answer = _Answer(str(error))
        except Exception as error:
            answer = _Answer(f"snapshot or restore raised {type(error).__name__}: {error}")
        _write(answers, msgspec.msgpack.encode(answer))
        data = _read(orders)
        if data is None or subject is None:
            return
        order = msgspec.msgpack.decode(data, type=_Order)


if __name__ == "__main__":
    _work(sys.argv[1], float(sys.argv[2]))
