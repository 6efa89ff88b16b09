"""The turn keeps its order: records before promises, own copies after the sync, evidence for what excludes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from outvote.core.committee import Committee
from outvote.core.contract import Claim, Request, RequestStatement, Struct, digest_of
from outvote.core.request_pool import PER_CLIENT_MAX
from outvote.crypto.keys import generate_signing_key
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.errors import BrokenStorage, Lie
from outvote.host.budgets import FORGERIES_BURST, REPEATS_BURST
from outvote.host.inline import InlineClock, Quiet
from outvote.host.turn import INBOX_MESSAGES_MAX, Turn
from outvote.host.voice import Voice
from outvote.machines.executor import Executor
from outvote.machines.interface import describe
from outvote.machines.key_value import KeyValueStore
from outvote.protocols.catalogue import PBFT
from outvote.protocols.pbft.messages import Batch, Commit, Prepare, PrePrepare
from outvote.protocols.pbft.records import Accepted
from outvote.storage.contract import Ticket
from outvote.storage.memory import MemoryDisk
from outvote.types import FIRST_CLIENT, SECOND, ClientId, PartyId, ReplicaId, Seal
from outvote.wire.client_messages import Ask, Read, Reply, ToClient
from outvote.wire.codec import Codec, RecordCodec

N = 4
DOMAIN = domain(bytes(32), 0)
KEYS = {party: generate_signing_key() for party in [*range(N), FIRST_CLIENT]}
CODEC = Codec(PBFT.messages, 0)
INTERFACE = describe(KeyValueStore)


class SlowDisk(MemoryDisk):
    """Durable only when told; remembers what it was asked to write."""

    def __init__(self) -> None:
        super().__init__()
        self.issued: Ticket = 0
        self.broken = False
        self.written: list[bytes] = []

    def append(self, records: Sequence[bytes], notes: Sequence[bytes]) -> Ticket:
        if self.broken:
            raise BrokenStorage("the log cannot be written: no space left")
        self.written += [*records, *notes]
        if records:
            self.issued += 1
        return self.issued

    def sync(self) -> None:
        self.durable = self.issued


class Sent:
    """A network that keeps what was sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[ReplicaId, Any]] = []
        self.answers: list[ToClient] = []
        self.hastened: list[int] = []  # how many frames had been sent by then

    def send(self, receiver: ReplicaId, body: bytes) -> None:
        self.frames.append((receiver, CODEC.decode(body)[0]))

    def answer(self, client: ClientId, message: ToClient) -> None:
        self.answers.append(message)

    def hasten(self) -> None:
        self.hastened.append(len(self.frames))

    def kinds(self) -> list[str]:
        return [type(message).__name__ for _, message in self.frames]


