"""State transfer step by step: which snapshots a server keeps, and what a fetcher makes of late and bad answers."""

from __future__ import annotations

from outvote.core.contract import Hint
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
from outvote.types import Digest


def held(server: Server) -> list[int]:
    return [position for position in range(100) if server.data(position) is not None]


def hold(server: Server, *positions: int) -> None:
    for position in positions:
        data = b"%d" % position
        server.hold(position, manifest_digest(data), data)


# ---------------------------------------------------------------------- the server


def test_the_oldest_snapshot_goes_first_in_whatever_order_they_came() -> None:
    server = Server()
    hold(server, *range(9, 9 - HELD_MAX, -1))
    assert held(server) == list(range(10 - HELD_MAX, 10))
    hold(server, 20)
    assert held(server) == [*range(11 - HELD_MAX, 10), 20]
    assert list(server.sizes()) == [("snapshots served", HELD_MAX, HELD_MAX)]


def test_the_only_stable_snapshot_stays_wherever_it_stands() -> None:
    server = Server()
    hold(server, 5)
    server.settle(5)
    hold(server, *range(6, 6 + HELD_MAX))
    assert held(server) == [5, *range(7, 6 + HELD_MAX)], "the second oldest goes instead"
    server = Server()
    hold(server, 5)
    server.settle(5)
    hold(server, 3, *range(6, 4 + HELD_MAX))
    assert held(server) == [3, 5, *range(6, 4 + HELD_MAX)]
    hold(server, 50)
    assert held(server) == [5, *range(6, 4 + HELD_MAX), 50], "an older one that is not stable goes"


def test_of_two_stable_snapshots_the_older_may_go() -> None:
    server = Server()
    hold(server, 1, 2)
    server.settle(1)
    server.settle(2)
    assert held(server) == [1, 2]
    hold(server, *range(10, 9 + HELD_MAX))
    assert held(server) == [2, *range(10, 9 + HELD_MAX)]


def test_settling_keeps_two_stable_ones_and_what_came_after() -> None:
    server = Server()
    server.settle(7)
    hold(server, 1, 2, 3)
    server.settle(1)
    server.settle(2)
    assert held(server) == [1, 2, 3]
    server.settle(3)
    assert held(server) == [2, 3]
    hold(server, 4, 5)
    server.settle(5)
    assert held(server) == [3, 5], "4 was never certified"
    server.settle(9)
    assert held(server) == [3, 5]


# ---------------------------------------------------------------------- the fetcher


def state(parts: int) -> bytes:
    return b"".join(bytes([index]) * PART_BYTES for index in range(parts))


def fetching(parts: int, *sources: int) -> tuple[Fetcher, Server, Digest]:
    data = state(parts)
    server, digest = Server(), manifest_digest(data)
    server.hold(10, digest, data)
    return Fetcher(10, digest, sources), server, digest


def part(server: Server, digest: Digest, index: int) -> Hint:
    (answer,) = server.answer(0, FetchPart(10, digest, index))
    return answer


def manifest(server: Server, digest: Digest) -> Manifest:
    (answer,) = server.answer(0, FetchManifest(10, digest))
    assert isinstance(answer, Manifest)
    return answer


def indexes(questions: list[tuple[int, Hint]]) -> list[tuple[int, int]]:
    return [(source, hint.index) for source, hint in questions if isinstance(hint, FetchPart)]


def test_questions_go_round_the_sources_up_to_the_limits() -> None:
    fetcher, server, digest = fetching(40, 1, 2, 3)
    ((first, _),) = fetcher.start()
    assert first == 1
    assert list(fetcher.sizes()) == [("questions", 1, ASKED_MAX), ("parts", 0, 0)]
    asked = indexes(fetcher.receive(1, manifest(server, digest)))
    assert [index for _, index in asked] == list(range(min(ASKED_MAX, 3 * ASKED_OF_ONE_MAX)))
    assert [source for source, _ in asked] == [(2, 3, 1)[turn % 3] for turn in range(len(asked))]
    assert list(fetcher.sizes()) == [("questions", len(asked), ASKED_MAX), ("parts", 0, 40)]
    (more,) = indexes(fetcher.receive(3, part(server, digest, 1)))
    assert more == (1, len(asked)), "of the two that are the least busy, whose turn it is"
    (more,) = indexes(fetcher.receive(1, part(server, digest, 2)))
    assert more == (3, len(asked) + 1), "2, whose turn it would be, is busier"
    assert list(fetcher.sizes())[1] == ("parts", 2, 40)


def test_no_source_is_asked_more_than_its_share() -> None:
    fetcher, server, digest = fetching(40, 1)
    fetcher.start()
    assert len(fetcher.receive(1, manifest(server, digest))) == ASKED_OF_ONE_MAX
    assert ("questions", ASKED_OF_ONE_MAX, ASKED_MAX) in fetcher.sizes()


