"""The node store over LMDB: one file, `state.store`, mapped into memory by pages that the system may take back.

LMDB never writes over what the last transaction left, so a crash at any moment leaves that. It has no checksums of its
own; those who read nodes compare them with digests, and what it notices itself is BrokenStorage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from outvote.core.node_store import NodeStore, Place, Transaction
from outvote.errors import BrokenStorage, DiskFull, Mistake, Rot
from outvote.storage.files import broken, remove

try:
    import lmdb
except ImportError:  # an extra: most replicas hold their state in memory
    lmdb = None  # type: ignore[assignment]

STORE_NAME: Final = "state.store"
# Addresses, not bytes: 64 GiB of keys and values, half of each page free, and three versions of what changes.
MAP_BYTES: Final = 256 << 30
_PLACES_AT_ONCE: Final = 4096


class LmdbNodes(NodeStore):
    """One file. Readers never wait; a transaction belongs to the thread that began it."""

    def __init__(self, directory: Path) -> None:
        """Raises Mistake if LMDB is not installed, BrokenStorage if the file cannot be used."""
        if lmdb is None:
            raise Mistake("the class keeps dicts in a store, which needs LMDB: pip install 'outvote[store]'")
        self._path = directory / STORE_NAME
        self._open()

    def _open(self) -> None:
        try:
            self._environment = lmdb.open(
                str(self._path), subdir=False, map_size=MAP_BYTES, max_dbs=2, readahead=False, mode=0o600
            )
            self._nodes = self._environment.open_db(b"nodes")
            self._facts = self._environment.open_db(b"facts")
        except lmdb.Error as error:
            raise self._broken(error) from error

    def get(self, place: Place) -> bytes | None:
        try:
            with self._environment.begin(self._nodes) as transaction:
                found: bytes | None = transaction.get(_key(place))
        except lmdb.Error as error:
            raise self._broken(error) from error
        return found

    def begin(self) -> Transaction:
        try:
            return _LmdbTransaction(self, self._environment.begin(write=True))
        except lmdb.Error as error:
            raise self._broken(error) from error

    def places(self, above: Place) -> Iterator[Place]:
        """As they are when each page of them is read."""
        while True:
            found: list[Place] = []
            try:
                with self._environment.begin(self._nodes) as transaction, transaction.cursor() as cursor:
                    if cursor.set_range(_key(above + 1)):
                        for key in cursor.iternext(keys=True, values=False):
                            found.append(int.from_bytes(key, "big"))
                            if len(found) == _PLACES_AT_ONCE:
                                break
            except lmdb.Error as error:
                raise self._broken(error) from error
            yield from found
            if len(found) < _PLACES_AT_ONCE:
                return
            above = found[-1]

    def facts(self) -> dict[bytes, bytes]:
        try:
            with self._environment.begin(self._facts) as transaction, transaction.cursor() as cursor:
                return dict(cursor)
        except lmdb.Error as error:
            raise self._broken(error) from error

    def clear(self) -> None:
        self.close()
        if self._path.exists():
            remove(self._path)
        self._open()

    def close(self) -> None:
        self._environment.close()

    def _broken(self, error: Exception) -> BrokenStorage:
        kind = BrokenStorage
        if isinstance(error, lmdb.MapFullError) or "No space left" in str(error):
            kind = DiskFull
        elif isinstance(error, (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError)):
            kind = Rot
        return kind(f"{self._path}: {error}; if the disk is sound, remove the file: the state comes from the others")


def open_nodes(directory: Path, report: Callable[[str], None]) -> LmdbNodes:
    """The store of this directory; an empty one in the place of one that LMDB finds damaged, which is put aside and not
    removed: what seems damage may have one cause on all replicas. Raises Mistake and BrokenStorage."""
    try:
        return LmdbNodes(directory)
    except Rot as error:
        damaged = directory / (STORE_NAME + ".damaged")
        report(f"{error}; put aside as {damaged.name}, beginning with an empty one")
        try:
            (directory / STORE_NAME).replace(damaged)
        except OSError as failure:
            raise broken(damaged, "renaming", failure) from None
        return LmdbNodes(directory)


class _LmdbTransaction(Transaction):
    def __init__(self, store: LmdbNodes, transaction: lmdb.Transaction) -> None:
        self._store = store
        self._transaction = transaction

    def put(self, place: Place, data: bytes) -> None:
        try:
            self._transaction.put(_key(place), data, db=self._store._nodes)
        except lmdb.Error as error:
            raise self._store._broken(error) from error

    def remove(self, place: Place) -> None:
        try:
            self._transaction.delete(_key(place), db=self._store._nodes)
        except lmdb.Error as error:
            raise self._store._broken(error) from error

    def fact(self, name: bytes) -> bytes | None:
        try:
            found = self._transaction.get(name, db=self._store._facts)
        except lmdb.Error as error:
            raise self._store._broken(error) from error
        return None if found is None else bytes(found)

    def state(self, name: bytes, data: bytes | None) -> None:
        try:
            if data is None:
                self._transaction.delete(name, db=self._store._facts)
            else:
                self._transaction.put(name, data, db=self._store._facts)
        except lmdb.Error as error:
            raise self._store._broken(error) from error

    def commit(self) -> None:
        try:
            self._transaction.commit()
        except lmdb.Error as error:
            raise self._store._broken(error) from error

    def abort(self) -> None:
        self._transaction.abort()


def _key(place: Place) -> bytes:
    return place.to_bytes(8, "big")
