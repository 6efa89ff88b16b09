"""Shares dealt anew, from one committee to another: the key stays, whatever one of the old and one of the new do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

pytest.importorskip("py_arkworks_bls12381")

from py_arkworks_bls12381 import Scalar

from outvote.broadcast.key_generation import JUDGING
from outvote.broadcast.key_resharing import HANDING, Dealt, KeyResharing, Place, Said
from outvote.core.committee import Committee
from outvote.core.contract import ALL, canonical
from outvote.crypto.dealings import (
    Accusation,
    Ceremony,
    Combined,
    Terms,
    Verdict,
    dealing_bytes_max,
    register,
    verdict_bytes_max,
)
from outvote.crypto.threshold import Keys, Public, ThresholdCoin, deal
from outvote.errors import Mistake

OLD = Committee(4)
PUBLIC, SHARES = deal(4, 2, b"dealer" * 8)
SECRETS = [bytes([number + 1]) * 32 for number in range(8)]  # by machine
LIAR = 2  # a machine that is in both committees


class Member:
    """One machine's access; it is an honest one's."""

    def __init__(self, ceremony: Ceremony, place: Place, machine: int) -> None:
        self.ceremony = ceremony
        self.place = place
        self.secret = SECRETS[machine]

    def deal(self) -> bytes:
        assert self.place.old is not None
        return self.ceremony.deal(self.place.old, self.secret, SHARES[self.place.old])

    def verdict(self, dealings: Mapping[int, bytes]) -> bytes:
        assert self.place.new is not None
        return self.ceremony.verdict(dealings, self.place.new, self.secret)


class WrongShare(Member):
    """Deals somebody else's share, which everybody can see."""

    def deal(self) -> bytes:
        return self.ceremony.deal(2, self.secret, SHARES[1])


class WrongRow(Member):
    """Deals its share, and gives new member 0 a row that is not its own."""

    def deal(self) -> bytes:
        class Crooked(Ceremony):
            def _sealed(self, dealer: int, receiver: int, key: Any, row: list[Any]) -> bytes:
                crooked = [one + Scalar(1) for one in row] if receiver == 0 else row
                return super()._sealed(dealer, receiver, key, crooked)

        return Crooked(self.ceremony.terms).deal(2, self.secret, SHARES[2])


class Accuser(Member):
    """Accuses everybody, with keys of no box."""

    def verdict(self, dealings: Mapping[int, bytes]) -> bytes:
        return canonical(Verdict(tuple(Accusation(one, raw[-200:-152]) for one, raw in dealings.items())))


class Play:
    """`machines`: who are the new members, in order. Old member i is machine i. The liar's DEALT may be changed."""

    def __init__(
        self, machines: list[int], seed: int, liar: type[Member] = Member,
        dealt: Callable[[Dealt], Dealt | None] = lambda said: said,
    ) -> None:  # fmt: skip
        self.new = Committee(len(machines))
        self.machines = machines
        terms = Terms(b"epoch 1", self.new.weak, tuple(register(SECRETS[one]) for one in machines), OLD.n, PUBLIC)
        self.ceremony = Ceremony(terms)
        sizes = dealing_bytes_max(terms.threshold, self.new.n), verdict_bytes_max(OLD.n)
        self.parts: dict[int, KeyResharing] = {}
        self.places: dict[int, Place] = {}
        for machine in sorted({*range(OLD.n), *machines}):
            place = Place(
                machine if machine < OLD.n else None, machines.index(machine) if machine in machines else None
            )
            member = (liar if machine == LIAR else Member)(self.ceremony, place, machine)
            coin = ThresholdCoin(Keys(PUBLIC, place.old, SHARES[place.old])) if place.old is not None else None
            self.places[machine] = place
            self.parts[machine] = KeyResharing(place, (OLD, self.new), member, coin, b"epoch 1", sizes)
        self.dealt = dealt
        self.under_way: list[tuple[int, int, Said]] = []
        random = Random(seed)
        for machine, part in self.parts.items():
            self.post(machine, part.begin())
        while self.under_way:
            sender, receiver, word = self.under_way.pop(random.randrange(len(self.under_way)))
            place = self.places[sender]
            number = place.new if word.stage == JUDGING else place.old
            assert number is not None
            self.post(receiver, self.parts[receiver].receive(number, word.stage, word.proposer, word.body))

    def post(self, sender: int, words: list[Said]) -> None:
        for word in words:
            said = word
            if sender == LIAR and isinstance(word.body, Dealt):
                changed = self.dealt(word.body)
                if changed is None:
                    continue
                said = word._replace(body=changed)
            group = self.machines if word.stage in (JUDGING, HANDING) else list(range(OLD.n))
            receivers = group if word.receiver == ALL else [group[word.receiver]]
            self.under_way += [(sender, one, said) for one in receivers]

    def result(self) -> Combined:
        """What all honest new members agree on."""
        agreed = [self.parts[one].agreed for one in self.machines if one != LIAR]
        first = agreed[0]
        assert first is not None
        assert all(one == first for one in agreed)
        fresh = Ceremony(self.ceremony.terms)
        return fresh.combine(first.dealings, fresh.qualified(first.dealings, first.verdicts))

    def new_shares(self, combined: Combined) -> dict[int, bytes]:
        rows = {number: combined.row(number, SECRETS[machine]) for number, machine in enumerate(self.machines)}
        return {number: bytes(row[0].to_be_bytes()) for number, row in rows.items() if row is not None}


