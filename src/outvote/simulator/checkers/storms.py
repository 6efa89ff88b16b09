"""No storms and no livelock once the world has healed: views do not change in vain, and none lasts in vain.

Views may be lost to lying primaries, f in a row, and to a timeout that has yet to outgrow the network. What goes on
for longer is motion without progress: views that come and go and decide nothing, or one view in which requests wait,
messages fly, and no honest replica moves.
"""

from __future__ import annotations

from outvote.core.contract import Delivery
from outvote.host.turn import Turn
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.types import Digest, Nanos, Position, ReplicaId, View
from outvote.wire.client_messages import ReplyStatement

PATIENCE_FACTOR = 3  # timeouts of one view, before it counts as standing still


class Storms(Checker):
    """Between two decisions there are so many views at most, and no honest replica stands still for so long."""

    invariants = ("view storm", "livelock")
    covers = ("I20", "I22")
    when = "every turn, once the world has healed"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        parameters = scene.plan.parameters
        # A schedule of leaders may name a liar for all of its views: in those nothing needs to be decided.
        fruitless = scene.protocol.insight.fruitless_views_max(parameters, scene.committee)
        self._views_max = fruitless + len(scene.plan.leaders)
        self._patience_ns = PATIENCE_FACTOR * scene.protocol.insight.patience_ns(parameters)
        self._healed = False
        self._decided: Position = 0  # the highest that anybody honest delivered
        self._view: View = 0  # the highest of honest replicas, at that decision or when the world healed
        self._stands: dict[ReplicaId, tuple[View, bool, Position, Position]] = {}
        self._moved: Nanos = 0
        self._waits_since: dict[ReplicaId, Nanos] = {}  # those in which requests wait; idleness is no livelock

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        if delivery.position > self._decided:
            self._decided = delivery.position
            self._begin()

    def installed(self, replica: ReplicaId, position: Position, history: Digest, from_disk: bool) -> None:
        self._moved = self.scene.now()

    def healed(self) -> None:
        self._healed = True
        self._begin()

    def _begin(self) -> None:
        if self._healed:
            self._view = max((turn.core.standing().view for turn in self.scene.turns()), default=0)
        self._moved = self.scene.now()

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        if not self._healed or replica in self.scene.left_behind:
            return
        standing = turn.core.standing()
        if standing.waiting:
            since = max(self._moved, self._waits_since.setdefault(replica, self.scene.now()))
        else:
            self._waits_since.pop(replica, None)
            since = self.scene.now()
        stands = standing.view, standing.active, standing.position, standing.stable
        if self._stands.get(replica) != stands:
            self._stands[replica] = stands
            self._moved = self.scene.now()
            if standing.view - self._view > self._views_max:
                raise Violation(
                    "view storm",
                    f"replica {replica} is in view {standing.view}, and nothing was decided since view {self._view}",
                )
        elif self.scene.now() - since > self._patience_ns:
            raise Violation(
                "livelock",
                f"no honest replica has moved since {since / 1e9:.1f} s; replica {replica} stands at view"
                f" {standing.view}, position {standing.position}, and {standing.waiting} requests wait",
            )
