"""Binary agreement: agreement, validity, termination under drawn schedules, and the attack that CONF is there for."""

from __future__ import annotations

from functools import partial

import pytest
from rooms import agreement_room
from schedules import Letter, Room

from outvote.broadcast.binary_agreement import (
    ROUNDS_AHEAD,
    Aux,
    BinaryAgreement,
    BVal,
    CoinShare,
    Conf,
    Term,
)
from outvote.broadcast.coin import coin_name
from outvote.broadcast.component import Body, Lines
from outvote.broadcast.stand_in import Dealer, StandInCoin
from outvote.core.committee import Committee
from outvote.core.contract import ALL


def babble(there: Room, liar: int, dealer: Dealer) -> None:
    """Anything a liar could say in the first rounds, to anybody."""
    random = there.random
    for _ in range(60):
        number, bit = random.randrange(4), random.random() < 0.5
        share = dealer.share(liar, b"coin", coin_name(b"cluster", 1, 0, number))
        words: list[Body] = [
            BVal(number, bit), Aux(number, bit), Conf(number, random.randrange(5)), Term(bit),
            CoinShare(number, random.choice([share, b"", b"false", bytes(200)])),
        ]
        there.post(liar, random.randrange(len(there.parts)), random.choice(words))


def test_all_decide_the_same_bit_whatever_the_schedule() -> None:
    for seed in range(180, 280):
        test_all_decide_the_same_bit_that_somebody_put_in(4, seed)


@pytest.mark.parametrize("n", [4, 5, 7])
@pytest.mark.parametrize("seed", range(12))
def test_all_decide_the_same_bit_that_somebody_put_in(n: int, seed: int) -> None:
    liars = tuple(range(n - Committee(n).faults, n))
    there, parts, dealer = agreement_room(n, seed, liars)
    bits = [there.random.random() < 0.5 for _ in range(n)]
    for me in range(n - len(liars)):
        parts[me].propose(bits[me])
    for liar in liars:
        babble(there, liar, dealer)
    there.run()
    decided = [part.decided for part in parts[: n - len(liars)]]
    assert len(set(decided)) == 1
    assert decided[0] in bits[: n - len(liars)]
    assert {culprit for lines in there.lines for culprit, _ in lines.faults} <= set(liars)


def by_kind_and_bit(letter: Letter) -> object:
    body = letter.body
    return letter.sender, letter.receiver, type(body), getattr(body, "bit", getattr(body, "bits", 0))


def test_a_scheduler_who_looks_into_messages_divides_nobody_and_stops_nobody() -> None:
    for seed in range(150):
        there, parts, dealer = agreement_room(4, seed, liars=(3,))
        bits = [there.random.random() < 0.5 for _ in range(3)]
        for part, bit in zip(parts, bits, strict=False):
            part.propose(bit)
        babble(there, 3, dealer)
        there.run_by_priority(by_kind_and_bit, liar=3)
        decided = {part.decided for part in parts[:3]}
        assert len(decided) == 1
        assert decided <= {*bits}


@pytest.mark.parametrize("bit", [False, True])
def test_what_all_put_in_is_decided(bit: bool) -> None:
    for seed in range(6):
        there, parts, dealer = agreement_room(4, seed, liars=(3,))
        for part in parts[:3]:
            part.propose(bit)
        babble(there, 3, dealer)
        there.run()
        assert [part.decided for part in parts[:3]] == [bit] * 3


# ---------------------------------------------------------------- votes and bounds


def test_a_sender_has_one_aux_and_one_conf_a_round() -> None:
    """Else AUX(0) and AUX(1) of one sender count for two."""
    committee, lines = Committee(4), Lines()
    coin = StandInCoin(Dealer(committee, 1), 0)
    part = BinaryAgreement(0, committee, lines, coin, partial(coin_name, b"", 1, 0))
    for sender in range(4):
        for bit in (False, True):
            part.receive(sender, BVal(0, bit))
    for sender in (1, 2):
        for bit in (False, True):
            part.receive(sender, Aux(0, bit))
    assert not any(isinstance(body, Conf) for _, body in lines.said)
    part.receive(3, Aux(0, True))
    assert (ALL, Conf(0, 3)) in lines.said or (ALL, Conf(0, 1)) in lines.said or (ALL, Conf(0, 2)) in lines.said
    for sender in (1, 2):
        for bits in (1, 2, 3):
            part.receive(sender, Conf(0, bits))
    assert not any(isinstance(body, CoinShare) for _, body in lines.said)
    part.receive(3, Conf(0, 3))
    assert any(isinstance(body, CoinShare) for _, body in lines.said)


def test_rounds_far_ahead_are_not_kept() -> None:
    committee = Committee(4)
    coin = StandInCoin(Dealer(committee, 1), 0)
    part = BinaryAgreement(0, committee, Lines(), coin, partial(coin_name, b"", 1, 0))
    for number in range(10 * ROUNDS_AHEAD):
        part.receive(3, BVal(number, True))
        part.receive(3, Aux(number, True))
    part.receive(3, BVal(-1, True))
    part.receive(3, BVal(1 << 62, True))
    assert part.rounds_held() == ROUNDS_AHEAD + 1


def test_false_shares_do_not_count_and_are_recorded() -> None:
    there, parts, dealer = agreement_room(4, 1, liars=(0,))
    for part in parts[1:]:
        part.propose(True)
    there.collect()
    for number in range(8):
        there.post(0, ALL, CoinShare(number, b"false"))
        there.post(0, ALL, CoinShare(number, dealer.share(2, b"coin", coin_name(b"cluster", 1, 0, number))))
    there.run(lambda letter: letter.sender == 0)
    there.run()
    assert [part.decided for part in parts[1:]] == [True] * 3
    assert {culprit for lines in there.lines for culprit, _ in lines.faults} == {0}


def test_bound_by_what_it_said_before_a_restart() -> None:
    committee, lines = Committee(4), Lines()
    coin = StandInCoin(Dealer(committee, 1), 0)
    part = BinaryAgreement(0, committee, lines, coin, partial(coin_name, b"", 1, 0))
    for body in (BVal(0, False), Aux(0, False), Conf(0, 1)):
        part.bind(body)
    assert part.has_input
    for sender in range(1, 4):
        for body in (BVal(0, True), Aux(0, True), Conf(0, 2)):
            part.receive(sender, body)
    said = [type(body) for _, body in lines.said]
    assert Aux not in said
    assert Conf not in said
    part.bind(Term(False))
    assert part.decided is False


# ---------------------------------------------------------------- statistics


def rounds_of_one(seed: int) -> int:
    there, parts, _ = agreement_room(4, seed)
    for part in parts:
        part.propose(True)
    there.run()
    return max(part.number for part in parts) + 1


def test_rounds_as_many_as_the_coin_makes_them() -> None:
    """All put in the same bit: a geometric number of rounds with p = 1/2, expected 2; of 4 at once the slowest takes
    3.505, of 32 6.355. 960 runs: standard errors of 0.046, of 240 groups 0.1, of 30 groups 0.34; bounds are three."""
    rounds = [rounds_of_one(seed) for seed in range(960)]
    assert abs(sum(rounds) / 960 - 2) < 0.14
    for size, expected, bound in ((4, 3.505, 0.3), (32, 6.355, 1.0)):
        slowest = [max(rounds[at : at + size]) for at in range(0, 960, size)]
        assert abs(sum(slowest) / len(slowest) - expected) < bound
