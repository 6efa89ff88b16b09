"""`outvote status`: what each replica says of itself, and what follows from it.

Needs a client's keys but neither a quorum nor the user's class: it is for the day when something is wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from outvote.cli import endings
from outvote.cli.recovery_note import RecoveryNote, read_note
from outvote.client.connections import Connections
from outvote.configuration.files import clients_present, load_client_keys, load_genesis
from outvote.configuration.genesis import Genesis
from outvote.core.committee import Committee
from outvote.core.contract import NOBODY
from outvote.errors import Mistake
from outvote.types import Digest, Position, ReplicaId
from outvote.wire.client_messages import Ask, Refusal, Report, ToClient, encode_client_message
from outvote.wire.frames import frame

WATCH_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 0.3  # for the last ones, once somebody who should know has answered
_DIGITS: Final = 12  # of a digest, on a screen
_LED: Final = {"raft": ("leader", "follower")}
_ELSEWHERE: Final = ("primary", "backup")  # the words of PBFT


class Overview(msgspec.Struct):
    """All replicas at one moment; `reports` and `problems` have an entry a replica."""

    genesis: Genesis
    reports: list[Report | None]
    problems: list[str]  # why there is no report
    recovery: RecoveryNote | None = None  # of an outvote up here that rejuvenates

    @property
    def reachable(self) -> int:
        return sum(report is not None for report in self.reports)

    def disagreements(self) -> list[str]:
        """A sentence for each position at which replicas have different histories or states."""
        return _partings("history", self._histories()) + _partings("checkpoint", self._checkpoints())

    def _histories(self) -> list[tuple[ReplicaId, Position, Digest]]:
        """Of those that keep any."""
        return [(r.replica, r.standing.position, r.history) for r in self.reports if r and role(r) != "witness"]

    def _checkpoints(self) -> list[tuple[ReplicaId, Position, Digest]]:
        return [(r.replica, r.checkpoint, r.checkpoint_digest) for r in self.reports if r and role(r) != "witness"]

    def astray(self) -> set[ReplicaId]:
        """Replicas that contradict a weak quorum of others, or without one, all that contradict each other."""
        strays: set[ReplicaId] = set()
        for entries in (self._histories(), self._checkpoints()):
            for camps in _camps(entries).values():
                if len(camps) > 1:
                    trusted = [who for who in camps.values() if len(who) > self.genesis.committee().faults]
                    strays.update(one for who in camps.values() if who not in trusted[:1] for one in who)
        return strays

    def voters(self) -> frozenset[ReplicaId]:
        """Who votes, in the words of whoever is furthest; where replicas may lie, in those of f + 1 of them; everybody
        where that never changes."""
        said = [one.standing for one in self.reports if one is not None and one.standing.voters]
        if self.genesis.tolerates == "lies":
            weak, told = self.genesis.committee().weak, [one.voters for one in said]
            said = [one for one in said if told.count(one.voters) >= weak]
        newest = max(said, key=lambda one: (one.view, one.position), default=None)
        return frozenset(range(self.genesis.n) if newest is None else newest.voters)

    def quorum(self) -> int:
        """How many of those who vote are needed."""
        voters = self.voters()
        return Committee(len(voters), self.genesis.tolerates).quorum

    def good(self) -> int:
        """How many of them answer and are in agreement."""
        reachable = {one.replica for one in self.reports if one is not None}
        return len((reachable & self.voters()) - self.astray())

    def alert(self) -> str:
        """A sentence while a rejuvenated replica is overdue, else empty."""
        return self.recovery.alert() if self.recovery is not None else ""

    def ordering(self) -> bool:
        return self.good() >= self.quorum()

    def verdict(self) -> str:
        """One line: how many answer, and how many more may fail."""
        n, quorum = self.genesis.n, self.quorum()
        spare = self.good() - quorum
        words = [f"{self.reachable} of {n} replicas answer"]
        if len(self.voters()) < n:
            words.append(f"{', '.join(map(str, sorted(self.voters())))} vote")
        if self.astray():
            words.append(f"{len(self.astray())} of them not in agreement")
        if spare < 0:
            back = f"{-spare} more {'is' if spare == -1 else 'are'} back"
            words.append(
                f"{quorum} {'is' if quorum == 1 else 'are'} needed: nothing can be ordered until {back}"
            )
        else:
            words.append(f"{spare} more may fail" if spare else "no more may fail")
        if self.genesis.tolerates == "crashes":
            words.append("but not one may lie, since this protocol tolerates crashes only")
        return "; ".join(words)

    def as_json(self) -> dict[str, object]:
        return {
            "cluster": self.genesis.name,
            "machine": self.genesis.machine,
            "replicas": [self._replica_json(number, report) for number, report in enumerate(self.reports)],
            "reachable": self.reachable,
            "quorum": self.quorum(),
            "voters": sorted(self.voters()),
            "faults": self.genesis.committee().faults,
            "tolerates": self.genesis.tolerates,
            "ordering": self.ordering(),
            "more_may_fail": max(0, self.good() - self.quorum()),
            "disagreements": self.disagreements(),
            "rejuvenation": None if self.recovery is None else msgspec.to_builtins(self.recovery),
        }

    def _replica_json(self, number: int, report: Report | None) -> dict[str, object]:
        address = "{}:{}".format(*self.genesis.addresses()[number])
        if report is None:
            return {
                "replica": number,
                "address": address,
                "reachable": False,
                "problem": self.problems[number],
            }
        standing = report.standing
        return {
            "replica": number, "address": address, "reachable": True, "protocol": report.protocol,
            "view": standing.view, "active": standing.active, "role": role(report), "leader": standing.leader,
            "position": standing.position, "stable": standing.stable, "waiting": standing.waiting,
            "note": standing.note, "time_ns": report.time, "history": report.history.hex(),
            "checkpoint": report.checkpoint, "checkpoint_digest": report.checkpoint_digest.hex(),
            "counters": report.counters,
        }  # fmt: skip


def _camps(
    entries: list[tuple[ReplicaId, Position, Digest]],
) -> dict[Position, dict[Digest, list[ReplicaId]]]:
    camps: dict[Position, dict[Digest, list[ReplicaId]]] = {}
    for replica, position, digest in entries:
        camps.setdefault(position, {}).setdefault(digest, []).append(replica)
    return camps


def _partings(what: str, entries: list[tuple[ReplicaId, Position, Digest]]) -> list[str]:
    found = []
    for position, camps in sorted(_camps(entries).items()):
        if len(camps) > 1:
            sides = " against ".join(_several(who) for who in sorted(camps.values(), key=len, reverse=True))
            found.append(f"DISAGREEMENT at position {position}: the {what} of {sides}")
    return found


def _several(replicas: list[ReplicaId]) -> str:
    return f"replica{'s' * (len(replicas) > 1)} {', '.join(map(str, replicas))}"


def role(report: Report) -> str:
    if not report.standing.active:
        return "changing view"
    if report.replica in report.standing.witnesses:
        return "witness"
    if report.standing.voters and report.replica not in report.standing.voters:
        return "learner"
    if report.standing.leader == NOBODY:
        return "proposer"
    return led(report)[report.standing.leader != report.replica]


def led(report: Report) -> tuple[str, str]:
    """What its protocol calls the one that leads, and the others."""
    return _LED.get(report.protocol, _ELSEWHERE)


class Inquiry:
    """Connections to all replicas, and a question to each."""

    def __init__(self, directory: Path, client: str | None) -> None:
        """`client`: any that is present will do if it is None. Raises Mistake. Needs a running event loop."""
        self.genesis = load_genesis(directory)
        self._directory = directory
        name = client or next(iter(clients_present(directory, self.genesis)), None)
        keys = load_client_keys(directory, name, self.genesis)
        self._reports: list[Report | None] = [None] * self.genesis.n
        self._refusals: dict[ReplicaId, str] = {}
        self._nonce = 0
        self._news = asyncio.Event()
        self._connections = Connections(self.genesis, keys, self)
        self._connections.start()

    def opened(self, replica: ReplicaId) -> None:
        self._connections.send(replica, frame(encode_client_message(Ask(self._nonce))))

    def lost(self, replica: ReplicaId) -> None:
        self._news.set()

    def keyed(self, replica: ReplicaId, key: bytes) -> None:
        """A question carries no authenticator."""

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        if isinstance(message, Report) and message.nonce == self._nonce and message.replica == replica:
            self._reports[replica] = message
            self._news.set()
        elif isinstance(message, Refusal):
            self._refusals[replica] = message.reason
            self._news.set()

    async def overview(self, timeout_s: float) -> Overview:
        """Ask everybody; waits for those that have neither answered nor failed, at most `timeout_s`."""
        loop = asyncio.get_running_loop()
        self._nonce += 1
        self._reports = [None] * self.genesis.n
        for replica in range(self.genesis.n):
            if self._connections.is_open(replica):
                self.opened(replica)
        deadline = loop.time() + timeout_s
        while (left := deadline - loop.time()) > 0 and not self._settled():
            self._news.clear()
            try:
                async with asyncio.timeout(min(left, _PATIENCE_S)):  # a failed dial tells nobody: look again
                    await self._news.wait()
            except TimeoutError:
                continue
        problems = [self._problem(replica, timeout_s) for replica in range(self.genesis.n)]
        return Overview(self.genesis, list(self._reports), problems, read_note(self._directory))

    def _settled(self) -> bool:
        return all(
            report is not None
            or (replica in self._connections.problems and not self._connections.is_open(replica))
            for replica, report in enumerate(self._reports)
        )

    def _problem(self, replica: ReplicaId, timeout_s: float) -> str:
        if self._reports[replica] is not None:
            return ""
        if replica in self._refusals:
            return self._refusals[replica]
        if self._connections.is_open(replica):
            return f"connected, but no answer within {timeout_s:g} s"
        host, port = self.genesis.addresses()[replica]
        return self._connections.problems.get(
            replica, f"no connection to {host}:{port} within {timeout_s:g} s"
        )

    async def close(self) -> None:
        await self._connections.close()


def show_status(directory: Path, client: str | None, timeout_s: float, as_json: bool, watch: bool) -> int:
    """Raises Mistake. Returns 4 if too few replicas answer to order anything, 1 if any disagree or a
    rejuvenated one is overdue."""
    if timeout_s <= 0:
        raise Mistake("--timeout must be more than 0 seconds")
    show = _show_json if as_json else _shower(watch)
    overview = asyncio.run(_show(directory, client, timeout_s, show, watch))
    if not overview.ordering():
        return endings.NO_ANSWER
    return endings.NEGATIVE if overview.disagreements() or overview.alert() else endings.DONE


async def _show(
    directory: Path, client: str | None, timeout_s: float, show: Callable[[Overview], None], watch: bool
) -> Overview:
    inquiry = Inquiry(directory, client)
    try:
        while True:
            overview = await inquiry.overview(timeout_s)
            show(overview)
            if not watch:
                return overview
            await asyncio.sleep(WATCH_EVERY_S)
    finally:
        await inquiry.close()


def _show_json(overview: Overview) -> None:
    print(json.dumps(overview.as_json()), flush=True)


def _shower(watch: bool) -> Callable[[Overview], None]:
    if not sys.stdout.isatty():
        return lambda overview: print("\n".join(plain_lines(overview)), flush=True)
    from rich.console import Console

    console = Console()

    def show(overview: Overview) -> None:
        if watch:
            console.clear()
            console.print(time.strftime("%H:%M:%S"), highlight=False)
        console.print(_table(overview))
        _print_findings(
            overview, lambda text, style: console.print(text, style=style, highlight=False, markup=False)
        )

    return show


def _print_findings(overview: Overview, say: Callable[[str, str], None]) -> None:
    if overview.recovery is not None:
        say(overview.recovery.window(), "")
    for sentence in overview.disagreements():
        say(sentence, "bold red")
    if overview.alert():
        say(overview.alert(), "bold red")
    say(overview.verdict(), "green" if overview.ordering() and not overview.disagreements() else "bold red")


_HEADINGS: Final = (
    "replica",
    "role",
    "view",
    "position",
    "stable",
    "history",
    "checkpoint",
    "waiting",
    "note",
)


def _cells(number: ReplicaId, report: Report) -> tuple[str, ...]:
    standing = report.standing
    checkpoint = (
        f"{report.checkpoint}:{report.checkpoint_digest.hex()[:_DIGITS]}" if report.checkpoint else "-"
    )
    return (
        str(number), role(report), str(standing.view), str(standing.position), str(standing.stable),
        report.history.hex()[:_DIGITS], checkpoint, str(standing.waiting), standing.note,
    )  # fmt: skip


def plain_lines(overview: Overview) -> list[str]:
    """A line a replica, `name=value` words, then the findings."""
    lines = []
    for number, report in enumerate(overview.reports):
        if report is None:
            lines.append(f"replica {number}: unreachable: {overview.problems[number]}")
        else:
            words = zip(_HEADINGS[1:], _cells(number, report)[1:], strict=True)
            lines.append(f"replica {number}: " + "  ".join(f"{name}={value}" for name, value in words))
    _print_findings(overview, lambda text, _: lines.append(text))
    return lines


def _table(overview: Overview) -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"cluster {overview.genesis.name}", title_justify="left", box=None, pad_edge=False)
    numeric = {"view", "position", "stable", "waiting"}
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in numeric else "left", overflow="fold")
    astray = overview.astray()
    for number, report in enumerate(overview.reports):
        if report is None:
            blank = [""] * (len(_HEADINGS) - 3)
            table.add_row(str(number), "unreachable", *blank, escape(overview.problems[number]), style="red")
        else:
            table.add_row(*map(escape, _cells(number, report)), style="red" if number in astray else None)
    return table
