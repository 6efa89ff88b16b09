"""What `outvote demo` found out: the report, the verdict over it, and the text at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from outvote.errors import Mistake

GAP_MEASURED: Final = "the longest time in which none of the clients had an operation acknowledged"


class Operations(msgspec.Struct):
    """Of all clients, over the whole demo."""

    sent: int = 0
    acknowledged: int = 0
    wrong: int = 0
    unknown: int = 0  # outcome never learned: in the history as "may have happened"
    refused: int = 0
    never_sent: int = 0
    wrong_shown: list[str] = msgspec.field(default_factory=list)


class Linearizability(msgspec.Struct):
    """The verdict of the checker over every operation above."""

    verdict: str = "not checked"
    operations: int = 0
    text: str = ""


class FaultFree(msgspec.Struct):
    """Act 1."""

    operations_per_second: float = 0.0
    median_latency_ms: float = 0.0
    longest_gap_ms: float = 0.0
    decisions: int = 0
    messages: dict[str, int] = msgspec.field(default_factory=dict)
    messages_per_decision: float = 0.0
    formula: str = "2n(n-1)"
    formula_value: int = 0
    explanation: str = ""


class Flood(msgspec.Struct):
    """Act 2: one client asks for a hundred times as much as each of the others."""

    requests_per_second: float = 0.0  # sent to every replica
    times: float = 0.0  # of what one of the others got before
    others_before: float = 0.0  # operations a second of all others together
    others_during: float = 0.0
    share_percent: float = 0.0


class Treason(msgspec.Struct):
    """Act 3."""

    traitor: int = -1
    was_primary: bool = False
    view_before: int = 0
    view_after: int = 0
    view_change_ms: float = 0.0
    measured_as: str = GAP_MEASURED
    forged_replies_outvoted: int = 0
    evidence: list[str] = msgspec.field(default_factory=list)


class Rejuvenation(msgspec.Struct):
    """Act 4: one turn of the schedule that a period and a bound stand for."""

    replica: int = -1
    was_traitor: bool = False
    took_ms: float = 0.0  # from the end of the old process until it had caught up
    new_keys: int = 0  # other replicas with which it agreed on new keys
    acknowledged_meanwhile: int = 0
    longest_gap_ms: float = 0.0
    period_s: float = 0.0
    bound_s: float = 0.0
    faults: int = 0  # that may happen within `window_s`
    key_use_s: float = 0.0  # T_k
    repair_s: float = 0.0  # T_r
    window_s: float = 0.0  # T_v = 2 T_k + T_r


class Recovery(msgspec.Struct):
    """Act 5."""

    killed: int = -1
    positions_missed: int = 0
    acknowledged_meanwhile: int = 0
    process_start_ms: float = 0.0
    catch_up_ms: float = 0.0
    digests_equal: bool = False


class Rot(msgspec.Struct):
    """Act 6: a bit of a replica's stored state flips while it is down."""

    replica: int = -1
    flipped: list[str] = msgspec.field(default_factory=list)  # file and byte
    leaves_fetched: int = 0
    leaves: int = 0  # of the whole state
    bytes_fetched: int = 0
    bytes: int = 0
    repaired_ms: float = 0.0  # from the start of the process until it stood where the others stand
    digests_equal: bool = False


class BeyondLimit(msgspec.Struct):
    """Act 7."""

    traitors: list[int] = msgspec.field(default_factory=list)
    calls: int = 0
    answered: int = 0
    sentence: str = ""
    recovered: bool = False
    recovery_ms: float = 0.0
    waiting_completed: int = 0
    without_the_bug: str = ""  # what a till answers
    bug_in_one: str = ""  # the same, where one of four implementations is wrong
    bug_in_all: str = ""


