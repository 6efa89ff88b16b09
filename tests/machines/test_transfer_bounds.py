"""What a server keeps, and how questions are spread over the sources: at the limits, one by one."""

from __future__ import annotations

from outvote.core.contract import Hint
from outvote.machines.fetcher import WANTED_MAX, Fetcher
from outvote.machines.merkle_map import EMPTY, VALUE_BYTES_MAX, MerkleMap, leaf_of
from outvote.machines.state_transfer import (
    ANSWER_BYTES,
    ASKED_MAX,
    ASKED_OF_ONE_MAX,
    ASKS_MAX,
    ASKS_MIN,
    HELD_MAX,
    RESTS,
    STALL_NS,
    SUBTREE_LEAVES_MAX,
    Ask,
    FetchNodes,
    Nodes,
    Server,
)


def held(server: Server) -> list[int]:
    return [position for position in range(100) if server.state(position) is not None]


def hold(server: Server, *positions: int) -> None:
    for position in positions:
        server.hold(position, EMPTY.update({b"position": b"%d" % position}))


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
    hold(server, 3)
    assert held(server) == [2, 3]
    hold(server, 4, 5)
    server.settle(5)
    assert held(server) == [3, 5], "4 was never certified"
    server.settle(9)
    assert held(server) == [3, 5]


def test_the_right_state_takes_the_place_of_a_wrong_one() -> None:
    server = Server()
    hold(server, 4)
    right = EMPTY.update({b"right": b""})
    server.hold(4, right)
    assert server.state(4) == right


