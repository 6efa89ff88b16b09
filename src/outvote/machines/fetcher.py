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
    BUCKET_LEAVES_MAX,
    EMPTY,
    EMPTY_DIGEST,
    KEY_BYTES_MAX,
    PATH_DIGITS,
    VALUE_BYTES_MAX,
    Change,
    MerkleMap,
    Node,
    Record,
    build,
    inner_digest,
    key_of,
    path_of,
    records_below,
    slots,
)
from outvote.machines.state_transfer import (
    ASKED_MAX,
    ASKED_OF_ONE_MAX,
    ASKS_MAX,
    ASKS_MIN,
    CHANGED,
    DIGESTS,
    ITEMS,
    NOTHING_KNOWN,
    RESTS,
    STALL_NS,
    WHOLE,
    Ask,
    FetchNodes,
    Found,
    Nodes,
    hints_of,
    known_of,
)
from outvote.types import DIGEST_BYTES, Digest, Nanos, Position, ReplicaId, Size

# The deepest nodes are asked for first. So of each level at most one message's worth of nodes waits with all their
# children, and of ASKED_MAX messages: 64 levels x 16 children x 256 x 8; in fact the leaves end it after a few.
WANTED_MAX: Final = PATH_DIGITS * BRANCHES * ASKS_MAX * ASKED_MAX

