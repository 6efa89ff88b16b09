"""CHECKPOINTs that were heard and are of no certificate yet: those of `core/checkpoints.py`, where members change.

Kept: a quorum is one of the members in force at that position, and what it certifies is the state *and* the roster.
"""

from __future__ import annotations

from typing import Final

from outvote.core.certificates import Seals
from outvote.core.checkpoints import Checkpoint
from outvote.core.tally import Tally
from outvote.protocols.honeybadger.membership import Members
from outvote.protocols.honeybadger.messages import RosterCheckpoint
from outvote.types import Digest, Position, ReplicaId, Seal

ALL_MEMBERS: Final[Digest] = b""  # stands for a roster that says so, and nothing else

Value = tuple[Digest, Digest]  # of the state, of the roster


class CheckpointVotes:
    """A tally for each checkpoint in the window, and one vote a member beyond it."""

    __slots__ = ("_members", "far", "near")

    def __init__(self, members: Members) -> None:
        self._members = members
        self.near: dict[Position, Tally[Value]] = {}  # in the window
        self.far: dict[ReplicaId, tuple[Position, Digest, Seal]] = {}  # above it: the latest, one a sender

    def admits(self, sender: ReplicaId, message: Checkpoint, low: Position, high: Position) -> bool:
        """Whether this vote could still matter."""
        position = message.position
        if position <= low or self._members.place(sender) is None:
            return False
        if position > high:
            # It tells what the members were only if all replicas are; else we have to ask.
            far = self.far.get(sender)
            return not isinstance(message, RosterCheckpoint) and (far is None or position > far[0])
        votes = self.near.get(position)
        return votes is None or not votes.has(sender)

    def add(self, sender: ReplicaId, message: Checkpoint, seal: Seal, high: Position) -> tuple[Value, Seals] | None:
        """What is certified and by whom, if this vote makes it so."""
        position, value = message.position, value_of(message)
        if position > high:
            # We lag. One vote a sender is kept, its latest, so a liar cannot fill memory.
            self.far[sender] = (position, message.digest, seal)
            seals = tuple(
                (voter, self.far[voter][2])
                for voter in sorted(self.far)
                if self.far[voter][:2] == (position, message.digest)
            )
            quorum = self._members.committee.quorum
            return (value, seals[:quorum]) if len(seals) >= quorum else None
        self.near.setdefault(position, Tally()).add(sender, value, seal)
        return self.certified(position, value)

    def certified(self, position: Position, value: Value) -> tuple[Value, Seals] | None:
        votes, quorum = self.near.get(position), self._members.committee.quorum
        if votes is None or votes.count(value) < quorum:
            return None
        return value, votes.seals(value, quorum)

    def of(self, members: Members) -> None:
        """Another era begins; votes of the one before count no more."""
        self._members = members
        self.near.clear()
        self.far.clear()

    def forget(self, position: Position) -> None:
        """Everything up to here, for it is certified."""
        self.near = {at: votes for at, votes in self.near.items() if at > position}
        self.far = {voter: vote for voter, vote in self.far.items() if vote[0] > position}


def value_of(message: Checkpoint) -> Value:
    return message.digest, message.roster if isinstance(message, RosterCheckpoint) else ALL_MEMBERS
