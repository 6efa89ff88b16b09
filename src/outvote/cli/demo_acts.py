"""Acts of `outvote demo`, each a function over the same cluster, clients, watch, stage and report.

At no time do more than f = 1 replicas fail together, except in the last act, which is about just that.
"""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Final

from outvote.cli.demo_cluster import HONEST_PROGRAM, TRAITOR_PROGRAM, DemoCluster, N, Program
from outvote.cli.demo_load import Load
from outvote.cli.demo_report import DemoReport
from outvote.cli.demo_stage import Stage
from outvote.cli.demo_versions import tell
from outvote.cli.demo_watch import PATIENCE_S, Watch
from outvote.cli.traitor import FORGE_VALUES, HONEST
from outvote.client.aio import Client
from outvote.client.config import SessionConfig
from outvote.errors import Mistake, NotEnoughReplicas
from outvote.protocols.catalogue import protocol
from outvote.types import MILLISECOND, SECOND, Nanos, Position, ReplicaId

PROBE: Final = "probe"  # the client with little patience
PROBE_TIMEOUT_NS: Final = 3 * SECOND // 2
PROBE_CONNECTS_MAX: Final = 20  # on a machine so loaded that a quorum's handshakes take longer than that timeout
CATCH_UP_INTERVAL_S: Final = 0.02  # between two looks while milliseconds are measured


class Story:
    """What every act needs."""

    def __init__(
        self, cluster: DemoCluster, load: Load, watch: Watch, stage: Stage, report: DemoReport, pace: float
    ) -> None:
        """`pace`: 1.0 for people, who need time to read; less for tests."""
        self.cluster = cluster
        self.load = load
        self.watch = watch
        self.stage = stage
        self.report = report
        self.pace = pace
        self.liars: set[ReplicaId] = set()  # that were ever told to lie
        self.sentences: set[str] = set()  # about evidence, each told once

    async def hold(self, seconds: float, operations: int = 50) -> None:
        """Let the audience read while the load goes on; at least so many operations must get through."""
        before = self.load.acknowledged
        await asyncio.sleep(seconds * self.pace)
        await self.watch.until(
            f"{operations} more operations were acknowledged", lambda: self.load.acknowledged >= before + operations
        )

    async def quiet(self) -> None:
        """Pause the load until all replicas stand at one position."""
        self.load.pause()
        await self.watch.until("every operation under way was answered", lambda: not self.load.in_flight)
        await self.watch.fresh()
        await self.watch.until("all replicas stood at one position", self.watch.settled)

    async def order(self, replica: ReplicaId, *behaviours: str) -> Nanos:
        self.liars.add(replica)
        return await self.cluster.order(replica, *behaviours)

    def show_evidence(self) -> None:
        for piece in self.cluster.evidence():
            if piece.accused in self.liars and piece.text() not in self.sentences:
                self.sentences.add(piece.text())
                self.stage.event(f"evidence: {piece.short_text()}; replica {piece.kept_by} keeps both", "good")
                self.report.treason.evidence.append(f"{piece.text()}, kept by replica {piece.kept_by}")

    async def restart(self, replica: ReplicaId, program: Program) -> tuple[float, float, Position]:
        """Start a killed replica; returns milliseconds until it served, and from there until it had caught up, and the
        positions it had to catch up on.

        Caught up: it reports a position at least as high as any replica did in the poll before."""
        started = await self.cluster.start(replica, program)
        serving = time.monotonic_ns()
        self.watch.interval_s, usual = CATCH_UP_INTERVAL_S, self.watch.interval_s
        await self.watch.renew()
        def caught_up() -> bool:
            report = self.watch.reports[replica]
            return report is not None and report.standing.position >= self.watch.position_before > 0

        goal = self.watch.position()
        await self.watch.until(f"replica {replica} had caught up", caught_up)
        took = time.monotonic_ns() - serving
        self.watch.interval_s = usual
        missed = max(0, goal - self.cluster.processes[replica].recovered)
        return started / MILLISECOND, took / MILLISECOND, missed


