"""Distributed key generation under drawn schedules: whatever one of four does, the others have keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
import pytest

pytest.importorskip("py_arkworks_bls12381")

from py_arkworks_bls12381 import Scalar

from outvote.broadcast.asynchronous_subset import BROADCASTING
from outvote.broadcast.key_generation import DEALING, Agreed, KeyGeneration, Said
from outvote.broadcast.reliable import Val, data_shards
from outvote.core.committee import Committee
from outvote.core.contract import ALL, canonical
from outvote.crypto import branches, erasure
from outvote.crypto.dealings import (
    Accusation,
    Ceremony,
    Combined,
    Dealing,
    Terms,
    Verdict,
    dealing_bytes_max,
    register,
    value_for,
    verdict_bytes_max,
)
from outvote.crypto.threshold import Keys, ThresholdCoin, scalar_of

N = 4
COMMITTEE = Committee(N)
SECRETS = [bytes([number + 1]) * 32 for number in range(N)]
CEREMONY = Ceremony(Terms(b"test", 2, tuple(map(register, SECRETS)), N))
OTHER = Ceremony(CEREMONY.terms._replace(name=b"other"))
SIZES = dealing_bytes_max(2, N), verdict_bytes_max(N)
LIAR = 2
VICTIM = 1


class Honest:
    """As a replica's own access to the ceremony."""

    def __init__(self, me: int) -> None:
        self.me = me

    def deal(self) -> bytes:
        return CEREMONY.deal(self.me, SECRETS[self.me])

    def verdict(self, dealings: Mapping[int, bytes]) -> bytes:
        return CEREMONY.verdict(dealings, self.me, SECRETS[self.me])


class CrookedCeremony(Ceremony):
    """Deals a row to the victim that is not its row; everything public is right."""

    def _sealed(self, dealer: int, receiver: int, key: Any, row: list[Any]) -> bytes:
        crooked = [one + Scalar(1) for one in row] if receiver == VICTIM else row
        return super()._sealed(dealer, receiver, key, crooked)


CROOKED = CrookedCeremony(CEREMONY.terms).deal(LIAR, SECRETS[LIAR])


class Liar(Honest):
    """By name."""

    def __init__(self, lie: str) -> None:
        super().__init__(LIAR)
        self.lie = lie

    def deal(self) -> bytes:
        if self.lie in ("a wrong row", "a wrong row, learned of too late"):
            return CROOKED
        if self.lie == "no dealing":
            return b"nothing"
        if self.lie == "no boxes":
            dealing = msgspec.msgpack.decode(super().deal(), type=Dealing)
            return canonical(msgspec.structs.replace(dealing, boxes=()))
        return super().deal()

    def verdict(self, dealings: Mapping[int, bytes]) -> bytes:
        if self.lie != "false accusations":
            return super().verdict(dealings)
        x = scalar_of(b"registered key", SECRETS[LIAR])
        keys = {one: CEREMONY._look(one, raw) for one, raw in dealings.items()}
        shown = {one: bytes((known.u * x).to_compressed_bytes()) for one, known in keys.items() if known is not None}
        return canonical(Verdict(tuple(Accusation(one, key) for one, key in shown.items())))


class Play:
    """`held_back` says which words come only when nothing else is left."""

    def __init__(self, seed: int, lie: str, held_back: Callable[[int, Said], bool] = lambda *_: False) -> None:
        ports = [Liar(lie) if me == LIAR else Honest(me) for me in range(N)]
        self.lie = lie
        self.parts = [KeyGeneration(me, COMMITTEE, ports[me], b"test", SIZES) for me in range(N)]
        self.said: list[tuple[int, Said]] = []
        self.under_way: list[tuple[int, Said]] = []
        self.agreed_at: dict[int, int] = {}
        random = Random(seed)
        for me in range(N):
            self.post(me, self.parts[me].begin())
        steps = 0
        while self.under_way:
            steps += 1
            ready = [at for at, one in enumerate(self.under_way) if not held_back(*one)]
            sender, word = self.under_way.pop(random.choice(ready) if ready else random.randrange(len(self.under_way)))
            part = self.parts[word.receiver]
            self.post(word.receiver, part.receive(sender, word.stage, word.proposer, word.body))
            if part.agreed is not None:
                self.agreed_at.setdefault(word.receiver, steps)

    def post(self, sender: int, words: list[Said]) -> None:
        if sender == LIAR and self.lie == "silence":
            return
        if sender == LIAR and self.lie == "two dealings":
            words = [self.of_another(one) for one in words]
        for word in words:
            self.said.append((sender, word))
            receivers = range(N) if word.receiver == ALL else [word.receiver]
            self.under_way += [(sender, word._replace(receiver=one)) for one in receivers]

    @staticmethod
    def of_another(word: Said) -> Said:
        """VALs of another dealing of the liar's to replicas with odd numbers."""
        if word.stage != DEALING or not isinstance(word.body, Val) or word.receiver % 2 == 0:
            return word
        shards = erasure.encode(OTHER.deal(LIAR, SECRETS[LIAR]), data_shards(COMMITTEE), N)
        root, proofs = branches.tree(shards)
        return word._replace(body=Val(root, proofs[word.receiver], shards[word.receiver]))


