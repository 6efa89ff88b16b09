"""`outvote check` for a class of a test: what replicas in one process cannot show, since they share a hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from outvote.errors import Mistake, NotDeterministic
from outvote.machines.determinism import CheckReport
from outvote.machines.machine import StateMachine

OPERATIONS: Final = 200
PATIENCE_S: Final = 300.0  # the check has limits of its own, a minute an operation

_passed: dict[type[StateMachine], bool] = {}  # a class is checked once in a test session


def check_in_fresh_processes(machine: type[StateMachine]) -> None:
    """Random operations in processes with different hash seeds, clocks and time zones. Raises NotDeterministic with
    what they made of it, Mistake if the class cannot be found from there."""
    if machine in _passed:
        return
    if "." in machine.__qualname__ or machine.__module__ == "__main__":
        raise Mistake(
            f"{machine.__qualname__} cannot be imported by a fresh process: define it at the top of a module to have "
            "its determinism checked"
        )
    reference = f"{machine.__module__}:{machine.__qualname__}"
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "outvote", "check", reference, "--json", "--operations", str(OPERATIONS)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False, timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        report = msgspec.json.decode(done.stdout, type=CheckReport)
    except msgspec.MsgspecError:
        told = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise Mistake(f"the determinism of {reference} could not be checked: {told}") from None
    if report.problems:
        raise NotDeterministic(f"{machine.__name__} is not deterministic: {report.problems[0]}")
    _passed[machine] = True
