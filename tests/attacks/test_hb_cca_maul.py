"""A liar proposes an honest replica's ciphertext as its own, in the same epoch.

Passes if no share is given for it under the liar's name: the proof in a ciphertext is bound to epoch and proposer.
"""

from __future__ import annotations

from honeybadger_cores import Cluster, request

from outvote.broadcast.reliable import Val
from outvote.crypto import erasure
from outvote.protocols.honeybadger.messages import Broadcasting


def test_hb_cca_maul() -> None:
    cluster = Cluster(liars=(3,))
    cluster.submit(0, request(7, text=b"secret"))
    stolen = next(
        one for _, _, one in cluster.under_way if isinstance(one, Broadcasting) and isinstance(one.body, Val)
    )
    assert isinstance(stolen.body, Val)
    shards = {
        receiver: one.body.shard for _, receiver, one in cluster.under_way
        if isinstance(one, Broadcasting) and isinstance(one.body, Val)
    }
    cluster.broadcast(3, 1, erasure.decode(shards, 2, 4))
    cluster.accepted_early(3)
    cluster.run()
    assert all((3, "a ciphertext without a proof") in cluster.lies[me] for me in cluster.honest())
    assert all(output == cluster.outputs()[0] for output in cluster.outputs())
