"""Hand-made PBFT messages, and a few cores wired together without a host. Seals are not checked by cores."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from outvote.core.certificates import Seals
from outvote.core.checkpoints import GENESIS, Checkpoint, CheckpointCertificate
from outvote.core.committee import Committee
from outvote.core.contract import ALL, Delivery, Message, Record, Request, digest_of
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import (
    Batch,
    NewView,
    PreparedCertificate,
    PrePrepare,
    SealedViewChange,
    ViewChange,
)
from outvote.protocols.pbft.replica import PbftReplica
from outvote.types import FIRST_CLIENT, MILLISECOND, SECOND, Digest, Position, ReplicaId, Seal, View

CONFIG = PbftConfig(checkpoint_interval=4, window=8, view_timeout_ns=SECOND, view_timeout_growth_max=8, pipeline=4)
Link = Callable[[ReplicaId, ReplicaId, Message], bool]


def seal(replica: ReplicaId) -> Seal:
    return bytes([replica]) * 64


def request(number: int = 1, client: int = 0, text: str = "x", acknowledged: int = 0) -> Request:
    return Request(FIRST_CLIENT + client, number, acknowledged, (text.encode(),), bytes(64))


def batch(*numbers: int) -> Batch:
    return Batch(0, tuple(request(number) for number in numbers))


def proposal(view: View, position: Position, content: Batch) -> PrePrepare:
    return PrePrepare(view, position, digest_of(content), content)


def seals(replicas: Iterable[ReplicaId]) -> Seals:
    return tuple((replica, seal(replica)) for replica in replicas)


def prepared(
    view: View, position: Position, digest: Digest, signers: Iterable[ReplicaId] | None = None, n: int = 4
) -> PreparedCertificate:
    """Sound unless told otherwise."""
    committee = Committee(n)
    proposer = committee.leader(view)
    if signers is None:
        signers = [one for one in range(n) if one != proposer][: committee.quorum - 1]
    return PreparedCertificate(view, position, digest, proposer, seal(proposer), seals(signers))


def certified(position: Position, digest: Digest = b"s" * 32, signers: Iterable[ReplicaId] = (0, 1, 2)) -> (
    CheckpointCertificate
):
    return CheckpointCertificate(position, digest, seals(signers))


def view_change(
    view: View, *certificates: PreparedCertificate, stable: CheckpointCertificate = GENESIS
) -> ViewChange:
    return ViewChange(view, stable, tuple(sorted(certificates, key=lambda one: one.position)))


def new_view(
    view: View, changes: Mapping[ReplicaId, ViewChange], proposals: Iterable[tuple[Position, Digest]]
) -> NewView:
    quoted = tuple(SealedViewChange(sender, change, seal(sender)) for sender, change in sorted(changes.items()))
    return NewView(view, quoted, tuple(proposals))


def core(me: ReplicaId, n: int = 4, config: PbftConfig = CONFIG) -> PbftReplica:
    made = PbftReplica(me, Committee(n), config)
    made.restore(0, b"", [])
    made.out.clear()
    return made


def stable_at_4(me: ReplicaId) -> PbftReplica:
    """A core that came back with the state of position 4 and has seen it certified."""
    replica = core(me)
    replica.restore(4, b"s" * 32, [])
    replica.executed(4, state_digest(4))
    for sender in (0, 2, 3):
        hear(replica, sender, Checkpoint(4, state_digest(4)))
    assert replica.state.low == 4
    return replica


def said(one: PbftReplica, kind: type[Message]) -> list[Message]:
    """What the core wants said, of one kind, hints included."""
    lanes = [*one.out.messages, *one.out.hints]
    return [message for _, message in lanes if type(message) is kind]


def hear(one: PbftReplica, sender: ReplicaId, *messages: Message) -> None:
    for message in messages:
        one.receive(sender, message, seal(sender) if message.sealed else b"")


def recorded(one: PbftReplica, kind: type[Record]) -> list[Record]:
    return [record for record in one.out.records if type(record) is kind]


class Wired:
    """Cores that hear each other at once and in order, over links that may be cut; a state is its position's digest."""

    def __init__(self, n: int = 4, config: PbftConfig = CONFIG, link: Link = lambda _from, _to, _message: True) -> None:
        self.cores = [core(me, n, config) for me in range(n)]
        self.link = link
        self.sent: Counter[str] = Counter()
        self.delivered: list[list[Delivery]] = [[] for _ in range(n)]
        self.queue: deque[tuple[ReplicaId, ReplicaId, Message]] = deque()

    def submit(self, one: Request, to: Iterable[ReplicaId] | None = None) -> None:
        for replica in range(len(self.cores)) if to is None else to:
            self.cores[replica].submit([one])
            self.collect(replica)

    def collect(self, me: ReplicaId) -> None:
        out = self.cores[me].out
        for receiver, message in [*out.messages, *out.hints]:
            for other in range(len(self.cores)) if receiver == ALL else (receiver,):
                if other != me:
                    self.sent[type(message).__name__] += 1
                    if self.link(me, other, message):
                        self.queue.append((me, other, message))
                elif message.sealed or receiver == ALL:
                    self.queue.append((me, me, message))
        checkpoints = [delivery.position for delivery in out.deliveries if delivery.checkpoint]
        self.delivered[me] += out.deliveries
        out.clear()
        for position in checkpoints:
            self.cores[me].executed(position, state_digest(position))
            self.collect(me)

    def settle(self) -> None:
        """Until nobody has anything to say."""
        while self.queue:
            sender, receiver, message = self.queue.popleft()
            hear(self.cores[receiver], sender, message)
            self.collect(receiver)

    def pass_time(self, until: int) -> None:
        """All clocks go on, in steps of 10 ms."""
        while self.cores[0].now < until:
            for me, one in enumerate(self.cores):
                one.now += 10 * MILLISECOND
                if one.now >= one.wake_at:
                    one.wake()
                self.collect(me)
            self.settle()

    def positions(self) -> list[Position]:
        return [len(deliveries) for deliveries in self.delivered]


def state_digest(position: Position) -> Digest:
    return position.to_bytes(32, "big")