async def fault_free(story: Story) -> None:
    """Throughput and messages per decision with nothing in the way."""
    stage, load, watch, facts = story.stage, story.load, story.watch, story.report.fault_free
    stage.act(1, "four replicas, one truth")
    stage.say(
        "Four processes run the same key-value store, and keep it one. Clients have sixteen operations under way all "
        "the time; they believe an answer only when f + 1 = 2 replicas gave the very same one."
    )
    await story.quiet()
    before, position_before, view_before = watch.sent(), watch.position(), watch.view()
    load.resume()
    await story.hold(2.5, 200)
    now = time.monotonic_ns()
    latencies = sorted(load.pulse.latencies)
    facts.operations_per_second = round(load.pulse.rate_since_measure(now), 1)
    facts.median_latency_ms = round(latencies[len(latencies) // 2] / MILLISECOND, 2)
    facts.longest_gap_ms = round(load.pulse.longest_gap(now) / MILLISECOND, 1)
    stage.event(
        f"{facts.operations_per_second:,.0f} operations/s, median latency {facts.median_latency_ms:.1f} ms, "
        f"longest gap {facts.longest_gap_ms:.0f} ms"
    )
    await story.quiet()
    facts.decisions = watch.position() - position_before
    facts.messages = {name: amount - before[name] for name, amount in watch.sent().items()}
    facts.messages_per_decision = round(sum(facts.messages.values()) / max(1, facts.decisions), 3)
    facts.formula_value = protocol(story.cluster.genesis.entry).formula(N)
    facts.explanation = explained(facts.messages_per_decision, facts.formula_value, watch.view() - view_before)
    stage.event(
        f"{facts.messages_per_decision:.2f} messages per decision; the paper's 2n(n-1) is {facts.formula_value}", "good"
    )
    if watch.equal():
        stage.event(f"all four digests are equal at position {watch.position():,}", "good")
    load.resume()


def explained(measured: float, formula: int, views: int) -> str:
    """Why the measured number is not the formula's; empty if it is."""
    if views:
        return f"{views} view changes of a loaded machine repeated some decisions"
    if measured > formula + 0.005:
        return "some votes were sent again to a replica that asked for them"
    if measured < formula - 0.005:
        return "a replica that saw a decision before it had voted need not vote any more"
    return ""


async def treason(story: Story) -> None:
    """The primary forges, equivocates, speaks to half, falls silent."""
    stage, load, watch, facts = story.stage, story.load, story.watch, story.report.treason
    await watch.fresh()
    corruptible = [replica for replica in range(N) if story.cluster.is_corruptible(replica)]
    traitor = facts.traitor = watch.leader() if watch.leader() in corruptible else corruptible[0]
    facts.was_primary = traitor == watch.leader()
    facts.view_before = watch.view()
    whom = f"Replica {traitor}, the primary," if facts.was_primary else f"Replica {traitor}"
    stage.act(3, "the primary turns traitor" if facts.was_primary else "a replica turns traitor")
    stage.say(f"{whom} now lies to the clients: false values, sealed with its own key. The others outvote it.")
    stage.event(f"replica {traitor} begins to forge replies")
    await story.order(traitor, FORGE_VALUES)
    await story.hold(1.5)
    await watch.until("a forged reply was outvoted", lambda: load.outvoted()[traitor] > 0)
    stage.event(f"{load.outvoted()[traitor]:,} forged replies outvoted, {load.oracle.wrong} believed", "good")
    stage.say(
        f"{whom} equivocates as well: it proposes different batches to different replicas. They cannot agree on "
        "either, their timers run out, and they elect another primary."
    )
    await _depose(story, traitor)
    await story.hold(1.5)
    story.show_evidence()
    stage.say(f"Replica {traitor} half-broadcasts: what is meant for all it tells to some only, and still forges.")
    await story.order(traitor, "half-broadcast", FORGE_VALUES)
    before = load.acknowledged
    await story.hold(1.5)
    stage.event(f"half-broadcasting: {load.acknowledged - before:,} operations acknowledged meanwhile", "good")
    stage.say(f"Replica {traitor} falls silent. Three of four go on without it.")
    await story.order(traitor, "silent")
    before = load.acknowledged
    await story.hold(1.5)
    stage.event(f"silent: {load.acknowledged - before:,} operations acknowledged meanwhile", "good")
    story.show_evidence()
    facts.forged_replies_outvoted = load.outvoted()[traitor]
    stage.event(
        f"{facts.forged_replies_outvoted:,} forged replies outvoted, {load.oracle.wrong} wrong replies accepted",
        "bad" if load.oracle.wrong else "proud",
    )


async def _depose(story: Story, traitor: ReplicaId) -> None:
    """Equivocation, and what it costs the clients until another primary answers them."""
    stage, load, watch, facts = story.stage, story.load, story.watch, story.report.treason
    load.pulse.measure(time.monotonic_ns())
    stage.event(f"replica {traitor} begins to equivocate")
    await story.order(traitor, "equivocate", FORGE_VALUES)
    if not facts.was_primary:
        return
    await watch.until(
        "the others had changed the view", lambda: watch.in_view_from(facts.view_before + 1, besides=(traitor,))
    )
    facts.view_after = watch.view()
    answered = load.acknowledged
    await watch.until("the new primary answered", lambda: load.acknowledged >= answered + 50)
    facts.view_change_ms = round(load.pulse.longest_gap(time.monotonic_ns()) / MILLISECOND, 1)
    timeout_ms = story.cluster.genesis.parameters.view_timeout_ms
    timer = (
        f"{timeout_ms} of them the timer's"
        if facts.view_change_ms >= timeout_ms
        else f"less than the timer's {timeout_ms}, since the lie was seen"
    )
    cost = f"{facts.view_change_ms:,.0f} ms, {timer}"
    stage.event(f"view {facts.view_after}: replica {watch.leader()} leads. The change cost {cost}", "good")
    stage.event("(measured: the longest time in which no client had an operation acknowledged)")
    story.show_evidence()


async def recovery(story: Story) -> None:
    """A replica that still lies is replaced; then an honest one is killed and comes back."""
    stage, load, watch, facts = story.stage, story.load, story.watch, story.report.recovery
    stage.act(5, "killed, and back again")
    traitor = story.report.treason.traitor
    if traitor >= 0 and story.cluster.behaviours(traitor):
        stage.say(
            f"One fault at a time, since f = 1: first the operator replaces the traitor's process. Replica {traitor} "
            "starts anew with the honest program, over its own disk."
        )
        await story.cluster.kill(traitor)
        started, caught_up, missed = await story.restart(traitor, HONEST_PROGRAM)
        stage.event(
            f"replica {traitor} is honest again: up in {started:.0f} ms, caught up in {caught_up:.0f} ms", "good"
        )
        await story.hold(1.0)
    victim = facts.killed = a_backup(story, avoided={traitor})
    stage.say(f"Now SIGKILL for replica {victim}, an honest one, in the middle of the load. The other three go on.")
    before = load.acknowledged
    await story.cluster.kill(victim)
    stage.event(f"replica {victim} killed")
    await story.hold(2.0)
    facts.acknowledged_meanwhile = load.acknowledged - before
    stage.say(
        f"Replica {victim} starts again: it reads its log and its last snapshot, asks the others for what it missed, "
        "and believes only what a quorum sealed."
    )
    started, caught_up, missed = await story.restart(victim, HONEST_PROGRAM)
    facts.process_start_ms, facts.catch_up_ms = round(started, 1), round(caught_up, 1)
    facts.positions_missed = missed
    stage.event(
        f"replica {victim} up in {started:.0f} ms, caught up on {missed:,} positions in {caught_up:.0f} ms "
        f"({facts.acknowledged_meanwhile:,} operations)",
        "good",
    )
    await story.hold(1.0)
    await story.quiet()
    facts.digests_equal = watch.equal()
    stage.event(
        f"load paused: all four digests are {'equal' if facts.digests_equal else 'NOT equal'} "
        f"at position {watch.position():,}",
        "proud" if facts.digests_equal else "bad",
    )
    load.resume()
    await story.hold(1.0)


def a_backup(story: Story, avoided: set[ReplicaId]) -> ReplicaId:
    """Preferably one that runs the honest program and does not lead."""
    leader = story.watch.leader()
    return max(
        (replica for replica in range(N) if replica not in avoided),
        key=lambda replica: (replica != leader, not story.cluster.is_corruptible(replica), replica),
    )


async def beyond_limit(story: Story) -> None:
    """Two of four withhold their votes, so nothing can be decided, and nothing is made up either."""
    stage, load, watch, facts = story.stage, story.load, story.watch, story.report.beyond_limit
    stage.act(7, "one traitor too many")
    first, second = await _two_traitors(story)
    facts.traitors = [first, second]
    probe = await _probe(story)
    try:
        stage.say(
            f"Replicas {first} and {second} keep silent: two of four, more than f = 1. Two honest replicas are no "
            "quorum of three, so the cluster may not answer, and does not guess."
        )
        await story.order(first, "silent")
        await story.order(second, "silent")
        await _ask_in_vain(story, probe)
    finally:
        await probe.close()
    await asyncio.sleep(2.0 * story.pace)
    stage.say(
        "Honestly: beyond f nothing is guaranteed. These two could as well have had the correct two decide otherwise, "
        "and vouched for either answer. That is the limit: right while f < n/3 lie."
    )
    await asyncio.sleep(2.0 * story.pace)
    stage.say("The two become honest again. What the clients have been waiting for all the time is now decided.")
    waiting = load.in_flight
    honest_from = await story.cluster.order(first, HONEST)
    await story.cluster.order(second, HONEST)
    answered = load.acknowledged
    await watch.until("the cluster answered again", lambda: load.acknowledged > answered)
    facts.recovery_ms = round((time.monotonic_ns() - honest_from) / MILLISECOND, 1)
    facts.recovered = True
    await story.hold(1.0, 2 * waiting)
    facts.waiting_completed = sum(
        1 for entry in load.history if entry.returned is not None and entry.call < honest_from <= entry.returned
    )
    stage.event(
        f"the cluster answers again after {facts.recovery_ms:,.0f} ms; {facts.waiting_completed} operations had "
        "waited, and all are done",
        "proud",
    )
    await _same_bug(story)
    await story.hold(0.5)


async def _same_bug(story: Story) -> None:
    """The other way beyond f: nobody lies, and all have the same bug."""
    stage, facts = story.stage, story.report.beyond_limit
    told = await asyncio.to_thread(tell)
    facts.without_the_bug, facts.bug_in_one, facts.bug_in_all = map(str, told)
    stage.say(
        f"One bug is beyond f too, if all share it. Four tills take 29 percent off 100 cents: {facts.without_the_bug}. "
        f"Where one of the four rounds wrongly, clients hear {facts.bug_in_one}; where all four do, they hear "
        f"{facts.bug_in_all}, by agreement. So write it twice: docs/how_to/spread_the_faults.md, and outvote doctor."
    )
    await asyncio.sleep(2.5 * story.pace)


async def _two_traitors(story: Story) -> tuple[ReplicaId, ReplicaId]:
    """One has slept among the honest since the first act; the other's machine is broken into now."""
    stage = story.stage
    stage.say("A second traitor joins: an intruder gets into another machine, with its key and its disk.")
    traitors = [
        replica
        for replica in range(N)
        if story.cluster.is_corruptible(replica) and replica != story.report.treason.traitor
    ][:1]
    for replica in traitors:
        stage.event(f"replica {replica} was a traitor from the start, and has behaved until now")
    while len(traitors) < 2:
        replica = a_backup(story, avoided=set(traitors))
        await story.cluster.kill(replica)
        await story.restart(replica, TRAITOR_PROGRAM)
        stage.event(f"replica {replica} has been broken into: its process runs the traitor's program now")
        traitors.append(replica)
    await story.hold(1.0)
    return traitors[0], traitors[1]


async def _probe(story: Story) -> Client:
    config = SessionConfig(timeout_ns=PROBE_TIMEOUT_NS)
    for _ in range(PROBE_CONNECTS_MAX):
        try:
            return await Client.connect(story.cluster.directory, PROBE, config=config)
        except NotEnoughReplicas:
            continue
    raise Mistake(f"a new client found no quorum of replicas within {PATIENCE_S:g} s")


async def _ask_in_vain(story: Story, probe: Client) -> None:
    stage, load, facts = story.stage, story.load, story.report.beyond_limit
    rng = Random(4)
    calls = [load.draw(rng) for _ in range(8)]
    failures = await asyncio.gather(*(load.operate(probe, *call) for call in calls))
    facts.calls = len(calls)
    facts.answered = failures.count(None)
    refused = [failure for failure in failures if failure is not None]
    if refused:
        facts.sentence = f"{type(refused[0]).__name__}: {refused[0]}"
        within = f"{PROBE_TIMEOUT_NS / SECOND:g} s"
        stage.event(f"{len(refused)} calls of an impatient client: no answer within {within}, and no wrong one", "good")
        stage.say(f'What its caller is told, in the place of an answer: "{facts.sentence}"')
