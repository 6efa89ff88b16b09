"""However a stream is cut into chunks, the same frames come out; too large a frame is a Lie before it is kept."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.errors import Lie
from outvote.wire.frames import FRAME_BYTES_MAX, FrameSplitter, frame


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_any_cutting_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frame(body) for body in bodies)
    splitter = FrameSplitter()
    out: list[bytes] = []
    turn = 0
    while stream:
        size = cuts[turn % len(cuts)]
        out += splitter.feed(stream[:size])
        stream = stream[size:]
        turn += 1
    assert out == bodies


def test_many_frames_in_one_chunk_and_one_frame_in_many_chunks() -> None:
    bodies = [bytes([number % 256]) * number for number in range(300)]
    assert FrameSplitter().feed(b"".join(map(frame, bodies))) == bodies
    large = random.Random(1).randbytes(FRAME_BYTES_MAX)
    splitter, stream, out = FrameSplitter(), frame(large) + frame(b"after"), []
    for start in range(0, len(stream), 16_384):
        out += splitter.feed(stream[start : start + 16_384])
    assert out == [large, b"after"]


def test_a_frame_too_large_is_refused_by_its_length_alone() -> None:
    with pytest.raises(Lie, match="a frame of 4294967295 bytes"):
        FrameSplitter().feed(b"\xff\xff\xff\xff")
    with pytest.raises(Lie, match=f"a frame of {FRAME_BYTES_MAX + 1} bytes"):
        FrameSplitter().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    splitter = FrameSplitter(10)
    assert splitter.feed(frame(b"0123456789") + b"\0\0") == [b"0123456789"]
    with pytest.raises(Lie, match="a frame of 11 bytes, where 10 are allowed"):
        splitter.feed(b"\0\x0b")


def test_bytes_one_at_a_time_cost_no_more_than_the_frame() -> None:
    splitter = FrameSplitter()
    pair = bytes(range(2))
    splitter.feed((FRAME_BYTES_MAX).to_bytes(4, "big"))
    tracemalloc.start()
    for _ in range(20_000):
        splitter.feed(pair + b"")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3 * 40_000