def signature(public: Public, shares: dict[int, bytes], members: list[int]) -> bytes:
    coins = {one: ThresholdCoin(Keys(public, one, shares[one])) for one in members}
    said = {one: coin.share(b"name") for one, coin in coins.items()}
    return coins[members[0]].combine(b"name", said)


BEFORE = signature(PUBLIC, dict(enumerate(SHARES)), [0, 1])
SAME, ONE_JOINS, THREE_JOIN = [0, 1, 2, 3], [4, 1, 2, 3], [5, 1, 4, 3, 0, 6, 2]


@pytest.mark.parametrize(
    ("machines", "liar"),
    [(SAME, Member), (SAME, Accuser), (ONE_JOINS, WrongShare), (ONE_JOINS, WrongRow), (THREE_JOIN, WrongRow)],
)
def test_the_key_stays_and_the_shares_are_others(machines: list[int], liar: type[Member]) -> None:
    play = Play(machines, 1, liar)
    combined = play.result()
    assert combined.public.key == PUBLIC.key
    shares = play.new_shares(combined)
    assert len(shares) >= len(machines) - 1, "whom the liar lied to and nobody heard in time is helped: see dealings"
    assert not {*shares.values()} & {*SHARES}
    honest = [number for number in shares if machines[number] != LIAR]
    weak = play.new.weak
    assert signature(combined.public, shares, honest[:weak]) == BEFORE
    assert signature(combined.public, shares, honest[-weak:]) == BEFORE
    with pytest.raises(Mistake, match="does not belong"):
        Keys(combined.public, 1, SHARES[1])


def test_one_old_member_alone_is_not_believed() -> None:
    """What the liar hands over is none of it, something malformed, or nothing."""
    changes: list[Callable[[Dealt], Dealt | None]] = [
        lambda said: Dealt(said.dealings[:2]),
        lambda said: Dealt(said.dealings[::-1]),
        lambda said: Dealt(((9, b"x"),)),
        lambda said: Dealt(((0, b"x" * 100_000),)),
        lambda _said: None,
    ]
    for seed, dealt in enumerate(changes):
        play = Play([4, 1, 2, 3], seed + 6, dealt=dealt)  # schedules in which it is heard in time
        assert play.result().public.key == PUBLIC.key
        malformed = [fault for one in (1, 3, 4) for fault in play.parts[one].faults]
        assert bool(malformed) == (seed in (1, 2, 3))
        assert all(culprit == LIAR for culprit, _ in malformed)


def test_strangers_words_are_passed_over() -> None:
    """Who is no old member hears nothing of dealing, who is no new one nothing of judging."""
    play = Play([4, 1, 2, 3], 0)
    newcomer, leaver = play.parts[4], play.parts[0]
    assert leaver.agreed is None
    assert newcomer.begin() == []
    body = Dealt(())
    assert newcomer.receive(7, HANDING, 0, body) == []
    assert newcomer.receive(1, 0, 0, body) == []
    assert leaver.receive(1, JUDGING, 0, body) == []