def test_a_manifest_is_taken_once() -> None:
    fetcher, server, digest = fetching(3, 1, 2)
    fetcher.start()
    assert len(fetcher.receive(1, manifest(server, digest))) == 3
    assert fetcher.receive(2, manifest(server, digest)) == []
    assert ("questions", 3, ASKED_MAX) in fetcher.sizes()


def test_when_all_is_there_nothing_is_taken_any_more() -> None:
    fetcher, server, digest = fetching(2, 1, 2)
    fetcher.start()
    fetcher.receive(1, manifest(server, digest))
    for index in (1, 0):
        fetcher.receive(1, part(server, digest, index))
    assert fetcher.done == state(2)
    assert fetcher.receive(2, part(server, digest, 1)) == []
    assert fetcher.receive(2, manifest(server, digest)) == []
    assert fetcher.tick(1 << 60) == []
    assert fetcher.done == state(2)


def test_nothing_of_a_liar_is_taken_and_what_it_was_asked_is_asked_of_others() -> None:
    fetcher, server, digest = fetching(4, 1, 2)
    fetcher.start()
    asked = indexes(fetcher.receive(1, manifest(server, digest)))
    liars = [index for source, index in asked if source == 2]
    again = indexes(fetcher.receive(2, Part(10, liars[0], b"?")))
    assert sorted(again) == [(1, index) for index in liars]
    assert fetcher.receive(2, part(server, digest, liars[0])) == [], "true, and too late"
    assert ("parts", 0, 4) in fetcher.sizes()
    for index in range(4):
        fetcher.receive(1, part(server, digest, index))
    assert fetcher.done == state(4)


def test_a_part_is_placed_by_its_index_within_the_manifest() -> None:
    fetcher, server, digest = fetching(2, 1, 2, 3)
    fetcher.start()
    fetcher.receive(1, manifest(server, digest))
    last = part(server, digest, 1)
    assert isinstance(last, Part)
    fetcher.receive(2, Part(10, -1, last.data))
    fetcher.receive(3, Part(10, 2, last.data))
    assert fetcher.receive(1, Part(9, 1, b"?")) == [], "of another state: no lie about this one"
    fetcher.receive(1, last)
    fetcher.receive(1, part(server, digest, 0))
    assert fetcher.done == state(2)


def test_a_late_answer_to_a_question_that_was_taken_back_counts() -> None:
    fetcher, server, digest = fetching(1, 1, 2)
    fetcher.start()
    (first,) = indexes(fetcher.receive(1, manifest(server, digest)))
    fetcher.tick(0)
    (second,) = indexes(fetcher.tick(STALL_NS))
    assert first[0] != second[0]
    assert fetcher.receive(first[0], part(server, digest, 0)) == []
    assert fetcher.done == state(1)


def test_a_part_that_came_late_is_not_asked_for_again() -> None:
    fetcher, server, digest = fetching(ASKED_OF_ONE_MAX + 1, 1)
    fetcher.start()
    fetcher.receive(1, manifest(server, digest))
    fetcher.tick(0)
    asked = [index for _, index in indexes(fetcher.tick(STALL_NS))]
    (left,) = [index for index in range(ASKED_OF_ONE_MAX + 1) if index not in asked]
    assert fetcher.receive(1, part(server, digest, left)) == []
    for index in asked:
        assert fetcher.receive(1, part(server, digest, index)) == []
    assert fetcher.done == state(ASKED_OF_ONE_MAX + 1)


def test_a_source_rests_until_its_time_is_over() -> None:
    fetcher, _, _ = fetching(1, 1, 2, 3)
    assert [source for source, _ in fetcher.start()] == [1]
    fetcher.tick(0)
    assert [source for source, _ in fetcher.tick(STALL_NS)] == [2]
    fetcher.tick(STALL_NS)
    assert [source for source, _ in fetcher.tick(2 * STALL_NS)] == [3]
    fetcher.tick(2 * STALL_NS)
    assert REST_NS >= 2 * STALL_NS, "so that all three rest now"
    assert [source for source, _ in fetcher.tick(3 * STALL_NS)] == [1]


def test_who_rests_is_not_asked_while_another_is_awake() -> None:
    fetcher, server, digest = fetching(20, 1, 2)
    fetcher.start()
    fetcher.tick(0)
    assert [source for source, _ in fetcher.tick(STALL_NS)] == [2]
    assert fetcher.tick(STALL_NS + 1) == []
    asked = indexes(fetcher.receive(2, manifest(server, digest)))
    assert {source for source, _ in asked} == {2}
    assert fetcher.tick(STALL_NS + REST_NS - 1 - STALL_NS) == []
    assert {source for source, _ in fetcher.tick(STALL_NS + REST_NS)} >= {1}
