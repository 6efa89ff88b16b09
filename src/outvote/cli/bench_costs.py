"""What one of each thing costs on this machine, for the model of `outvote bench pbft-paper`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from nacl.bindings import crypto_sign, crypto_sign_keypair, crypto_sign_open

from outvote.crypto.authenticators import MAC_BYTES
from outvote.protocols.pbft.performance_model import Costs
from outvote.storage.directory import DirectoryDisk
from outvote.types import DIGEST_BYTES

SMALL_BYTES: Final = 128
LARGE_BYTES: Final = 4096 + SMALL_BYTES
_ROUNDS: Final = 9
_EACH: Final = 50  # a round; the median round counts, so that another process's turn does not


class ComputingCosts(NamedTuple):
    """Those of one process alone, in seconds."""

    signature_s: float
    verification_s: float
    mac_s: float
    mac_byte_s: float
    digest_s: float
    digest_byte_s: float
    sync_s: float


def measure_computing(directory: Path) -> ComputingCosts:
    """The log is one like the replicas', so `directory` must lie where theirs do."""
    public, secret = crypto_sign_keypair()
    small, large = bytes(SMALL_BYTES), bytes(LARGE_BYTES)
    signed = crypto_sign(small, secret)
    keyed = blake2b(key=bytes(32), digest_size=MAC_BYTES)

    def mac(data: bytes) -> None:
        code = keyed.copy()
        code.update(data)
        code.digest()

    mac_s, mac_byte_s = _line(lambda: mac(small), lambda: mac(large))
    digest_s, digest_byte_s = _line(lambda: sha256(small).digest(), lambda: sha256(large).digest())
    disk = DirectoryDisk(directory / "cost-of-the-log", bytes(DIGEST_BYTES), 0, sync="inline")
    disk.recover()
    try:
        sync_s = _seconds(lambda: disk.append([small], []))
    finally:
        disk.close()
    return ComputingCosts(
        signature_s=_seconds(lambda: crypto_sign(small, secret)),
        verification_s=_seconds(lambda: crypto_sign_open(signed, public)),
        mac_s=mac_s,
        mac_byte_s=mac_byte_s,
        digest_s=digest_s,
        digest_byte_s=digest_byte_s,
        sync_s=sync_s,
    )


def with_messages(computing: ComputingCosts, round_trips_s: Mapping[tuple[int, int], float]) -> Costs:
    """`round_trips_s`: of a query to one process, by the bytes of its argument and of its result; (0, 0) among them.

    A message is half the empty round trip; a byte what the others take longer, by the bytes that they carry more.
    """
    empty = round_trips_s[0, 0]
    slower = [(seconds - empty) / sum(size) for size, seconds in round_trips_s.items() if sum(size)]
    per_byte = max(0.0, sum(slower) / len(slower)) if slower else 0.0
    return Costs(
        signature_s=computing.signature_s,
        verification_s=computing.verification_s,
        mac_s=computing.mac_s,
        mac_byte_s=computing.mac_byte_s,
        digest_s=computing.digest_s,
        digest_byte_s=computing.digest_byte_s,
        message_s=empty / 2,
        message_byte_s=per_byte,
        sync_s=computing.sync_s,
    )


def _line(small: Callable[[], object], large: Callable[[], object]) -> tuple[float, float]:
    """(with nothing in it, a byte)."""
    fast, slow = _seconds(small), _seconds(large)
    per_byte = max(0.0, slow - fast) / (LARGE_BYTES - SMALL_BYTES)
    return max(0.0, fast - SMALL_BYTES * per_byte), per_byte


def _seconds(action: Callable[[], object]) -> float:
    """Of one call: the median over rounds."""
    rounds: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_EACH):
            action()
        rounds.append((time.perf_counter() - began) / _EACH)
    return median(rounds)
