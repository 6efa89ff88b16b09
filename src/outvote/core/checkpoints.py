"""CHECKPOINTs and the certificate that a quorum of them makes, for every protocol that certifies its states by votes.

Castro and Liskov 1999, section 4.3. What follows from a certificate - moving the window, fetching a state - is the
protocol's affair.
"""

from __future__ import annotations

from typing import Final

from outvote.core.certificates import Seals, claims_of
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Message, Struct
from outvote.core.tally import Tally
from outvote.types import Digest, Position, ReplicaId, Seal


class Checkpoint(Message, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """Replica to all: the whole state after `position`, the client table included, has this digest here."""

    position: Position
    digest: Digest


class CheckpointCertificate(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A quorum's CHECKPOINT seals. Position 0 is the initial state and needs none."""

    position: Position
    digest: Digest
    seals: Seals

    def claims(self) -> list[Claim]:
        return claims_of(Checkpoint(self.position, self.digest), self.seals)

    def sources(self, n: int, me: ReplicaId) -> tuple[ReplicaId, ...]:
        """Whom to fetch the state from: those who certified it first, they had it. The others may have executed it
        since; parts prove themselves."""
        signers = [voter for voter, _ in self.seals]
        others = [replica for replica in range(n) if replica not in signers]
        return tuple(replica for replica in (*signers, *others) if replica != me)


GENESIS: Final = CheckpointCertificate(0, b"", ())


class CheckpointVotes:
    """CHECKPOINTs that were heard and are of no certificate yet. `low` and `high` are the window's watermarks.

    Bounded by `admits`: a tally for each checkpoint in the window, and one vote a sender beyond it.
    """

    __slots__ = ("_committee", "far", "near")

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        self.near: dict[Position, Tally[Digest]] = {}  # in the window
        self.far: dict[ReplicaId, tuple[Position, Digest, Seal]] = {}  # above it: the latest, one a sender

    def admits(self, sender: ReplicaId, position: Position, low: Position, high: Position, interval: int) -> bool:
        """Whether this vote could still matter."""
        if position <= low or position % interval:
            return False
        if position > high:
            far = self.far.get(sender)
            return far is None or position > far[0]
        votes = self.near.get(position)
        return votes is None or not votes.has(sender)

    def add(
        self, sender: ReplicaId, message: Checkpoint, seal: Seal, high: Position
    ) -> CheckpointCertificate | None:
        """The certificate, if this vote makes one."""
        position, digest = message.position, message.digest
        quorum = self._committee.quorum
        if position > high:
            # We lag. One vote a sender is kept, its latest, so a liar cannot fill memory.
            self.far[sender] = (position, digest, seal)
            seals = tuple(
                (voter, self.far[voter][2])
                for voter in sorted(self.far)
                if self.far[voter][:2] == (position, digest)
            )
            if len(seals) >= quorum:
                return CheckpointCertificate(position, digest, seals[: quorum])
            return None
        votes = self.near.setdefault(position, Tally())
        if votes.add(sender, digest, seal) and votes.count(digest) >= quorum:
            return CheckpointCertificate(position, digest, votes.seals(digest, quorum))
        return None

    def forget(self, position: Position) -> None:
        """Everything up to here, for it is certified."""
        self.near = {at: votes for at, votes in self.near.items() if at > position}
        self.far = {voter: vote for voter, vote in self.far.items() if vote[0] > position}
