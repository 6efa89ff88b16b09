"""Asynchronous common subset: the same set everywhere, large enough, and not closed too early."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from outvote.broadcast.asynchronous_subset import AsynchronousSubset, Line
from outvote.broadcast.binary_agreement import BVal
from outvote.broadcast.coin import coin_name
from outvote.broadcast.stand_in import deal
from outvote.core.committee import Committee
from outvote.core.contract import ALL

Sent = tuple[int, Line]


def play(
    n: int, seed: int, silent: tuple[int, ...] = (), held_back: Callable[[Sent], bool] = lambda _: False
) -> tuple[list[AsynchronousSubset], list[Sent]]:
    """Everybody not silent proposes its own number; what is held back comes when nothing else is left."""
    committee, random = Committee(n), Random(seed)
    parts = [
        AsynchronousSubset(me, committee, coin, partial(coin_name, b"", 1), 1 << 10)
        for me, (coin, _) in enumerate(deal(committee, seed))
    ]
    under_way: list[Sent] = []
    said: list[Sent] = []

    def post(sender: int, lines: list[Line]) -> None:
        for line in lines:
            said.append((sender, line))
            receivers = range(n) if line.receiver == ALL else [line.receiver]
            under_way.extend((sender, line._replace(receiver=one)) for one in receivers if one not in silent)

    for me in range(n):
        if me not in silent:
            post(me, parts[me].propose(b"%d" % me))
    while under_way:
        ready = [index for index, sent in enumerate(under_way) if not held_back(sent)]
        sender, line = under_way.pop(random.choice(ready) if ready else random.randrange(len(under_way)))
        post(line.receiver, parts[line.receiver].receive(sender, line.proposer, line.body))
    return parts, said


@pytest.mark.parametrize("n", [1, 4, 5, 7])
@pytest.mark.parametrize("seed", range(4))
def test_all_output_the_same_of_n_minus_f(n: int, seed: int) -> None:
    faults = Committee(n).faults
    for silent in ((), tuple(range(n - faults, n))):
        parts, _ = play(n, seed, silent)
        outputs = [part.output for me, part in enumerate(parts) if me not in silent]
        first = outputs[0]
        assert first is not None
        assert all(output == first for output in outputs)
        assert len(first) >= n - faults
        assert list(first) == sorted(first)
        assert all(value == b"%d" % proposer for proposer, value in first.items())


def test_without_faults_and_without_haste_all_are_in_it() -> None:
    parts, _ = play(4, 1, held_back=lambda sent: sent[1].body.__class__.__name__ not in ("Val", "Echo", "Ready"))
    assert parts[0].output is not None
    assert list(parts[0].output) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_enough_are_in_though_some_are_slow(seed: int) -> None:
    """n - f proposals, though the words of replicas 0 and 1 come last."""
    parts, _ = play(4, seed, held_back=lambda sent: sent[0] in (0, 1))
    assert all(part.output is not None and len(part.output) >= 3 for part in parts)


def test_zero_is_put_in_by_nobody_before_then() -> None:
    for seed in range(5):
        _, said = play(4, seed, silent=(3,))
        zeros = {line.proposer for _, line in said if isinstance(line.body, BVal) and not line.body.bit}
        assert zeros <= {3}
