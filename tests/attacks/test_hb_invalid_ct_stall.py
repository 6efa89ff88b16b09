"""A liar's proposal is accepted and turns out to be no ciphertext, no batch, or not its clients'.

Passes if it counts as empty, in the same epoch everywhere, and its proposer is recorded: who waits for it to open waits
for ever.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from honeybadger_cores import Cluster, box, request

from outvote.broadcast.stand_in import SPOILED
from outvote.core.contract import Request, canonical
from outvote.protocols.honeybadger.messages import Contribution
from outvote.types import FIRST_CLIENT


def too_many() -> bytes:
    return canonical(Contribution(5, tuple(map(request, range(1, 9)))))


def forged(cluster: Cluster) -> bytes:
    made_up = Request(FIRST_CLIENT + 1, 1, 0, (b"made up",), b"forged seal")
    return box(cluster, canonical(Contribution(5, (request(1), made_up))))


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (lambda cluster: b"no ciphertext at all", "a ciphertext without a proof"),
        (lambda cluster: box(cluster, canonical(Contribution(5, ())))[:-1], "a ciphertext without a proof"),
        (
            lambda cluster: box(cluster, SPOILED),
            "a ciphertext whose payload does not open",
        ),
        (
            lambda cluster: box(cluster, b"\xc1"),
            "a batch that is none",
        ),
        (lambda cluster: box(cluster, canonical(Contribution(-5, ()))), "a batch that is none"),
        (lambda cluster: box(cluster, too_many()), "a batch that is none"),
        (forged, "a batch that is none"),
    ],
    ids=["noise", "cut", "payload", "undecodable", "time", "too many", "forged"],
)
def test_hb_invalid_ct_stall(payload: Callable[[Cluster], bytes], fault: str) -> None:
    """An accepted proposal that is none counts as empty, in the same epoch everywhere, and its proposer is recorded."""
    cluster = Cluster(liars=(3,))
    cluster.broadcast(3, 1, payload(cluster))
    cluster.accepted_early(3)
    cluster.submit(0, request(7))
    cluster.run()
    outputs = cluster.outputs()
    assert outputs[0]
    assert all(output == outputs[0] for output in outputs)
    assert {one.number for _, requests in outputs[0] for one in requests} == {7}
    assert [cluster.lies[me] for me in cluster.honest()] == [[(3, fault)]] * 3
