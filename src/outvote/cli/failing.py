"""What a failed simulation leaves behind: a line that replays it, a plan small enough to read, and its picture."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from outvote.cli.drawing import Drawing
from outvote.errors import Mistake
from outvote.simulator.failure import Failure, load, save
from outvote.simulator.plan import Plan
from outvote.simulator.runs import RunResult, run_plan
from outvote.simulator.shrink import RUNS_MAX, shrink

CHECKOUT: Final = Path(__file__).parents[3]  # if this is one: above src/outvote/cli
FOLDER: Final = Path("outvote-failures")
KEPT_MAX: Final = 5  # failures of one batch that are shrunk and drawn, at half a minute each; all are named
TEXT_MAX: Final = 300  # characters of a violation on one line


@cache
def version_told() -> str:
    """`0.1.0`, and in a checkout the commit as well."""
    version = metadata.version("outvote")
    # Installed into a repository of the user's, git would tell the commit of that.
    if not (CHECKOUT / ".git").exists():
        return version
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git the user has
            cwd=CHECKOUT, capture_output=True, text=True, timeout=5, check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version} ({told.stdout.strip()})"


def one_line(replay: str, result: RunResult) -> str:
    """Everything that is needed to see it again: the command, the version and the step."""
    violation = " ".join(result.violation.split())[:TEXT_MAX]
    return f"FAILED   {replay}    # outvote {version_told()}, step {result.events}: {violation}"


def keep(
    protocol: str, replay: str, plan: Plan, result: RunResult, name: str, folder: Path = FOLDER,
    run: Callable[[Plan], RunResult] | None = None, runs_max: int = RUNS_MAX,
) -> list[str]:
    """Shrink a failed run, keep it as a file and draw it. Returns lines to print; a full disk is one of them.

    `run` runs a plan as the failed one was run; by itself, as the swarm does.
    """
    again = run if run is not None else lambda smaller: run_plan(protocol, smaller)
    shrunk = shrink(plan, result.violation, lambda smaller: again(smaller).violation, runs_max)
    failure = Failure(
        protocol=protocol, replay=replay, violation=result.violation, step=result.events, version=version_told(),
        plan=plan, shrunk=shrunk.plan, shrunk_violation=shrunk.violation,
    )
    path = folder / f"{name}.json"
    try:
        save(failure, path)
    except OSError as error:
        return [f"         not kept: {path} cannot be written: {error.strerror}"]
    lines = [
        f"         shrunk from {shrunk.size_before} to {shrunk.size_after} disturbances: outvote replay {path}",
    ]
    drawn = run_plan(protocol, shrunk.plan, chronicle=True).chronicle if run is None else None
    if drawn is not None:
        picture = Drawing(folder / f"{name}.html", None, None, ())
        try:
            picture.write(drawn)
            lines.append(f"         drawn: {picture.path}")
        except Mistake as error:
            lines.append(f"         not drawn: {error}")
    return lines


def plan_in(text: str) -> Failure | None:
    """The failure that a file holds, or None if `text` does not name one. Raises Mistake for a bad file."""
    return load(Path(text)) if text.endswith(".json") else None
