"""HoneyBadgerBFT's epochs, core to core: what liars propose, what is counted once, what nobody can read too early."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from outvote.broadcast.component import Body
from outvote.broadcast.reliable import Echo, Ready, Val, data_shards
from outvote.broadcast.stand_in import SPOILED, Dealer, StandInCoin, StandInEncryption
from outvote.broadcast.threshold_encryption import ThresholdDecryption, label_of
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Claim, Delivery, Message, Request, canonical
from outvote.crypto import branches, erasure
from outvote.protocols.honeybadger import ordering
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.keys import Drawn, Keys
from outvote.protocols.honeybadger.messages import Agreeing, Broadcasting, Contribution, Decided, Decrypting
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica
from outvote.types import FIRST_CLIENT

SEAL = bytes(64)


def request(number: int, client: int = FIRST_CLIENT, text: bytes = b"") -> Request:
    return Request(client, number, 0, (text or b"operation %d" % number,), SEAL)


def genuine(claim: Claim) -> bool:
    return claim.seal == SEAL


class Cluster:
    """Cores without a host: messages are delivered in a drawn order, deliveries are collected."""

    def __init__(self, n: int = 4, seed: int = 0, liars: tuple[int, ...] = (), requests: int = 8) -> None:
        self.n = n
        self.liars = liars
        self.random = Random(seed)
        self.committee = Committee(n)
        self.dealer = Dealer(self.committee, seed)
        config = HoneyBadgerConfig(batch_requests_max=requests, checkpoint_interval=4, window=8)
        self.keys = [
            Keys(StandInCoin(self.dealer, me), StandInEncryption(self.dealer, me), Drawn(seed, me), b"cluster")
            for me in range(n)
        ]
        self.cores = [HoneyBadgerReplica(me, self.committee, config, self.keys[me]) for me in range(n)]
        for core in self.cores:
            core.genuine = genuine
            core.wall = 1000 + core.me
            core.restore(0, b"", [])
        self.delivered: list[list[Delivery]] = [[] for _ in range(n)]
        self.lies: list[list[tuple[int, str]]] = [[] for _ in range(n)]
        self.under_way: list[tuple[int, int, Message]] = []

    def post(self, sender: int, receiver: int, message: Message) -> None:
        receivers = range(self.n) if receiver == ALL else [receiver]
        self.under_way += [(sender, one, message) for one in receivers if one not in self.liars]

    def collect(self, me: int) -> None:
        out = self.cores[me].out
        for receiver, message in [*out.hints, *out.messages]:
            self.post(me, receiver, message)
        self.delivered[me] += out.deliveries
        self.lies[me] += out.lies
        out.clear()

    def submit(self, me: int, *requests: Request) -> None:
        self.cores[me].submit(requests)
        self.collect(me)

    def run(self, wanted: Callable[[tuple[int, int, Message]], bool] = lambda _: True) -> None:
        while chosen := [index for index, letter in enumerate(self.under_way) if wanted(letter)]:
            sender, receiver, message = self.under_way.pop(self.random.choice(chosen))
            self.cores[receiver].receive(sender, message, b"")
            self.collect(receiver)

    def honest(self) -> list[int]:
        return [me for me in range(self.n) if me not in self.liars]

    def outputs(self) -> list[list[tuple[int, tuple[Request, ...]]]]:
        return [[(one.position, one.requests) for one in self.delivered[me]] for me in self.honest()]

    def broadcast(self, liar: int, epoch: int, ciphertext: bytes) -> None:
        """What a liar says in its own reliable broadcast, as an honest proposer would; it agrees with nobody."""
        shards = erasure.encode(ciphertext, data_shards(self.committee), self.n)
        root, proofs = branches.tree(shards)
        for receiver in self.honest():
            self.post(liar, receiver, Broadcasting(epoch, liar, Val(root, proofs[receiver], shards[receiver])))
        bodies: list[Body] = [Echo(root, proofs[liar], shards[liar]), Ready(root)]
        for body in bodies:
            assert isinstance(body, Echo | Ready)
            self.post(liar, ALL, Broadcasting(epoch, liar, body))

    def accepted_early(self, liar: int) -> None:
        """The scheduler delivers the liar's broadcast before anything else: so it is accepted."""
        self.run(lambda letter: isinstance(letter[2], Broadcasting) and letter[2].proposer == liar)
        self.run(lambda letter: isinstance(letter[2], Agreeing) and letter[2].proposer == liar)


def box(cluster: Cluster, plaintext: bytes) -> bytes:
    """A genuine ciphertext of replica 3, in epoch 1."""
    return cluster.keys[3].encryption.encrypt(label_of(b"cluster", 1, 3), plaintext, bytes(32))


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


