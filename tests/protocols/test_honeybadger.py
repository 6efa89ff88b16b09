"""HoneyBadgerBFT's epochs, core to core: what is counted once, what nobody can read too early, what is not kept."""

from __future__ import annotations

import pytest
from honeybadger_cores import Cluster, box, request

from outvote.broadcast.reliable import Ready
from outvote.broadcast.threshold_encryption import label_of
from outvote.core.contract import Message, Request, canonical
from outvote.protocols.honeybadger import ordering
from outvote.protocols.honeybadger.messages import Broadcasting, Contribution, Decided, Decrypting
from outvote.protocols.honeybadger.state import State
from outvote.types import FIRST_CLIENT


@pytest.mark.parametrize("n", [1, 4, 5])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_submitted_anywhere_is_delivered_everywhere_once(n: int, seed: int) -> None:
    cluster = Cluster(n, seed)
    for number in range(1, 7):
        for me in {0, number % n}:
            cluster.submit(me, request(number))
    cluster.run()
    outputs = cluster.outputs()
    assert all(output == outputs[0] for output in outputs)
    numbers = sorted({one.number for _, requests in outputs[0] for one in requests})
    assert numbers == [1, 2, 3, 4, 5, 6]
    for _, requests in outputs[0]:
        assert len({one.key for one in requests}) == len(requests)
    assert not any(cluster.lies)


def test_a_silent_replica_stops_nobody() -> None:
    cluster = Cluster(liars=(2,))
    cluster.submit(0, request(1))
    cluster.run()
    assert {one.number for output in cluster.outputs() for _, requests in output for one in requests} == {1}
    assert all(output == cluster.outputs()[0] for output in cluster.outputs())


def test_nobody_can_read_it_before_it_is_ordered() -> None:
    """Everything that is said until the set is agreed on holds no plaintext, and no share of a decryption is said."""
    cluster = Cluster()
    cluster.submit(0, request(1, text=b"buy at any price"))
    said: list[Message] = []

    def watch(letter: tuple[int, int, Message]) -> bool:
        said.append(letter[2])
        return not isinstance(letter[2], Decrypting)

    agreed = [False]

    def before(letter: tuple[int, int, Message]) -> bool:
        open_epochs = [epoch for core in cluster.cores for epoch in core.state.epochs.values()]
        agreed[0] = agreed[0] or any(epoch.subset.output for epoch in open_epochs)
        if not agreed[0]:
            assert not isinstance(letter[2], Decrypting)
        return watch(letter)

    cluster.run(before)
    assert agreed[0]
    assert not any(b"buy at any price" in canonical(message) for message in said)
    assert not any(cluster.outputs())  # f + 1 shares are needed, and each has its own only
    cluster.run()
    assert all(output for output in cluster.outputs())


@pytest.mark.parametrize("n", [4, 7])
def test_f_replicas_that_share_all_they_have_read_nothing_before_it_is_ordered(n: int) -> None:
    """The last f hear everything and give each other their shares of whatever is under way; f + 1 would open it."""
    cluster = Cluster(n)
    text = b"buy at any price"
    cluster.submit(0, request(1, text=text))
    cluster.run(lambda letter: isinstance(letter[2], Broadcasting))
    ciphertext = cluster.cores[1].state.epochs[1].subset.broadcasts[0].delivered
    assert ciphertext is not None
    assert text not in ciphertext
    assert not any(isinstance(message, Decrypting) for _, message in cluster.said)

    def read_by(together: range) -> bytes:
        shares = {one: cluster.systems[one].share(label, ciphertext) for one in together}
        return cluster.systems[n - 1].combine(label, ciphertext, shares)

    label = label_of(b"cluster", 1, 0)
    with pytest.raises(AssertionError):  # what the stand-in says of too few
        read_by(range(n - cluster.committee.faults, n))
    assert text in read_by(range(n - cluster.committee.weak, n)), "the attempt itself works, with one share more"


