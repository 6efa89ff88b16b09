"""Binary agreement with a common coin (Mostefaoui, Moumen and Raynal 2014, in Miller et al. 2016, figure 11), with the
CONF round that closes its stall.

Every correct replica puts in a bit and all decide the same one, which a correct replica put in. No timing is assumed:
each round ends with a coin that nobody knew before, and with probability 1/2 the coin ends the agreement.

Round r, with est the bit put in (r = 0) or carried over:

1. BVAL(r, est) to all. On f + 1 BVAL(r, b): BVAL(r, b) to all, if not said. On 2f + 1 BVAL(r, b): b is added to
   bin_values: a correct replica stands behind it, and everybody will add it.
2. With the first bit in bin_values: AUX(r, b) to all.
3. On AUX from n - f *different* senders, each with a bit in bin_values: CONF(r, those bits) to all.
4. On CONF from n - f different senders, each a part of bin_values: values is their union. **Only now** release the
   share of the coin of this round.
5. With f + 1 verified shares: s is the coin. If values = {b}: est = b, and if b = s decide b. Else est = s.
   Go on with round r + 1.

On deciding b, a replica says TERM(b) and is done. A TERM stands for its sender's BVAL, AUX and CONF of b wherever the
sender has said none; on f + 1 TERM(b) decide b. (Too few may be left for the coin of the next round: then more than f
have said TERM, and this ends it.)

Why CONF: without it a replica releases its share when it has n - f AUX, while others' values are still open. One liar
who collects f + 1 shares knows the coin s and lets the rest hear only of not s; they carry not s, the others carry s,
and the next round begins divided as this one did, for ever. With it, n - f replicas have fixed their values before
anybody can know the coin; two sets of n - f share a correct replica, so only one single bit is possible as values, and
the coin, still unknown, equals it with probability 1/2. Expected rounds if all put in the same bit: 2.

Bounds: votes are kept for the current round and `ROUNDS_AHEAD` more, per sender and round at most two BVALs (one a
bit), one AUX, one CONF and one share. A sender further ahead is not believed to be so: 32 rounds without a decision
have a probability of 2^-32 and what is dropped is said again when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from outvote.broadcast.coin import Coin, toss
from outvote.broadcast.component import Body, Lines
from outvote.core.committee import Committee
from outvote.core.contract import ALL
from outvote.types import ReplicaId

ROUNDS_AHEAD: Final = 32
SHARE_BYTES_MAX: Final = 96  # a compressed point of BLS12-381 has 48 or 96

# A set of bits as a number: 1 for {0}, 2 for {1}, 3 for both.
_BOTH: Final = 3


class BVal(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=4):
    """The sender supports this bit in this round."""

    number: int
    bit: bool


class Aux(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=5):
    """The first bit that entered the sender's bin_values."""

    number: int
    bit: bool


class Conf(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=6):
    """The bits that n - f AUX brought the sender: 1 for {0}, 2 for {1}, 3 for both."""

    number: int
    bits: int


class CoinShare(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=7):
    """The sender's share of this round's coin."""

    number: int
    share: bytes


class Term(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=8):
    """The sender has decided."""

    bit: bool


class Round:
    """The votes of one round: at most one of a kind from a sender, two BVALs (one a bit)."""

    __slots__ = ("aux", "bin_values", "bvals", "confs", "said_aux", "said_bvals", "said_conf", "said_share", "shares")

    def __init__(self) -> None:
        self.bvals: tuple[dict[ReplicaId, None], dict[ReplicaId, None]] = ({}, {})  # by bit
        self.aux: dict[ReplicaId, int] = {}  # as sets of one bit
        self.confs: dict[ReplicaId, int] = {}
        self.shares: dict[ReplicaId, bytes] = {}
        self.bin_values = 0
        self.said_bvals = 0
        self.said_aux = False
        self.said_conf = False
        self.said_share = False


