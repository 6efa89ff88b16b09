"""One binary agreement or one reliable broadcast at every replica of a room."""

from __future__ import annotations

from functools import partial

from schedules import Room

from outvote.broadcast.binary_agreement import BinaryAgreement
from outvote.broadcast.coin import coin_name
from outvote.broadcast.component import Lines
from outvote.broadcast.reliable import ReliableBroadcast
from outvote.broadcast.stand_in import Dealer, StandInCoin
from outvote.core.committee import Committee


def agreement_room(n: int, seed: int, liars: tuple[int, ...] = ()) -> tuple[Room, list[BinaryAgreement], Dealer]:
    committee, lines = Committee(n), [Lines() for _ in range(n)]
    dealer = Dealer(committee, seed)
    name_of = partial(coin_name, b"cluster", 1, 0)
    parts = [BinaryAgreement(me, committee, lines[me], StandInCoin(dealer, me), name_of) for me in range(n)]
    return Room([None if me in liars else part for me, part in enumerate(parts)], lines, seed), parts, dealer


def broadcast_room(
    n: int, seed: int, liars: tuple[int, ...] = (), proposer: int = 0
) -> tuple[Room, list[ReliableBroadcast]]:
    committee, lines = Committee(n), [Lines() for _ in range(n)]
    parts = [ReliableBroadcast(me, proposer, committee, lines[me], 1 << 16) for me in range(n)]
    return Room([None if me in liars else part for me, part in enumerate(parts)], lines, seed), parts
