"""Hands a certified state to a replica that fell behind, in parts of which each is verified on arrival.

The digest that replicas certify is the digest of a manifest: the state's size and the digest of each part. So a
fetcher first gets the manifest, checks it against the certified digest, and from then on checks every part by
itself. Invariant: no byte is kept that was not verified; a source that sent a wrong one is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from outvote.core.contract import Hint, Struct, digest_of
from outvote.errors import Mistake
from outvote.types import SECOND, Digest, Nanos, Position, ReplicaId, Size

PART_BYTES: Final = 256 * 1024  # one hint: fits a frame 16 times over, takes 2 ms at 1 Gbit/s
PARTS_MAX: Final = 10_000  # 2.4 GiB of state; a manifest of 10 000 x 34 bytes = 340 KB
ASKED_MAX: Final = 8  # parts asked for and not here: 2 MiB in flight
ASKED_OF_ONE_MAX: Final = 4  # of them, asked of one source: a slow liar holds up half of the flight at most
HELD_MAX: Final = 4  # snapshots a server holds: two stable ones and two on the way to it
STALL_NS: Final = 2 * SECOND  # no answer for so long: ask somebody else; 256 KiB in 2 s is 1 Mbit/s
REST_NS: Final = 8 * SECOND  # a source that stalled is asked again after this, or when all others rest too


class FetchManifest(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=100):
    """Please send the manifest of the state at `position` with this digest."""

    position: Position
    digest: Digest


class Manifest(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=101):
    """The answer: bytes in all and the digest of each part."""

    position: Position
    total_bytes: int
    parts: tuple[Digest, ...]


class FetchPart(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=102):
    """Please send one part, counted from 0, of the state at `position` with this digest."""

    position: Position
    digest: Digest
    index: int


class Part(Hint, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=103):
    """The answer: the bytes of one part."""

    position: Position
    index: int
    data: bytes


TRANSFER_MESSAGES: Final[tuple[type[Hint], ...]] = (FetchManifest, Manifest, FetchPart, Part)


class _ManifestStatement(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag="state"):
    """What the certified digest is taken over."""

    total_bytes: int
    parts: tuple[Digest, ...]


def _statement(data: bytes) -> _ManifestStatement:
    if len(data) > PARTS_MAX * PART_BYTES:
        raise Mistake(
            f"the state has grown to {len(data)} bytes and can be handed over up to {PARTS_MAX * PART_BYTES}: "
            "delete what the class no longer needs, or split it over several clusters"
        )
    view = memoryview(data)
    parts = tuple(sha256(view[start : start + PART_BYTES]).digest() for start in range(0, len(data), PART_BYTES))
    return _ManifestStatement(len(data), parts)


def manifest_digest(data: bytes) -> Digest:
    """The digest that stands for a whole state. Raises Mistake if it is too large to be handed over."""
    return digest_of(_statement(data))


class _Held(msgspec.Struct):
    position: Position
    digest: Digest
    data: bytes
    manifest: Manifest
    stable: bool


class Server:
    """Holds snapshots and answers for them."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[_Held] = []  # by position

    def hold(self, position: Position, digest: Digest, data: bytes) -> None:
        """Remember a snapshot of this replica. Of more than HELD_MAX, the oldest is forgotten."""
        statement = _statement(data)
        assert digest_of(statement) == digest, "a snapshot comes with its own digest"
        if self.data(position) is not None:
            return
        manifest = Manifest(position, statement.total_bytes, statement.parts)
        self._held.append(_Held(position, digest, data, manifest, False))
        self._held.sort(key=_position_of)
        while len(self._held) > HELD_MAX:
            # Of two stable ones the older can go: whoever is fetching it starts again with the newer.
            del self._held[0 if len(self._stable()) != 1 or not self._held[0].stable else 1]

    def settle(self, position: Position) -> None:
        """The snapshot at `position` is certified: keep it and the stable one before it, forget all older ones."""
        for held in self._held:
            if held.position == position:
                held.stable = True
        stable = self._stable()
        if stable:
            oldest = stable[-2:][0]
            self._held = [
                held for held in self._held if held.position >= oldest and (held.stable or held.position > position)
            ]

    def data(self, position: Position) -> bytes | None:
        """The bytes held for this position."""
        for held in self._held:
            if held.position == position:
                return held.data
        return None

    def sizes(self) -> Iterator[Size]:
        """What is held, and its limit."""
        yield "snapshots served", len(self._held), HELD_MAX

    def answer(self, sender: ReplicaId, hint: Hint) -> list[Hint]:
        """What to send back to whoever asked: one hint, or nothing if the snapshot is not held."""
        if not isinstance(hint, (FetchManifest, FetchPart)):
            return []
        for held in self._held:
            if held.position == hint.position and held.digest == hint.digest:
                if isinstance(hint, FetchManifest):
                    return [held.manifest]
                if 0 <= hint.index < len(held.manifest.parts):
                    start = hint.index * PART_BYTES
                    return [Part(held.position, hint.index, held.data[start : start + PART_BYTES])]
        return []

    def _stable(self) -> list[Position]:
        return [held.position for held in self._held if held.stable]


