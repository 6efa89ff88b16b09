"""The log: entries by index, from behind the one that a snapshot stands for."""

from __future__ import annotations

from collections.abc import Sequence

from outvote.protocols.raft.messages import Entry
from outvote.types import Position

UNKNOWN = -1  # the term of an index that the log does not hold


class Log:
    """Indices count from 1; `base` is the last that is compacted, 0 if none is."""

    __slots__ = ("base", "base_term", "entries")

    def __init__(self) -> None:
        self.base: Position = 0
        self.base_term = 0
        self.entries: list[Entry] = []

    @property
    def last(self) -> Position:
        return self.base + len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.base_term

    def term(self, index: Position) -> int:
        """Of the entry at an index; UNKNOWN where the log holds none."""
        if index == self.base:
            return self.base_term
        if self.base < index <= self.last:
            return self.entries[index - self.base - 1].term
        return UNKNOWN

    def at(self, index: Position) -> Entry:
        """Raises IndexError where the log holds none."""
        if not self.base < index <= self.last:
            raise IndexError(f"the log holds {self.base + 1} to {self.last}, not {index}")
        return self.entries[index - self.base - 1]

    def write(self, after: Position, entries: Sequence[Entry]) -> None:
        """These come behind `after`, and whatever was there is gone; what is compacted stays."""
        skipped = max(0, self.base - after)
        if after > self.last or (skipped and skipped >= len(entries)):
            return
        keep = max(after, self.base) - self.base
        del self.entries[keep:]
        self.entries += entries[skipped:]

    def compact(self, to: Position) -> None:
        """Forget entries up to `to`, which the log must hold."""
        if to > self.base:
            self.base_term = self.term(to)
            del self.entries[: to - self.base]
            self.base = to

    def begin(self, base: Position, term: int) -> None:
        """A state stands for everything up to `base`. The suffix stays if it fits, else it is void."""
        if self.term(base) == term:
            self.compact(base)
        else:
            self.base, self.base_term, self.entries = base, term, []

    def newer_than(self, last: Position, last_term: int) -> bool:
        """Whether this log has what one that ends so lacks, as section 5.4.1 compares them."""
        return (self.last_term, self.last) > (last_term, last)

    def slice(self, first: Position, bytes_max: int, count_max: int) -> tuple[Entry, ...]:
        """Entries from `first` on that fit into so many bytes; at least one if there is any."""
        chosen: list[Entry] = []
        size = 0
        for entry in self.entries[first - self.base - 1 : first - self.base - 1 + count_max]:
            size += size_of(entry)
            if chosen and size > bytes_max:
                break
            chosen.append(entry)
        return tuple(chosen)


def size_of(entry: Entry) -> int:
    """Upper bound of its encoding, in bytes."""
    return 48 + sum([request.size_bytes() for request in entry.requests])
