"""Cores of HoneyBadger without a host: what they say is delivered in an order drawn from a seed, or as tests want."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from outvote.broadcast.component import Body
from outvote.broadcast.reliable import Echo, Ready, Val, data_shards
from outvote.broadcast.stand_in import Dealer, StandInCoin, StandInEncryption
from outvote.broadcast.threshold_encryption import label_of
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Claim, Delivery, Job, Message, Request
from outvote.crypto import branches, erasure
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.keys import Drawn, Keys
from outvote.protocols.honeybadger.messages import Agreeing, Broadcasting
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica
from outvote.types import FIRST_CLIENT

SEAL = bytes(64)


def request(number: int, client: int = FIRST_CLIENT, text: bytes = b"") -> Request:
    return Request(client, number, 0, (text or b"operation %d" % number,), SEAL)


def genuine(claim: Claim) -> bool:
    return claim.seal == SEAL


class Cluster:
    """Cores without a host: messages are delivered in a drawn order, deliveries are collected."""

    def __init__(
        self, n: int = 4, seed: int = 0, liars: tuple[int, ...] = (), requests: int = 8, pipeline: int = 2,
        deferred: bool = False,
    ) -> None:
        self.n = n
        self.liars = liars
        self.random = Random(seed)
        self.committee = Committee(n)
        self.dealer = Dealer(self.committee, seed)
        config = HoneyBadgerConfig(
            batch_requests_max=requests, checkpoint_interval=4, window=8, pipeline=pipeline
        )
        self.systems = [StandInEncryption(self.dealer, me) for me in range(n)]
        self.keys = [
            Keys(StandInCoin(self.dealer, me), self.systems[me], Drawn(seed, me), b"cluster", deferred)
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
        self.jobs: list[tuple[int, Job]] = []  # handed out by whom, and not answered
        self.said: list[tuple[int, Message]] = []  # by whom, once however many hear it

    def post(self, sender: int, receiver: int, message: Message) -> None:
        receivers = range(self.n) if receiver == ALL else [receiver]
        self.under_way += [(sender, one, message) for one in receivers if one not in self.liars]

    def collect(self, me: int) -> None:
        out = self.cores[me].out
        for receiver, message in [*out.hints, *out.messages]:
            self.said.append((me, message))
            self.post(me, receiver, message)
        self.jobs += [(me, job) for job in out.jobs]
        self.delivered[me] += out.deliveries
        self.lies[me] += out.lies
        out.clear()

    def submit(self, me: int, *requests: Request) -> None:
        self.cores[me].submit(requests)
        self.collect(me)

    def run(self, wanted: Callable[[tuple[int, int, Message]], bool] = lambda _: True) -> None:
        self.answer_until(wanted)
        while chosen := [index for index, letter in enumerate(self.under_way) if wanted(letter)]:
            sender, receiver, message = self.under_way.pop(self.random.choice(chosen))
            self.cores[receiver].receive(sender, message, b"")
            self.collect(receiver)
            while self.jobs and self.random.random() < 0.5:
                self.answer(self.random.randrange(len(self.jobs)))
            self.answer_until(wanted)

    def answer_until(self, wanted: Callable[[tuple[int, int, Message]], bool]) -> None:
        """Something can be delivered."""
        while self.jobs and not any(wanted(letter) for letter in self.under_way):
            self.answer(self.random.randrange(len(self.jobs)))

    def answer(self, index: int) -> None:
        """A job is done."""
        me, job = self.jobs.pop(index)
        self.cores[me].computed(job.ticket, self.cores[me].compute(job))
        self.collect(me)

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
    ciphertext = cluster.keys[3].encryption.encrypt(label_of(b"cluster", 1, 3), plaintext, bytes(32))
    assert ciphertext is not None
    return ciphertext
