"""A certified state reaches whoever asks, over lost answers, silent sources and lying ones, and only as certified."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.core.contract import Hint
from outvote.errors import Mistake
from outvote.machines import state_transfer
from outvote.machines.state_transfer import (
    ASKED_MAX,
    ASKED_OF_ONE_MAX,
    HELD_MAX,
    PART_BYTES,
    REST_NS,
    STALL_NS,
    Fetcher,
    FetchManifest,
    FetchPart,
    Manifest,
    Part,
    Server,
    manifest_digest,
)
from outvote.types import SECOND, Digest

Answer = Callable[[int, Hint], list[Hint]]


def state(parts: int, extra: int = 5) -> bytes:
    return b"".join(bytes([index % 251]) * PART_BYTES for index in range(parts)) + b"e" * extra


def server_of(data: bytes, position: int = 10) -> tuple[Server, Digest]:
    server, digest = Server(), manifest_digest(data)
    server.hold(position, digest, data)
    return server, digest


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


@pytest.mark.parametrize("data", [b"", b"x", state(1, 0), state(3), state(20)])
def test_a_state_arrives_whole(data: bytes) -> None:
    server, digest = server_of(data)
    fetcher = Fetcher(10, digest, [1, 2, 3])
    asked = run(fetcher, dict.fromkeys((1, 2, 3), server.answer))
    assert fetcher.done == data
    assert len(asked) == 1 + -(-len(data) // PART_BYTES)
    assert fetcher.tick(1 << 50) == []
    assert fetcher.receive(1, Part(10, 0, b"")) == []


def test_few_parts_are_asked_for_at_once_and_of_one_source() -> None:
    server, digest = server_of(state(40))
    fetcher = Fetcher(10, digest, [1, 2, 3])
    ((source, hint),) = fetcher.start()
    (manifest,) = server.answer(0, hint)
    asked = fetcher.receive(source, manifest)
    assert len(asked) == ASKED_MAX
    assert max([one for one, _ in asked].count(source) for source in (1, 2, 3)) <= ASKED_OF_ONE_MAX
    alone = Fetcher(10, digest, [1])
    assert len(alone.receive(1, manifest)) == ASKED_OF_ONE_MAX
    assert alone.tick(0) == []
    (answer,) = server.answer(0, FetchPart(10, digest, 0))
    assert len(alone.receive(1, answer)) == 1


def test_a_silent_source_is_passed_over_after_a_stall() -> None:
    server, digest = server_of(state(6))
    fetcher = Fetcher(10, digest, [1, 2, 3])
    asked = run(fetcher, {1: silent, 2: silent, 3: server.answer})
    assert fetcher.done == state(6)
    first = [source for source, hint in asked if isinstance(hint, FetchManifest)]
    assert first == [1, 2, 3]


def test_a_stall_is_counted_from_the_question_and_rests_the_source() -> None:
    server, digest = server_of(state(1))
    fetcher = Fetcher(10, digest, [1, 2])
    assert [source for source, _ in fetcher.start()] == [1]
    later = 1 << 50
    assert fetcher.tick(later) == []  # the first tick only stamps the question
    assert fetcher.tick(later + STALL_NS - 1) == []
    assert [source for source, _ in fetcher.tick(later + STALL_NS)] == [2]
    fetcher.tick(later + STALL_NS)
    assert [source for source, _ in fetcher.tick(later + 2 * STALL_NS)] == [1]  # both rest: go on all the same
    fetcher.tick(later + 2 * STALL_NS + REST_NS)
    (manifest,) = server.answer(0, FetchManifest(10, digest))
    assert len(fetcher.receive(2, manifest)) == 2  # a late answer is as good as any


def test_a_source_that_stalled_is_spared_for_a_while() -> None:
    server, digest = server_of(state(30))
    fetcher = Fetcher(10, digest, [1, 2])
    ((source, hint),) = fetcher.start()
    asked = fetcher.receive(source, server.answer(0, hint)[0])
    fetcher.tick(0)
    kept = [hint for source, hint in asked if source == 2]
    for hint in kept:
        asked = fetcher.receive(2, server.answer(0, hint)[0])
    assert fetcher.tick(STALL_NS) == []  # 1 stalled and rests, 2 has its fill
    (more,) = fetcher.receive(2, server.answer(0, asked[0][1])[0])
    assert more[0] == 2
    assert {source for source, _ in fetcher.tick(STALL_NS + REST_NS)} == {1}


def lie_in_manifest(server: Server) -> Answer:
    def answer(sender: int, hint: Hint) -> list[Hint]:
        answers = server.answer(sender, hint)
        return [
            Manifest(one.position, one.total_bytes + 1, one.parts) if isinstance(one, Manifest) else one
            for one in answers
        ]

    return answer


def lie_in_part(server: Server) -> Answer:
    def answer(sender: int, hint: Hint) -> list[Hint]:
        answers = server.answer(sender, hint)
        return [Part(one.position, one.index, b"?" + one.data[1:]) if isinstance(one, Part) else one for one in answers]

    return answer


def lie_in_index(server: Server) -> Answer:
    def answer(sender: int, hint: Hint) -> list[Hint]:
        answers = server.answer(sender, hint)
        return [Part(one.position, one.index + 1000, one.data) if isinstance(one, Part) else one for one in answers]

    return answer


@pytest.mark.parametrize("lie", [lie_in_manifest, lie_in_part, lie_in_index])
def test_a_lying_source_is_found_out_and_not_asked_again(lie: Callable[[Server], Answer]) -> None:
    server, digest = server_of(state(9))
    lied: list[bool] = []
    liar = lie(server)

    def watched(sender: int, hint: Hint) -> list[Hint]:
        answers = liar(sender, hint)
        lied.append(answers != server.answer(sender, hint))
        return answers

    fetcher = Fetcher(10, digest, [1, 2])
    run(fetcher, {1: watched, 2: server.answer})
    assert fetcher.done == state(9)
    # What was on its way when the first lie arrived is answered too; nothing is asked after that.
    assert lied.index(True) + ASKED_OF_ONE_MAX >= len(lied)


def test_with_liars_only_nothing_is_ever_accepted_and_nobody_gives_up() -> None:
    server, digest = server_of(state(2))
    fetcher = Fetcher(10, digest, [1, 2])
    ((source, _),) = fetcher.start()
    good = server.answer(0, FetchManifest(10, digest))
    for _ in range(6):
        ((source, hint),) = fetcher.receive(source, lie_in_manifest(server)(0, FetchManifest(10, digest))[0])
        assert isinstance(hint, FetchManifest)
    assert fetcher.done is None
    assert len(fetcher.receive(source, good[0])) == 3


def test_what_was_not_asked_for_is_ignored() -> None:
    server, digest = server_of(state(2))
    fetcher = Fetcher(10, digest, [1])
    fetcher.start()
    (manifest,) = server.answer(0, FetchManifest(10, digest))
    (part,) = server.answer(0, FetchPart(10, digest, 0))
    assert isinstance(manifest, Manifest)
    assert fetcher.receive(7, manifest) == []  # not a source
    assert fetcher.receive(1, part) == []  # before the manifest
    assert fetcher.receive(1, Manifest(9, manifest.total_bytes, manifest.parts)) == []  # another position
    assert fetcher.receive(1, FetchManifest(10, digest)) == []
    assert len(fetcher.receive(1, manifest)) == 3
    fetcher.receive(1, part)
    assert fetcher.receive(1, part) == []  # twice
    assert fetcher.done is None
    with pytest.raises(Mistake):
        Fetcher(10, digest, [])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["good", "lost", "lie", "twice"]), max_size=60), st.integers(0, 6))
def test_any_mixture_of_loss_and_lies_ends_with_the_certified_bytes(fates: list[str], parts: int) -> None:
    """One source of three is honest and, from some time on, heard."""
    server, digest = server_of(state(parts))
    script = iter(fates)

    def unreliable(sender: int, hint: Hint) -> list[Hint]:
        fate = next(script, "good")
        good = server.answer(sender, hint)
        return {"good": good, "lost": [], "twice": good * 2, "lie": lie_in_part(server)(sender, hint)}[fate]

    def lossy(sender: int, hint: Hint) -> list[Hint]:
        return [] if next(script, "good") == "lost" else server.answer(sender, hint)

    fetcher = Fetcher(10, digest, [1, 2, 3])
    run(fetcher, {1: unreliable, 2: unreliable, 3: lossy}, seconds=400)
    assert fetcher.done == state(parts)


def test_a_server_answers_only_for_what_it_holds() -> None:
    server, digest = server_of(state(2))
    assert server.answer(0, FetchManifest(11, digest)) == []
    assert server.answer(0, FetchManifest(10, bytes(32))) == []
    for index in (-1, 3, 1 << 60):
        assert server.answer(0, FetchPart(10, digest, index)) == []
    assert server.answer(0, Part(10, 0, b"")) == []
    assert server.answer(0, FetchPart(10, digest, 2)) == [Part(10, 2, b"e" * 5)]


def test_a_server_keeps_two_stable_snapshots_and_little_else() -> None:
    server = Server()

    def hold(position: int) -> None:
        data = b"%d" % position
        server.hold(position, manifest_digest(data), data)

    def held() -> list[int]:
        return [position for position in range(100) if server.data(position) is not None]

    for position in (1, 2, 3):
        hold(position)
    hold(3)
    assert held() == [1, 2, 3]
    server.settle(2)
    assert held() == [2, 3]
    server.settle(3)
    assert held() == [2, 3]
    for position in (4, 5, 6, 7, 8):
        hold(position)
    assert len(held()) == HELD_MAX
    assert 3 in held()  # the newest certified one must stay: it is what the others ask for
    server.settle(8)
    assert held() == [3, 8]
    with pytest.raises(AssertionError):
        server.hold(9, bytes(32), b"wrong digest")


def test_every_byte_and_the_length_are_under_the_digest() -> None:
    data = state(2)
    digests = [
        manifest_digest(one)
        for one in (
            data,
            data[:-1],
            data + b"e",
            b"?" + data[1:],
            data[:-1] + b"?",
            data[PART_BYTES:] + data[:PART_BYTES],
        )
    ]
    assert len(set(digests)) == len(digests)


def test_a_state_too_large_to_be_handed_over_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_transfer, "PARTS_MAX", 1)
    with pytest.raises(Mistake, match="grown to"):
        manifest_digest(state(1, 1))
    assert len(manifest_digest(state(1, 0))) == 32
