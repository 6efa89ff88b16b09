"""One epoch: agree on a set of encrypted proposals, then open them (Miller et al. 2016, figure 1).

The output is there when every accepted proposal is opened or found to be nothing: an invalid ciphertext, a payload that
does not open: at every correct replica alike, since all have the same ciphertext and the checks are functions of it.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from outvote.broadcast.asynchronous_subset import AGREEING, AsynchronousSubset, Line
from outvote.broadcast.coin import Coin, coin_name
from outvote.broadcast.component import Body, Lines
from outvote.broadcast.reliable import Echo, Ready, Val, largest_shard
from outvote.broadcast.threshold_encryption import Cryptosystem, DecryptionShare, ThresholdDecryption, label_of
from outvote.core.committee import Committee
from outvote.protocols.honeybadger.config import HoneyBadgerConfig
from outvote.protocols.honeybadger.jobs import Answers, DeferredCoin, DeferredEncryption, Desk, Question
from outvote.protocols.honeybadger.keys import Keys
from outvote.protocols.honeybadger.messages import Agreeing, Broadcasting, Decrypting, Working
from outvote.types import Position, ReplicaId


class Words(NamedTuple):
    """One message, to one replica or to all."""

    receiver: ReplicaId
    message: Working


class Epoch:
    """One replica's part in one epoch. `opened` maps accepted proposers, in order, to plaintexts or None."""

    def __init__(
        self, number: Position, me: ReplicaId, committee: Committee, keys: Keys, config: HoneyBadgerConfig, desk: Desk
    ) -> None:
        self.number = number
        self.answers = Answers(desk, number)
        coin: Coin = DeferredCoin(self.answers, me) if keys.deferred else keys.coin
        system: Cryptosystem = keys.encryption
        if keys.deferred:
            system = DeferredEncryption(self.answers, me)
        self.opened: dict[ReplicaId, bytes | None] | None = None
        self.proposed = False
        self.faults: list[tuple[ReplicaId, str]] = []
        self._me = me
        self._keys = keys
        self._system = system
        self._draft: tuple[bytes, bytes] | None = None  # our proposal and its chance, until it is encrypted
        largest = largest_shard(config.ciphertext_bytes_max(), committee)
        name_of = partial(coin_name, keys.cluster, number)
        self.subset = AsynchronousSubset(me, committee, coin, name_of, largest)
        self._lines = [Lines() for _ in range(committee.n)]
        self._decryptions = [
            ThresholdDecryption(me, proposer, committee, self._lines[proposer], system, self.label(proposer))
            for proposer in range(committee.n)
        ]

    @property
    def agreed(self) -> bool:
        """Whether the set is there, and its ciphertexts only wait to be opened."""
        return self.subset.output is not None

    def label(self, proposer: ReplicaId) -> bytes:
        return label_of(self._keys.cluster, self.number, proposer)

    def propose(self, contribution: bytes, chance: bytes) -> list[Words]:
        """At once, or as soon as it is encrypted."""
        self.proposed = True
        self._draft = contribution, chance
        return self._settle(self._propose_encrypted())

    def _propose_encrypted(self) -> list[Line]:
        if self._draft is None:
            return []
        ciphertext = self._system.encrypt(self.label(self._me), *self._draft)
        if ciphertext is None:
            return []
        self._draft = None
        return self.subset.propose(ciphertext)

    def bind(self, message: Working) -> None:
        """This was said before a restart."""
        if isinstance(message, Decrypting):
            self._decryptions[message.proposer].bind(message.body)
        else:
            # An ECHO in one's own broadcast comes with its VALs; alone in the cluster, without any.
            self.proposed |= message.proposer == self._me and isinstance(message.body, Val | Echo)
            self.subset.bind(message.proposer, message.body)

    def receive(self, sender: ReplicaId, message: Working) -> list[Words]:
        if isinstance(message, Decrypting):
            self._decryptions[message.proposer].receive(sender, message.body)
            return self._settle([])
        return self._settle(self.subset.receive(sender, message.proposer, message.body))

    def learn(self, question: Question, answer: bytes) -> list[Words]:
        """A job is done."""
        self.answers.learn(question, answer)
        lines = self._propose_encrypted() + self.subset.resume()
        for decryption in self._decryptions:
            decryption.resume()
        return self._settle(lines)

    def _settle(self, lines: list[Line]) -> list[Words]:
        accepted = self.subset.output
        if accepted is not None and self.opened is None:
            for proposer, ciphertext in accepted.items():
                self._decryptions[proposer].begin(ciphertext)
            if all(self._decryptions[proposer].done for proposer in accepted):
                self.opened = {proposer: self._decryptions[proposer].plaintext for proposer in accepted}
        words = [Words(line.receiver, self._addressed(line.proposer, line.body)) for line in lines]
        for proposer, own in enumerate(self._lines):
            if own.said:
                words += [Words(receiver, self._addressed(proposer, body)) for receiver, body in own.take()]
            if own.faults:
                self.faults += own.faults
                own.faults.clear()
        if self.subset.faults:
            self.faults += self.subset.faults
            self.subset.faults.clear()
        return words

    def _addressed(self, proposer: ReplicaId, body: Body) -> Working:
        if isinstance(body, Val | Echo | Ready):
            return Broadcasting(self.number, proposer, body)
        if isinstance(body, DecryptionShare):
            return Decrypting(self.number, proposer, body)
        assert isinstance(body, AGREEING)
        return Agreeing(self.number, proposer, body)