def _position_of(held: _Held) -> Position:
    return held.position


class _Asked:
    """A question on its way. `since` is set by the first tick after it was asked."""

    __slots__ = ("since", "source")

    def __init__(self, source: ReplicaId) -> None:
        self.source = source
        self.since: Nanos | None = None


_MANIFEST: Final = -1  # stands for the manifest among the indexes of parts


class Fetcher:
    """Fetches one certified state from `sources`. Call `tick` a few times a second until `done` is not None."""

    __slots__ = (
        "_asked", "_liars", "_manifest", "_missing", "_parts", "_resting", "_turn", "digest", "done", "position",
        "sources",
    )  # fmt: skip

    def __init__(self, position: Position, digest: Digest, sources: Sequence[ReplicaId]) -> None:
        if not sources:
            raise Mistake("a state can only be fetched from somebody: name at least one source")
        self.position = position
        self.digest = digest
        self.sources = tuple(sources)
        self.done: bytes | None = None
        self._manifest: Manifest | None = None
        self._parts: dict[int, bytes] = {}  # verified
        self._missing: list[int] = [_MANIFEST]  # to be asked for; the next one last
        self._asked: dict[int, _Asked] = {}
        self._liars: dict[ReplicaId, None] = {}
        self._resting: dict[ReplicaId, Nanos] = {}  # until when
        self._turn = 0  # the source to prefer next

    def start(self) -> list[tuple[ReplicaId, Hint]]:
        """The first question."""
        return self._ask()

    def receive(self, sender: ReplicaId, hint: Hint) -> list[tuple[ReplicaId, Hint]]:
        """Take in an answer. Returns the next questions; a wrong answer is dropped and its sender not asked again."""
        if self.done is not None or sender in self._liars or sender not in self.sources:
            return []
        if isinstance(hint, Manifest) and hint.position == self.position and self._manifest is None:
            self._take_manifest(sender, hint)
        elif isinstance(hint, Part) and hint.position == self.position and self._manifest is not None:
            self._take_part(sender, hint, self._manifest)
        else:
            return []
        return self._ask()

    def tick(self, now: Nanos) -> list[tuple[ReplicaId, Hint]]:
        """Time has passed: what was not answered within STALL_NS is asked of another source."""
        if self.done is not None:
            return []
        for source in [source for source, until in self._resting.items() if until <= now]:
            del self._resting[source]
        for index, asked in list(self._asked.items()):
            if asked.since is None:
                asked.since = now
            elif now - asked.since >= STALL_NS:
                self._resting[asked.source] = now + REST_NS
                self._take_back(index)
        return self._ask()

    def sizes(self) -> Iterator[Size]:
        """What is held and asked for, and its limits."""
        yield "questions", len(self._asked), ASKED_MAX
        yield "parts", len(self._parts), len(self._manifest.parts) if self._manifest is not None else 0

    def _take_manifest(self, sender: ReplicaId, manifest: Manifest) -> None:
        statement = _ManifestStatement(manifest.total_bytes, manifest.parts)
        if len(manifest.parts) > PARTS_MAX or digest_of(statement) != self.digest:
            self._distrust(sender)
            return
        self._manifest = manifest
        self._asked.clear()
        self._missing = list(range(len(manifest.parts) - 1, -1, -1))
        self._finish(manifest)

    def _take_part(self, sender: ReplicaId, part: Part, manifest: Manifest) -> None:
        if part.index in self._parts:
            return
        if not 0 <= part.index < len(manifest.parts) or sha256(part.data).digest() != manifest.parts[part.index]:
            self._distrust(sender)
            return
        self._parts[part.index] = part.data
        if self._asked.pop(part.index, None) is None:
            self._missing.remove(part.index)  # the late answer of a source that had stalled
        self._finish(manifest)

    def _finish(self, manifest: Manifest) -> None:
        if len(self._parts) == len(manifest.parts):
            self.done = b"".join(self._parts[index] for index in range(len(manifest.parts)))
            self._parts.clear()

    def _distrust(self, sender: ReplicaId) -> None:
        self._liars[sender] = None
        for index, asked in list(self._asked.items()):
            if asked.source == sender:
                self._take_back(index)

    def _take_back(self, index: int) -> None:
        del self._asked[index]
        self._missing.append(index)

    def _ask(self) -> list[tuple[ReplicaId, Hint]]:
        """Questions up to ASKED_MAX, each to the source with the fewest open ones."""
        questions: list[tuple[ReplicaId, Hint]] = []
        while self.done is None and self._missing and len(self._asked) < ASKED_MAX:
            source = self._choose()
            if source is None:
                break
            index = self._missing.pop()
            self._asked[index] = _Asked(source)
            if index == _MANIFEST:
                questions.append((source, FetchManifest(self.position, self.digest)))
            else:
                questions.append((source, FetchPart(self.position, self.digest, index)))
        return questions

    def _choose(self) -> ReplicaId | None:
        """The next source in turn among those with the fewest open questions; None if all are busy."""
        honest = [source for source in self.sources if source not in self._liars]
        if not honest:  # impossible while a quorum certified the digest: then somebody spoilt the network
            self._liars.clear()
            honest = list(self.sources)
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