@pytest.mark.parametrize("censor", range(4))
def test_no_single_proposer_censors(censor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One replica, whichever it is, takes part in everything and never proposes what one client wants; and the schedule
    is on its side: its broadcast is accepted first. The others' proposals are still n - 2f of the n - f."""
    unwanted = FIRST_CLIENT + 5
    pick = ordering.pick

    def choosing(state: State, epoch: int) -> tuple[Request, ...]:
        picked = pick(state, epoch)
        return tuple(one for one in picked if one.client != unwanted) if state.me == censor else picked

    monkeypatch.setattr(ordering, "pick", choosing)
    for seed in range(5):
        cluster = Cluster(seed=seed)
        for me in range(4):
            cluster.submit(me, request(1, client=unwanted))
        cluster.accepted_early(censor)
        cluster.run()
        first = cluster.outputs()[0][0]
        assert first[0] == 1
        assert [one.client for one in first[1]] == [unwanted]


def test_the_time_lies_between_those_of_correct_replicas() -> None:
    cluster = Cluster(liars=(3,))
    cluster.broadcast(3, 1, box(cluster, canonical(Contribution(1 << 61, ()))))
    cluster.accepted_early(3)
    cluster.submit(0, request(1))
    cluster.run()
    assert all(1000 <= cluster.delivered[me][0].time <= 1002 for me in cluster.honest())


def test_epochs_far_ahead_are_not_kept() -> None:
    core = Cluster().cores[0]
    for epoch in (0, -1, 5, 100, 1 << 60):
        assert not core.admits(3, Broadcasting(epoch, 3, Ready(bytes(32))))
        core.receive(3, Broadcasting(epoch, 3, Ready(bytes(32))), b"")
    for proposer in (-1, 4, 1 << 40):
        assert not core.admits(3, Broadcasting(1, proposer, Ready(bytes(32))))
    assert core.state.epochs == {}


def test_an_output_is_believed_from_f_plus_1() -> None:
    cluster = Cluster(requests=4)
    cluster.submit(0, request(1))
    cluster.run()
    outputs = [Decided(one.position, cluster.cores[0].state.decided[one.position]) for one in cluster.delivered[0]]
    laggard = Cluster(requests=4).cores[3]
    for output in outputs:
        for _ in range(3):
            laggard.receive(0, output, b"")
        assert laggard.out.deliveries == []
        laggard.receive(1, output, b"")
    assert [one.position for one in laggard.out.deliveries] == [one.position for one in cluster.delivered[0]]


def test_a_restarted_replica_says_the_same_again() -> None:
    cluster = Cluster()
    core = cluster.cores[0]
    core.submit([request(1)])
    records, said = list(core.out.records), list(core.out.messages)
    again = Cluster().cores[0]
    again.restore(0, b"", [*records, *records])
    assert again.out.messages == said
    again.out.clear()
    again.submit([request(2)])
    assert again.out.messages == [], "one proposal an epoch"
    assert [one for one in again.summary() if type(one).__name__ == "Said"] == records


# ---------------------------------------------------------------- epochs under way together


def shares_held_back(letter: tuple[int, int, Message]) -> bool:
    return not isinstance(letter[2], Decrypting)


def test_an_epoch_begins_while_the_one_before_is_only_to_be_opened() -> None:
    cluster = Cluster(pipeline=2)
    cluster.submit(0, request(1))
    cluster.run(shares_held_back)
    cluster.submit(0, request(2))
    cluster.run(shares_held_back)
    assert all(epoch.agreed for core in cluster.cores for epoch in core.state.epochs.values())
    assert [sorted(core.state.epochs) for core in cluster.cores] == [[1, 2]] * 4
    assert not any(cluster.outputs())
    cluster.run()
    assert [[one.number for one in requests] for _, requests in cluster.outputs()[0][:2]] == [[1], [2]]
    assert all(output == cluster.outputs()[0] for output in cluster.outputs())


def test_no_more_epochs_are_under_way_than_the_pipeline_holds() -> None:
    """Though full batches wait, and whatever another one begins."""
    for pipeline in (1, 2, 3):
        cluster = Cluster(pipeline=pipeline, requests=4)
        for number in range(1, 6):
            cluster.submit(0, request(number))
        cluster.run(shares_held_back)
        spoken = {message.epoch for _, message in cluster.said if isinstance(message, Broadcasting)}
        assert spoken == set(range(1, pipeline + 1))
        cluster.run()
        numbers = [one.number for _, requests in cluster.outputs()[0] for one in requests]
        assert sorted(numbers) == list(range(1, 6)), "each was proposed by one replica in one epoch"


def test_an_epoch_does_not_begin_for_less_than_a_batch_while_another_is_agreed_on() -> None:
    cluster = Cluster(pipeline=2, requests=8)
    cluster.submit(0, request(1))
    cluster.submit(0, request(2))
    assert list(cluster.cores[0].state.epochs) == [1]
    cluster.submit(0, request(3))
    assert list(cluster.cores[0].state.epochs) == [1, 2]
    assert [len(picked) for picked in cluster.cores[0].state.proposed.values()] == [1, 2]
