"""A replicated key-value store with versions, ready to run.

One counter, `revision`, serves the whole store: each write takes the next number, and a key's version is the revision
that wrote it. So versions never repeat, not even when a key is deleted and made anew, and a compare-and-set cannot
mistake a new value for an old one. Version 0 means "no such key".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, TypeAlias

import msgspec

from outvote.machines.machine import Rejected, StateMachine, command, query

KEY_BYTES_MAX: Final = 1024
VALUE_BYTES_MAX: Final = 128 * 1024  # twice a value fits one request
LIST_MAX: Final = 200  # keys in one answer: 200 x 1 KiB stay below the 256 KiB of results
STORE_BYTES_MAX: Final = 1024 * 1024 * 1024  # keys and values; state transfer carries 2.4 GiB
_CHANGES_MAX: Final = 256  # changed keys mended one by one in the sorted index; beyond, it is built anew

Keys: TypeAlias = list[str]


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A value and the revision that wrote it."""

    value: str
    version: int


class KeyValueStore(StateMachine, derived=("_index", "_changed", "_indexed")):
    """Text keys, text values."""

    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    revision: int = 0
    stored_bytes: int = 0
    _index: list[str] = msgspec.field(default_factory=list)  # sorted keys as of the last listing
    _changed: dict[str, None] = msgspec.field(default_factory=dict)  # keys written or deleted since, while they are few
    _indexed: bool = False  # whether index and changes together tell all keys

    @command
    def put(self, key: str, value: str) -> int:
        """Write a value. Returns its version."""
        return self._write(key, value)

    @command
    def delete(self, key: str) -> bool:
        """Forget a key. Returns whether there was one."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return False
        self.revision += 1
        self.stored_bytes -= _size_bytes(key) + _size_bytes(entry.value)
        self._note(key)
        return True

    @command
    def cas(self, key: str, value: str, version: int) -> int | None:
        """Compare and set: write only if the key still has this version (0: if there is no such key).
        Returns the new version, or None if another write came first."""
        entry = self.entries.get(key)
        if (entry.version if entry is not None else 0) != version:
            return None
        return self._write(key, value)

    @query
    def get(self, key: str) -> Entry | None:
        """The value and its version; None if there is no such key."""
        return self.entries.get(key)

    @query
    def list(self, prefix: str = "", limit: int = 100, after: str = "") -> Keys:
        """Keys that begin with `prefix`, sorted, at most `limit`; to go on, give the last one as `after`."""
        if not 1 <= limit <= LIST_MAX:
            raise Rejected(f"limit must be 1 to {LIST_MAX}")
        index = self._sorted_keys()
        start = bisect_left(index, prefix)
        if after:
            start = max(start, bisect_right(index, after))
        found: Keys = []
        for place in range(start, min(start + limit, len(index))):
            if not index[place].startswith(prefix):
                break
            found.append(index[place])
        return found

    def _write(self, key: str, value: str) -> int:
        key_bytes, value_bytes = _size_bytes(key), _size_bytes(value)
        if not 0 < key_bytes <= KEY_BYTES_MAX:
            raise Rejected(f"a key has 1 to {KEY_BYTES_MAX} bytes, not {key_bytes}")
        if value_bytes > VALUE_BYTES_MAX:
            raise Rejected(f"a value has at most {VALUE_BYTES_MAX} bytes, not {value_bytes}")
        old = self.entries.get(key)
        stored_bytes = self.stored_bytes + value_bytes
        stored_bytes += key_bytes if old is None else -_size_bytes(old.value)
        if stored_bytes > STORE_BYTES_MAX:
            raise Rejected(f"the store is full: it holds at most {STORE_BYTES_MAX} bytes")
        self.stored_bytes = stored_bytes
        self.revision += 1
        self.entries[key] = Entry(value, self.revision)
        if old is None:
            self._note(key)
        return self.revision

    def _note(self, key: str) -> None:
        """The key came or went: remember it for the index, if there is one worth mending."""
        if self._indexed:
            self._changed[key] = None
            if len(self._changed) > _CHANGES_MAX:
                self._changed = {}
                self._index = []
                self._indexed = False

    def _sorted_keys(self) -> Keys:
        if not self._indexed:
            self._index = sorted(self.entries)
            self._indexed = True
            return self._index
        index = self._index
        for key in self._changed:
            place = bisect_left(index, key)
            listed = place < len(index) and index[place] == key
            if key in self.entries and not listed:
                index.insert(place, key)
            elif key not in self.entries and listed:
                del index[place]
        self._changed = {}
        return index


def _size_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
