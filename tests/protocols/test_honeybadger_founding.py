"""Clusters that make their own threshold keys, simulated: under loss, lies and power failures, and for laggards."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

pytest.importorskip("py_arkworks_bls12381")

from py_arkworks_bls12381 import Scalar

from outvote.broadcast.binary_agreement import BVal
from outvote.core.committee import Committee
from outvote.core.contract import canonical
from outvote.core.patience import Patient
from outvote.crypto.dealings import Ceremony, register
from outvote.crypto.threshold import Keys, ThresholdCoin
from outvote.errors import Lie, Mistake
from outvote.protocols.catalogue import HONEYBADGER_FOUNDING
from outvote.protocols.honeybadger.foundation import (
    Confirm,
    Founded,
    Help,
    Transcript,
    ceremony_of,
    possession_name,
    transcript_from_bytes,
    verify,
)
from outvote.protocols.honeybadger.founding import WITHOUT_KEYS, FoundingReplica
from outvote.protocols.honeybadger.keys import Drawn
from outvote.protocols.honeybadger.messages import Agreeing, Batch, Decided, Lacking
from outvote.simulator.plan import Fault, Plan
from outvote.simulator.swarm import draw
from outvote.simulator.world import World
from outvote.types import MILLISECOND, SECOND

LIAR = ((2, ("false-outputs",)),)  # which is nothing while keys are made: what 2 does is in the tests
REGISTRATIONS = tuple(register(Drawn(5, one).draw(0, b"secret")) for one in range(4))


def plan(**changes: Any) -> Plan:
    """A calm run of a few operations; its keys come from seed 5."""
    calm = draw(0).but(
        seed=1, n=4, clients=1, operations_each=2, outstanding=2, pause_max=0, loss=0.0, duplication=0.0,
        delay_min=MILLISECOND, delay_mean=MILLISECOND, sync_max=MILLISECOND, clock_offset_max=0,
        clock_drift_ppm_max=0, liars=(), faults=(), faults_end=2 * SECOND, deadline=120 * SECOND,
        parameters={"dealer_seed": 5}, reads=False,
    )  # fmt: skip
    return calm.but(**changes)


def core_of(world: World, replica: int) -> FoundingReplica:
    turn = world.replicas[replica].turn
    assert turn is not None
    assert isinstance(turn.core, Patient)
    assert isinstance(turn.core.inner, FoundingReplica)
    return turn.core.inner


def begun(**changes: Any) -> World:
    world = World(plan(operations_each=0, **changes), HONEYBADGER_FOUNDING)
    world.start()
    return world


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": 0.2, "liars": ((2, ("turned-bits",)),)},
        {"liars": ((1, ("spoiled-shards",)),), "heavy_tail": True},
        {"faults": tuple(Fault((2 + 3 * step) * MILLISECOND, "crash", step % 4, step) for step in range(8))
         + tuple(Fault((150 + step) * MILLISECOND, "restart", step, 0) for step in range(4))},
    ],
    ids=["lies and losses", "spoiled shards", "power failures"],
)  # fmt: skip
def test_a_cluster_is_founded_and_serves(changes: dict[str, Any]) -> None:
    World(plan(**changes), HONEYBADGER_FOUNDING).run()


@pytest.mark.parametrize("seed", [1, 12])
def test_a_short_swarm(seed: int) -> None:
    """Faults and lies as the swarm draws them for HoneyBadger; one founds a cluster before that."""
    drawn = draw(seed, "honeybadger").but(parameters={"dealer_seed": seed}, clients=1, operations_each=2)
    World(drawn, HONEYBADGER_FOUNDING).run()


def test_who_was_away_takes_over_what_was_confirmed() -> None:
    world = begun()
    world.replicas[3].crash()
    world.run_until(SECOND)
    assert [core_of(world, replica).founded for replica in range(3)] == [True] * 3
    world.replicas[3].start()
    world.run_until(3 * SECOND)
    assert core_of(world, 3).founded
    assert {core_of(world, replica)._digest for replica in range(4)} == {core_of(world, 0)._digest}
    world.replicas[3].crash()
    world.replicas[3].start()
    assert core_of(world, 3).founded, "from its own log, without asking anybody"


def test_one_is_not_enough_and_nobody_serves_without_keys() -> None:
    world = begun()
    for replica in (0, 1):
        world.replicas[replica].crash()
    world.call(0, [("put", ("k", "v"))])
    world.run_until(2 * SECOND)
    for replica in (2, 3):
        assert not core_of(world, replica).founded
        standing = core_of(world, replica).standing()
        assert (standing.active, standing.position) == (False, 0)
        assert standing.note == "making threshold keys: dealings of []"
    world.replicas[0].start()
    world.run_until(30 * SECOND)
    assert all(core_of(world, replica).founded for replica in (0, 2, 3))
    assert [one.returned is not None for _, one in world.clients[0].history] == [True]


def test_who_was_lied_to_and_heard_too_late_is_helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replica 2's dealing has a wrong row for 3, which is cut off until the others have decided without it; and when 3
    asks for help, 2 gives it a wrong value."""
    honest = Ceremony._sealed

    def sealed(self: Ceremony, dealer: int, receiver: int, key: Any, row: list[Any]) -> bytes:
        crooked = [one + Scalar(1) for one in row] if (dealer, receiver) == (2, 3) else row
        return honest(self, dealer, receiver, key, crooked)

    helps = Ceremony.help

    def false_help(self: Ceremony, helper: int, receiver: int, value: Any, secret: bytes) -> bytes:
        return helps(self, helper, receiver, value + Scalar(1) if helper == 2 else value, secret)

    monkeypatch.setattr(Ceremony, "_sealed", sealed)
    monkeypatch.setattr(Ceremony, "help", false_help)
    world = begun(liars=LIAR)
    for other in range(3):
        world.network.cut(other, 3)
        world.network.cut(3, other)
    world.run_until(SECOND)
    assert [core_of(world, replica).founded for replica in range(4)] == [True, True, True, False]
    late = core_of(world, 3)
    for others, founded in (((1, 2), False), ((0,), True)):
        for other in others:
            world.network.heal(other, 3)
            world.network.heal(3, other)
        world.run_until(world.now + 3 * SECOND)
        assert late._outcome is not None
        assert late._outcome.combined.row(3, late._mine.secret) is None
        assert late.founded == founded, "one right value and one wrong one are not enough"
        late.ask()
        assert late.admits(2, Help(b"junk")) == (not founded)
        late.receive(2, Help(b"junk"), b"")
        assert not late.admits(2, Help(b"junk")), "one a sender and question"
    world.replicas[2].crash()  # so that the others need 3's votes
    world.call(0, [("put", ("k", "v"))])
    world.run_until(20 * SECOND)
    assert [one.returned is not None for _, one in world.clients[0].history] == [True]