class DemoReport(msgspec.Struct):
    """The content of demo-report.json."""

    outvote_demo: int = 1  # version of this layout
    replicas: int = 4
    faults_tolerated: int = 1
    acts: list[int] = msgspec.field(default_factory=list)  # those that were played to their end
    seconds: float = 0.0
    operations: Operations = msgspec.field(default_factory=Operations)
    linearizability: Linearizability = msgspec.field(default_factory=Linearizability)
    fault_free: FaultFree = msgspec.field(default_factory=FaultFree)
    flood: Flood = msgspec.field(default_factory=Flood)
    treason: Treason = msgspec.field(default_factory=Treason)
    rejuvenation: Rejuvenation = msgspec.field(default_factory=Rejuvenation)
    recovery: Recovery = msgspec.field(default_factory=Recovery)
    rot: Rot = msgspec.field(default_factory=Rot)
    beyond_limit: BeyondLimit = msgspec.field(default_factory=BeyondLimit)
    replies_outvoted: list[int] = msgspec.field(default_factory=list)  # by replica, over the whole demo
    honest_replicas: list[int] = msgspec.field(default_factory=list)  # those that were never told to lie
    digests_equal: bool = False
    final_position: int = 0
    final_digest: str = ""
    complaints: list[str] = msgspec.field(default_factory=list)
    ok: bool = False


def verdict(report: DemoReport) -> list[str]:
    """A sentence for everything that must not be; empty if all is well. Looks at nothing but the report."""
    operations = report.operations
    found = list(report.complaints)
    ended_early = bool(found)  # then what was not reached is no news
    if operations.wrong:
        shown = f": {operations.wrong_shown[0]}" if operations.wrong_shown else ""
        found.append(f"{operations.wrong} wrong replies were accepted{shown}")
    if operations.refused:
        found.append(f"{operations.refused} operations were refused, and this store refuses none of them")
    if not operations.acknowledged and not ended_early:
        found.append("no operation was acknowledged")
    if report.linearizability.verdict != "linearizable" and not (ended_early and not operations.sent):
        found.append(f"the history is {report.linearizability.verdict}: {report.linearizability.text}")
    found += [
        f"honest replica {replica} was outvoted {report.replies_outvoted[replica]} times"
        for replica in report.honest_replicas
        if report.replies_outvoted[replica]
    ]
    if not report.digests_equal and not ended_early:
        found.append("the replicas' digests differ at the end")
    for act in report.acts:
        found += COMPLAINTS.get(act, _none)(report)
    return found


def _none(_: DemoReport) -> list[str]:
    return []


def _flood_complaints(report: DemoReport) -> list[str]:
    return [] if report.flood.others_during else ["a flooding client kept the others from any answer"]


def _treason_complaints(report: DemoReport) -> list[str]:
    treason, found = report.treason, []
    if treason.was_primary and treason.view_after <= treason.view_before:
        found.append("the traitor was primary, and no view change took its place away")
    if not treason.forged_replies_outvoted:
        found.append("no forged reply was seen, so nothing was outvoted")
    return found


def _rejuvenation_complaints(report: DemoReport) -> list[str]:
    young = report.rejuvenation
    if young.took_ms > 1000 * young.bound_s:
        return [f"the rejuvenated replica {young.replica} did not recover within its bound"]
    return []


def _recovery_complaints(report: DemoReport) -> list[str]:
    if report.recovery.digests_equal:
        return []
    return [f"replica {report.recovery.killed} did not come back to the others' digest"]


def _rot_complaints(report: DemoReport) -> list[str]:
    rot = report.rot
    if not rot.digests_equal:
        return [f"replica {rot.replica} did not repair its state"]
    if not 0 < rot.leaves_fetched < rot.leaves / 2:
        return [f"replica {rot.replica} fetched {rot.leaves_fetched} of {rot.leaves} leaves, and one was damaged"]
    return []


def _beyond_complaints(report: DemoReport) -> list[str]:
    beyond, found = report.beyond_limit, []
    if beyond.bug_in_one != beyond.without_the_bug:
        found.append(f"a bug in one replica's class was not outvoted: {beyond.bug_in_one} was answered")
    if beyond.answered:
        found.append(f"{beyond.answered} calls were answered though two of four replicas kept silent")
    if not beyond.recovered:
        found.append("the cluster did not recover when the traitors became honest again")
    return found


