"""The act of `outvote demo` in which a replica has its turn to be rejuvenated, while the load goes on."""

from __future__ import annotations

import time
from typing import Final

from outvote.cli.demo_acts import Story, a_backup
from outvote.cli.demo_cluster import HONEST_PROGRAM, N
from outvote.cli.rejuvenate import check_times, new_note
from outvote.types import MILLISECOND, ReplicaId

PERIOD_S: Final = 3600.0  # as one would write on the command line; here only one turn of it is shown
BOUND_S: Final = 60.0


async def rejuvenation(story: Story) -> None:
    """It frees the traitor if there is one; but nobody needs to be suspected to have a turn."""
    stage, load, facts = story.stage, story.load, story.report.rejuvenation
    note = new_note(story.cluster.genesis, check_times(N, PERIOD_S, BOUND_S), BOUND_S)
    facts.period_s, facts.bound_s, facts.faults = note.period_s, note.bound_s, note.faults
    facts.key_use_s, facts.repair_s, facts.window_s = note.key_use_s, note.repair_s, note.window_s
    liars = [replica for replica in range(N) if story.cluster.behaviours(replica)]
    chosen = facts.replica = liars[0] if liars else a_backup(story, avoided=set())
    facts.was_traitor = bool(liars)
    stage.act(4, "rejuvenated under load")
    stage.say(
        "Every replica has its turn, suspected or not: its process ends, a clean one agrees on new keys, compares "
        f"every leaf of its state and catches up. Now replica {chosen}{', the traitor' if liars else ''}, while the "
        "load goes on. So f must hold in a window, and not for ever."
    )
    stage.event(f"outvote up --rejuvenate {PERIOD_S:g} --recovery-bound {BOUND_S:g}, replica {chosen}'s turn")
    links = _links(story, chosen)
    load.pulse.measure(time.monotonic_ns())
    before, began = load.acknowledged, time.monotonic_ns()
    await story.cluster.kill(chosen)
    await story.restart(chosen, HONEST_PROGRAM)
    facts.took_ms = round((time.monotonic_ns() - began) / MILLISECOND, 1)
    await story.watch.until(
        "the others had agreed on new keys with it", lambda: _links(story, chosen) >= links + N - 1
    )
    facts.new_keys = min(N - 1, _links(story, chosen) - links)
    facts.longest_gap_ms = round(load.pulse.longest_gap(time.monotonic_ns()) / MILLISECOND, 1)
    facts.acknowledged_meanwhile = load.acknowledged - before
    stage.event(
        f"replica {chosen} has recovered in {facts.took_ms:,.0f} ms, with new keys for {facts.new_keys} of {N - 1} "
        f"others; {facts.acknowledged_meanwhile:,} operations meanwhile",
        "good",
    )
    stage.event(note.window(), "good")
    await story.hold(1.0)


def _links(story: Story, replica: ReplicaId) -> int:
    """Connections that the others have made so far: those to `replica` are the ones that become more."""
    return sum(
        report.counters.get("link_up", 0)
        for report in story.watch.reports
        if report is not None and report.replica != replica
    )
