"""No slow primary keeps its place: what a view costs honest backups in waiting that the network does not explain is
bounded.

A primary may delay each proposal to just below the timer, for ever, and no timer tells. So it is added up, from outside
and without asking the replicas' own measurements: the time in which requests wait at a backup and nothing is delivered.
"""

from __future__ import annotations

from outvote.core.contract import NOBODY
from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import Nanos, Position, ReplicaId, View

# Of the longest that a view may last in vain: replicas bear up to one such debt after many rotations, and count a part
# of the waiting only, the same request that each of them happens to know.
PATIENCES_MAX = 4
MESSAGES_EXPLAINED = 16  # one after the other: a forwarded request, two decisions, and some that took long


class Pace(Checker):
    """Sums up for every honest backup how long it waited in its view, beyond what messages take."""

    invariants = ("slow primary kept",)
    covers = ("I21",)
    when = "every turn, once the world has healed"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        plan = scene.plan
        self._explained_ns = MESSAGES_EXPLAINED * (plan.delay_min + plan.delay_mean + plan.sync_max)
        self._most_ns = PATIENCES_MAX * scene.protocol.insight.patience_ns(plan.parameters)
        self._healed = False
        self._stands: dict[ReplicaId, tuple[View, Position]] = {}
        self._waits_since: dict[ReplicaId, Nanos] = {}
        self._waited: dict[ReplicaId, Nanos] = {}  # in the view in which it stands

    def healed(self) -> None:
        self._healed = True

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        if not self._healed or replica in self.scene.left_behind:
            return
        standing = turn.core.standing()
        now = self.scene.now()
        before = self._stands.get(replica)
        stands = standing.view, standing.position
        self._stands[replica] = stands
        if before is None or before[0] != standing.view:
            self._waited[replica] = 0
            self._waits_since.pop(replica, None)
        elif before != stands and replica in self._waits_since:
            waited = now - self._waits_since.pop(replica)
            self._waited[replica] += max(0, waited - self._explained_ns)
            self._judge(standing.view, standing.leader)
        if not standing.waiting or not standing.active or standing.leader in (replica, NOBODY):
            self._waits_since.pop(replica, None)
        else:
            self._waits_since.setdefault(replica, now)

    def _judge(self, view: View, leader: ReplicaId) -> None:
        kept = sorted(
            one for one, waited in self._waited.items() if waited > self._most_ns and self._stands[one][0] == view
        )
        if len(kept) >= self.scene.committee.weak:
            shortest = min(self._waited[one] for one in kept)
            raise Violation(
                "slow primary kept",
                f"replica {leader} leads view {view}, and made replicas {', '.join(map(str, kept))} wait for"
                f" {shortest / 1e9:.1f} s at least that the network does not explain",
            )
