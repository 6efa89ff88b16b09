"""What replicas said to one question, one word each, and whether enough of them said the same.

Small results are compared as they are. Large ones come whole from one replica and as digests from the others, so they
are compared by digest, and the whole ones prove themselves by it.
"""

from __future__ import annotations

from outvote.types import Digest, Position, ReplicaId, Seal
from outvote.wire.client_messages import digest_of_results, sent_whole

Results = tuple[bytes, ...]
Said = tuple[Position, Results | Digest]  # the results themselves if everybody sends them whole


def said_of(position: Position, results: Results, digest: Digest) -> tuple[Said, Results | None]:
    """What a reply says, and the results if it brings them along."""
    if digest:
        return (position, digest), None
    return (position, results if sent_whole(results) else digest_of_results(results)), results


class Group:
    """Replicas that said the same."""

    __slots__ = ("final", "results", "said", "tentative", "verified")

    def __init__(self, said: Said) -> None:
        self.said = said
        self.results: Results | None = None  # once somebody has sent them
        self.final: dict[ReplicaId, Seal] = {}  # in the order in which they spoke
        self.tentative: dict[ReplicaId, None] = {}  # executed and not yet committed; may be taken back
        self.verified: dict[ReplicaId, Seal] = {}  # of the final ones, where seals are asked for

    @property
    def voices(self) -> int:
        return len(self.final) + len(self.tentative)


class Votes:
    """One word a replica; a tentative word is replaced by the same replica's final one, never the reverse."""

    __slots__ = ("groups", "spoken")

    def __init__(self) -> None:
        self.groups: dict[Said, Group] = {}
        self.spoken: dict[ReplicaId, Group] = {}

    def add(
        self, replica: ReplicaId, said: Said, results: Results | None, seal: Seal = b"", tentative: bool = False
    ) -> Group | None:
        """Count a word; returns its group if that changed anything."""
        held = self.spoken.get(replica)
        if held is not None and held.said == said:
            if tentative or replica not in held.tentative:
                if held.results is not None or results is None:
                    return None  # said before
                held.results = results
                return held
        elif held is not None and (tentative or replica not in held.tentative):
            return None  # its first word counts
        if held is not None:
            del held.tentative[replica]
        group = self.groups.get(said)
        if group is None:
            group = self.groups[said] = Group(said)
        self.spoken[replica] = group
        if tentative:
            group.tentative[replica] = None
        else:
            group.final[replica] = seal
        if results is not None and group.results is None:
            group.results = results
        return group

    def forget(self, replica: ReplicaId) -> bool:
        """It has said nothing; whether it had."""
        group = self.spoken.pop(replica, None)
        if group is None:
            return False
        group.final.pop(replica, None)
        group.tentative.pop(replica, None)
        group.verified.pop(replica, None)
        if not group.voices:
            del self.groups[group.said]
        return True

    def final(self, replica: ReplicaId) -> bool:
        """Whether the replica has said its last word."""
        group = self.spoken.get(replica)
        return group is not None and replica in group.final

    def largest(self) -> int:
        return max((group.voices for group in self.groups.values()), default=0)
