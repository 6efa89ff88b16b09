"""The decision procedure of a new primary (TOCS 2002, section 4.2, figure 4): a pure function of VIEW-CHANGEs.

Kept: what a quorum committed at a position is chosen there again, whatever f of the messages say. For it was prepared
at f + 1 correct replicas, so no quorum lacks an entry for it (B fails), every entry of a later view has the same digest
(A1 fails for any other), and a digest that f liars made up has no f + 1 replicas that pre-prepared it (A2 fails).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from outvote.core.committee import Committee
from outvote.protocols.pbft.authenticators.messages import ViewChange
from outvote.protocols.pbft.messages import NULL_DIGEST
from outvote.types import Digest, Position, View

Entry = tuple[Digest, View]


class Choice(NamedTuple):
    """What a new view begins with: a checkpoint, and a digest for each position behind it up to the last prepared."""

    start: Position
    start_digest: Digest
    proposals: tuple[tuple[Position, Digest], ...]


class _Shown(NamedTuple):
    """One VIEW-CHANGE, ready for look-ups."""

    stable: Position
    prepared: dict[Position, Entry]
    pre_prepared: dict[Position, dict[Digest, View]]


def choose(messages: Sequence[ViewChange], committee: Committee) -> Choice | None:
    """None if these do not decide it: then more are needed. All must be sound and for one view."""
    start = choose_start(messages, committee)
    if start is None:
        return None
    shown = [
        _Shown(
            message.stable,
            {entry.position: (entry.digest, entry.view) for entry in message.prepared},
            {entry.position: dict(entry.digests) for entry in message.pre_prepared},
        )
        for message in messages
    ]
    last = max((position for one in shown for position in one.prepared), default=0)
    proposals: list[tuple[Position, Digest]] = []
    for position in range(start[0] + 1, last + 1):
        digest = choose_digest(shown, position, committee)
        if digest is None:
            return None
        proposals.append((position, digest))
    while proposals and proposals[-1][1] == NULL_DIGEST and undecided(shown, proposals[-1][0], committee):
        proposals.pop()  # free for what is new; an empty batch of an earlier view may have been committed, and is kept
    return Choice(*start, tuple(proposals))


def choose_start(messages: Sequence[ViewChange], committee: Committee) -> tuple[Position, Digest] | None:
    """The highest checkpoint that f + 1 vouch for and that a quorum's logs reach back to."""
    vouched: dict[tuple[Position, Digest], int] = {}
    for message in messages:
        for checkpoint in message.checkpoints:
            vouched[checkpoint] = vouched.get(checkpoint, 0) + 1
    for position, digest in sorted(vouched, reverse=True):
        reaches = sum(1 for message in messages if message.stable <= position)
        if vouched[position, digest] >= committee.weak and reaches >= committee.quorum:
            return position, digest
    return None


def choose_digest(shown: Sequence[_Shown], position: Position, committee: Committee) -> Digest | None:
    """Rules A1 and A2, else B. A3, that the new primary has the batch, is awaited where it proposes."""
    covering = [one for one in shown if one.stable < position]
    entries = [entry for entry in (one.prepared.get(position) for one in shown) if entry is not None]
    for digest, view in sorted(entries, key=lambda entry: (-entry[1], entry[0])):
        agreeing = 0
        for one in covering:
            other = one.prepared.get(position)
            if other is None or other[1] < view or other == (digest, view):
                agreeing += 1
        supporting = sum(1 for one in shown if one.pre_prepared.get(position, {}).get(digest, -1) >= view)
        if agreeing >= committee.quorum and supporting >= committee.weak:
            return digest
    return NULL_DIGEST if undecided(shown, position, committee) else None


def undecided(shown: Sequence[_Shown], position: Position, committee: Committee) -> bool:
    """Rule B: a quorum prepared nothing there, so nothing was committed."""
    empty = sum(1 for one in shown if one.stable < position and position not in one.prepared)
    return empty >= committee.quorum