class Watcher(Quiet):
    """Keeps evidence."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[ReplicaId, Struct, Struct]] = []
        self.lies: list[tuple[PartyId, str]] = []

    def evidence(self, party: ReplicaId, first: tuple[Struct, Seal], second: tuple[Struct, Seal]) -> None:
        self.found.append((party, first[0], second[0]))

    def lie(self, party: PartyId, kind: str, text: str) -> None:
        self.lies.append((party, text))


def make_turn(me: ReplicaId = 1, disk: MemoryDisk | None = None) -> tuple[Turn, Sent, Watcher]:
    sent, watcher = Sent(), Watcher()
    turn = Turn(
        PBFT.make(me, Committee(N), {"checkpoint_interval": 2, "window": 4}), Executor(KeyValueStore()),
        protocol="pbft", codec=CODEC, records=RecordCodec(PBFT.records),
        voice=Voice(me, N, Ed25519Sealer(DOMAIN, KEYS[me]), CODEC, sent),
        opener=Ed25519Opener(DOMAIN, {party: key.public for party, key in KEYS.items()}),
        disk=disk if disk is not None else MemoryDisk(), clock=InlineClock(), observer=watcher,
    )
    turn.recover()
    turn.run()
    sent.frames.clear()
    return turn, sent, watcher


def request(number: int = 1, receipt: bool = False) -> Request:
    operations = (INTERFACE.encode("put", ("a", str(number))),)
    statement = RequestStatement(FIRST_CLIENT, number, number - 1, operations, receipt)
    seal = Ed25519Sealer(DOMAIN, KEYS[FIRST_CLIENT]).seal(statement)
    return Request(statement.client, statement.number, statement.acknowledged, operations, seal, receipt)


def proposal(batch: Batch, position: int = 1) -> PrePrepare:
    return PrePrepare(0, position, digest_of(batch), batch)


def sealed(sender: ReplicaId, message: Any) -> bytes:
    seal = Ed25519Sealer(DOMAIN, KEYS[sender]).seal(message.statement()) if message.sealed else b""
    return CODEC.encode(message, seal)


def test_a_promise_waits_for_its_record_and_a_hint_does_not() -> None:
    disk = SlowDisk()
    turn, sent, _ = make_turn(disk=disk)
    turn.hear(0, sealed(0, proposal(Batch(0, (request(),)))))
    turn.request(FIRST_CLIENT, request(2))
    turn.run()
    assert sent.hastened == [1], "it does not wait in a queue while the disk is at work"
    assert sent.kinds() == ["Forward"]  # the hint is out; the PREPARE waits, though the core has decided to send it
    assert any(isinstance(RecordCodec(PBFT.records).decode(body), Accepted) for body in disk.written)
    disk.sync()
    turn.run()
    assert sent.kinds() == ["Forward"] + ["Prepare"] * 3


def test_its_own_vote_counts_only_after_the_sync() -> None:
    disk = SlowDisk()
    turn, sent, _ = make_turn(disk=disk)
    message = proposal(Batch(0, (request(),)))
    turn.hear(0, sealed(0, message))
    turn.hear(2, sealed(2, Prepare(0, 1, message.digest)))
    turn.run()
    assert "Commit" not in sent.kinds()  # with its own PREPARE it would be prepared
    disk.sync()
    turn.run()
    disk.sync()
    turn.run()
    assert sent.kinds().count("Commit") == 3


def test_a_broken_disk_stops_the_replica_before_it_says_anything() -> None:
    disk = SlowDisk()
    turn, sent, _ = make_turn(disk=disk)
    disk.broken = True
    turn.hear(0, sealed(0, proposal(Batch(0, (request(),)))))
    with pytest.raises(BrokenStorage, match="no space left"):
        turn.run()
    assert sent.frames == []


def test_a_forged_seal_and_a_forged_request_are_dropped_and_counted() -> None:
    turn, sent, watcher = make_turn()
    message = proposal(Batch(0, (request(),)))
    turn.hear(0, CODEC.encode(message, b"\1" * 64))
    forged = Request(FIRST_CLIENT, 1, 0, (b"x",), b"\2" * 64)
    turn.hear(0, sealed(0, proposal(Batch(0, (forged,)))))
    turn.run()
    assert sent.frames == []
    assert [party for party, _ in watcher.lies] == [0, 0]


def test_two_proposals_for_one_position_are_evidence() -> None:
    turn, _, watcher = make_turn()
    first, second = proposal(Batch(0, (request(),))), proposal(Batch(1, (request(),)))
    turn.hear(0, sealed(0, first))
    turn.hear(0, sealed(0, second))
    turn.run()
    assert watcher.found == [(0, first.statement(), second.statement())]


def test_what_the_core_does_not_admit_costs_no_signature_check() -> None:
    turn, _, watcher = make_turn()
    turn.hear(2, CODEC.encode(Prepare(0, 10_000, bytes(32)), b"\1" * 64))
    turn.run()
    assert watcher.lies == []
    assert turn.counters["not_admitted"] == 1


def test_garbage_raises_a_lie_and_changes_nothing() -> None:
    turn, sent, _ = make_turn()
    for garbage in (b"", b"\xc1", b"\x93\x00\xc4\x00\x93\x63", CODEC.encode(Commit(0, 1, bytes(32)), b"")[:-3]):
        with pytest.raises(Lie):
            turn.hear(2, garbage)
    turn.run()
    assert sent.frames == []


def test_one_sender_cannot_fill_the_inbox() -> None:
    turn, _, watcher = make_turn()
    body = sealed(2, Commit(0, 1, bytes(32)))
    for _ in range(INBOX_MESSAGES_MAX + 10):
        turn.hear(2, body)
    assert watcher.counters["inbox_full"] == 10
    turn.hear(3, body)
    assert watcher.counters["inbox_full"] == 10


def test_requests_out_of_the_window_or_in_anothers_name_are_refused_with_a_reason() -> None:
    turn, _, _ = make_turn(me=0)
    far = request(100)
    refusal = turn.request(FIRST_CLIENT, Request(far.client, 100, 0, far.operations, far.seal))
    assert refusal is not None
    assert "more than 64" in refusal.reason
    foreign = turn.request(FIRST_CLIENT + 1, request())
    assert foreign is not None
    assert "you are client" in foreign.reason


def test_a_request_executed_before_is_answered_from_the_table() -> None:
    turn, sent, _ = make_turn(me=0)
    turn.request(FIRST_CLIENT, request())
    turn.run()
    digest = sent.frames[0][1].digest
    for other in (1, 2):
        turn.hear(other, sealed(other, Prepare(0, 1, digest)))
        turn.hear(other, sealed(other, Commit(0, 1, digest)))
    turn.run()
    turn.request(FIRST_CLIENT, request())
    replies = [answer for answer in sent.answers if isinstance(answer, Reply)]
    assert len(replies) == 2
    assert [reply.tentative for reply in replies] == [True, False], "what is asked for again is told for good"
    assert replies[0].answer == replies[1].answer
    assert turn.report(Ask(7), {}).standing.position == 1


def tentative_answers_wait_for_the_disk() -> None:
    """They promise that the certificate is shown in any view change: a crash must not take it back."""
    disk = SlowDisk()
    turn, sent, _ = make_turn(me=0, disk=disk)
    turn.request(FIRST_CLIENT, request())
    turn.run()
    disk.sync()
    turn.run()
    digest = sent.frames[0][1].digest
    for other in (1, 2):
        turn.hear(other, sealed(other, Prepare(0, 1, digest)))
    turn.run()
    assert turn.executor.position == 1
    assert replies_of(sent) == []
    disk.sync()
    turn.run()
    assert [reply.tentative for reply in replies_of(sent)] == [True]
    for other in (1, 2):
        turn.hear(other, sealed(other, Commit(0, 1, digest)))
    turn.run()
    assert len(replies_of(sent)) == 1, "who has it as a tentative one asks again if it is too little"


def test_tentative_answers_wait_for_the_disk() -> None:
    tentative_answers_wait_for_the_disk()


@pytest.mark.parametrize("waiting", ["nobody", "a receipt", "a read", "the next batch"])
def test_a_commit_can_wait_if_nobody_waits_for_it(waiting: str) -> None:
    turn, sent, _ = make_turn(me=0)
    turn.request(FIRST_CLIENT, request(receipt=waiting == "a receipt"))
    turn.run()
    assert turn.urgent, "everybody waits for a proposal"
    digest = sent.frames[0][1].digest
    for other in (1, 2):
        turn.hear(other, sealed(other, Prepare(0, 1, digest)))
    if waiting == "a read":
        turn.read(FIRST_CLIENT, Read(1, (INTERFACE.encode("get", ("a",)),), -1))
    if waiting == "the next batch":
        turn.request(FIRST_CLIENT, request(2))
    turn.run()
    assert sent.kinds()[3:6] == ["Commit"] * 3
    assert turn.urgent == (waiting != "nobody")
    turn.run()
    assert turn.urgent == (waiting == "a read"), "it waits for the COMMITs of others"


def replies_of(sent: Sent) -> list[Reply]:
    return [answer for answer in sent.answers if isinstance(answer, Reply)]


@pytest.mark.parametrize("wanted", [False, True])
def test_replies_are_sealed_if_a_receipt_is_wanted(wanted: bool) -> None:
    turn, sent, _ = make_turn(me=0)
    opener = Ed25519Opener(DOMAIN, {party: key.public for party, key in KEYS.items()})
    turn.request(FIRST_CLIENT, request(1, wanted))
    turn.run()
    digest = sent.frames[0][1].digest
    for other in (1, 2):
        turn.hear(other, sealed(other, Prepare(0, 1, digest)))
        turn.hear(other, sealed(other, Commit(0, 1, digest)))
    turn.run()
    assert [opener.opens(reply.claim(0)) for reply in replies_of(sent)] == [wanted]
    assert wanted or replies_of(sent)[0].seal == b""
    turn.request(FIRST_CLIENT, request(1, True))  # asked for once more, and sealed now
    assert opener.opens(replies_of(sent)[1].claim(0))


def test_the_wish_for_a_receipt_is_under_the_clients_seal() -> None:
    turn, sent, watcher = make_turn(me=0)
    plain = request()
    turn.request(FIRST_CLIENT, msgspec.structs.replace(plain, receipt=True))
    turn.run()
    assert sent.frames == []
    assert watcher.lies == [(FIRST_CLIENT, "request 1 is not sealed by its client")]


def test_a_flooding_client_gets_a_bounded_number_of_signature_checks_a_turn() -> None:
    turn, _, _ = make_turn(me=0)
    refusals = [turn.request(FIRST_CLIENT, request(number)) for number in range(1, 80)]
    assert [refusal is None for refusal in refusals] == [True] * 64 + [False] * 15
    assert str(refusals[-1]).count("busy") == 1
    turn.run()
    assert turn.request(FIRST_CLIENT, request(90)) is None


def test_requests_for_which_there_is_no_room_are_not_checked_and_cost_their_client_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that acknowledges what it was never answered is within its window with every number."""
    turn, _, _ = make_turn(me=1)  # a backup: what it takes waits for the primary
    checked: list[Claim] = []
    opens = Ed25519Opener.opens

    def counting(opener: Ed25519Opener, claim: Claim) -> bool:
        checked.append(claim)
        return opens(opener, claim)

    monkeypatch.setattr(Ed25519Opener, "opens", counting)
    for number in range(1, 4 * PER_CLIENT_MAX + 1):
        turn.request(FIRST_CLIENT, request(number))
        turn.run()
    assert len(checked) == PER_CLIENT_MAX
    assert turn.counters["requests_without_room"] == 3 * PER_CLIENT_MAX > REPEATS_BURST
    assert turn.overdrawn(FIRST_CLIENT)
    assert not turn.overdrawn(FIRST_CLIENT + 1)


