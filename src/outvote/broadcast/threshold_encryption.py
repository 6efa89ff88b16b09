"""Threshold encryption, as a port, and the component that opens one ciphertext together.

Anybody can encrypt; f + 1 replicas together can decrypt, f cannot. HoneyBadger orders ciphertexts and opens them after,
so nobody can choose by content what is ordered. The port resists chosen ciphertexts (Baek and Zheng 2003): a
ciphertext carries a proof that whoever made it knew what is in it, bound to a label; nobody gives a share for one
whose proof fails, so a mauled copy of somebody's ciphertext opens nothing.

`crypto/threshold.py` is the real one, `broadcast/stand_in.py` the one of the simulator.

The component:

1. On the ciphertext (agreed on before): check the proof, before any share. If it fails, the content is nothing, at
   every correct replica alike, and the proposer's fault is recorded; no share is said.
2. DECRYPT(share) to all.
3. A share from another: verify it; one a sender. With exactly f + 1 valid ones: combine. If what comes out is not what
   an encryption makes (the proof holds, the payload does not), the content is nothing, for all alike, and a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outvote.broadcast.component import Body, Lines
from outvote.core.committee import Committee
from outvote.core.contract import ALL
from outvote.errors import Lie
from outvote.types import ReplicaId

SHARE_BYTES_MAX = 96


class Cryptosystem(Protocol):
    """One replica's access to the threshold encryption of a cluster. Labels bind cluster, epoch and proposer. None for
    an answer: it is being worked out; ask again when told to resume."""

    def encrypt(self, label: bytes, plaintext: bytes, entropy: bytes) -> bytes | None:
        """`entropy`: 32 bytes that are used once and that nobody else knows."""

    def checks(self, label: bytes, ciphertext: bytes) -> bool | None:
        """Whether its proof holds, for this label."""

    def share(self, label: bytes, ciphertext: bytes) -> bytes | None:
        """This replica's share of the decryption of a ciphertext that was checked."""

    def verifies(self, label: bytes, ciphertext: bytes, sender: ReplicaId, share: bytes) -> bool | None:
        """Whether that is the sender's share."""

    def combine(self, label: bytes, ciphertext: bytes, shares: Mapping[ReplicaId, bytes]) -> bytes | None:
        """The plaintext, of exactly f + 1 verified shares. Raises Lie if the payload is not what was proven."""


class DecryptionShare(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=9):
    """The sender's share."""

    share: bytes


class ThresholdDecryption:
    """One replica's part in opening one ciphertext. `done` says whether `plaintext` is final; None is nothing."""

    def __init__(
        self, me: ReplicaId, proposer: ReplicaId, committee: Committee, lines: Lines, system: Cryptosystem, label: bytes
    ) -> None:
        self.done = False
        self.plaintext: bytes | None = None
        self._me = me
        self._proposer = proposer
        self._committee = committee
        self._lines = lines
        self._system = system
        self._label = label
        self._ciphertext: bytes | None = None
        self._shares: dict[ReplicaId, bytes] = {}  # b"": it was false
        self._valid: dict[ReplicaId, bytes] = {}
        self._checked = False
        self._said = False

    def bind(self, _body: Body) -> None:
        self._said = True

    def begin(self, ciphertext: bytes) -> None:
        """The ciphertext is agreed on: from now on it may be known."""
        if self._ciphertext is None:
            self._ciphertext = ciphertext
            self._go_on(ciphertext)

    def resume(self) -> None:
        """Something that was being worked out is known."""
        if self._ciphertext is not None:
            self._go_on(self._ciphertext)

    def _go_on(self, ciphertext: bytes) -> None:
        if not self._checked and not self.done:
            holds = self._system.checks(self._label, ciphertext)
            if holds is None:
                return
            if not holds:
                self._end(None, "a ciphertext without a proof")
                return
            self._checked = True
        if not self._said and not self.done:
            share = self._system.share(self._label, ciphertext)
            if share is not None:
                self._said = True
                self._lines.say(ALL, DecryptionShare(share))
        self._try_combine()

    def receive(self, sender: ReplicaId, body: Body) -> None:
        """Shares may come before the ciphertext is known here: one a sender is kept."""
        if not isinstance(body, DecryptionShare) or self.done or sender in self._shares:
            return
        if len(body.share) > SHARE_BYTES_MAX:
            self._lines.accuse(sender, "a share of a decryption that is too long")
            return
        self._shares[sender] = body.share
        self._try_combine()

    def _try_combine(self) -> None:
        if self._ciphertext is None or not self._checked or self.done:
            return
        open_questions = int(self._me not in self._shares)  # our own is on its way back
        for sender in sorted(self._shares, key=lambda one: (one != self._me, one)):  # one's own is known to be right
            share = self._shares[sender]
            wanted = self._committee.weak - len(self._valid) - open_questions
            if wanted > 0 and share and sender not in self._valid:
                open_questions += self._verify(sender, share, self._ciphertext)
        if len(self._valid) == self._committee.weak:
            try:
                plaintext = self._system.combine(self._label, self._ciphertext, self._valid)
            except Lie:
                self._end(None, "a ciphertext whose payload does not open")
                return
            if plaintext is not None:
                self._end(plaintext, "")

    def _verify(self, sender: ReplicaId, share: bytes, ciphertext: bytes) -> bool:
        """Whether that is not known yet."""
        valid = self._system.verifies(self._label, ciphertext, sender, share)
        if valid:
            self._valid[sender] = share
        elif valid is not None:
            self._shares[sender] = b""
            self._lines.accuse(sender, "a false share of a decryption")
        return valid is None

    def _end(self, plaintext: bytes | None, fault: str) -> None:
        self.done = True
        self.plaintext = plaintext
        self._shares.clear()
        if plaintext is None:
            self._lines.accuse(self._proposer, fault)


def label_of(cluster: bytes, epoch: int, proposer: ReplicaId) -> bytes:
    """Binds a ciphertext to its place: nobody can pass another one's off as its own."""
    return b"".join((b"outvote batch", cluster, epoch.to_bytes(8, "big"), proposer.to_bytes(8, "big")))
