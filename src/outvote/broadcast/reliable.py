"""Reliable broadcast with erasure coding (AVID; Cachin and Tessaro 2005; Miller et al. 2016, figure 2).

One proposer has a value v. If any correct replica delivers a value, all do, and the same one (agreement, totality); if
the proposer is correct, it is v (validity). Each replica sends about |v| * n / (n - 2f) bytes rather than n * |v|.

1. The proposer codes v into n shards of which any n - 2f suffice, and sends VAL(h, b_i, s_i) to each replica i: the
   root h of a Merkle tree over the shards, the branch and the shard of i.
2. On the first VAL(h, b_i, s_i) from the proposer: check the branch for one's own index; ECHO(h, b_i, s_i) to all.
3. On ECHO(h, b_j, s_j) from j: check the branch for j's index. One ECHO a sender counts.
4. On n - f ECHOs of h: interpolate the shards from n - 2f of them, **code the value again and compare the root
   with h**; if it differs, the proposer lied, nobody will deliver: record the fault. Else READY(h) to all.
5. On f + 1 READYs of h: READY(h) to all, if not said.
6. On 2f + 1 READYs of h *and* n - 2f ECHOs of h: decode v and deliver it.

Why the check in 4: without it, a proposer commits to shards that are no code word; whoever decodes from some of them
gets one value, whoever decodes from others another one. With it the outcome is a property of h alone: if the n leaves
under h are a code word, all choices give the same v; if not, none gives one whose coding has the root h.
"""

from __future__ import annotations

from outvote.broadcast.component import Body, Lines
from outvote.core.committee import Committee
from outvote.core.contract import ALL
from outvote.crypto import branches, erasure
from outvote.errors import Lie
from outvote.types import Digest, ReplicaId


class Val(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=1):
    """To one replica: its shard."""

    root: Digest
    branch: branches.Branch
    shard: bytes


class Echo(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=2):
    """To all: the sender's shard."""

    root: Digest
    branch: branches.Branch
    shard: bytes


class Ready(Body, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True, tag=3):
    """To all: everybody will be able to deliver what this root stands for."""

    root: Digest


def data_shards(committee: Committee) -> int:
    """How many shards hold the value: as many as are certain to come from correct replicas."""
    return committee.n - 2 * committee.faults


def largest_shard(value_bytes: int, committee: Committee) -> int:
    """Bytes of a shard of the largest value."""
    return erasure.shard_bytes(value_bytes, data_shards(committee))


class ReliableBroadcast:
    """One replica's part in one proposer's broadcast. `delivered` is the value, once it is certain.

    Held: at most n shards of `shard_bytes_max` bytes and n digests.
    """

    def __init__(
        self, me: ReplicaId, proposer: ReplicaId, committee: Committee, lines: Lines, shard_bytes_max: int
    ) -> None:
        self.delivered: bytes | None = None
        self.me = me
        self.proposer = proposer
        self._committee = committee
        self._lines = lines
        self._shard_bytes_max = shard_bytes_max
        self._data = data_shards(committee)
        self._amplify_at = committee.weak
        self._deliver_at = 2 * committee.faults + 1
        self._echoes: dict[ReplicaId, Echo] = {}
        self._readies: dict[ReplicaId, Digest] = {}
        self._echoed = False
        self._readied = False
        self._values: dict[Digest, bytes | None] = {}  # decoded; None: its shards are no code word

    def propose(self, value: bytes) -> None:
        """Only the proposer does, and once."""
        assert self.me == self.proposer
        n = self._committee.n
        shards = erasure.encode(value, self._data, n)
        root, proofs = branches.tree(shards)
        for replica in range(n):
            val = Val(root, proofs[replica], shards[replica])
            if replica == self.me:
                self._on_val(self.me, val)  # one's own shard needs no message: its ECHO says the same
            else:
                self._lines.say(replica, val)

    def bind(self, body: Body) -> None:
        if isinstance(body, Echo):
            self._echoed = True
        elif isinstance(body, Ready):
            self._readied = True

    def receive(self, sender: ReplicaId, body: Body) -> None:
        if isinstance(body, Val):
            self._on_val(sender, body)
        elif isinstance(body, Echo):
            self._on_echo(sender, body)
        elif isinstance(body, Ready):
            self._on_ready(sender, body)

    def _fits(self, body: Val | Echo, index: ReplicaId) -> bool:
        return len(body.shard) <= self._shard_bytes_max and branches.belongs(
            body.root, body.branch, body.shard, index, self._committee.n
        )

    def _on_val(self, sender: ReplicaId, body: Val) -> None:
        if sender != self.proposer:
            self._lines.accuse(sender, "VAL in another one's broadcast")
            return
        if self._echoed:
            return
        if not self._fits(body, self.me):
            self._lines.accuse(sender, "VAL with a shard that does not belong")
            return
        self._echoed = True
        self._lines.say(ALL, Echo(body.root, body.branch, body.shard))

    def _on_echo(self, sender: ReplicaId, body: Echo) -> None:
        if sender in self._echoes:
            return
        if not self._fits(body, sender):
            self._lines.accuse(sender, "ECHO with a shard that does not belong")
            return
        self._echoes[sender] = body
        if not self._readied and len(self._shards(body.root)) >= self._committee.n - self._committee.faults:
            self._ready_if_coded(body.root)
        self._try_deliver(body.root)

    def _on_ready(self, sender: ReplicaId, body: Ready) -> None:
        if sender in self._readies:
            return
        self._readies[sender] = body.root
        if not self._readied and self._ready_count(body.root) >= self._amplify_at:
            self._say_ready(body.root)
        self._try_deliver(body.root)

    def _ready_if_coded(self, root: Digest) -> None:
        if self._value(root) is not None:
            self._say_ready(root)

    def _say_ready(self, root: Digest) -> None:
        self._readied = True
        self._lines.say(ALL, Ready(root))

    def _try_deliver(self, root: Digest) -> None:
        if self.delivered is not None or self._ready_count(root) < self._deliver_at:
            return
        if len(self._shards(root)) >= self._data:
            self.delivered = self._value(root)

    def _ready_count(self, root: Digest) -> int:
        return sum(1 for said in self._readies.values() if said == root)

    def _shards(self, root: Digest) -> dict[int, bytes]:
        return {sender: echo.shard for sender, echo in self._echoes.items() if echo.root == root}

    def _value(self, root: Digest) -> bytes | None:
        """What the shards under this root hold; None, and a fault of the proposer's, if they are no code word."""
        if root not in self._values:
            self._values[root] = self._decoded(root)
            if self._values[root] is None:
                self._lines.accuse(self.proposer, "shards that do not code to their root")
        return self._values[root]

    def _decoded(self, root: Digest) -> bytes | None:
        try:
            value = erasure.decode(self._shards(root), self._data, self._committee.n)
        except Lie:
            return None
        return value if self._recoded_root(value) == root else None

    def _recoded_root(self, value: bytes) -> Digest:
        return branches.tree(erasure.encode(value, self._data, self._committee.n))[0]
