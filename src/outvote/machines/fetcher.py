"""Brings one certified state, from several sources at once, on top of whatever is here already.

Begins with a map that may be anything: the last state of this replica, what a crash left of a fetch, what could be
salvaged of a damaged disk. Walks down from the certified root; where digests agree, what is here stays. Invariant:
`state` never takes a leaf of which the digests from the certified root down to it were not verified; a source that
sent a wrong one is not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from outvote.core.contract import Hint
from outvote.errors import Lie, Mistake
from outvote.machines.merkle_map import (
    BRANCHES,
    EMPTY,
    EMPTY_DIGEST,
    KEY_BYTES_MAX,
    PATH_DIGITS,
    VALUE_BYTES_MAX,
    Leaf,
    MerkleMap,
    Node,
    build,
    inner_digest,
    leaf_of,
    leaves_below,
    path_of,
    slots,
)
from outvote.machines.state_transfer import (
    ASKED_MAX,
    ASKED_OF_ONE_MAX,
    ASKS_MAX,
    ASKS_MIN,
    RESTS,
    STALL_NS,
    Ask,
    FetchNodes,
    Found,
    Nodes,
    known_of,
)
from outvote.types import DIGEST_BYTES, Digest, Nanos, Position, ReplicaId, Size

# The deepest nodes are asked for first. So of each level at most one message's worth of nodes waits with all their
# children, and of ASKED_MAX messages: 64 levels x 16 children x 256 x 8; in fact the leaves end it after a few.
WANTED_MAX: Final = PATH_DIGITS * BRANCHES * ASKS_MAX * ASKED_MAX

_DIGITS: Final = "0123456789abcdef"
_ENTRY_BYTES: Final = 1 + DIGEST_BYTES


class _Asked:
    """A message on its way. `since` is set by the first tick after it was sent."""

    __slots__ = ("paths", "since", "source")

    def __init__(self, source: ReplicaId, paths: list[str]) -> None:
        self.source = source
        self.paths = paths
        self.since: Nanos | None = None


class Fetcher:
    """Fetches one certified state from `sources`. Call `tick` a few times a second until `done` is not None."""

    __slots__ = (
        "_asked", "_in_full", "_liars", "_number", "_on_leaves", "_queue", "_resting", "_stall_ns", "_turn",
        "_wanted", "bytes_fetched", "digest", "done", "leaves_fetched", "position", "sources", "state",
    )  # fmt: skip

    def __init__(
        self, position: Position, digest: Digest, sources: Sequence[ReplicaId], base: MerkleMap = EMPTY,
        on_leaves: Callable[[list[Leaf]], None] | None = None, stall_ns: Nanos = STALL_NS,
    ) -> None:  # fmt: skip
        """`base`: what is here already. `on_leaves` gets all leaves that arrive, once they are verified. `stall_ns`:
        how long a source may take to answer, at most STALL_NS."""
        if not sources:
            raise Mistake("a state can only be fetched from somebody: name at least one source")
        self.position = position
        self.digest = digest
        self.sources = tuple(sources)
        self.state = base  # becomes the certified state, step by step
        self.done: MerkleMap | None = None
        self.leaves_fetched = 0
        self.bytes_fetched = 0  # digests, keys and values that arrived and were right
        self._on_leaves = on_leaves
        self._stall_ns = min(stall_ns, STALL_NS)
        self._wanted: dict[str, Digest] = {}  # nodes that are not here, by path, and the digests they must have
        self._queue: list[str] = []  # of them, those to be asked for; the next one last
        self._in_full: dict[str, None] = {}  # of them, those whose answer did not fit what is here
        self._asked: dict[int, _Asked] = {}
        self._liars: dict[ReplicaId, None] = {}
        self._resting: dict[ReplicaId, Nanos] = {}  # until when
        self._number = 0
        self._turn = 0  # the source to prefer next
        if digest == EMPTY_DIGEST:
            self.state = EMPTY
        elif base.digest != digest:
            self._want("", digest)
        self._finish()

    def start(self) -> list[tuple[ReplicaId, Hint]]:
        """The first question; none if all is here."""
        return self._ask()

    def receive(self, sender: ReplicaId, hint: Hint) -> list[tuple[ReplicaId, Hint]]:
        """Take in an answer. Returns the next questions; a wrong answer is dropped and its sender not asked again."""
        if self.done is not None or sender in self._liars or sender not in self.sources:
            return []
        if not isinstance(hint, Nodes) or hint.position != self.position:
            return []
        changes: dict[bytes, bytes | None] = {}
        news: list[Leaf] = []
        taken = 0
        for found in hint.found[:ASKS_MAX]:
            expected = self._wanted.get(found.path)
            if expected is None:
                continue  # the late answer of a source that had stalled, or never asked for
            try:
                self._take(found, expected, changes, news)
            except Lie:
                if found.path in self._in_full or not self.state.children(found.path):
                    self._liars[sender] = None
                    break
                self._in_full[found.path] = None  # what is here may look alike and be something else
                continue
            taken += 1
        self.state = self.state.update(changes)
        self.leaves_fetched += len(news)
        if news and self._on_leaves is not None:
            self._on_leaves(news)
        self._answered(sender, hint.number, taken)
        self._finish()
        return self._ask()

    def tick(self, now: Nanos) -> list[tuple[ReplicaId, Hint]]:
        """Time has passed: what was not answered in time is asked of another source."""
        if self.done is not None:
            return []
        if len(self._liars) == len(self.sources):
            self._liars.clear()  # impossible while a quorum certified the digest: then somebody spoilt the network
        for source in [source for source, until in self._resting.items() if until <= now]:
            del self._resting[source]
        for number, asked in list(self._asked.items()):
            if asked.since is None:
                asked.since = now
            elif now - asked.since >= self._stall_ns:
                self._resting[asked.source] = now + RESTS * self._stall_ns
                self._take_back(number)
        return self._ask()

    def sizes(self) -> Iterator[Size]:
        """What is held and asked for, and its limits."""
        yield "questions", len(self._asked), ASKED_MAX
        yield "nodes wanted", len(self._wanted), WANTED_MAX

    # ------------------------------------------------------------------ answers

    def _take(self, found: Found, expected: Digest, changes: dict[bytes, bytes | None], news: list[Leaf]) -> None:
        """Verify one node and note what it changes. Raises Lie, and changes nothing, if it is not the one wanted."""
        path = found.path
        leaves = _leaves(found)
        if found.bitmap == 0:
            node = build(leaves, len(path))
            self._verify(node.digest if node is not None else EMPTY_DIGEST, expected)
            self._replace(self.state.node(path), leaves, changes)
        else:
            here = self.state.children(path)
            digests = _digests(found)
            slotted = _slotted(found, leaves, digests)
            self._verify(_joined(found.bitmap, digests, slotted, here), expected)
            for slot, node in here.items():
                if slot in slotted:
                    self._replace(node, [slotted[slot]], changes)
                elif not found.bitmap & 1 << slot:
                    self._replace(node, [], changes)
            changes.update({leaf.key: leaf.value for leaf in leaves})
            for slot, digest in digests.items():
                if slot not in here or here[slot].digest != digest:
                    self._want(path + _DIGITS[slot], digest)
        del self._wanted[path]
        self._in_full.pop(path, None)
        news += leaves
        self.bytes_fetched += len(found.digests) + sum([leaf.size_bytes for leaf in leaves])

    def _verify(self, digest: Digest, expected: Digest) -> None:
        """Raises Lie."""
        if digest != expected:
            raise Lie("a part of a state that is not the one that was asked for")

    def _replace(self, node: Node | None, leaves: list[Leaf], changes: dict[bytes, bytes | None]) -> None:
        """What is below this node here goes, these leaves come."""
        changes.update({leaf.key: None for leaf in leaves_below(node)})
        changes.update({leaf.key: leaf.value for leaf in leaves})

    def _want(self, path: str, digest: Digest) -> None:
        self._wanted[path] = digest
        self._queue.append(path)

    def _finish(self) -> None:
        if not self._wanted:
            self._check_whole()
            self.done = self.state
            self._asked.clear()

    def _check_whole(self) -> None:
        assert self.state.digest == self.digest, "verified node by node, so verified as a whole"

    def _answered(self, sender: ReplicaId, number: int, taken: int) -> None:
        """Ask again for what the answer left out. Who brought nothing rests as if it had not answered."""
        if sender in self._liars:
            for one, asked in list(self._asked.items()):
                if asked.source == sender:
                    self._take_back(one)
            return
        asked_then = self._asked.get(number)
        if asked_then is None or asked_then.source != sender:
            return
        if taken or any(path in self._in_full for path in asked_then.paths):
            self._take_back(number)
        # Otherwise the question stays open until it stalls: so nobody can keep us asking and answering for nothing.

    def _take_back(self, number: int) -> None:
        asked = self._asked.pop(number)
        self._queue += [path for path in asked.paths if path in self._wanted]

    # ------------------------------------------------------------------ questions

    def _ask(self) -> list[tuple[ReplicaId, Hint]]:
        """Questions up to ASKED_MAX, each to the source with the fewest open ones."""
        questions: list[tuple[ReplicaId, Hint]] = []
        while self.done is None and self._queue and len(self._asked) < ASKED_MAX:
            source = self._choose()
            if source is None:
                break
            asks: list[Ask] = []
            share = max(ASKS_MIN, -(-len(self._queue) // (ASKED_MAX - len(self._asked))))
            while self._queue and len(asks) < min(share, ASKS_MAX):
                path = self._queue.pop()
                if path in self._wanted:  # else a late answer brought it
                    known = b"" if path in self._in_full else known_of(self.state.children(path))
                    asks.append(Ask(path, known))
            if asks:
                self._number += 1
                self._asked[self._number] = _Asked(source, [ask.path for ask in asks])
                questions.append((source, FetchNodes(self.position, self.digest, self._number, tuple(asks))))
        return questions

    def _choose(self) -> ReplicaId | None:
        """The next source in turn among those with the fewest open questions; None if all are busy or lied."""
        honest = [source for source in self.sources if source not in self._liars]
        awake = [source for source in honest if source not in self._resting] or honest
        load = dict.fromkeys(self.sources, 0)
        for asked in self._asked.values():
            load[asked.source] += 1
        count = len(self.sources)
        best: ReplicaId | None = None
        for step in range(count):
            source = self.sources[(self._turn + step) % count]
            if source in awake and load[source] < ASKED_OF_ONE_MAX and (best is None or load[source] < load[best]):
                best = source
        if best is not None:
            self._turn = (self.sources.index(best) + 1) % count
        return best


def _leaves(found: Found) -> list[Leaf]:
    """Raises Lie if one is too large or belongs elsewhere, or if two have one key."""
    leaves: dict[bytes, Leaf] = {}
    for key, value in found.leaves:
        if len(key) > KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX or not path_of(key).startswith(found.path):
            raise Lie("a leaf that cannot be there")
        leaves[key] = leaf_of(key, value)
    if len(leaves) != len(found.leaves):
        raise Lie("a leaf that comes twice")
    return list(leaves.values())


def _digests(found: Found) -> dict[int, Digest]:
    """By slot. Raises Lie."""
    entries = found.digests
    if len(entries) % _ENTRY_BYTES or len(entries) > BRANCHES * _ENTRY_BYTES:
        raise Lie("a node with a cut digest")
    return {
        entries[start]: entries[start + 1 : start + _ENTRY_BYTES] for start in range(0, len(entries), _ENTRY_BYTES)
    }


def _slotted(found: Found, leaves: list[Leaf], digests: dict[int, Digest]) -> dict[int, Leaf]:
    """The leaves by slot. Raises Lie unless each slot of the bitmap, and no other, has one child at most."""
    depth = len(found.path)
    if found.bitmap >> BRANCHES or depth >= PATH_DIGITS:
        raise Lie("a node of an impossible form")
    slotted = {int(path_of(leaf.key)[depth], BRANCHES): leaf for leaf in leaves}
    given = {**slotted, **digests}
    if len(given) != len(leaves) + len(found.digests) // _ENTRY_BYTES:
        raise Lie("a node with two children in one slot")
    if any(slot >= BRANCHES or not found.bitmap & 1 << slot for slot in given):
        raise Lie("a node with a child that it does not count")
    return slotted


def _joined(bitmap: int, digests: dict[int, Digest], leaves: dict[int, Leaf], here: dict[int, Node]) -> Digest:
    """The digest of a node with these children: those that came, and those that were here. Raises Lie."""
    parts: list[Digest] = []
    for slot in slots(bitmap):
        if slot in digests:
            parts.append(digests[slot])
        elif slot in leaves:
            parts.append(leaves[slot].digest)
        elif slot in here:
            parts.append(here[slot].digest)
        else:
            raise Lie("a node with a child that nobody has")
    return inner_digest(bitmap, b"".join(parts))
