"""The numbers of a PBFT deployment; equal on all replicas, since they come from the genesis configuration."""

from __future__ import annotations

import msgspec

from outvote.errors import Mistake
from outvote.types import MILLISECOND, Nanos

FRAME_BYTES_MAX = 4 * 1024 * 1024  # wire/frames.py refuses larger ones
SEAL_ENTRY_BYTES = 70  # a signer and a seal in a certificate


class PbftConfig(msgspec.Struct, frozen=True):
    """Every field is checked by `validated`."""

    checkpoint_interval: int = 256
    """K: positions between two digests of the whole state."""
    window: int = 512
    """L: positions above the stable checkpoint that may be in play; a multiple of K, at least 2 K."""
    batch_requests_max: int = 256
    """Requests in one batch (each up to 256 operations)."""
    batch_bytes_max: int = 512 * 1024
    """Bytes of one batch; must hold one largest request."""
    pipeline: int = 2
    """Full batches that the primary proposes before the first of them is answered; ones that are not full go alone."""
    view_timeout_ns: Nanos = 1000 * MILLISECOND
    """How long an awaited request may take before a replica gives up on the primary."""
    view_timeout_growth_max: int = 16
    """The timeout doubles with each fruitless view, up to this factor."""
    status_interval_ns: Nanos = 200 * MILLISECOND
    """How often a replica with unfinished work asks for what it lacks."""
    idle_interval_ns: Nanos = 2000 * MILLISECOND
    """How often an idle one does: this is how a replica kept in the dark finds out."""
    tentative: bool = True
    """Whether what is prepared is executed, and answered, before it is committed."""
    time_tolerance_ns: Nanos = 10_000 * MILLISECOND
    """How far the primary's proposed time may be from a backup's clock."""

    def validated(self, n: int) -> PbftConfig:
        """Returns self, or raises Mistake with the field and what it should be."""
        for name in (
            "checkpoint_interval", "window", "batch_requests_max", "batch_bytes_max", "pipeline",
            "view_timeout_ns", "view_timeout_growth_max", "status_interval_ns", "idle_interval_ns",
            "time_tolerance_ns",
        ):
            if getattr(self, name) < 1:
                raise Mistake(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.window < 2 * self.checkpoint_interval or self.window % self.checkpoint_interval:
            raise Mistake(
                f"window is {self.window}: it must be a multiple of checkpoint_interval"
                f" ({self.checkpoint_interval}) and at least twice as large"
            )
        if not 300 * 1024 <= self.batch_bytes_max <= 2 * 1024 * 1024:
            raise Mistake("batch_bytes_max must lie between 307200 (one largest request) and 2097152 (half a frame)")
        # NEW-VIEW quotes a quorum of VIEW-CHANGEs, each with up to `window` certificates of a quorum of seals.
        quorum = (n + (n - 1) // 3 + 2) // 2
        largest = quorum * (self.window * (quorum * SEAL_ENTRY_BYTES + 60) + quorum * SEAL_ENTRY_BYTES)
        if largest > FRAME_BYTES_MAX:
            raise Mistake(
                f"with {n} replicas and a window of {self.window} a NEW-VIEW may take {largest} bytes, over the"
                f" {FRAME_BYTES_MAX} of a frame: choose a smaller window and checkpoint_interval"
            )
        return self

    def fitted(self, n: int) -> PbftConfig:
        """This configuration with window and interval halved until a NEW-VIEW of n replicas fits a frame."""
        config = self
        while config.window > 2:
            try:
                return config.validated(n)
            except Mistake:
                interval = max(1, config.checkpoint_interval // 2)
                if interval == config.checkpoint_interval:
                    break
                config = msgspec.structs.replace(config, checkpoint_interval=interval, window=2 * interval)
        return config.validated(n)