def a_state(leaves: int, size: int = 700) -> MerkleMap:
    return EMPTY.update({b"key %d" % index: b"%d " % index * (size // 4) for index in range(leaves)})


def server_of(state: MerkleMap) -> Server:
    server = Server()
    server.hold(10, state)
    return server


def answer(server: Server, digest: bytes, *paths: str, known: bytes = b"") -> Nodes:
    (found,) = server.answer(0, FetchNodes(10, digest, 1, tuple([Ask(path, known, b"") for path in paths])))
    assert isinstance(found, Nodes)
    return found


def test_an_answer_ends_at_its_limit_and_keeps_the_order() -> None:
    state = EMPTY.update({b"key %d" % index: bytes(VALUE_BYTES_MAX) for index in range(40)})
    server = server_of(state)
    paths = [path for path in map("%02x".__mod__, range(256)) if state.node(path) is not None]
    found = answer(server, state.digest, *paths).found
    assert [one.path for one in found] == paths[: len(found)]
    size = sum(len(key) + len(value) for one in found for key, value in map(leaf_of, one.records))
    assert ANSWER_BYTES <= size < ANSWER_BYTES + VALUE_BYTES_MAX + 100
    many = answer(server, state.digest, *["0"] * (ASKS_MAX + 5)).found
    assert len(many) == ASKS_MAX


def test_what_is_unknown_comes_whole_while_it_is_small() -> None:
    small, many, large = a_state(20), a_state(SUBTREE_LEAVES_MAX + 1, 4), a_state(200)
    assert [len(found.records) for found in answer(server_of(small), small.digest, "").found] == [20]
    for state in (many, large):
        (found,) = answer(server_of(state), state.digest, "").found
        assert found.bitmap == 0xFFFF
        assert len(found.digests) == 16 * 33
    (known,) = answer(server_of(small), small.digest, "", known=b"\0\0").found
    assert known.bitmap.bit_count() * 33 == len(known.digests)


def test_paths_that_lead_nowhere_are_passed_over() -> None:
    state = a_state(40)
    server = server_of(state)
    for path in ("0" * 65, "g", "A", "f" * 64, "\n"):
        assert server.answer(0, FetchNodes(10, state.digest, 1, (Ask(path, b"", b""),))) == []
    (found,) = answer(server, state.digest, "zz", "").found
    assert found.path == ""
    for known in (b"\xff", b"\xff\xff", b"\xff\xff" + bytes(200), b"\0"):
        assert len(answer(server, state.digest, "", known=known).found) == 1


# ---------------------------------------------------------------------- the fetcher


def fetching(leaves: int, *sources: int) -> tuple[Fetcher, Server, MerkleMap]:
    state = a_state(leaves)
    return Fetcher(10, state.digest, sources), server_of(state), state


def reply(server: Server, question: tuple[int, Hint]) -> Hint:
    (found,) = server.answer(0, question[1])
    return found


def spread(questions: list[tuple[int, Hint]]) -> list[tuple[int, int]]:
    return [(source, len(hint.asks)) for source, hint in questions if isinstance(hint, FetchNodes)]


def test_questions_go_round_the_sources_up_to_the_limits() -> None:
    fetcher, server, _ = fetching(20_000, 1, 2, 3)
    (first,) = fetcher.start()
    assert spread([first]) == [(1, 1)]
    assert list(fetcher.sizes()) == [("questions", 1, ASKED_MAX), ("nodes wanted", 1, WANTED_MAX)]
    (second,) = fetcher.receive(1, reply(server, first))
    assert spread([second]) == [(2, ASKS_MIN)]
    third = fetcher.receive(2, reply(server, second))
    assert spread(third) == [((3, 1, 2)[turn % 3], 32) for turn in range(ASKED_MAX)]
    assert list(fetcher.sizes()) == [("questions", ASKED_MAX, ASKED_MAX), ("nodes wanted", 256, WANTED_MAX)]
    assert max([source for source, _ in third].count(one) for one in (1, 2, 3)) <= ASKED_OF_ONE_MAX


def test_no_source_is_asked_more_than_its_share() -> None:
    fetcher, server, _ = fetching(20_000, 1)
    (first,) = fetcher.start()
    (second,) = fetcher.receive(1, reply(server, first))
    assert len(fetcher.receive(1, reply(server, second))) == ASKED_OF_ONE_MAX


def test_the_least_busy_source_comes_first() -> None:
    fetcher, server, _ = fetching(20_000, 1, 2, 3)
    (first,) = fetcher.start()
    (second,) = fetcher.receive(1, reply(server, first))
    asked = fetcher.receive(2, reply(server, second))
    of_two = [question for question in asked if question[0] == 2]
    (more,) = fetcher.receive(2, reply(server, of_two[0]))
    assert more[0] == 2, "it has one question, the others have three"


def test_a_late_answer_to_a_question_that_was_taken_back_counts() -> None:
    fetcher, server, state = fetching(20, 1, 2)
    (first,) = fetcher.start()
    fetcher.tick(0)
    (second,) = fetcher.tick(STALL_NS)
    assert first[0] != second[0]
    assert fetcher.receive(first[0], reply(server, first)) == []
    assert fetcher.done == state


def test_what_came_late_is_not_asked_for_again() -> None:
    fetcher, server, state = fetching(300, 1)
    (first,) = fetcher.start()
    (second,) = fetcher.receive(1, reply(server, first))
    fetcher.tick(0)
    (again,) = fetcher.tick(STALL_NS)
    assert fetcher.receive(1, reply(server, second)) == []
    assert fetcher.done == state
    assert fetcher.receive(1, reply(server, again)) == []


def test_a_source_rests_until_its_time_is_over() -> None:
    fetcher, _, _ = fetching(1, 1, 2, 3)
    assert [source for source, _ in fetcher.start()] == [1]
    fetcher.tick(0)
    assert [source for source, _ in fetcher.tick(STALL_NS)] == [2]
    fetcher.tick(STALL_NS)
    assert [source for source, _ in fetcher.tick(2 * STALL_NS)] == [3]
    fetcher.tick(2 * STALL_NS)
    assert RESTS >= 2, "so that all three rest now"
    assert [source for source, _ in fetcher.tick(3 * STALL_NS)] == [1]


def test_who_rests_is_not_asked_while_another_is_awake() -> None:
    fetcher, server, _ = fetching(20_000, 1, 2)
    fetcher.start()
    fetcher.tick(0)
    (again,) = fetcher.tick(STALL_NS)
    assert again[0] == 2
    assert fetcher.tick(STALL_NS + 1) == []
    (second,) = fetcher.receive(2, reply(server, again))
    asked = fetcher.receive(2, reply(server, second))
    assert {source for source, _ in asked} == {2}
    assert fetcher.tick(RESTS * STALL_NS - 1) == []
    assert {source for source, _ in fetcher.tick(STALL_NS + RESTS * STALL_NS)} >= {1}