class BinaryAgreement:
    """One replica's part in one agreement. `decided` is the bit, once it is certain.

    `name_of` gives the coin of a round its name; it must differ for every agreement and every round there ever is.
    """

    def __init__(
        self, me: ReplicaId, committee: Committee, lines: Lines, coin: Coin, name_of: Callable[[int], bytes]
    ) -> None:
        self.decided: bool | None = None
        self.number = 0  # r
        self.estimate: bool | None = None  # est; None: nothing has been put in yet
        self._me = me
        self._committee = committee
        self._lines = lines
        self._coin = coin
        self._name_of = name_of
        self._rounds: dict[int, Round] = {0: Round()}
        self._terms: dict[ReplicaId, bool] = {}
        self._said_term = False

    @property
    def has_input(self) -> bool:
        return self.estimate is not None

    def propose(self, bit: bool) -> None:
        """The first one counts."""
        if self.estimate is None:
            self.estimate = bit
            if self.decided is None:
                self._say_bval(self.number, bit)
                self._advance()

    def bind(self, body: Body) -> None:
        if isinstance(body, Term):
            self.decided = body.bit
            self._said_term = True
        elif isinstance(body, BVal):
            if body.number == 0 and self.estimate is None:
                self.estimate = body.bit
            self._round(body.number).said_bvals |= 1 << body.bit
        elif isinstance(body, Aux):
            self._round(body.number).said_aux = True
        elif isinstance(body, Conf):
            self._round(body.number).said_conf = True
        elif isinstance(body, CoinShare):
            self._round(body.number).said_share = True

    def receive(self, sender: ReplicaId, body: Body) -> None:
        if isinstance(body, Term):
            self._on_term(sender, body.bit)
        elif isinstance(body, BVal | Aux | Conf | CoinShare) and self.decided is None:
            if not self.number <= body.number <= self.number + ROUNDS_AHEAD:
                return
            if isinstance(body, BVal):
                self._on_bval(sender, body.number, body.bit)
            elif isinstance(body, Aux):
                self._round(body.number).aux.setdefault(sender, 1 << body.bit)
            elif isinstance(body, Conf):
                if not 1 <= body.bits <= _BOTH:
                    self._lines.accuse(sender, "CONF of no bits")
                    return
                self._round(body.number).confs.setdefault(sender, body.bits)
            else:
                self._on_share(sender, body)
        self._advance()

    def resume(self) -> None:
        """Something that was being worked out is known."""
        self._advance()

    def rounds_held(self) -> int:
        """How many rounds' votes are kept: the current one and ROUNDS_AHEAD more at most."""
        return len(self._rounds)

    # ------------------------------------------------------------------ votes

    def _round(self, number: int) -> Round:
        found = self._rounds.get(number)
        if found is None:
            found = self._rounds[number] = Round()
            for sender, bit in self._terms.items():
                self._count_term(found, sender, bit)
        return found

    def _on_bval(self, sender: ReplicaId, number: int, bit: bool) -> None:
        votes = self._round(number).bvals[bit]
        votes[sender] = None

    def _on_share(self, sender: ReplicaId, body: CoinShare) -> None:
        if len(body.share) > SHARE_BYTES_MAX:
            self._lines.accuse(sender, "a share of a coin that is too long")
            return
        self._round(body.number).shares.setdefault(sender, body.share)

    def _on_term(self, sender: ReplicaId, bit: bool) -> None:
        if sender in self._terms:
            return
        self._terms[sender] = bit
        for votes in self._rounds.values():
            self._count_term(votes, sender, bit)

    def _count_term(self, votes: Round, sender: ReplicaId, bit: bool) -> None:
        """Where the sender has said nothing, TERM says it."""
        if sender not in votes.bvals[not bit]:
            votes.bvals[bit][sender] = None
        votes.aux.setdefault(sender, 1 << bit)
        votes.confs.setdefault(sender, 1 << bit)

    def _say_bval(self, number: int, bit: bool) -> None:
        votes = self._round(number)
        if not votes.said_bvals >> bit & 1:
            votes.said_bvals |= 1 << bit
            self._lines.say(ALL, BVal(number, bit))

    # ------------------------------------------------------------------ the round

    def _advance(self) -> None:
        """Do all that the votes at hand allow."""
        while self.decided is None:
            for bit in (False, True):
                if sum(1 for said in self._terms.values() if said == bit) >= self._committee.weak:
                    self._decide(bit)
                    return
            votes = self._round(self.number)
            self._collect(votes)
            coin = self._toss_if_fixed(votes)
            if coin is None:
                return
            values, side = coin
            if values == 1 << side:
                self._decide(side)
                return
            self._next_round(values, side)

    def _collect(self, votes: Round) -> None:
        """Steps 1 to 3."""
        for bit in (False, True):
            count = len(votes.bvals[bit])
            if count >= self._committee.weak:
                self._say_bval(self.number, bit)
            if count >= 2 * self._committee.faults + 1:
                votes.bin_values |= 1 << bit
                if not votes.said_aux:
                    votes.said_aux = True
                    self._lines.say(ALL, Aux(self.number, bit))
        if not votes.said_conf:
            backed = [bits for bits in votes.aux.values() if not bits & ~votes.bin_values]
            if len(backed) >= self._enough:
                votes.said_conf = True
                self._lines.say(ALL, Conf(self.number, _union(backed)))

    def _toss_if_fixed(self, votes: Round) -> tuple[int, bool] | None:
        """Steps 4 and 5: the values and the coin, or None if one of them is not known yet."""
        fixed = self._fixed(votes)
        if fixed is None:
            return None
        name = self._name_of(self.number)
        if not votes.said_share:
            share = self._coin.share(name)
            if share is not None:
                votes.said_share = True
                self._lines.say(ALL, CoinShare(self.number, share))
        side = self._toss(votes, name)
        return None if side is None else (_union(fixed), side)

    def _fixed(self, votes: Round) -> list[int] | None:
        """The sets that n - f senders have confirmed, when no later message can change what follows from them."""
        fixed = [bits for bits in votes.confs.values() if not bits & ~votes.bin_values]
        return fixed if votes.said_conf and len(fixed) >= self._enough else None

    def _toss(self, votes: Round, name: bytes) -> bool | None:
        """The coin, of exactly f + 1 verified shares; a share that is not its sender's is never looked at again."""
        if len(votes.shares) < self._committee.weak:
            return None
        valid: dict[ReplicaId, bytes] = {}
        open_questions = int(self._me not in votes.shares)  # our own is on its way back
        for sender in sorted(votes.shares, key=self._own_first):
            share = votes.shares[sender]
            if not share:
                continue
            if len(valid) + open_questions == self._committee.weak:
                break
            verifies = self._coin.verifies(name, sender, share)
            if verifies is None:
                open_questions += 1
            elif verifies:
                valid[sender] = share
                if len(valid) == self._committee.weak:
                    signature = self._coin.combine(name, valid)
                    return None if signature is None else toss(signature)
            else:
                self._lines.accuse(sender, "a false share of a coin")
                votes.shares[sender] = b""
        return None

    def _own_first(self, sender: ReplicaId) -> tuple[bool, ReplicaId]:
        """One's own share is known to be right."""
        return sender != self._me, sender

    @property
    def _enough(self) -> int:
        return self._committee.n - self._committee.faults

    def _decide(self, bit: bool) -> None:
        self.decided = bit
        self._rounds.clear()
        if not self._said_term:
            self._said_term = True
            self._lines.say(ALL, Term(bit))

    def _next_round(self, values: int, side: bool) -> None:
        """The bit that is carried over: the only value, else the coin."""
        self.estimate = side if values == _BOTH else values == 1 << 1
        self._rounds.pop(self.number, None)
        self.number += 1
        self._say_bval(self.number, self.estimate)


def _union(sets: list[int]) -> int:
    union = 0
    for bits in sets:
        union |= bits
    return union
