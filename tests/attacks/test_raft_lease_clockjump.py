"""Leases: what they rest on, and what ends them.

Passes if a lease ends when it is handed over and when it was not renewed, if followers keep to a leader for longer than
its lease lasts, also across a restart; and it shows that a clock that leaps breaks them, which is why the flag is off.
"""

from __future__ import annotations

import pytest
from raft_steps import TIMEOUT, Steps

from outvote.errors import Mistake
from outvote.protocols.raft import reads
from outvote.protocols.raft.config import RaftConfig
from outvote.protocols.raft.messages import RequestVote


def leased(**parameters: int) -> Steps:
    steps = Steps(3, lease=1, **parameters)
    steps.elect(0)
    steps.settle()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    steps.settle()
    assert holds(steps)
    return steps


def holds(steps: Steps, me: int = 0) -> bool:
    steps.cores[me].now = steps.state(me).now = steps.now
    return reads.holds_lease(steps.state(me))


def test_a_read_under_a_lease_costs_no_message() -> None:
    steps = leased()
    ticket = steps.cores[0].ask_to_read()
    steps.drain(0)
    assert steps.cores[0].reads_confirmed == ticket
    assert steps.letters == []


def test_it_ends_unless_a_majority_answers() -> None:
    steps = leased()
    steps.now += steps.state(0).config.lease_ns
    assert not holds(steps)


def test_it_ends_when_it_is_handed_over() -> None:
    steps = leased()
    assert not steps.cores[0].hand_over(1)
    assert not holds(steps)


def test_followers_elect_nobody_else_while_it_runs_not_even_after_a_restart() -> None:
    steps = leased()
    steps.crash(1)
    steps.now += steps.state(0).config.lease_ns - 2
    assert holds(steps)
    state = steps.state(1)
    steps.hear((2, 1, RequestVote(state.term + 1, 2, state.log.last, state.log.last_term)))
    assert steps.letters == []
    assert state.term == steps.state(0).term
    steps.now += 2 * TIMEOUT
    steps.hear((2, 1, RequestVote(state.term + 1, 2, state.log.last, state.log.last_term)))
    assert len(steps.letters) == 1
    assert not holds(steps)


def test_a_clock_that_leaps_breaks_it() -> None:
    """The bound is stated because it is needed."""
    steps = leased()
    before = steps.now
    steps.now += 2 * TIMEOUT  # at replicas 1 and 2 alone
    steps.elect(1, (1, 2))
    steps.submit(1, 1)
    steps.settle((1, 2))
    assert steps.executed(1) == [1]
    steps.now = before
    assert holds(steps), "and it would answer without that write"


def test_it_needs_check_quorum() -> None:
    with pytest.raises(Mistake, match="lease needs check_quorum"):
        RaftConfig(lease=1, check_quorum=0).validated(3)
