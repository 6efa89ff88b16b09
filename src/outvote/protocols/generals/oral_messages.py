"""OM(m), section 3 of the paper: oral messages, n > 3m.

The recursion is kept as the tree of all paths that an order can come along, as it is usually implemented (exponential
information gathering): the message of a sub-call OM(m - k), in which the k-th lieutenant of a path commands, is one
message with that path. A round is a level of the tree; deciding is the recursion, from the leaves up.
"""

from __future__ import annotations

from outvote.core.contract import Message
from outvote.protocols.generals.general import General, Path
from outvote.protocols.generals.orders import RETREAT, Order, majority, passes
from outvote.types import ReplicaId, Seal


class OralMessage(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """General to general: this order came to me along this path, which ends with me.

    Unsealed: the receiver knows who speaks, and can prove it to nobody.
    """

    sealed = False

    path: Path
    order: Order


class OralGeneral(General):
    """Hears at most one order for each path that ends before it: 13 344 / 12 = 1 112 with n = 13 and m = 3."""

    def __init__(self, me: ReplicaId, n: int, m: int, commander: ReplicaId = 0, default: Order = RETREAT) -> None:
        super().__init__(me, n, m, commander, default)
        self._heard: dict[Path, Order] = {}

    def _command(self, order: Order) -> None:
        self._say((self.me,), order)

    def _relay(self) -> None:
        """Step 2: each lieutenant commands OM(m - 1), with what it has heard or, hearing nothing, with the default."""
        for path in self._paths(self.round - 1):
            self._say((*path, self.me), self._order_along(path))

    def _say(self, path: Path, order: Order) -> None:
        message = OralMessage(path, order)
        self.out.messages += [(receiver, message) for receiver in self.others_outside(path)]

    def _paths(self, length: int) -> list[Path]:
        """All paths of that length that an order can come along to this lieutenant, in order."""
        paths: list[Path] = [(self.commander,)]
        for _ in range(length - 1):
            paths = [(*path, one) for path in paths for one in self.others_outside(path)]
        return paths

    def refusal(self, sender: ReplicaId, message: Message) -> str:
        if not isinstance(message, OralMessage) or not passes(message.order):
            return "no order"
        why = self.misplaced(sender, message.path)
        return why or ("a second order along one path" if message.path in self._heard else "")

    def _hear(self, message: Message, seal: Seal) -> None:
        if isinstance(message, OralMessage):
            self._heard[message.path] = message.order

    def _order_along(self, path: Path) -> Order:
        return self._heard.get(path, self.default)

    def grounds(self) -> list[tuple[Path, Order]]:
        """What the commander said to me, then what each other lieutenant's sub-call came to."""
        root = (self.commander,)
        if self.rounds == 1:
            return [(root, self._order_along(root))]
        others = [(*root, one) for one in self.others_outside(root)]
        return [(root, self._order_along(root)), *((path, self._order_of(path)) for path in others)]

    def _decide(self) -> Order:
        return self._order_of((self.commander,))

    def _order_of(self, path: Path) -> Order:
        """Step 3: the majority of what came along this path to me, and of what each other lieutenant of the sub-call
        says that came to it, found by its own sub-call."""
        own = self._order_along(path)
        if len(path) == self.rounds:
            return own
        return majority(
            [own, *(self._order_of((*path, one)) for one in self.others_outside(path))], self.default
        )
