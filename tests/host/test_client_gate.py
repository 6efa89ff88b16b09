"""What a client's request must be to enter, and how the number of connections is bounded."""

from __future__ import annotations

import msgspec
import pytest

from outvote.core.contract import Request
from outvote.host.client_gate import refusal_reason
from outvote.host.connection import FrameQueue
from outvote.host.listener import Arrivals
from outvote.types import FIRST_CLIENT
from outvote.wire.client_messages import OPERATIONS_MAX, OUTSTANDING_MAX, REQUEST_BYTES_MAX
from outvote.wire.frames import FrameSplitter

GOOD = Request(FIRST_CLIENT, 65, 1, (b"put",), bytes(64))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"number": 1, "acknowledged": 0}, ""),
        ({"number": 66}, f"more than {OUTSTANDING_MAX} requests are not acknowledged"),
        ({"number": 0, "acknowledged": 0}, "a request's number must be at least 1"),
        ({"number": 5, "acknowledged": 5}, "above what it acknowledges"),
        ({"number": -1, "acknowledged": -2}, "a request's number must be at least 1"),
        ({"number": 1, "acknowledged": -1}, "a request's number must be at least 1"),
        ({"operations": ()}, "not 0: split it"),
        ({"operations": (b"",) * OPERATIONS_MAX}, ""),
        ({"operations": (b"",) * (OPERATIONS_MAX + 1)}, f"1 to {OPERATIONS_MAX} operations, not"),
        ({"operations": (bytes(REQUEST_BYTES_MAX - 105),)}, ""),
        ({"operations": (bytes(REQUEST_BYTES_MAX - 104),)}, f"at most {REQUEST_BYTES_MAX} bytes, not"),
        ({"seal": bytes(63)}, "a request's seal has 64 bytes, not 63"),
        ({"seal": b""}, "a request's seal has 64 bytes, not 0"),
    ],
)
def test_refusals(changes: dict[str, object], sentence: str) -> None:
    reason = refusal_reason(msgspec.structs.replace(GOOD, **changes))
    assert sentence in reason
    assert (reason == "") == (sentence == "")


def test_arrivals_allow_a_burst_and_then_a_rate() -> None:
    arrivals = Arrivals(rate=8, burst=3)
    assert [arrivals.admit(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [arrivals.admit(100.0 + step / 16) for step in range(1, 7)] == [False, True] * 3
    assert [arrivals.admit(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_frame_queue_counts_its_bytes() -> None:
    queue = FrameQueue()
    for size in (10, 0, 300, 5):
        queue.push(bytes(size))
    assert queue.bytes_waiting == 315 + 4 * 4
    queue.drop_oldest()
    assert (len(queue), queue.bytes_waiting) == (3, 305 + 3 * 4)
    assert FrameSplitter().feed(queue.take(100)) == [b""]
    assert FrameSplitter().feed(queue.take(100)) == [bytes(300)], "one at least, however large"
    assert FrameSplitter().feed(queue.take(100)) == [bytes(5)]
    assert (len(queue), queue.bytes_waiting, queue.take(100)) == (0, 0, b"")
