"""A power failure tears a proposal: what is left of it was never said, and the epoch goes on with another one."""

from __future__ import annotations

import pytest
from honeybadger_cores import Cluster, genuine, request

from outvote.broadcast.reliable import Echo, Val
from outvote.core.contract import Record
from outvote.protocols.honeybadger.messages import Broadcasting
from outvote.protocols.honeybadger.records import Said
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica


def proposed(core: HoneyBadgerReplica) -> dict[int, bytes]:
    """The roots of the VALs that leave now, by receiver; ALL of the ECHO."""
    return {
        receiver: message.body.root
        for receiver, message in core.out.messages
        if isinstance(message, Broadcasting) and message.proposer == core.me and isinstance(message.body, Val | Echo)
    }


def restarted(records: list[Record]) -> HoneyBadgerReplica:
    core = Cluster().cores[0]
    core.out.clear()
    core = type(core)(0, core.state.committee, core.state.config, core.state.keys)
    core.genuine = genuine
    core.wall = 5555
    core.restore(0, b"", records)
    return core


@pytest.mark.parametrize("kept", range(5))
def test_a_torn_proposal_was_never_said(kept: int) -> None:
    first = Cluster().cores[0]
    first.submit([request(1)])
    written = list(first.out.records)
    assert len(written) == 4
    assert all(isinstance(record, Said) for record in written)
    said = proposed(first)

    again = restarted(written[:kept])
    before = proposed(again)
    again.submit([request(2)])
    assert sorted(proposed(again)) == [-1, 1, 2, 3], "all hear of it"
    assert len({*proposed(again).values()}) == 1, "and of one only"
    assert (proposed(again) == said) == (kept == 4)
    assert before == (said if kept == 4 else {})

    once_more = restarted([*written[:kept], *again.out.records])
    assert proposed(once_more) == proposed(again), "the same after another failure, and nothing of the torn one"