def test_false_confirmations_are_not_counted() -> None:
    """Of other keys, and of the right ones by somebody who does not possess its share."""
    before = core_of(begun_and_run({"dealer_seed": 5}, away=2), 0)
    digest, outcome = before._digest, before._outcome
    assert outcome is not None
    row = outcome.combined.row(2, Drawn(5, 2).draw(0, b"secret"))
    assert row is not None
    coin = ThresholdCoin(Keys(outcome.combined.public, 2, bytes(row[0].to_be_bytes())))
    good = coin.share(possession_name(digest))
    for said in (Confirm(b"other", good), Confirm(digest, good[:-1] + b"x"), Confirm(digest, bytes(48))):
        world = begun(liars=LIAR)
        world.replicas[2].crash()
        for replica in (0, 1, 3):
            core = core_of(world, replica)
            assert core.admits(2, said)
            core.receive(2, said, b"seal")
            assert not core.admits(2, said), "one a sender"
        world.run_until(SECOND)
        for replica in (0, 1, 3):
            core = core_of(world, replica)
            assert core._digest == digest
            assert core.founded
            assert core.transcript is not None
            assert [one for one, _ in core.transcript.seals] == [0, 1, 3]
            assert not core.admits(2, said)


def test_what_is_not_asked_for_is_not_admitted() -> None:
    world = begun()
    core = core_of(world, 0)
    transcript = core_of(begun_and_run({"dealer_seed": 5}), 0).transcript
    assert transcript is not None
    few = msgspec.structs.replace(transcript, seals=transcript.seals[1:], possessions=transcript.possessions[1:])
    assert core.admits(1, Founded(transcript))
    assert not core.admits(1, Founded(few))
    assert not core.admits(1, Help(b"box"))
    assert core.admits(1, Lacking(WITHOUT_KEYS, 0))
    assert not core.admits(1, Lacking(0, 0)), "nothing new, so it does not keep us from asking"
    assert core.admits(1, Agreeing(0, 3, BVal(0, True)))
    assert not core.admits(1, Agreeing(0, 4, BVal(0, True)))
    assert not core.admits(1, Agreeing(1, 3, BVal(0, True))), "an epoch of batches"
    assert not core.admits(1, Decided(1, Batch(0, ())))
    world.run_until(SECOND)
    assert core.founded
    assert not core.admits(1, Founded(transcript))
    assert not core.admits(1, Agreeing(0, 3, BVal(0, True)))
    assert core.admits(1, Agreeing(1, 3, BVal(0, True)))