def the_same(play: Play) -> Agreed:
    honest = [part.agreed for me, part in enumerate(play.parts) if me != LIAR]
    first = honest[0]
    assert first is not None
    assert all(one == first for one in honest)
    assert len(first.dealings) >= 3
    assert len(first.verdicts) >= 3
    return first


def result(agreed: Agreed) -> tuple[Combined, list[int]]:
    """By somebody who has seen nothing but what was agreed on."""
    third = Ceremony(CEREMONY.terms)
    qualified = third.qualified(agreed.dealings, agreed.verdicts)
    return third.combine(agreed.dealings, qualified), qualified


def signatures(combined: Combined, shares: dict[int, bytes]) -> set[bytes]:
    """Of one name, by every two who hold shares."""
    coins = {me: ThresholdCoin(Keys(combined.public, me, share)) for me, share in shares.items()}
    said = {me: coin.share(b"name") for me, coin in coins.items()}
    return {coins[a].combine(b"name", {a: said[a], b: said[b]}) for a in coins for b in coins if a < b}


def shares_of(combined: Combined, members: list[int]) -> dict[int, bytes]:
    rows = {me: combined.row(me, SECRETS[me]) for me in members}
    return {me: bytes(row[0].to_be_bytes()) for me, row in rows.items() if row is not None}


LIES = {
    "": [0, 1, 2, 3], "silence": [0, 1, 3], "no dealing": [0, 1, 3], "no boxes": [0, 1, 3], "a wrong row": [0, 1, 3],
    "false accusations": [0, 1, 2, 3], "two dealings": [0, 1, 3],
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("seed", range(2))
def test_whatever_one_does_the_others_have_keys(lie: str, seed: int) -> None:
    accusers_first = lie == "a wrong row"  # so that the accusation is in the set; without it: see below
    play = Play(seed, lie, lambda sender, word: accusers_first and word.proposer == 0 and word.stage != DEALING)
    combined, qualified = result(the_same(play))
    assert {*qualified} <= {*LIES[lie]}
    shares = shares_of(combined, [0, 1, 3])
    assert len(shares) == 3
    assert len(signatures(combined, shares)) == 1
    if lie in ("a wrong row", "no dealing", "no boxes"):
        assert qualified == [0, 1, 3]


@pytest.mark.parametrize("seed", range(2))
def test_an_accusation_that_comes_too_late_is_made_up_for(seed: int) -> None:
    """Everything that the victim says comes last: its dealing and its accusation are in no set."""
    play = Play(seed, "a wrong row, learned of too late", lambda sender, word: sender == VICTIM)
    agreed = the_same(play)
    assert VICTIM not in agreed.verdicts
    combined, qualified = result(agreed)
    assert qualified == [0, 2, 3]
    shares = shares_of(combined, [0, 1, 3])
    assert sorted(shares) == [0, 3]
    rows = {me: combined.row(me, SECRETS[me]) for me in (0, 3)}
    values = {me: value_for(row, VICTIM) for me, row in rows.items() if row is not None}
    assert all(combined.fits(me, VICTIM, value) for me, value in values.items())
    shares[VICTIM] = combined.share_of_help(values)
    assert len(signatures(combined, shares)) == 1


def test_nobody_waits_for_the_slowest() -> None:
    """Whose every word comes late, in and out, is left behind and catches up."""
    play = Play(3, "", lambda sender, word: 0 in (sender, word.receiver))
    combined, qualified = result(the_same(play))
    assert qualified == [1, 2, 3]
    assert max(play.agreed_at[me] for me in (1, 2, 3)) < play.agreed_at[0]
    assert len(signatures(combined, shares_of(combined, [0, 1, 2, 3]))) == 1


def test_after_a_restart_nothing_else_is_said() -> None:
    """What one said is bound; it deals no other dealing, and puts nothing else into any broadcast or agreement."""
    play = Play(1, "")
    again = KeyGeneration(0, COMMITTEE, Honest(0), b"test", SIZES)
    mine = [word for sender, word in play.said if sender == 0]
    for word in mine:
        again.bind(word.stage, word.proposer, word.body)
    said = again.begin()
    for sender, word in play.said:
        if word.receiver in (ALL, 0):
            said += again.receive(sender, word.stage, word.proposer, word.body)
    assert [one for one in said if isinstance(one.body, BROADCASTING) and one not in mine] == []
    assert again.agreed == play.parts[0].agreed
