"""What the components of this package have in common: where they put what they want said.

A component is one instance of one algorithm at one replica. It has no clock, no chance, no socket: `receive` takes
what a member said to this instance, answers go into its `Lines`, and its result is an attribute that is None (or
False) until it is there and never changes afterwards. Whoever holds the component drains the lines after each call,
addresses them (which epoch, whose instance), and gives a replica's words to ALL back to it, like everybody else's.

Kept in all of them: a sender's first vote of one kind in one place stands; nothing that is received is trusted before
it is checked; what is held is bounded by the number of members. `bind` tells a fresh component, after a restart,
what its replica said before: it will not say anything in contradiction to it.
"""

from __future__ import annotations

from outvote.core.contract import Struct
from outvote.types import ReplicaId


class Body(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What is said within one instance. Subclasses fix an integer tag, unique in the package."""


class Lines:
    """What components want said, and whom they caught; in order."""

    __slots__ = ("faults", "said")

    def __init__(self) -> None:
        self.said: list[tuple[ReplicaId, Body]] = []
        self.faults: list[tuple[ReplicaId, str]] = []

    def say(self, receiver: ReplicaId, body: Body) -> None:
        self.said.append((receiver, body))

    def accuse(self, culprit: ReplicaId, what: str) -> None:
        """Something that no correct replica does."""
        self.faults.append((culprit, what))

    def take(self) -> list[tuple[ReplicaId, Body]]:
        """What is to be said since the last time."""
        said, self.said = self.said, []
        return said