def test_who_sends_forged_seals_is_soon_not_checked_any_more_and_not_read_from() -> None:
    turn, _, watcher = make_turn(me=0)
    asked = 0
    for _ in range(3 * FORGERIES_BURST):
        forged = msgspec.structs.replace(request(1), seal=bytes(64))
        asked += turn.request(FIRST_CLIENT, forged) is None
        turn.run()
    assert asked == len(watcher.lies) == FORGERIES_BURST
    assert turn.overdrawn(FIRST_CLIENT)
    refusal = turn.request(FIRST_CLIENT, request(1))
    assert refusal is not None
    assert refusal.reason.startswith("busy"), "not for ever: others may still take it"
    assert not turn.overdrawn(FIRST_CLIENT + 1)
    turn.core.now += SECOND
    assert turn.request(FIRST_CLIENT, request(1)) is None


def test_one_who_asks_again_and_again_is_answered_so_often() -> None:
    turn, sent, _ = make_turn(me=0)
    turn.request(FIRST_CLIENT, request())
    turn.run()
    digest = sent.frames[0][1].digest
    for other in (1, 2):
        turn.hear(other, sealed(other, Prepare(0, 1, digest)))
        turn.hear(other, sealed(other, Commit(0, 1, digest)))
    turn.run()
    assert len(replies_of(sent)) == 1
    for _ in range(2 * REPEATS_BURST):
        assert turn.request(FIRST_CLIENT, request()) is None
    assert len(replies_of(sent)) == 1 + REPEATS_BURST
    assert turn.overdrawn(FIRST_CLIENT)
