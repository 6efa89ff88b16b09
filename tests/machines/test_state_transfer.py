"""A certified state reaches whoever asks, over lost answers, silent sources and lying ones, and only as certified; what
was the same already does not travel."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.core.contract import Hint
from outvote.errors import Mistake
from outvote.machines.fetcher import Fetcher
from outvote.machines.merkle_image import pages, salvage
from outvote.machines.merkle_map import EMPTY, VALUE_BYTES_MAX, MerkleMap, Record, key_of, leaf_of, path_of, record_of
from outvote.machines.state_transfer import (
    ASKED_OF_ONE_MAX,
    RESTS,
    STALL_NS,
    Ask,
    FetchNodes,
    Found,
    Nodes,
    Server,
)
from outvote.types import MILLISECOND, SECOND

Answer = Callable[[int, Hint], list[Hint]]
Forge = Callable[[Found], Found]


def state_of(leaves: int, size: int = 40) -> MerkleMap:
    return EMPTY.update({b"key %d" % index: b"%d " % index * (size // 4) for index in range(leaves)})


def server_of(state: MerkleMap, position: int = 10) -> Server:
    server = Server()
    server.hold(position, state)
    return server


def run(fetcher: Fetcher, sources: dict[int, Answer], seconds: int = 60) -> list[tuple[int, Hint]]:
    """Every answer arrives at once, in order; a second passes whenever nothing is on its way."""
    asked: list[tuple[int, Hint]] = []
    pending = fetcher.start()
    now = 0
    while fetcher.done is None and now < seconds:
        while pending:
            source, hint = pending.pop(0)
            asked.append((source, hint))
            for answer in sources[source](source, hint):
                pending.extend(fetcher.receive(source, answer))
        now += 1
        pending = fetcher.tick(now * SECOND)
    return asked


def silent(_: int, __: Hint) -> list[Hint]:
    return []


STATES = (EMPTY, state_of(1), state_of(20), state_of(3000), state_of(5, VALUE_BYTES_MAX), state_of(400, 1500))


@pytest.mark.parametrize("base", STATES)
@pytest.mark.parametrize("state", STATES)
def test_a_state_arrives_whole_whatever_was_there_before(state: MerkleMap, base: MerkleMap) -> None:
    server = server_of(state)
    fetcher = Fetcher(10, state.digest, [1, 2, 3], base)
    run(fetcher, dict.fromkeys((1, 2, 3), server.answer))
    assert fetcher.done == state
    assert list(fetcher.done.leaves()) == list(state.leaves())
    assert fetcher.tick(1 << 50) == []
    assert fetcher.receive(1, Nodes(10, 1, ())) == []
    if base == state:
        assert fetcher.start() == []


CONTENT = st.dictionaries(st.binary(max_size=2), st.binary(max_size=2), max_size=40)


@settings(max_examples=100, deadline=None)
@given(CONTENT, CONTENT)
def test_any_state_becomes_any_other(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> None:
    base, state = EMPTY.update(dict(before)), EMPTY.update(dict(after))
    fetched: list[Record] = []
    fetcher = Fetcher(10, state.digest, [1], base, fetched.extend)
    run(fetcher, {1: server_of(state).answer})
    assert fetcher.done == state
    changed = {key for key, value in after.items() if before.get(key) != value}
    assert changed <= {*map(key_of, fetched)}, "and perhaps others that moved together with them"
    assert fetcher.leaves_fetched == len(fetched)


def encoded_bytes(hints: list[Hint]) -> int:
    return sum(len(msgspec.msgpack.encode(hint)) for hint in hints)


def test_a_small_difference_costs_little() -> None:
    base = state_of(20_000, 120)
    rng = Random(7)
    changed = {b"key %d" % index: b"changed " * 15 for index in rng.sample(range(20_000), 200)}
    state = base.update({**changed, b"key 7": None, b"new": b"x"})
    server = server_of(state)
    answers: list[Hint] = []

    def watched(sender: int, hint: Hint) -> list[Hint]:
        found = server.answer(sender, hint)
        answers.extend(found)
        return found

    fetcher = Fetcher(10, state.digest, [1, 2], base)
    asked = run(fetcher, {1: watched, 2: watched})
    assert fetcher.done == state
    moved = encoded_bytes(answers) + encoded_bytes([hint for _, hint in asked])
    assert moved < 0.03 * state.size_bytes, "of which 1 % is the difference itself"
    assert fetcher.leaves_fetched <= 205


def test_a_silent_source_is_passed_over_after_a_stall() -> None:
    state = state_of(600)
    fetcher = Fetcher(10, state.digest, [1, 2, 3])
    asked = run(fetcher, {1: silent, 2: silent, 3: server_of(state).answer})
    assert fetcher.done == state
    assert [source for source, hint in asked][:3] == [1, 2, 3]


def test_a_stall_is_counted_from_the_question_and_rests_the_source() -> None:
    state = state_of(600)
    fetcher = Fetcher(10, state.digest, [1, 2])
    (first,) = fetcher.start()
    assert first[0] == 1
    later = 1 << 50
    assert fetcher.tick(later) == []  # the first tick only stamps the question
    assert fetcher.tick(later + STALL_NS - 1) == []
    assert [source for source, _ in fetcher.tick(later + STALL_NS)] == [2]
    fetcher.tick(later + STALL_NS)
    assert [source for source, _ in fetcher.tick(later + 2 * STALL_NS)] == [1]  # both rest: go on all the same
    fetcher.tick(later + 2 * STALL_NS + RESTS * STALL_NS)
    assert len(fetcher.receive(2, server_of(state).answer(0, first[1])[0])) == 1  # a late answer is as good as any


def test_whoever_fetches_may_have_less_patience_and_never_more() -> None:
    for patience_ns, stall_ns in ((60 * MILLISECOND, 60 * MILLISECOND), (60 * SECOND, STALL_NS)):
        fetcher = Fetcher(10, state_of(600).digest, [1, 2], stall_ns=patience_ns)
        fetcher.start()
        fetcher.tick(0)
        assert fetcher.tick(stall_ns - 1) == []
        assert [source for source, _ in fetcher.tick(stall_ns)] == [2]


# ---------------------------------------------------------------------- lies


def other_value(found: Found) -> Found:
    records = tuple(record_of(key, value + b"?") for key, value in map(leaf_of, found.records))
    return msgspec.structs.replace(found, records=records)


def no_leaves(found: Found) -> Found:
    return msgspec.structs.replace(found, records=())


def leaf_twice(found: Found) -> Found:
    return msgspec.structs.replace(found, records=(*found.records, *found.records))


def leaf_elsewhere(found: Found) -> Found:
    return msgspec.structs.replace(found, records=(*found.records, record_of(b"elsewhere", b"")))


def huge_leaf(found: Found) -> Found:
    return msgspec.structs.replace(found, records=(record_of(b"huge", bytes(VALUE_BYTES_MAX + 1)),))


def other_digest(found: Found) -> Found:
    return msgspec.structs.replace(found, digests=found.digests[:-1] + b"?" if found.digests else bytes(33))


def cut_digest(found: Found) -> Found:
    return msgspec.structs.replace(found, digests=found.digests + b"\0")


def other_bitmap(found: Found) -> Found:
    return msgspec.structs.replace(found, bitmap=found.bitmap ^ 1)


def impossible_bitmap(found: Found) -> Found:
    return msgspec.structs.replace(found, bitmap=-1)


def wide_bitmap(found: Found) -> Found:
    return msgspec.structs.replace(found, bitmap=found.bitmap | 1 << 16)


def uncounted_leaf(found: Found) -> Found:
    """A leaf in a slot that the node does not have, beside all that it has."""
    for number in range(100_000):
        key = b"%d" % number
        path = path_of(key)
        if path.startswith(found.path) and not found.bitmap & 1 << int(path[len(found.path)], 16):
            records = (*found.records, record_of(key, b"forged"))
            return msgspec.structs.replace(found, bitmap=found.bitmap or 1, records=records)
    return other_value(found)


def leaf_beside_digest(found: Found) -> Found:
    """The digest is the right one, and a forged leaf is offered for the same slot."""
    if not found.digests:
        return other_value(found)
    for number in range(100_000):
        key = b"%d" % number
        path = path_of(key)
        if path.startswith(found.path) and int(path[len(found.path)], 16) == found.digests[0]:
            return msgspec.structs.replace(found, records=(*found.records, record_of(key, b"forged")))
    return other_value(found)


LIES: tuple[Forge, ...] = (
    other_value, no_leaves, leaf_twice, leaf_elsewhere, huge_leaf, other_digest, cut_digest, other_bitmap,
    impossible_bitmap, wide_bitmap, uncounted_leaf, leaf_beside_digest,
)  # fmt: skip


def lying(server: Server, forge: Forge) -> Answer:
    def answer(sender: int, hint: Hint) -> list[Hint]:
        return [
            msgspec.structs.replace(one, found=tuple(map(forge, one.found))) if isinstance(one, Nodes) else one
            for one in server.answer(sender, hint)
        ]

    return answer


@pytest.mark.parametrize("forge", LIES)
@pytest.mark.parametrize("base", [EMPTY, state_of(2500)])
def test_a_lying_source_is_found_out_and_not_asked_again(forge: Forge, base: MerkleMap) -> None:
    state = state_of(4000)
    server = server_of(state)
    lied: list[bool] = []
    taken: list[Record] = []
    liar = lying(server, forge)

    def watched(sender: int, hint: Hint) -> list[Hint]:
        answers = liar(sender, hint)
        lied.append(answers != server.answer(sender, hint))
        return answers

    order = [1, 3, 2] if base == EMPTY else [1, 2, 3]  # so that the liars are asked for leaves
    fetcher = Fetcher(10, state.digest, order, base, taken.extend)
    run(fetcher, {1: watched, 2: server.answer, 3: watched})
    assert fetcher.done == state
    assert all(state.get(key) == value for key, value in map(leaf_of, taken)), "nothing unverified is kept for a moment"
    # A first lie about what it knew may be an accident; what was on its way is answered too; nothing after that.
    assert True in lied
    assert lied.index(True) + 2 * 2 * ASKED_OF_ONE_MAX >= len(lied)


@pytest.mark.parametrize("forge", LIES)
def test_with_liars_only_nothing_is_ever_accepted_and_nobody_gives_up(forge: Forge) -> None:
    state = state_of(2000)
    server = server_of(state)
    fetcher = Fetcher(10, state.digest, [1, 2])
    run(fetcher, dict.fromkeys((1, 2), lying(server, lambda found: forge(other_digest(found)))), seconds=9)
    assert fetcher.done is None
    assert fetcher.state == EMPTY
    run(fetcher, dict.fromkeys((1, 2), server.answer))
    assert fetcher.done == state, "they were asked again, and had thought better of it"


@pytest.mark.parametrize("alike", ["nodes", "leaves"])
def test_what_looks_alike_and_is_not_is_asked_for_in_full(alike: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many digests have the same first bytes that some node, or leaf, seems to be here already."""
    if alike == "nodes":
        monkeypatch.setattr("outvote.machines.state_transfer.HINT_BYTES", 0)
    else:
        monkeypatch.setattr("outvote.machines.state_transfer.hint_of", lambda record: b"\0\0")
    base, state = state_of(2000), state_of(2000).update({b"key 5": b"other"})
    fetcher = Fetcher(10, state.digest, [1, 2], base)
    run(fetcher, dict.fromkeys((1, 2), server_of(state).answer), seconds=200)
    assert fetcher.done == state
    assert fetcher.leaves_fetched < 150, "one bucket of it"