DOUBT: Final = 16  # what one node that does not fit weighs, against one that does
DOUBTS_MAX: Final = 4 * DOUBT

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
        "_asked", "_doubts", "_in_full", "_liars", "_narrowed", "_number", "_on_leaves", "_queue", "_resting",
        "_stall_ns", "_turn", "_wanted", "bytes_fetched", "digest", "done", "leaves_fetched", "position", "sources",
        "state",
    )  # fmt: skip

    def __init__(
        self, position: Position, digest: Digest, sources: Sequence[ReplicaId], base: MerkleMap = EMPTY,
        on_leaves: Callable[[list[Record]], None] | None = None, stall_ns: Nanos = STALL_NS,
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
        self._narrowed: dict[str, int] = {}  # of them, those of which only these children differ, if that was true
        self._asked: dict[int, _Asked] = {}
        self._liars: dict[ReplicaId, None] = {}
        self._doubts: dict[ReplicaId, int] = {}  # see `_doubt`
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
        changes: dict[bytes, Record | None] = {}
        news: list[Record] = []
        taken = 0
        for found in hint.found[:ASKS_MAX]:
            expected = self._wanted.get(found.path)
            if expected is None:
                continue  # the late answer of a source that had stalled, or never asked for
            try:
                self._take(found, expected, changes, news)
            except Lie:
                if found.path in self._in_full or self.state.node(found.path) is None:
                    self._liars[sender] = None
                    break
                self._in_full[found.path] = None  # what is here may look alike and be something else
                if self._doubt(sender):
                    break
                continue
            taken += 1
        self._doubts[sender] = max(0, self._doubts.get(sender, 0) - taken)
        self.state = self.state.merge([_change(key, record) for key, record in changes.items()])
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

    def _doubt(self, sender: ReplicaId) -> bool:
        """An answer to hints did not fit: an accident once in some hundred nodes, so whoever has more than one in 16
        is a liar."""
        doubts = self._doubts[sender] = self._doubts.get(sender, 0) + DOUBT
        if doubts > DOUBTS_MAX:
            self._liars[sender] = None
        return doubts > DOUBTS_MAX

    def _take(
        self, found: Found, expected: Digest, changes: dict[bytes, Record | None], news: list[Record]
    ) -> None:
        """Verify one node and note what it changes. Raises Lie, and changes nothing, if it is not the one wanted."""
        path = found.path
        _check_form(found)
        records = _records(found)
        if found.kind == WHOLE:
            self._replace(self.state.node(path), self._built(list(records.values()), path, expected), changes)
        elif len(path) >= PATH_DIGITS:
            raise Lie("a node of an impossible depth")
        elif found.kind == DIGESTS:
            self._take_digests(found, expected, changes)
        elif found.kind == CHANGED:
            self._narrow(found)
            return
        elif found.kind == ITEMS and found.bitmap:
            self._take_group(found, records, expected, changes)
        else:
            here = self.state.node(path)
            (kept,) = _kept([_bucket_of(here)], found.gone)
            self._replace(here, self._built([*(kept | records).values()], path, expected), changes)
        del self._wanted[path]
        self._in_full.pop(path, None)
        self._narrowed.pop(path, None)
        news += records.values()
        self.bytes_fetched += len(found.digests) + sum(map(len, found.records))

    def _take_digests(self, found: Found, expected: Digest, changes: dict[bytes, Record | None]) -> None:
        path = found.path
        here = self.state.children(path)
        digests = _digests(found)
        self._verify(_joined(found.bitmap, digests, here), expected)
        for slot, node in here.items():
            if not found.bitmap & 1 << slot:
                self._replace(node, [], changes)
        for slot, digest in digests.items():
            if slot not in here or here[slot].digest != digest:
                self._want(path + _DIGITS[slot], digest)

    def _narrow(self, found: Found) -> None:
        """Only these children differ, says somebody; nothing is believed before their leaves are here."""
        path = found.path
        here = self.state.children(path)
        if path in self._narrowed or path in self._in_full or not 0 < found.changed < 1 << BRANCHES:
            raise Lie("a node of which nothing more was to be said")
        for slot in slots(found.changed):
            _bucket_of(here.get(slot))
        self._narrowed[path] = found.changed

    def _take_group(
        self, found: Found, records: dict[bytes, Record], expected: Digest, changes: dict[bytes, Record | None]
    ) -> None:
        """The children in which a node differs from what is here, leaf by leaf."""
        path = found.path
        here = self.state.children(path)
        asked = list(slots(self._narrowed.get(path, 0)))
        below = dict(zip(asked, _kept([_bucket_of(here.get(slot)) for slot in asked], found.gone), strict=True))
        for key, record in records.items():
            slot = int(path_of(key)[len(path)], BRANCHES)
            if slot not in below:
                raise Lie("a leaf below a node that was not asked for")
            below[slot][key] = record
        digests: dict[int, Digest] = {}
        for slot in asked:
            node = build([*below[slot].values()], len(path) + 1)
            if node is not None:
                digests[slot] = node.digest
        self._verify(_joined(found.bitmap, digests, here), expected)
        for slot, node in here.items():
            if slot in below or not found.bitmap & 1 << slot:
                self._replace(node, [], changes)
        for slot in asked:
            changes.update(below[slot])

    def _built(self, records: list[Record], path: str, expected: Digest) -> list[Record]:
        """These, if they are the subtree that is wanted. Raises Lie."""
        node = build(records, len(path))
        self._verify(node.digest if node is not None else EMPTY_DIGEST, expected)
        return records

    def _verify(self, digest: Digest, expected: Digest) -> None:
        """Raises Lie."""
        if digest != expected:
            raise Lie("a part of a state that is not the one that was asked for")

    def _replace(self, node: Node | None, records: list[Record], changes: dict[bytes, Record | None]) -> None:
        """What is below this node here goes, these leaves come."""
        changes.update({key_of(record): None for record in records_below(node)})
        changes.update({key_of(record): record for record in records})

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
                    asks.append(self._ask_for(path))
            if asks:
                self._number += 1
                self._asked[self._number] = _Asked(source, [ask.path for ask in asks])
                questions.append((source, FetchNodes(self.position, self.digest, self._number, tuple(asks))))
        return questions

    def _ask_for(self, path: str) -> Ask:
        """With hints of what is here, unless they have been of no use."""
        here = self.state.node(path)
        if here is None:
            return Ask(path, b"", b"")
        if path in self._in_full:
            return Ask(path, NOTHING_KNOWN, b"")
        content = here.content
        if isinstance(content, tuple):
            return Ask(path, b"", hints_of(content))
        children = self.state.children(path)
        changed = self._narrowed.get(path)
        if changed is None:
            return Ask(path, known_of(children), b"")
        hints = [hints_of([*_bucket_of(children.get(slot)).values()]) for slot in slots(changed)]
        return Ask(path, changed.to_bytes(2, "big"), b"".join(hints))

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


def _check_form(found: Found) -> None:
    """Raises Lie if it says more than its kind may."""
    kind, said = found.kind, (found.bitmap != 0, found.digests != b"", found.changed != 0, found.records != (),
                              found.gone != b"")  # fmt: skip
    may = {
        WHOLE: (False, False, False, True, False), DIGESTS: (True, True, False, False, False),
        CHANGED: (True, False, True, False, False), ITEMS: (True, False, False, True, True),
    }.get(kind, ())  # fmt: skip
    if not may or any(one and not allowed for one, allowed in zip(said, may, strict=True)):
        raise Lie("a node that says more than its kind may")


def _change(key: bytes, record: Record | None) -> Change:
    return path_of(key), len(key).to_bytes(2, "big") + key, record


def _records(found: Found) -> dict[bytes, Record]:
    """By key. Raises Lie if one is too large, no record at all or belongs elsewhere, or if two have one key."""
    records: dict[bytes, Record] = {}
    for record in found.records:
        middle = 2 + int.from_bytes(record[:2], "big")
        key, length = record[2:middle], int.from_bytes(record[middle : middle + 4], "big")
        if len(key) > KEY_BYTES_MAX or length > VALUE_BYTES_MAX or len(record) != middle + 4 + length:
            raise Lie("a leaf that cannot be read")
        if not path_of(key).startswith(found.path):
            raise Lie("a leaf that cannot be there")
        records[key] = record
    if len(records) != len(found.records):
        raise Lie("a leaf that comes twice")
    return records


def _bucket_of(node: Node | None) -> dict[bytes, Record]:
    """What a bucket here holds, by key. Raises Lie if it is none, so that it cannot be named leaf by leaf."""
    if node is None:
        return {}
    content = node.content
    if not isinstance(content, tuple):
        raise Lie("leaf by leaf, a node that is no bucket here")
    assert node.count <= BUCKET_LEAVES_MAX, "so one byte counts them"
    return {key_of(record): record for record in content}


def _kept(buckets: list[dict[bytes, Record]], gone: bytes) -> list[dict[bytes, Record]]:
    """These without what is gone. Raises Lie."""
    at = 0
    kept: list[dict[bytes, Record]] = []
    for bucket in buckets:
        if at >= len(gone) or at + 1 + gone[at] > len(gone):
            raise Lie("too few words on what is gone")
        lost = gone[at + 1 : at + 1 + gone[at]]
        kept.append({key: record for place, (key, record) in enumerate(bucket.items()) if place not in lost})
        at += 1 + gone[at]
    if at != len(gone):
        raise Lie("too many words on what is gone")
    return kept


def _digests(found: Found) -> dict[int, Digest]:
    """By slot. Raises Lie unless they are of children that the node has."""
    entries = found.digests
    if len(entries) % _ENTRY_BYTES or len(entries) > BRANCHES * _ENTRY_BYTES:
        raise Lie("a node with a cut digest")
    digests = {
        entries[start]: entries[start + 1 : start + _ENTRY_BYTES] for start in range(0, len(entries), _ENTRY_BYTES)
    }
    if len(digests) * _ENTRY_BYTES != len(entries):
        raise Lie("a node with two children in one slot")
    if any(slot >= BRANCHES or not found.bitmap & 1 << slot for slot in digests):
        raise Lie("a node with a child that it does not count")
    return digests


def _joined(bitmap: int, digests: dict[int, Digest], here: dict[int, Node]) -> Digest:
    """The digest of a node with these children: those that came, and those that were here. Raises Lie."""
    if bitmap >> BRANCHES:
        raise Lie("a node with more children than slots")
    parts: list[Digest] = []
    for slot in slots(bitmap):
        if slot in digests:
            parts.append(digests[slot])
        elif slot in here:
            parts.append(here[slot].digest)
        else:
            raise Lie("a node with a child that nobody has")
    return inner_digest(bitmap, b"".join(parts))