COMPLAINTS: Final[dict[int, Callable[[DemoReport], list[str]]]] = {
    2: _flood_complaints, 3: _treason_complaints, 4: _rejuvenation_complaints, 5: _recovery_complaints,
    6: _rot_complaints, 7: _beyond_complaints,
}  # fmt: skip


def check_writable(path: Path) -> None:
    """Find out before the first act, not after the last. Raises Mistake."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise Mistake(f"the report cannot be written to {path}: name a file in a directory that exists")


def write_report(report: DemoReport, path: Path) -> None:
    """Raises Mistake if the file cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise Mistake(f"the report cannot be written to {path}: {error.strerror}") from None


def summary(report: DemoReport) -> list[tuple[str, str, bool | None]]:
    """The short table at the end: what, value, and whether that is as it should be (None: neither good nor bad)."""
    operations, fault_free, treason = report.operations, report.fault_free, report.treason
    linearizability = report.linearizability
    rows: list[tuple[str, str, bool | None]] = [
        ("operations sent", f"{operations.sent:,}", None),
        ("acknowledged", f"{operations.acknowledged:,}", None),
        ("unknown outcome", f"{operations.unknown:,}", None),
        ("wrong replies", f"{operations.wrong}", operations.wrong == 0),
        (
            "linearizable",
            f"{linearizability.verdict}, {linearizability.operations:,} operations checked",
            linearizability.verdict == "linearizable",
        ),
    ]
    if 1 in report.acts:
        rows.append((
            "messages per decision",
            f"{fault_free.messages_per_decision:.2f}; the formula {fault_free.formula} says "
            f"{fault_free.formula_value}{_because(fault_free.explanation)}",
            None,
        ))  # fmt: skip
    if 2 in report.acts:
        flood = report.flood
        kept = f"{flood.share_percent:.0f} % of the others' operations went on beside {flood.times:,.0f} times a share"
        rows.append(("a flood", kept, None))
    if 3 in report.acts:
        rows.append(("forged replies outvoted", f"{treason.forged_replies_outvoted:,}", None))
        if treason.view_after > treason.view_before:
            rows.append(("view change", f"{treason.view_change_ms:,.0f} ms without an answer", None))
    if 4 in report.acts:
        young = report.rejuvenation
        text = f"{young.took_ms:,.0f} ms under load; window of vulnerability {young.window_s:,.0f} s"
        rows.append(("rejuvenation", text, None))
    if 5 in report.acts:
        recovery = report.recovery
        text = f"{recovery.catch_up_ms:,.0f} ms for {recovery.positions_missed:,} positions"
        rows.append(("catching up after a kill", text, recovery.digests_equal))
    if 6 in report.acts:
        rot = report.rot
        text = f"{rot.leaves_fetched:,} of {rot.leaves:,} leaves, {rot.bytes_fetched:,} of {rot.bytes:,} bytes fetched"
        rows.append(("a flipped bit repaired", text, rot.digests_equal))
    if 7 in report.acts:
        beyond = report.beyond_limit
        text = f"{beyond.calls} calls, {beyond.answered} answers: refused rather than guessed"
        rows.append(("with two traitors", text, beyond.answered == 0))
    if not report.final_position:
        return rows
    equal = f"{'equal' if report.digests_equal else 'NOT equal'} at position {report.final_position:,}"
    rows.append(("digests of all replicas", equal, report.digests_equal))
    return rows


def _because(explanation: str) -> str:
    return f" ({explanation})" if explanation else ""


COUNTER: Final = """\
from outvote import StateMachine, command, query

class Counter(StateMachine):
    value: int = 0

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @query
    def read(self) -> int:
        return self.value"""

COMMANDS: Final = (
    ("outvote up", "a replicated key-value store on this machine"),
    ("outvote put hello world", "in another terminal: write, and"),
    ("outvote get hello", "read, agreed on by the replicas"),
    ("outvote status", "how each replica stands"),
    ("outvote up counting --machine counter:Counter", "the class above instead"),
    ("outvote call --cluster counting add 3", "its commands, from a shell"),
)
COMMAND_WIDTH: Final = 2 + max(len(command) for command, _ in COMMANDS)