def test_what_was_not_asked_for_is_ignored() -> None:
    state = state_of(2000)
    server = server_of(state)
    fetcher = Fetcher(10, state.digest, [1])
    ((_, question),) = fetcher.start()
    (nodes,) = server.answer(0, question)
    assert isinstance(nodes, Nodes)
    assert fetcher.receive(7, nodes) == []  # not a source
    assert fetcher.receive(1, msgspec.structs.replace(nodes, position=9)) == []
    assert fetcher.receive(1, question) == []
    (deeper,) = server.answer(0, FetchNodes(10, state.digest, 9, (Ask("0", b"", b""),)))
    assert fetcher.receive(1, deeper) == []  # before the node above it
    assert fetcher.state == EMPTY
    assert len(fetcher.receive(1, nodes)) == 1
    assert fetcher.receive(1, nodes) == []  # twice
    assert fetcher.receive(1, Nodes(10, 2, ())) == [], "an empty answer is none: the question stalls"
    assert fetcher.done is None
    with pytest.raises(Mistake):
        Fetcher(10, state.digest, [])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["good", "lost", "lie", "twice"]), max_size=60), st.sampled_from(STATES),
    st.sampled_from(STATES), st.sampled_from(LIES),
)  # fmt: skip
def test_any_mixture_of_loss_and_lies_ends_with_the_certified_state(
    fates: list[str], state: MerkleMap, base: MerkleMap, forge: Forge
) -> None:
    """One source of three is honest and, from some time on, heard."""
    server = server_of(state)
    script = iter(fates)

    def unreliable(sender: int, hint: Hint) -> list[Hint]:
        fate = next(script, "good")
        good = server.answer(sender, hint)
        return {"good": good, "lost": [], "twice": good * 2, "lie": lying(server, forge)(sender, hint)}[fate]

    def lossy(sender: int, hint: Hint) -> list[Hint]:
        return [] if next(script, "good") == "lost" else server.answer(sender, hint)

    fetcher = Fetcher(10, state.digest, [1, 2, 3], base)
    run(fetcher, {1: unreliable, 2: unreliable, 3: lossy}, seconds=400)
    assert fetcher.done == state