def too_many() -> bytes:
    return canonical(Contribution(5, tuple(map(request, range(1, 9)))))


def forged(cluster: Cluster) -> bytes:
    made_up = Request(FIRST_CLIENT + 1, 1, 0, (b"made up",), b"forged seal")
    return box(cluster, canonical(Contribution(5, (request(1), made_up))))


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (lambda cluster: b"no ciphertext at all", "a ciphertext without a proof"),
        (lambda cluster: box(cluster, canonical(Contribution(5, ())))[:-1], "a ciphertext without a proof"),
        (
            lambda cluster: box(cluster, SPOILED),
            "a ciphertext whose payload does not open",
        ),
        (
            lambda cluster: box(cluster, b"\xc1"),
            "a batch that is none",
        ),
        (lambda cluster: box(cluster, canonical(Contribution(-5, ()))), "a batch that is none"),
        (lambda cluster: box(cluster, too_many()), "a batch that is none"),
        (forged, "a batch that is none"),
    ],
    ids=["noise", "cut", "payload", "undecodable", "time", "too many", "forged"],
)
def test_hb_invalid_ct_stall(payload: Callable[[Cluster], bytes], fault: str) -> None:
    """An accepted proposal that is none counts as empty, in the same epoch everywhere, and its proposer is recorded."""
    cluster = Cluster(liars=(3,))
    cluster.broadcast(3, 1, payload(cluster))
    cluster.accepted_early(3)
    cluster.submit(0, request(7))
    cluster.run()
    outputs = cluster.outputs()
    assert outputs[0]
    assert all(output == outputs[0] for output in outputs)
    assert {one.number for _, requests in outputs[0] for one in requests} == {7}
    assert [cluster.lies[me] for me in cluster.honest()] == [[(3, fault)]] * 3


def test_an_invalid_ciphertext_that_is_waited_for_stalls_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug 51."""
    monkeypatch.setattr(ThresholdDecryption, "_end", _only_if_it_opens)
    cluster = Cluster(liars=(3,))
    cluster.broadcast(3, 1, b"no ciphertext at all")
    cluster.accepted_early(3)
    cluster.submit(0, request(7))
    cluster.run()
    assert not any(cluster.outputs())


def _only_if_it_opens(self: ThresholdDecryption, plaintext: bytes | None, _fault: str) -> None:
    if plaintext is not None:
        self.done, self.plaintext = True, plaintext


@pytest.mark.parametrize("checked", [True, False])
def test_hb_cca_maul(checked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A liar proposes an honest replica's ciphertext as its own. Unchecked (bug 50), it is opened as the liar's."""
    if not checked:
        monkeypatch.setattr(StandInEncryption, "checks", lambda *_: True)
    cluster = Cluster(liars=(3,))
    cluster.submit(0, request(7, text=b"secret"))
    stolen = next(
        one for _, _, one in cluster.under_way if isinstance(one, Broadcasting) and isinstance(one.body, Val)
    )
    assert isinstance(stolen.body, Val)
    shards = {
        receiver: one.body.shard for _, receiver, one in cluster.under_way
        if isinstance(one, Broadcasting) and isinstance(one.body, Val)
    }
    cluster.broadcast(3, 1, erasure.decode(shards, 2, 4))
    cluster.accepted_early(3)
    cluster.run()
    opened_as_theirs = not any((3, "a ciphertext without a proof") in lies for lies in cluster.lies)
    assert opened_as_theirs is not checked
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


def test_no_single_proposer_censors() -> None:
    """Replica 0's words come last, always: the request that it alone would leave out is in the first epoch."""
    cluster = Cluster(liars=(0,))
    for me in (1, 2, 3):
        cluster.submit(me, request(1, client=FIRST_CLIENT + 5))
    cluster.run()
    first = cluster.outputs()[0][0]
    assert first[0] == 1
    assert [one.client for one in first[1]] == [FIRST_CLIENT + 5]


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


def test_distinct_requests_of_an_epoch_are_as_many_as_the_paper_says() -> None:
    """n replicas pick B / n of the same B: B (1 - (1 - 1/n)^n) are different, within 1 % (60 epochs)."""
    for n in (4, 7):
        cluster = Cluster(n, seed=n, requests=28 * 4)
        requests = [request(number, FIRST_CLIENT + client) for client in range(2) for number in range(1, 57)]
        for core in cluster.cores:
            for one in requests:
                core.state.pool.add(one)
        epochs = range(1, 61)
        distinct = [
            len({one.key for core in cluster.cores for one in ordering.pick(core.state, epoch)}) for epoch in epochs
        ]
        expected = 112 * (1 - (1 - 1 / n) ** n)
        assert abs(sum(distinct) / len(epochs) / expected - 1) < 0.01


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
