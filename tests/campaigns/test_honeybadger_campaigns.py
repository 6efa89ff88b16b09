"""Systematic campaigns and HoneyBadger: a round is a step of an epoch, and nobody's term is cut short."""

from __future__ import annotations

import pytest
from planted import honeybadger_rules

from outvote.broadcast.binary_agreement import Aux, BVal, CoinShare, Conf, Term
from outvote.broadcast.reliable import Echo, Ready, Val
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.core.contract import Message
from outvote.protocols.catalogue import HONEYBADGER, PBFT
from outvote.protocols.honeybadger.messages import Agreeing, Broadcasting, Decrypting, Lacking
from outvote.protocols.honeybadger.rounds import PHASES, round_of
from outvote.simulator.campaigns import twins
from outvote.simulator.campaigns.running import run_case
from outvote.simulator.swarm import REAL_THRESHOLD_EVERY, draw
from outvote.types import NEVER


def test_a_round_is_a_step_of_an_epoch() -> None:
    steps: list[Message] = [
        Broadcasting(3, 0, Val(b"", (), b"")), Broadcasting(3, 0, Echo(b"", (), b"")), Broadcasting(3, 1, Ready(b"")),
        Agreeing(3, 2, BVal(0, True)), Agreeing(3, 2, Aux(0, True)), Agreeing(3, 2, Conf(0, 1)),
        Agreeing(3, 2, CoinShare(0, b"")), Decrypting(3, 2, DecryptionShare(b"")),
    ]
    assert [round_of(step) for step in steps] == [2 * PHASES + phase for phase in range(PHASES)]
    assert round_of(Agreeing(3, 2, BVal(5, True))) == round_of(Agreeing(3, 2, BVal(0, False)))
    assert round_of(Agreeing(1, 2, Term(True))) == 6
    assert round_of(Lacking(3, 0)) is None


def test_an_epoch_is_not_cut_short_but_a_view_is() -> None:
    scenario = twins.every(2, False)[0]
    endless = [split for split in twins.plan_of(PBFT, scenario, 0).splits if split.until == NEVER]
    assert endless
    assert not [split for split in twins.plan_of(HONEYBADGER, scenario, 0).splits if split.until == NEVER]


@pytest.mark.parametrize(
    "case",
    [*(f"twins:all-2:{number}" for number in range(0, 484, 60)), "twins:led-3:120", "twins:random:2",
     "byzzfuzz:1-2-small:0", "byzzfuzz:2-1-any:1"],
)
def test_a_case_holds(case: str) -> None:
    result = run_case("honeybadger", case)
    assert result.violation == ""
    assert result.delivered > 500


def test_a_common_subset_that_waits_for_no_broadcast_is_found_by_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    honeybadger_rules.output_without_waiting_for_broadcasts(monkeypatch)
    assert any(run_case("honeybadger", f"twins:all-2:{number}").violation for number in range(0, 484, 40))


def test_five_seeds_of_a_hundred_have_real_threshold_keys() -> None:
    plans = [draw(seed, "honeybadger") for seed in range(100)]
    real = [plan for plan in plans if plan.parameters.get("real_threshold")]
    assert len(real) == 100 // REAL_THRESHOLD_EVERY == 5
    assert all(plan.clients * plan.operations_each <= 6 for plan in real)