def test_a_stranger_verifies_the_transcript() -> None:
    world = begun()
    world.run_until(SECOND)
    transcript = core_of(world, 1).transcript
    assert transcript is not None
    committee, ceremony = Committee(4), ceremony_of(b"simulated cluster", Committee(4), REGISTRATIONS)
    opens = core_of(world, 0).genuine
    raw = canonical(transcript)
    outcome = verify(ceremony, committee, transcript_from_bytes(raw), opens)
    held = core_of(world, 0)._outcome
    assert held is not None
    assert outcome.combined.public == held.combined.public

    replace = msgspec.structs.replace
    other = core_of(begun_and_run({"dealer_seed": 6}), 0).transcript
    assert other is not None
    (signer, possession), *rest = transcript.possessions
    for false, sentence in (
        (replace(transcript, seals=transcript.seals[:2], possessions=transcript.possessions[:2]), "not confirmed by 3"),
        (replace(transcript, seals=(transcript.seals[0],) * 3), "not confirmed by 3"),
        (replace(transcript, dealings=other.dealings), "the seal of replica . is not its own"),
        (replace(transcript, verdicts=transcript.verdicts[:2]), "the seal of replica . is not its own"),
        (replace(transcript, possessions=((signer, possession[:-1] + b"\0"), *rest)), "seal of replica . is not its"),
    ):
        with pytest.raises(Lie, match=sentence):
            verify(ceremony, committee, false, opens)
    with pytest.raises(Lie, match="only 0 dealings count"):
        verify(ceremony, committee, other, lambda _claim: True)
    forged = replace(transcript, possessions=tuple((one, possession) for one, _ in transcript.possessions))
    with pytest.raises(Lie, match=r"replica . has not shown that it possesses its share"):
        verify(ceremony, committee, forged, lambda _claim: True)
    with pytest.raises(Mistake, match="no transcript"):
        transcript_from_bytes(raw + b"\0")
    assert isinstance(transcript.claims()[0].statement, Confirm)
    assert transcript.digest() == Transcript(transcript.dealings, transcript.verdicts).digest()


def begun_and_run(parameters: dict[str, int], away: int | None = None) -> World:
    world = begun(parameters=parameters)
    if away is not None:
        world.replicas[away].crash()
    world.run_until(SECOND)
    return world


def test_too_many_for_one_message_are_refused() -> None:
    with pytest.raises(Mistake, match="up to 40 of them, not 41"):
        ceremony_of(b"", Committee(41), REGISTRATIONS)
