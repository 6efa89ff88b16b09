"""The pure format and the rule: durable records come back or the scan says rot; a torn tail loses nothing else."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.storage.frames import (
    FORMAT_VERSION,
    FRAME_BYTES,
    HEADER_BYTES,
    LOST_RECORD,
    NO_DIGEST,
    Segment,
    SegmentHeader,
    decode_header,
    encode_frames,
    encode_header,
    salt_of,
    scan,
)

SECRET = bytes(range(16))
CLUSTER = b"c" * 32
Bodies = list[list[bytes]]  # batches, each synced


def header(generation: int = 0, part: int = 0, first: int = 1, durable: int = 0) -> bytes:
    return encode_header(
        SegmentHeader(FORMAT_VERSION, 2, generation, part, first, durable, 0, CLUSTER, NO_DIGEST, SECRET)
    )


def frames(
    batches: Bodies, generation: int = 0, part: int = 0, first: int = 1, durable: int | None = None
) -> bytes:
    """Each batch testifies to the ones before it, unless told what is durable."""
    salt = salt_of(SECRET, generation, part)
    data = b""
    for batch in batches:
        data += encode_frames(batch, first, first - 1 if durable is None else durable, salt)
        first += len(batch)
    return data


def flat(batches: Bodies) -> list[bytes]:
    return [body for batch in batches for body in batch]


BATCHES: Bodies = [[b"one", b""], [b"three" * 9], [b"four", b"\xf1rec\xf1rec", b"six"], [b"seven"]]


def test_a_header_comes_back_and_no_flipped_one_does() -> None:
    data = header(3, 4, 5, 2)
    found = decode_header(data)
    assert found is not None
    assert (found.generation, found.part, found.first, found.durable, found.secret) == (3, 4, 5, 2, SECRET)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode_header(bytes(flipped)) is None


@given(st.lists(st.lists(st.binary(max_size=60), min_size=1, max_size=4), max_size=6))
def test_what_was_written_is_read(batches: Bodies) -> None:
    result = scan([Segment(0, 0, header() + frames(batches))], SECRET)
    assert result.records == flat(batches)
    assert result.sequence == len(flat(batches))
    assert result.torn is None
    assert result.rot is None


def test_every_flipped_bit_of_a_durable_log_is_rot() -> None:
    data = header() + frames(BATCHES)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        result = scan([Segment(0, 0, bytes(flipped))], SECRET, len(flat(BATCHES)))
        assert result.rot is not None, f"bit {bit}"
        assert result.rot.offset <= bit // 8


def test_without_a_mark_the_frames_behind_testify() -> None:
    data = header() + frames(BATCHES)
    last = len(data) - FRAME_BYTES - len(b"seven")
    for bit in range(last * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert scan([Segment(0, 0, bytes(flipped))], SECRET).rot is not None, f"bit {bit}"


def test_a_cut_short_durable_log_is_rot() -> None:
    data = header() + frames(BATCHES)
    for length in range(len(data)):
        result = scan([Segment(0, 0, data[:length])], SECRET, len(flat(BATCHES)))
        assert result.rot is not None, f"cut at {length}"


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=3), max_size=4),
    st.lists(st.binary(max_size=300), min_size=1, max_size=8),
    st.data(),
)
def test_any_part_of_an_unsynced_tail_gives_a_prefix(synced: Bodies, tail: list[bytes], data: st.DataObject) -> None:
    """The sectors of the unsynced tail reach the disk in any order, or not, or as zeros."""
    durable = len(flat(synced))
    solid = header() + frames(synced)
    loose = bytearray(frames([[body] for body in tail], first=durable + 1, durable=durable))
    sector = 64
    for start in range(0, len(loose), sector):
        if data.draw(st.booleans()):
            end = min(start + sector, len(loose))
            loose[start:end] = bytes(end - start)
    length = data.draw(st.integers(0, len(loose)))
    result = scan([Segment(0, 0, solid + bytes(loose[:length]))], SECRET, durable)
    everything = flat(synced) + tail
    assert result.rot is None
    assert durable <= len(result.records)
    assert result.records == everything[: len(result.records)]
    if result.torn is not None:
        assert result.torn.offset >= len(solid)


def test_a_frame_behind_a_hole_proves_nothing_if_both_were_unsynced() -> None:
    solid = header() + frames([[b"a", b"b"]])
    hole = bytearray(frames([[b"lost"], [b"kept"]], first=3, durable=2))
    hole[:8] = bytes(8)
    result = scan([Segment(0, 0, solid + bytes(hole))], SECRET, 2)
    assert result.rot is None
    assert result.torn is not None
    assert result.torn.offset == len(solid)
    assert result.records == [b"a", b"b"]


def test_a_frame_behind_a_hole_that_quotes_it_as_durable_proves_rot() -> None:
    solid = header() + frames([[b"a", b"b"]])
    hole = bytearray(frames([[b"lost"], [b"kept"]], first=3))
    hole[:8] = bytes(8)
    result = scan([Segment(0, 0, solid + bytes(hole))], SECRET, 0)
    assert result.torn is None
    assert result.rot is not None
    assert result.rot.sequence == 3


def test_a_frame_forged_inside_a_body_proves_nothing() -> None:
    """A client that knows the format, but not the secret, cannot make a torn tail look like rot."""
    forged = encode_frames([b"x"], 9, 8, salt_of(b"guessed" + bytes(9), 0, 0))
    torn = frames([[forged * 3]], first=2, durable=1)[:-1]
    result = scan([Segment(0, 0, header() + frames([[b"a"]]) + torn)], SECRET, 1)
    assert result.rot is None
    assert result.torn is not None
    assert result.records == [b"a"]


def test_a_frame_of_another_segment_does_not_verify_here() -> None:
    stale = frames([[b"b"]], part=1, first=2)
    result = scan([Segment(0, 0, header() + frames([[b"a"]]) + stale)], SECRET, 1)
    assert result.records == [b"a"]
    assert result.torn is not None


def test_segments_and_generations_follow_one_another() -> None:
    log = [
        Segment(0, 0, header() + frames([[b"a"]])),
        Segment(0, 1, header(0, 1, 2, 1) + frames([[b"b"]], 0, 1, 2)),
        Segment(1, 0, header(1, 0, 3, 2) + frames([[b"c"]], 1, 0, 3)),
    ]
    assert scan(log, None).records == [b"a", b"b", b"c"]
    missing = scan([log[0], log[2]], None)
    assert missing.rot is not None
    assert missing.rot.sequence == 2
    assert scan(log[1:], None).rot is not None, "the generation's first segment is missing"
    assert scan(log[2:], None).records == [b"c"]
    truncated = Segment(0, 0, header())
    assert scan([truncated, *log[1:]], None).rot is not None


def test_a_segment_that_was_never_durable_may_be_missing() -> None:
    log = [
        Segment(0, 0, header() + frames([[b"a"]])),
        Segment(0, 2, header(0, 2, 3, 1) + frames([[b"c"]], 0, 2, 3, durable=1)),
    ]
    result = scan(log, SECRET, 1)
    assert result.rot is None
    assert result.torn is not None
    assert (result.torn.segment, result.torn.offset) == (1, 0)
    assert result.records == [b"a"]


def test_a_newest_segment_with_half_a_header_is_torn() -> None:
    first = Segment(0, 0, header() + frames([[b"a"]]))
    for length in range(HEADER_BYTES):
        for newest in (header(0, 1, 2, 1)[:length], bytes(length)):
            result = scan([first, Segment(0, 1, newest)], SECRET, 1)
            assert result.rot is None
            assert result.torn is not None
            assert (result.torn.segment, result.torn.offset) == (1, 0)
            assert result.records == [b"a"]


def test_zeros_at_the_end_are_room_to_spare_unless_what_was_there_was_durable() -> None:
    solid = header() + frames([[b"a"]])
    data = solid + bytes(4096)
    for mending in (False, True):
        spare = scan([Segment(0, 0, data)], SECRET, 1, mending)
        assert (spare.torn, spare.rot, spare.records, spare.ends) == (None, None, [b"a"], [len(solid)])
        assert scan([Segment(0, 0, data)], SECRET, 2, mending).rot is not None
    flipped = scan([Segment(0, 0, data[:-1] + b"\1")], SECRET, 1)
    assert flipped.torn is not None
    assert flipped.torn.offset == len(solid)


def test_zeros_before_another_segment_are_room_to_spare_if_no_record_is_missing() -> None:
    """The power failed before the first one was shortened for good."""
    first = Segment(0, 0, header() + frames([[b"a"]]) + bytes(4096))
    follows = Segment(0, 1, header(0, 1, 2, 1) + frames([[b"b"]], 0, 1, 2, durable=1))
    scanned = scan([first, follows], SECRET, 2)
    assert (scanned.rot, scanned.torn, scanned.records) == (None, None, [b"a", b"b"])
    lacking = Segment(0, 1, header(0, 1, 3, 2) + frames([[b"c"]], 0, 1, 3, durable=2))
    assert scan([first, lacking], SECRET, 2).rot is not None
    mended = scan([first, lacking], SECRET, 2, True)
    assert (mended.rot, mended.records) == (None, [b"a", LOST_RECORD, b"c"])


def test_a_length_beyond_the_limit_is_refused() -> None:
    salt = salt_of(SECRET, 0, 0)
    whole = encode_frames([b"x" * ((16 << 20) + 1)], 1, 0, salt)
    result = scan([Segment(0, 0, header() + whole)], SECRET)
    assert result.records == []
    assert result.torn is not None


def test_random_bytes_never_crash_the_scan() -> None:
    source = random.Random(5)
    solid = header() + frames(BATCHES)
    for _ in range(2000):
        data = bytearray(solid if source.random() < 0.7 else source.randbytes(source.randrange(300)))
        for _ in range(source.randrange(6)):
            if data:
                at = source.randrange(len(data))
                data[at : at + source.randrange(9)] = source.randbytes(source.randrange(9))
        secret = SECRET if source.random() < 0.8 else None
        result = scan([Segment(0, source.randrange(2), bytes(data))], secret, source.randrange(3))
        assert result.records == flat(BATCHES)[: len(result.records)]


FULL: Bodies = [[b"one", b"two"], [b"three" * 9], [b"four", b"\xf1rec\xf1rec", b"six"], [b"seven"]]


def test_whoever_can_mend_is_told_what_is_lost_and_gets_all_the_rest() -> None:
    """One bit anywhere between the header and the last frame; what was written at the end tells that it was durable."""
    data = header() + frames(FULL)
    bodies = flat(FULL)
    last = len(data) - FRAME_BYTES - len(bodies[-1])
    for bit in range(HEADER_BYTES * 8, last * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        result = scan([Segment(0, 0, bytes(flipped))], SECRET, 0, True)
        assert (result.rot, result.torn) == (None, None), f"bit {bit}"
        [damage] = result.passed
        assert len(result.records) == len(bodies)
        lost = [at for at, body in enumerate(result.records) if body == LOST_RECORD]
        assert lost == [damage.sequence - 1], f"bit {bit}"
        assert [body for at, body in enumerate(result.records) if at not in lost] == [
            body for at, body in enumerate(bodies) if at not in lost
        ]


def test_a_lost_end_of_a_segment_is_told_by_the_next_one() -> None:
    first, second = header() + frames(FULL), header(0, 1, 8, 7) + frames([[b"eight"]], 0, 1, 8)
    cut = first[: len(first) - len(b"seven") - FRAME_BYTES - len(b"six") - FRAME_BYTES + 3]
    result = scan([Segment(0, 0, cut), Segment(0, 1, second)], SECRET, 0, True)
    assert result.rot is None
    assert result.records == [*flat(FULL)[:5], LOST_RECORD, LOST_RECORD, b"eight"]
    assert result.sequence == 8


def test_what_nothing_readable_follows_is_rot_for_everybody() -> None:
    data = bytearray(header() + frames(FULL))
    data[-1] ^= 1
    assert scan([Segment(0, 0, bytes(data))], SECRET, 7, True).rot is not None
    torn = scan([Segment(0, 0, bytes(data))], SECRET, 6, True)
    assert torn.rot is None
    assert torn.torn is not None, "and what was never durable is cut off as ever"


def test_a_damaged_header_is_rot_for_everybody() -> None:
    data = bytearray(header() + frames(FULL))
    data[9] ^= 1
    assert scan([Segment(0, 0, bytes(data))], SECRET, 7, True).rot is not None


def test_damage_and_a_torn_tail_are_told_apart() -> None:
    """The second frame is lost and was durable; the last one was torn while it was written."""
    data = bytearray(header() + frames(FULL[:3]) + frames(FULL[3:], first=7)[:-2])
    data[HEADER_BYTES + FRAME_BYTES + 3 + FRAME_BYTES] ^= 1
    result = scan([Segment(0, 0, bytes(data))], SECRET, 6, True)
    assert result.rot is None
    assert result.torn is not None
    assert result.torn.sequence == 7
    assert result.records == [b"one", LOST_RECORD, *flat(FULL)[2:6]]
