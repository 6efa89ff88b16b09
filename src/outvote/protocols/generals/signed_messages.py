"""SM(m), section 4 of the paper: signed messages, any n >= m + 2.

An order travels with the signatures of everybody whose mouth it has come through. In the contract's words: the seal of
a message is its sender's signature, and the ones before it are its claims, so the host has checked all of them before a
general hears the message.

A general refuses a message that does not carry exactly as many signatures as there have been rounds. Without that
check a traitor lets one general know a second order in the last round, when it can tell nobody any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outvote.core.contract import Claim, Message, Struct
from outvote.protocols.generals.general import General, Path
from outvote.protocols.generals.orders import RETREAT, Order, choice, passes
from outvote.types import ReplicaId, Seal

# Two orders under the commander's signature decide the battle: the default. A third one would change nothing, so no
# general keeps or relays it, and a traitor cannot make honest generals send more than (n - 1)(n - 2) messages an order.
ORDERS_KEPT_MAX: Final = 2


class Signature(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="signature"):
    """What the last of `signers` puts its seal on: in this battle, this order has come to me through those before."""

    battle: int
    order: Order
    signers: Path

    def exclusive(self) -> tuple[int, ...] | None:
        """An honest commander gives one order a battle; a lieutenant may pass on two."""
        return (1, self.battle) if len(self.signers) == 1 else None


class SignedOrder(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """General to those who have not signed yet: an order, signed by the commander and all who passed it on."""

    battle: int
    order: Order
    signers: Path  # the sender last
    seals: tuple[Seal, ...]  # of all signers but the last, whose seal is the message's own

    def statement(self) -> Signature:
        return Signature(self.battle, self.order, self.signers)

    def claims(self) -> Sequence[Claim]:
        return [
            Claim(signer, Signature(self.battle, self.order, self.signers[: place + 1]), seal)
            for place, (signer, seal) in enumerate(zip(self.signers[:-1], self.seals, strict=False))
        ]


class SignedGeneral(General):
    """Keeps ORDERS_KEPT_MAX orders at most, each with the chain that brought it."""

    def __init__(
        self, me: ReplicaId, n: int, m: int, commander: ReplicaId = 0, default: Order = RETREAT, battle: int = 0
    ) -> None:
        super().__init__(me, n, m, commander, default)
        self.battle = battle
        self.known: dict[Order, tuple[SignedOrder, Seal]] = {}  # the paper's V, in the order of arrival

    def _command(self, order: Order) -> None:
        message = SignedOrder(self.battle, order, (self.me,), ())
        self.out.messages += [(receiver, message) for receiver in self.others_outside(())]

    def _relay(self) -> None:
        """What was heard for the first time in the round that is over goes to those who have not signed it."""
        for heard, seal in self.known.values():
            if len(heard.signers) == self.round - 1:
                message = SignedOrder(self.battle, heard.order, (*heard.signers, self.me), (*heard.seals, seal))
                self.out.messages += [(receiver, message) for receiver in self.others_outside(heard.signers)]

    def refusal(self, sender: ReplicaId, message: Message) -> str:
        if not isinstance(message, SignedOrder) or not passes(message.order):
            return "no order"
        if message.battle != self.battle:
            return f"an order for battle {message.battle}"
        if len(message.seals) != len(message.signers) - 1:
            return f"{len(message.signers)} signers and {len(message.seals) + 1} signatures"
        return self.misplaced(sender, message.signers)

    def admits(self, sender: ReplicaId, message: Message) -> bool:
        """What is known already matters no more, so nobody pays for its signatures."""
        return super().admits(sender, message) and isinstance(message, SignedOrder) and self._is_new(message.order)

    def _is_new(self, order: Order) -> bool:
        return order not in self.known and len(self.known) < ORDERS_KEPT_MAX

    def _hear(self, message: Message, seal: Seal) -> None:
        if isinstance(message, SignedOrder) and self._is_new(message.order):
            self.known[message.order] = (message, seal)

    def grounds(self) -> list[tuple[Path, Order]]:
        return [(message.signers, order) for order, (message, _) in self.known.items()]

    def _decide(self) -> Order:
        return choice(list(self.known), self.default)


class Evidence(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="two-orders"):
    """Two orders of one battle under the commander's signature: who has its public key needs nobody's word."""

    battle: int
    commander: ReplicaId
    orders: tuple[Order, Order]
    seals: tuple[Seal, Seal]

    def claims(self) -> Sequence[Claim]:
        """Both must be genuine."""
        return [
            Claim(self.commander, Signature(self.battle, order, (self.commander,)), seal)
            for order, seal in zip(self.orders, self.seals, strict=True)
        ]

    def excludes_honesty(self) -> bool:
        """Whether an honest commander cannot have signed both."""
        return self.orders[0] != self.orders[1]


def commanders_claim(message: SignedOrder, seal: Seal) -> Claim:
    """What the first signer says, `seal` being that of the last. Worth keeping of a message that is out of place too:
    it decides nothing there, and convicts all the same."""
    first = message.seals[0] if message.seals else seal
    return Claim(message.signers[0], Signature(message.battle, message.order, message.signers[:1]), first)