# ---------------------------------------------------------------------- going on


def test_a_newer_state_goes_on_from_what_was_fetched_of_the_older_one() -> None:
    """While it was under way, the sources went on, and forgot the state that was being fetched."""
    older = state_of(3000, 800)
    newer = older.update({b"key %d" % index: b"newer" for index in range(30)})
    server = server_of(older)
    fetcher = Fetcher(10, older.digest, [1])
    pending = fetcher.start()
    while len(fetcher.state) < 1000:
        source, hint = pending.pop(0)
        for answer in server.answer(source, hint):
            pending += fetcher.receive(source, answer)
    assert fetcher.done is None
    here = len(fetcher.state)
    assert here < 2900
    after = Fetcher(11, newer.digest, [1], fetcher.state)
    run(after, {1: server_of(newer, 11).answer})
    assert after.done == newer
    assert after.leaves_fetched <= 3000 - here + 30


def test_after_a_crash_what_arrived_is_not_fetched_again() -> None:
    """What is on the disk by then: an old state, and the leaves that arrived, the last page cut off."""
    old, state = state_of(1000, 800), state_of(3000, 800)
    saved: list[bytes] = []

    def keep(records: list[Record]) -> None:
        saved.extend(pages(records))

    server = server_of(state)
    fetcher = Fetcher(10, state.digest, [1], old, keep)
    pending = fetcher.start()
    while len(fetcher.state) < 2000:
        source, hint = pending.pop(0)
        for answer in server.answer(source, hint):
            pending += fetcher.receive(source, answer)
    left = salvage(b"".join(saved)[:-100])
    again = Fetcher(10, state.digest, [1], old.update({leaf.key: leaf.value for leaf in left.leaves()}))
    run(again, {1: server.answer})
    assert again.done == state
    assert again.leaves_fetched < 1300


def test_a_server_answers_only_for_what_it_holds() -> None:
    state = state_of(100)
    server = server_of(state)
    root = (Ask("", b"", b""),)
    assert server.answer(0, FetchNodes(11, state.digest, 1, root)) == []
    assert server.answer(0, FetchNodes(10, bytes(32), 1, root)) == []
    assert server.answer(0, FetchNodes(10, state.digest, 1, ())) == []
    assert server.answer(0, Nodes(10, 1, ())) == []
    assert len(server.answer(0, FetchNodes(10, state.digest, 1, root))) == 1
