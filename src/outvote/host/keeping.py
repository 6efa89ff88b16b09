"""How states get onto the disk and back: as whole images, or, where a class asks for that, as versions in a store.

Kept: a state that is taken over from the disk has been read from the first byte to the last, and has the digest that
was certified. What has not is given to whoever fetches the state from others, to be compared with theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from outvote.core.contract import NO_STATE
from outvote.errors import Lie
from outvote.host.ports import Observer
from outvote.machines.merkle_image import pages, read_image, salvage
from outvote.machines.merkle_map import EMPTY, MerkleMap, Record
from outvote.machines.vault import Vault, last_pointer
from outvote.storage.contract import Disk, Recovered

# Of a state that is being fetched, so much is in memory before it goes into the store: one sync for each.
ASIDE_BYTES: Final = 8 * 1024 * 1024


class Keeping:
    """One replica's. `salvaged`: leaves that nobody vouches for."""

    def __init__(self, disk: Disk, observer: Observer, *, stored: bool) -> None:
        """`stored`: whether the class keeps some of its state in a store; without one it is kept whole all the same."""
        self._disk = disk
        self._observer = observer
        self._is_stored = stored
        self._vault: Vault | None = None
        self._unwritten_bytes = 0
        self.salvaged = EMPTY

    def take_over(self, recovered: Recovered) -> MerkleMap | None:
        """The state of our disk; None if it holds none, or one whose leaves are not those that its digest stands
        for. Raises BrokenStorage."""
        if recovered.digest == NO_STATE:
            return None
        if self._is_stored and self._disk.nodes is not None:
            self._vault = Vault(self._disk.nodes)
            state = self._take_version(self._vault, recovered)
        else:
            state = self._take_image(recovered)
        if len(self.salvaged):
            self._observer.note(f"{len(self.salvaged)} leaves of states that nobody vouches for can be compared")
        if recovered.position and state is None:
            self._observer.note(f"the state of position {recovered.position} on the disk is not what its digest says")
        return state

    def _take_image(self, recovered: Recovered) -> MerkleMap | None:
        if recovered.salvage:
            self.salvaged = salvage(recovered.salvage)
        if not recovered.position:
            return None
        try:
            state = read_image(recovered.snapshot)
        except Lie:
            state = EMPTY
        if state.digest == recovered.digest:
            return state
        self.salvaged = salvage(recovered.snapshot)
        return None

    def _take_version(self, vault: Vault, recovered: Recovered) -> MerkleMap | None:
        kept = last_pointer(recovered.snapshot) if recovered.position else None
        state, aside = vault.open(kept, last_pointer(recovered.salvage))
        if aside is not None:
            self.salvaged, _ = vault.survey(aside)
        if state is None or state.digest != recovered.digest:
            return None
        left, damaged = vault.survey(state)
        if not damaged:
            return state
        self._observer.note(f"{damaged} nodes of the store are damaged: {len(left)} of {len(state)} leaves left")
        if aside is None:
            self.salvaged = left
        return None

    def image(self, state: MerkleMap) -> Iterable[bytes]:
        """What stands for this state on the disk, in parts made while they are written, perhaps in another thread."""
        self.salvaged = EMPTY
        self._unwritten_bytes = 0
        return pages(state.records()) if self._vault is None else self._vault.write(state)

    def known(self, saved: MerkleMap) -> MerkleMap:
        """What may be the same in a state to be fetched: all that is here, besides what the executor saved."""
        salvaged, self.salvaged = self.salvaged, EMPTY
        if self._vault is not None:
            return salvaged if len(salvaged) else saved
        return saved.update(dict(salvaged.leaves()))

    def set_aside(self, arrived: Sequence[Record], state: MerkleMap) -> None:
        """Parts of a state that is being fetched have arrived, and `state` is what is here by now: for a fetch that
        goes on after a crash. Raises BrokenStorage."""
        if self._vault is None:
            self._disk.set_aside(b"".join(pages(arrived)))
            return
        self._unwritten_bytes += sum(map(len, arrived))
        if self._unwritten_bytes >= ASIDE_BYTES:
            self._unwritten_bytes = 0
            self._disk.set_aside(b"".join(self._vault.write(state, kept=False)))
