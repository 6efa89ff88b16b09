"""One liar who learns the coin early, and the schedule on its side, stall the binary agreement of 2014 for ever.

E. MacBrough found it in 2018. Passes if the agreement ends: nobody gives its share of the coin before n - f replicas
have fixed their values (CONF).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from rooms import agreement_room
from schedules import Letter, Room

from outvote.broadcast.binary_agreement import Aux, BVal, CoinShare, Conf, Term
from outvote.broadcast.coin import coin_name, toss
from outvote.broadcast.component import Body
from outvote.broadcast.stand_in import Dealer


def split_round(there: Room, dealer: Dealer, number: int, v: bool) -> bool:
    """One round of the schedule of E. MacBrough (2018): replicas 0 and 1 hold v, replica 2 holds not v, 3 lies. Returns
    the coin. Whatever can still be delivered afterwards is."""
    a0, a1, b, liar = 0, 1, 2, 3

    def go(wanted: Callable[[Letter], bool]) -> None:
        there.run(lambda letter: getattr(letter.body, "number", number) == number and wanted(letter))

    def of(kind: type[Body], sender: int, receiver: int) -> Callable[[Letter], bool]:
        return lambda letter: (letter.sender, letter.receiver) == (sender, receiver) and isinstance(letter.body, kind)

    there.post(liar, a0, BVal(number, not v))
    there.post(liar, a1, BVal(number, v))
    for sender, receiver in ((b, a0), (liar, a0), (a0, a0), (a0, a1), (liar, a1), (a1, a1)):
        go(of(BVal, sender, receiver))  # 0 says AUX(not v), 1 says AUX(v)
    for receiver in (a0, a1):
        there.post(liar, receiver, BVal(number, v))
        there.post(liar, receiver, BVal(number, not v))
        there.post(liar, receiver, Aux(number, v))
        there.post(liar, receiver, Conf(number, 3))
    go(lambda letter: b not in (letter.sender, letter.receiver))
    name = coin_name(b"cluster", 1, 0, number)
    s = toss(dealer.combine(b"coin", name, {one: dealer.share(one, b"coin", name) for one in (a0, liar)}))
    against = not s
    for body in (BVal(number, against), Aux(number, against), Conf(number, 1 << against)):
        there.post(liar, b, body)
    go(lambda letter: letter.body in (BVal(number, against), Aux(number, against), Conf(number, 1 << against)))
    go(lambda letter: not isinstance(letter.body, BVal | Aux) or letter.receiver != b)
    go(lambda letter: True)
    return s


def attack(rounds: int, seed: int) -> list[bool | None]:
    there, parts, dealer = agreement_room(4, seed, liars=(3,))
    v = Random(seed).random() < 0.5
    for part, bit in zip(parts[:3], (v, v, not v), strict=True):
        part.propose(bit)
    there.collect()
    for number in range(rounds):
        if any(part.decided is not None for part in parts[:3]):
            there.run()
            break
        v = split_round(there, dealer, number, v)
    return [part.decided for part in parts[:3]]


def test_one_liar_who_knows_the_coin_early_cannot_stall() -> None:
    for seed in range(10):
        decided = attack(40, seed)
        assert decided in ([False] * 3, [True] * 3)


def early_shares(seed: int) -> Iterator[str]:
    """Shares that were said before CONFs of n - f senders had come, as a monitor at each replica sees them."""
    there, parts, _ = agreement_room(4, seed)
    for part in parts:
        part.propose(there.random.random() < 0.5)
    heard: dict[tuple[int, int], set[int]] = {}
    there.collect()
    seen = 0
    while there.step(lambda _: True):
        letter = there.delivered[-1]
        if isinstance(letter.body, Conf):
            heard.setdefault((letter.receiver, letter.body.number), set()).add(letter.sender)
        elif isinstance(letter.body, Term):
            for number in range(20):
                heard.setdefault((letter.receiver, number), set()).add(letter.sender)
        for posted in there.under_way[seen:]:
            if isinstance(posted.body, CoinShare) and len(heard.get((posted.sender, posted.body.number), ())) < 3:
                yield f"{posted.sender} in round {posted.body.number}"
        seen = len(there.under_way) - 1 if there.under_way else 0


def test_a_share_of_the_coin_is_said_only_after_conf() -> None:
    assert [early for seed in range(10) for early in early_shares(seed)] == []
