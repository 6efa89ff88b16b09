"""HoneyBadger's laggards: whose word they take for an output, for a checkpoint, and when they fetch a state."""

from __future__ import annotations

from honeybadger_cores import Cluster, request

from outvote.core.checkpoints import Checkpoint
from outvote.core.contract import Message, Transfer
from outvote.protocols.honeybadger.messages import Batch, Certificate, Decided, Lacking, StableProof
from outvote.protocols.honeybadger.replica import HoneyBadgerReplica
from outvote.types import Position

TRUE, FALSE = b"t" * 32, b"f" * 32


def certificate(position: Position, digest: bytes, signers: tuple[int, ...] = (0, 1, 2)) -> Certificate:
    return Certificate(position, digest, tuple((one, b"seal") for one in signers))


def at_a_checkpoint() -> HoneyBadgerReplica:
    """Replica 3 has delivered four epochs; its state there has the digest TRUE."""
    cluster = Cluster(pipeline=1)
    for number in range(1, 5):
        cluster.submit(0, request(number))
        cluster.run()
    core = cluster.cores[3]
    assert core.state.delivered == 4
    core.executed(4, TRUE)
    assert any(isinstance(message, Checkpoint) for _, message in core.out.messages)
    core.out.clear()
    return core


def test_outputs_of_different_content_do_not_add_up() -> None:
    core = Cluster().cores[3]
    for sender, time in ((0, 5), (1, 6), (2, 7)):
        core.receive(sender, Decided(1, Batch(time, (request(1),))), b"")
        core.receive(sender, Decided(1, Batch(5, (request(1),))), b"")  # a second word of the same replica
    assert core.out.deliveries == []
    core = Cluster().cores[3]
    for sender, time in ((0, 5), (1, 6), (2, 5)):
        core.receive(sender, Decided(1, Batch(time, (request(1),))), b"")
    assert [one.time for one in core.out.deliveries] == [5]


def test_a_certified_state_that_is_one_s_own_is_stable() -> None:
    core = at_a_checkpoint()
    core.receive(1, StableProof(certificate(4, TRUE)), b"")
    assert [(one.position, one.digest) for one in core.out.stable] == [(4, TRUE)]
    assert core.out.transfers == []
    assert core.state.low == 4


def test_a_certified_state_that_is_not_one_s_own_is_fetched() -> None:
    """Then ours is wrong, whatever made it so: it must not be called stable."""
    core = at_a_checkpoint()
    core.receive(1, StableProof(certificate(4, FALSE)), b"")
    assert core.out.stable == []
    assert [(one.position, one.digest) for one in core.out.transfers] == [(4, FALSE)]
    assert core.state.fetching is not None


def test_a_proof_without_a_quorum_is_a_lie() -> None:
    for signers in ((3,), (0, 1), (0, 1, 1), (0, 1, 9)):
        core = at_a_checkpoint()
        core.receive(1, StableProof(certificate(4, FALSE, signers)), b"")
        assert core.out.transfers == []
        assert core.out.lies == [(1, "stable checkpoint without a quorum")]


def test_a_laggard_beyond_the_window_fetches_and_goes_on_from_there() -> None:
    core = Cluster().cores[3]
    core.submit([request(1)])
    core.out.clear()
    core.receive(1, StableProof(certificate(16, TRUE)), b"")
    assert core.out.transfers == [Transfer(16, TRUE, core.out.transfers[0].sources, core.out.transfers[0].patience_ns)]
    core.out.clear()
    core.submit([request(2)])
    assert core.out.messages == [], "nothing is proposed while a state is fetched"
    core.transferred(16, TRUE)
    assert core.state.delivered == 16
    assert {getattr(message, "epoch", 17) for _, message in core.out.messages} == {17}


def test_who_is_asked_says_its_own_words_again() -> None:
    cluster = Cluster()
    cluster.submit(0, request(1))
    core = cluster.cores[0]
    said = [message for receiver, message in core.state.said[1] if receiver in (-1, 2)]
    core.receive(2, Lacking(0, 0), b"")
    again: list[Message] = [message for receiver, message in core.out.messages if receiver == 2]
    assert again == said != []
