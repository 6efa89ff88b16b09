"""HoneyBadger's cryptography as jobs: answers in any order, late, twice, or for epochs that are over."""

from __future__ import annotations

import pytest
from honeybadger_cores import Cluster, box, request

from outvote.broadcast.binary_agreement import CoinShare
from outvote.broadcast.stand_in import SPOILED
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.core.contract import ALL, Record
from outvote.protocols.honeybadger import jobs
from outvote.protocols.honeybadger.messages import Agreeing, Decrypting


@pytest.mark.parametrize("n", [1, 4, 7])
@pytest.mark.parametrize("seed", range(3))
def test_all_deliver_the_same_whatever_order_answers_come_in(n: int, seed: int) -> None:
    cluster = Cluster(n, seed, deferred=True)
    for number in range(1, 7):
        cluster.submit(number % n, request(number))
    cluster.run()
    outputs = cluster.outputs()
    assert all(output == outputs[0] for output in outputs)
    assert sorted(one.number for _, requests in outputs[0] for one in requests) == [1, 2, 3, 4, 5, 6]
    assert not any(cluster.lies)
    assert all(len(core.state.desk) == 0 for core in cluster.cores)


def test_nothing_is_worked_out_within_a_call() -> None:
    """Nothing is proposed, no coin's share is said, and an agreement stands still, until the answer is there."""
    cluster = Cluster(deferred=True)
    for core in cluster.cores:
        cluster.submit(core.me, request(1))
    assert [(me, job.work) for me, job in cluster.jobs] == [(me, jobs.ENCRYPT) for me in range(4)]
    assert not cluster.said
    for _ in range(4):
        cluster.answer(0)
    while cluster.under_way:
        sender, receiver, message = cluster.under_way.pop(0)
        cluster.cores[receiver].receive(sender, message, b"")
        cluster.collect(receiver)
    assert {job.work for _, job in cluster.jobs} == {jobs.COIN_SHARE}
    assert not any(isinstance(getattr(message, "body", None), CoinShare) for _, message in cluster.said)
    while cluster.jobs:
        cluster.answer(0)
    assert any(isinstance(getattr(message, "body", None), CoinShare) for _, message in cluster.said)
    cluster.run()
    assert all(output for output in cluster.outputs())


def test_a_question_is_asked_once_and_no_more_of_them_than_are_needed() -> None:
    cluster = Cluster(deferred=True, seed=5)
    asked: list[tuple[int, str, bytes, int]] = []
    answer = cluster.answer

    def counting(index: int) -> None:
        me, job = cluster.jobs[index]
        asked.append((me, job.work, job.parts[0], job.who))
        answer(index)

    cluster.answer = counting  # type: ignore[method-assign]
    cluster.submit(0, request(1))
    cluster.run()
    assert len(set(asked)) == len(asked)
    for me in range(4):
        tossed = [name for one, work, name, _ in asked if (one, work) == (me, jobs.COIN_VERIFY)]
        assert len(tossed) <= 2 * len(set(tossed)), "of each coin f + 1 at most, and f where one's own share is first"
        opened = [who for one, work, _, who in asked if (one, work) == (me, jobs.OPEN_VERIFY)]
        assert me not in opened, "one's own share is known"
        assert len(opened) <= 4 * 2, "of each of four ciphertexts the same"


def test_false_shares_are_found_out() -> None:
    cluster = Cluster(deferred=True, liars=(3,))
    for proposer in range(4):
        for number in range(6):
            cluster.post(3, ALL, Agreeing(1, proposer, CoinShare(number, b"false")))
        cluster.post(3, ALL, Decrypting(1, proposer, DecryptionShare(b"false")))
    cluster.submit(0, request(1))
    cluster.run(lambda letter: letter[0] == 3)
    cluster.run()
    outputs = cluster.outputs()
    assert outputs[0]
    assert all(output == outputs[0] for output in outputs)
    assert all({culprit for culprit, _ in cluster.lies[me]} <= {3} for me in range(3))


@pytest.mark.parametrize("payload", [b"no ciphertext at all", SPOILED])
def test_an_invalid_ciphertext_counts_as_empty(payload: bytes) -> None:
    cluster = Cluster(liars=(3,), deferred=True)
    cluster.broadcast(3, 1, box(cluster, payload) if payload == SPOILED else payload)
    cluster.accepted_early(3)
    cluster.submit(0, request(7))
    cluster.run()
    outputs = cluster.outputs()
    assert all(output == outputs[0] for output in outputs)
    assert {one.number for _, requests in outputs[0] for one in requests} == {7}
    assert all(any(culprit == 3 for culprit, _ in cluster.lies[me]) for me in cluster.honest())


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    cluster = Cluster(deferred=True)
    cluster.submit(0, request(1))
    cluster.run()
    core = cluster.cores[0]
    before = core.summary()
    for ticket in (0, 1, 7, 10**9):
        core.computed(ticket, b"anything")
    assert core.summary() == before
    assert not core.out.waits()


def test_a_restarted_replica_asks_again() -> None:
    """Its records tell what it said; what it had asked for is asked for anew."""
    cluster = Cluster(deferred=True)
    records: list[Record] = []
    collect = cluster.collect

    def keeping(me: int) -> None:
        if me == 1:
            records.extend(cluster.cores[1].out.records)
        collect(me)

    cluster.collect = keeping  # type: ignore[method-assign]
    cluster.submit(0, request(1))
    cluster.run(lambda letter: not isinstance(letter[2], Decrypting))
    again = Cluster(deferred=True).cores[1]
    again.restore(0, b"", records)
    for sender in range(4):
        for words in cluster.cores[sender].state.said[1]:
            if words.receiver in (ALL, 1):
                again.receive(sender, words.message, b"")
                while again.out.jobs:
                    job = again.out.jobs.pop(0)
                    again.computed(job.ticket, again.compute(job))
    assert [one.position for one in again.out.deliveries] == [1]
