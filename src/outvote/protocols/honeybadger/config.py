"""The numbers of a HoneyBadger deployment; equal on all replicas. There is no time among them."""

from __future__ import annotations

import msgspec

from outvote.errors import Mistake


class HoneyBadgerConfig(msgspec.Struct, frozen=True):
    """Every field is checked by `validated`."""

    batch_requests_max: int = 256
    """B: requests of one epoch, from all replicas together; each proposes B / n of its first B."""
    batch_bytes_max: int = 1024 * 1024
    """Bytes that one replica proposes; must hold one largest request."""
    checkpoint_interval: int = 32
    """Epochs between two digests of the whole state."""
    window: int = 64
    """Epochs above the stable checkpoint that may be in play; a multiple of the interval, at least twice as large."""
    pipeline: int = 2
    """Epochs that may be worked on at a time: the next begins while the ones before it are agreed on or opened."""
    epochs_ahead: int = 2
    """Epochs beyond those being worked on of which messages are taken in."""

    learners: int = 0
    """Bit i: replica i is no member at first, it learns."""

    def validated(self) -> HoneyBadgerConfig:
        """Returns self, or raises Mistake with the field and what it should be."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 1 and name != "learners":
                raise Mistake(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.window < 2 * self.checkpoint_interval or self.window % self.checkpoint_interval:
            raise Mistake(
                f"window is {self.window}: it must be a multiple of checkpoint_interval ({self.checkpoint_interval})"
                " and at least twice as large"
            )
        if not 300 * 1024 <= self.batch_bytes_max <= 2 * 1024 * 1024:
            raise Mistake("batch_bytes_max must lie between 307200 (one largest request) and 2097152 (half a frame)")
        return self

    def picks(self, n: int) -> int:
        """B / n, rounded up."""
        return -(-self.batch_requests_max // n)

    def ciphertext_bytes_max(self) -> int:
        """A proposal, encrypted: 200 bytes for points, proof and tag."""
        return self.batch_bytes_max + 1024
