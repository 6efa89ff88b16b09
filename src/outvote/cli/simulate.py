"""`outvote simulate` and `outvote replay`: whole clusters under faults and lies, a run for every seed.

Functions that print and return an exit code; main.py gives them their options.
"""

from __future__ import annotations

import json
import sys
import time

from outvote.errors import Mistake
from outvote.simulator.runs import BATCH_SEEDS, RunResult, Summary, run_seed, run_seeds

PROGRESS_EVERY_RUNS = 50


def simulate(protocol: str, seeds: int, first: int = 0, workers: int = 2, json_output: bool = False) -> int:
    """Run the seeds `first` .. `first + seeds - 1`. Returns 0 if every run held and everything expected was covered,
    1 if not. Raises Mistake for numbers that make no sense or a protocol that does not exist."""
    if seeds < 1:
        raise Mistake(f"--seeds is {seeds}: run at least 1")
    if workers < 1:
        raise Mistake(f"--workers is {workers}: it takes at least 1 process")
    started = time.monotonic()
    done = failed = 0

    def progress(result: RunResult) -> None:
        nonlocal done, failed
        done += 1
        failed += not result.ok
        if not json_output and not result.ok:
            print(_failure(protocol, result), flush=True)
        if not json_output and done % PROGRESS_EVERY_RUNS == 0 and done < seeds:
            print(f"{done} of {seeds} runs, {failed} failed", flush=True)

    summary = run_seeds(protocol, range(first, first + seeds), workers, progress)
    if json_output:
        print(json.dumps(_as_json(summary, first), indent=2))
    else:
        _print_summary(summary, time.monotonic() - started)
    return 0 if summary.ok else 1


def replay(protocol: str, seed: int, tail: int = 0, json_output: bool = False) -> int:
    """Run one seed again and print its plan, its trace (the last `tail` lines of it, if not 0) and the trace's digest.
    Returns 1 if the run breaks an invariant. Raises Mistake for a protocol that does not exist."""
    if tail < 0:
        raise Mistake(f"--tail is {tail}: give the number of last lines to print, or 0 for all")
    result = run_seed(protocol, seed, keep_trace=True)
    lines = result.trace[-tail:] if tail else result.trace
    if json_output:
        print(json.dumps({**_run_as_json(protocol, result), "trace": lines}, indent=2))
        return 0 if result.ok else 1
    out = sys.stdout
    out.write(f"plan     {result.plan}\n")
    out.writelines(line + "\n" for line in lines)
    out.write(f"events   {result.events}\n")
    out.write(f"trace    {result.digest}\n")
    out.write(f"result   {'every invariant held' if result.ok else result.violation}\n")
    return 0 if result.ok else 1


def command_line(protocol: str, seed: int) -> str:
    """What replays a run."""
    return f"outvote replay {seed} --protocol {protocol}"


def _failure(protocol: str, result: RunResult) -> str:
    return f"FAILED   {command_line(protocol, result.seed)}    {' '.join(result.violation.split())[:300]}"


def _print_summary(summary: Summary, seconds: float) -> None:
    rate = summary.events / seconds if seconds else 0.0
    print(f"{summary.runs} runs of {summary.protocol}, {summary.events} events, {rate:,.0f} events/s")
    print("coverage")
    width = max(map(len, summary.marks))
    for name, amount in summary.marks.items():
        print(f"  {name:<{width}}  {amount}")
    if summary.missed:
        print(f"MISSED   {', '.join(summary.missed)}: {BATCH_SEEDS} runs or more should have been through these")
    elif summary.runs < BATCH_SEEDS:
        print(f"coverage is demanded of {BATCH_SEEDS} runs or more")
    print(f"{len(summary.failures)} failed" if summary.failures else "every invariant held in every run")


def _run_as_json(protocol: str, result: RunResult) -> dict[str, object]:
    return {
        "seed": result.seed, "ok": result.ok, "violation": result.violation, "events": result.events,
        "digest": result.digest, "marks": result.marks, "plan": result.plan,
        "replay": command_line(protocol, result.seed),
    }


def _as_json(summary: Summary, first: int) -> dict[str, object]:
    return {
        "protocol": summary.protocol, "first": first, "runs": summary.runs, "events": summary.events,
        "ok": summary.ok, "marks": summary.marks, "missed": summary.missed,
        "failures": [_run_as_json(summary.protocol, result) for result in summary.failures],
    }
