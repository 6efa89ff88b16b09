"""A liar offers shares of one coin for another one: of another cluster, epoch, proposer or round.

Passes if they open nothing and it is recorded: where names of coins repeat, old shares tell new coins in advance.
"""

from __future__ import annotations

from honeybadger_cores import Cluster, request
from rooms import agreement_room

from outvote.broadcast.binary_agreement import CoinShare
from outvote.broadcast.coin import coin_name
from outvote.broadcast.stand_in import Dealer
from outvote.core.committee import Committee
from outvote.core.contract import ALL
from outvote.protocols.honeybadger.messages import Agreeing


def test_hb_coin_reuse() -> None:
    """A coin belongs to one cluster, epoch, proposer and round: shares collected for one open no other."""
    names = [
        coin_name(cluster, epoch, proposer, number)
        for cluster in (b"", b"a", b"b") for epoch in (1, 2) for proposer in (0, 1, 258) for number in (0, 1, 3)
    ]
    assert len(set(names)) == len(names)
    dealer = Dealer(Committee(4), 1)
    shares = [dealer.share(2, b"coin", name) for name in names]
    assert len(set(shares)) == len(shares)
    there, parts, _ = agreement_room(4, 1, liars=(0,))
    for part in parts[1:]:
        part.propose(True)
    there.collect()
    for number in range(8):
        there.post(0, ALL, CoinShare(number, dealer.share(0, b"coin", coin_name(b"cluster", 2, 0, number))))
    there.run(lambda letter: letter.sender == 0)
    there.run()
    assert all((0, "a false share of a coin") in lines.faults for lines in there.lines[1:])


def test_no_two_epochs_share_a_coin() -> None:
    """All shares of coins that one replica ever says differ: in two epochs, by every proposer and round."""
    cluster = Cluster(requests=4)
    shares: dict[bytes, tuple[int, int, int]] = {}
    for number in range(1, 9):
        cluster.submit(0, request(number))
    cluster.run()
    for sender, message in cluster.said:
        if sender == 0 and isinstance(message, Agreeing) and isinstance(message.body, CoinShare):
            place = message.epoch, message.proposer, message.body.number
            assert shares.setdefault(message.body.share, place) == place
    assert len({epoch for epoch, _, _ in shares.values()}) >= 2
