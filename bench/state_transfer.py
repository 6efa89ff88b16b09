"""State transfer and checkpoints in figures: bytes moved for a small difference, time spent for a small change.

    python bench/state_transfer.py --keys 100000 --value-bytes 100 --json

One store of `--keys` keys, of which some are written again; two replicas, of which one has not heard of that. Counted
are the bytes of all transfer messages as they go over the wire, both ways; the whole is what `StateMachine.snapshot`
writes. Everything runs in this process, without network and disk; times are of its CPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from hashlib import sha256
from random import Random
from typing import Any

from outvote import KeyValueStore
from outvote.core.contract import Delivery, Hint, Request
from outvote.machines.executor import Executor
from outvote.machines.fetcher import Fetcher
from outvote.machines.operations import encode_operation
from outvote.machines.state_transfer import TRANSFER_MESSAGES, Server
from outvote.types import FIRST_CLIENT
from outvote.wire.codec import Codec

SHARES = (0.0, 0.001, 0.01, 0.1, 1.0)
REPEATS = 5
OPERATIONS = 200  # of one request
OLD_PART_BYTES = 256 * 1024  # what the digest of a whole image was made of


class Store:
    """A replica's executor around a store, filled with keys."""

    def __init__(self, keys: int, value_bytes: int) -> None:
        self.executor = Executor(KeyValueStore())
        self.keys = keys
        self._value_bytes = value_bytes
        self._number = 0
        self.put(list(range(keys)))

    def put(self, keys: list[int]) -> None:
        """Write these again, through the executor, as a client's requests would."""
        for start in range(0, len(keys), OPERATIONS):
            self._number += 1
            value = str(self._number).rjust(self._value_bytes, "v")
            operations = tuple(
                encode_operation("put", [f"key{key}", value]) for key in keys[start : start + OPERATIONS]
            )
            request = Request(FIRST_CLIENT, self._number, self._number - 1, operations, b"")
            self.executor.deliver(Delivery(self.executor.position + 1, 0, (request,), 0, False))


def transfer(here: Store, there: Store) -> dict[str, Any]:
    """Bring the state of `there` to `here`: what it takes."""
    codec = Codec(TRANSFER_MESSAGES, 1)
    snapshot = there.executor.checkpoint()
    server = Server()
    server.hold(snapshot.position, snapshot.state)
    base = here.executor.checkpoint().state
    began = time.process_time()
    fetcher = Fetcher(snapshot.position, snapshot.digest, (1, 2, 3), base)
    moved = messages = 0
    pending = fetcher.start()
    while pending:
        source, hint = pending.pop(0)
        moved += len(codec.encode(hint, b""))
        for answer in server.answer(0, hint):
            body = codec.encode(answer, b"")
            moved += len(body)
            messages += 2
            received, _ = codec.decode(body)
            if isinstance(received, Hint):
                pending += fetcher.receive(source, received)
    if fetcher.done != snapshot.state:
        raise SystemExit("the fetched state is another one")
    seconds = time.process_time() - began
    whole = len(there.executor.machine.snapshot())
    return {
        "moved_bytes": moved, "whole_bytes": whole, "percent": round(100 * moved / whole, 2), "messages": messages,
        "leaves": fetcher.leaves_fetched, "of_leaves": len(snapshot.state), "seconds": round(seconds, 3),
    }


def transfers(keys: int, value_bytes: int, share: float, rng: Random) -> dict[str, dict[str, Any]]:
    """A difference of `share` of the keys; a replica that has nothing; one that has everything."""
    here, there = Store(keys, value_bytes), Store(keys, value_bytes)
    same = transfer(here, there)
    there.put(rng.sample(range(keys), round(keys * share)))
    return {"nothing": same, f"{share:.1%}": transfer(here, there), "everything": transfer(Store(0, 0), there)}


def checkpoints(keys: int, value_bytes: int, rng: Random) -> list[dict[str, Any]]:
    """The time of a checkpoint by the share of the keys written since the last one, beside that of a whole
    image and its digest; the best of REPEATS, since other work on the machine only adds to it."""
    store = Store(keys, value_bytes)
    store.executor.checkpoint()
    rows: list[dict[str, Any]] = []
    for share in SHARES:
        ours = theirs = float("inf")
        for _ in range(REPEATS):
            store.put(rng.sample(range(keys), round(keys * share)))
            gc.collect()
            began = time.process_time()
            store.executor.checkpoint()
            ours = min(ours, time.process_time() - began)
            gc.collect()
            began = time.process_time()
            image = store.executor.machine.snapshot()
            for start in range(0, len(image), OLD_PART_BYTES):
                sha256(image[start : start + OLD_PART_BYTES]).digest()
            theirs = min(theirs, time.process_time() - began)
        rows.append({
            "changed": share, "checkpoint_ms": round(ours * 1e3, 2), "whole_image_ms": round(theirs * 1e3, 2),
        })
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.01, help="of the keys that differ (0.01)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    given = parser.parse_args()
    rng = Random(1)
    moved = transfers(given.keys, given.value_bytes, given.share, rng)
    times = checkpoints(given.keys, given.value_bytes, rng)
    if given.json:
        print(json.dumps({"transfers": moved, "checkpoints": times}))
        return
    print(f"state transfer, {given.keys:,} keys with values of {given.value_bytes} bytes")
    print(f"{'differs':>11} {'moved':>12} {'whole':>12} {'share':>8} {'leaves':>8} {'messages':>9} {'CPU':>8}")
    for name, row in moved.items():
        print(
            f"{name:>11} {row['moved_bytes']:>12,} {row['whole_bytes']:>12,} {row['percent']:>7}% {row['leaves']:>8,}"
            f" {row['messages']:>9} {row['seconds']:>7}s"
        )
    print("\ncheckpoint, by the share of the keys written since the last one")
    print(f"{'written':>11} {'checkpoint':>12} {'whole image':>12}")
    for line in times:
        print(f"{line['changed']:>11.1%} {line['checkpoint_ms']:>10}ms {line['whole_image_ms']:>10}ms")


if __name__ == "__main__":
    main()
