"""Links on real sockets, under asyncio and uvloop: good traffic gets through, whatever strangers send meanwhile."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from outvote.configuration.files import PartyKeys, create_cluster, load_client_keys, load_replica_keys
from outvote.configuration.genesis import Genesis
from outvote.core.contract import Request, Struct
from outvote.errors import Mistake
from outvote.host import client_gate, connection, links, listener
from outvote.host.connection import NOBODY
from outvote.host.links import Links
from outvote.host.tls import PinnedCertificates
from outvote.types import FIRST_CLIENT
from outvote.wire.client_messages import (
    Ask,
    Refusal,
    Submit,
    ToClient,
    ToReplica,
    decode_to_client,
    encode_client_message,
)
from outvote.wire.frames import FRAME_BYTES_MAX, FrameSplitter, frame

CLIENT = FIRST_CLIENT
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Genesis]:
    directory = tmp_path_factory.mktemp("links") / "cluster"
    return directory, create_cluster(directory, name="links", machine="m:M", replicas=3, clients=["default", "other"])


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a scenario on one kind of loop; fails if the loop was ever told of an error."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runs(scenario: Coroutine[Any, Any, None]) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
            runner.run(asyncio.wait_for(scenario, 3 * DEADLINE_S))
        assert complaints == []

    return runs


Run = Callable[[Coroutine[Any, Any, None]], None]
Cluster = tuple[Path, Genesis]


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.lies: list[tuple[int, str]] = []
        self.notes: list[str] = []

    def count(self, what: str, amount: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount

    def lie(self, party: int, kind: str, text: str) -> None:
        self.lies.append((party, text))

    def evidence(self, party: int, first: tuple[Struct, bytes], second: tuple[Struct, bytes]) -> None:
        raise AssertionError("links never accuse")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def checkpoint(self, position: int, digest: bytes) -> None:
        raise AssertionError("links know no checkpoints")


class Replica:
    """Links and what came through them."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        directory, genesis = cluster
        self.observer = Recorder()
        self.frames: list[tuple[int, bytes]] = []
        self.messages: list[tuple[int, ToReplica]] = []
        self.lost: list[int] = []
        self.links = Links(
            genesis,
            load_replica_keys(directory, number, genesis),
            self.observer,
            on_replica_frame=lambda replica, body: self.frames.append((replica, body)),
            on_client_message=lambda client, message: self.messages.append((client, message)),
            on_client_lost=self.lost.append,
        )


class RawClient:
    """A client made of the standard library's own TLS, so that ours is tested against another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._splitter = FrameSplitter()
        self._bodies: list[bytes] = []

    def send(self, message: ToReplica) -> None:
        self.writer.write(frame(encode_client_message(message)))

    async def receive(self) -> ToClient:
        while not self._bodies:
            chunk = await asyncio.wait_for(self.reader.read(65536), DEADLINE_S)
            if not chunk:
                raise EOFError
            self._bodies = self._splitter.feed(chunk)
        message: ToClient = decode_to_client(self._bodies.pop(0))
        return message

    async def closed(self) -> None:
        """Waits until the other side has ended the connection."""
        try:
            while await asyncio.wait_for(self.reader.read(65536), DEADLINE_S):
                pass
        except (ConnectionError, ssl.SSLError):
            pass


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - conditions are of many kinds, and this is a test
            await asyncio.sleep(0.002)


def free_ports(cluster: Cluster) -> Cluster:
    """The same cluster on ports that nobody uses now; addresses are no part of its identity."""
    directory, genesis = cluster
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in genesis.replicas]
    replicas = tuple(
        msgspec.structs.replace(replica, port=taken.getsockname()[1])
        for replica, taken in zip(genesis.replicas, sockets, strict=True)
    )
    for taken in sockets:
        taken.close()
    return directory, msgspec.structs.replace(genesis, replicas=replicas)


@asynccontextmanager
async def running(cluster: Cluster, *numbers: int) -> AsyncIterator[list[Replica]]:
    replicas = [Replica(cluster, number) for number in numbers]
    try:
        for replica in replicas:
            await replica.links.start()
        yield replicas
    finally:
        for replica in replicas:
            await replica.links.stop()


async def dial(cluster: Cluster, replica: int, keys: PartyKeys | None = None, party: int = CLIENT) -> RawClient:
    directory, genesis = cluster
    name = genesis.clients[party - FIRST_CLIENT].name
    context = PinnedCertificates(genesis.certificates()).dialing_context(
        keys or load_client_keys(directory, name, genesis)
    )
    host, port = genesis.addresses()[replica]
    return RawClient(*await asyncio.open_connection(host, port, ssl=context, server_hostname=""))


async def plain(cluster: Cluster, replica: int) -> RawClient:
    return RawClient(*await asyncio.open_connection(*cluster[1].addresses()[replica]))


async def still_works(cluster: Cluster, first: Replica, second: Replica) -> None:
    """Replicas and clients reach the first one, whatever came before."""
    before = len(first.frames)
    second.links.send(first.links.me, b"still here")
    await eventually(lambda: (second.links.me, b"still here") in first.frames[before:])
    client = await dial(cluster, first.links.me)
    client.send(Ask(12345))
    await eventually(lambda: (CLIENT, Ask(12345)) in first.messages)
    client.writer.close()


def test_frames_arrive_in_order_and_large_ones_whole(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1, 2) as (zero, one, two):
            bodies = [number.to_bytes(4, "big") * (number % 50) for number in range(3000)]
            for body in bodies:
                zero.links.send(1, body)
            zero.links.send(2, b"hello")
            two.links.send(1, b"x" * FRAME_BYTES_MAX)
            zero.links.flush()
            await eventually(lambda: len(one.frames) == 3001 and len(two.frames) == 1)
            assert [body for sender, body in one.frames if sender == 0] == bodies
            assert [body for sender, body in one.frames if sender == 2] == [b"x" * FRAME_BYTES_MAX]
            await eventually(lambda: zero.links.connected() == (1, 2) and zero.links.heard() == (1, 2))
            zero.links.send(1, b"x" * (FRAME_BYTES_MAX + 1))
            assert zero.observer.counts["frame_too_large"] == 1
            assert zero.observer.lies + one.observer.lies + two.observer.lies == []

    run(scenario())


def test_a_loop_pass_of_frames_is_one_write(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = connection.SecureConnection._write

    def counting(self: connection.SecureConnection, data: bytes) -> None:
        if isinstance(self, links.OutgoingConnection):
            writes.append(len(data))
        write(self, data)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            await eventually(lambda: 1 in zero.links.connected())
            monkeypatch.setattr(connection.SecureConnection, "_write", counting)
            for _ in range(100):
                zero.links.send(1, b"vote")
            assert writes == []
            await eventually(lambda: len(one.frames) == 100)
            assert len(writes) == 1
            monkeypatch.undo()

    run(scenario())


def test_a_peer_that_restarts_is_reached_again(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0) as (zero,):
            zero.links.send(1, b"sent while nobody listens")
            for life in range(3):
                async with running(at, 1) as (one,):
                    await eventually(lambda one=one: 1 in zero.links.connected())  # type: ignore[misc]
                    zero.links.send(1, b"life %d" % life)
                    await eventually(lambda one=one, life=life: (0, b"life %d" % life) in one.frames)  # type: ignore[misc]
                    if life == 0:
                        assert one.frames[0] == (0, b"sent while nobody listens")
                    one.links.send(0, b"from %d" % life)
                    await eventually(lambda life=life: (1, b"from %d" % life) in zero.frames)  # type: ignore[misc]
                await eventually(lambda: 1 not in zero.links.connected())
            assert zero.observer.counts["link_up"] == 3

    run(scenario())


HOSTILE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff" * 64,
    b"\x16\x03\x01\xff\xff" + bytes(65_535),
    bytes(range(256)) * 100,
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03" * 10_000,
]


def test_bytes_that_are_not_tls_end_their_connection_only(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            for hostile in HOSTILE:
                stranger = await plain(at, 0)
                stranger.writer.write(hostile)
                await stranger.closed()
                stranger.writer.close()
            await eventually(lambda: len(zero.observer.lies) == len(HOSTILE))
            assert all(party == NOBODY for party, _ in zero.observer.lies)
            await still_works(at, zero, one)

    run(scenario())


def test_unknown_and_missing_certificates_are_turned_away(cluster: Cluster, run: Run, tmp_path: Path) -> None:
    create_cluster(tmp_path / "alien", name="links", machine="m:M", replicas=3, clients=["default"])
    alien = load_client_keys(tmp_path / "alien")
    alien_replica = load_replica_keys(tmp_path / "alien", 1)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            for keys in (alien, alien_replica):
                stranger = await dial(at, 0, keys)
                stranger.send(Ask(1))
                await stranger.closed()
            nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
            stranger = RawClient(*await asyncio.open_connection(*at[1].addresses()[0], ssl=nobody))
            await stranger.closed()
            nobody.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection(*at[1].addresses()[0], ssl=nobody)
            await eventually(lambda: len(zero.observer.lies) == 4)
            assert all(party == NOBODY for party, _ in zero.observer.lies)
            assert "self-signed certificate" in zero.observer.lies[0][1]
            assert zero.messages == []
            await still_works(at, zero, one)

    run(scenario())


def test_hostile_frames_after_the_handshake(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            for hostile in (b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
                client = await dial(at, 0)
                client.writer.write(hostile)
                await client.closed()
            assert [party for party, _ in zero.observer.lies] == [CLIENT, CLIENT]
            assert "a frame of 4294967295 bytes, where 524288 are allowed" in zero.observer.lies[0][1]
            peer = await dial(at, 0, load_replica_keys(at[0], 2, at[1]))
            peer.writer.write(frame(b"good") + b"\xff\xff\xff\xff")
            await peer.closed()
            assert zero.observer.lies[2][0] == 2
            assert zero.frames == []
            await still_works(at, zero, one)

    run(scenario())


def test_half_open_connections_are_ended_in_time(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0) as (zero,):
            silent, trickling = await plain(at, 0), await plain(at, 0)
            trickling.writer.write(b"\x16\x03\x01\x02\x00")
            await silent.closed()
            await trickling.closed()
            assert len(zero.observer.lies) == 2
            assert "no TLS handshake within 0.05 s" in zero.observer.lies[0][1]

    run(scenario())


def test_silent_connections_cannot_keep_others_out(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKES_MAX", 3)
    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT_S", 10 * DEADLINE_S)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            silent = [await plain(at, 0) for _ in range(8)]
            await still_works(at, zero, one)
            await silent[0].closed()
            assert zero.observer.counts["handshake_dropped"] >= 5
            assert len(zero.links.listener._unproven) <= 3

    run(scenario())


def test_a_flood_of_connections_is_refused_before_any_handshake(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "ACCEPTED_BURST", 3)
    monkeypatch.setattr(listener, "ACCEPTED_PER_SECOND", 0.0)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0) as (zero,):
            flood = [await plain(at, 0) for _ in range(10)]
            for refused in flood[3:]:
                await refused.closed()
            assert zero.observer.counts["connection_refused"] == 7

    run(scenario())


def test_the_newest_connection_of_a_replica_wins(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        keys = load_replica_keys(at[0], 2, at[1])
        async with running(at, 0) as (zero,):
            older = await dial(at, 0, keys)
            await eventually(lambda: zero.links.heard() == (2,))
            newer = await dial(at, 0, keys)
            await older.closed()
            newer.writer.write(frame(b"from the newer"))
            await eventually(lambda: zero.frames == [(2, b"from the newer")])
            assert zero.links.heard() == (2,)

    run(scenario())


def test_our_own_key_and_a_wrong_address_are_noticed(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        genesis = at[1]
        change = msgspec.structs.replace
        ports = [replica.port for replica in genesis.replicas]
        crossed = change(
            genesis,
            replicas=(
                genesis.replicas[0],
                change(genesis.replicas[1], port=ports[2]),
                change(genesis.replicas[2], port=ports[1]),
            ),
        )
        async with running((at[0], crossed), 0) as (zero,), running(at, 1):
            own = await dial(at, 0, load_replica_keys(at[0], 0, genesis))
            await own.closed()
            await eventually(lambda: any("own key" in text for _, text in zero.observer.lies))
            zero.links.send(2, b"not for replica 1")
            await eventually(lambda: any("the address of replica 2" in text for _, text in zero.observer.lies))
            assert zero.links.connected() == ()

    run(scenario())


def test_all_connections_of_a_client_get_the_answer_and_the_ninth_ends_the_first(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0) as (zero,):
            clients = []
            for number in range(9):
                clients.append(await dial(at, 0))
                clients[-1].send(Ask(number))
                await eventually(lambda number=number: len(zero.messages) == number + 1)  # type: ignore[misc]
            await clients[0].closed()
            other = await dial(at, 0, party=CLIENT + 1)
            other.send(Ask(9))
            await eventually(lambda: len(zero.messages) == 10)
            zero.links.answer(CLIENT, Refusal(1, "for all"))
            zero.links.answer(CLIENT + 1, Refusal(2, "for the other"))
            zero.links.answer(CLIENT + 5, Refusal(2, "for nobody"))
            for client in clients[1:]:
                assert await client.receive() == Refusal(1, "for all")
            assert await other.receive() == Refusal(2, "for the other")
            assert zero.lost == []
            for client in clients[1:]:
                client.writer.close()
            await eventually(lambda: zero.lost == [CLIENT])

    run(scenario())


def test_a_client_too_many_is_told_so(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_gate, "CONNECTIONS_MAX", 2)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            kept = [await dial(at, 0), await dial(at, 0)]
            await eventually(lambda: zero.links.gate._count == 2)
            late = await dial(at, 0, party=CLIENT + 1)
            assert await late.receive() == Refusal(0, "this replica serves 2 connections already")
            await late.closed()
            kept[0].writer.close()
            await eventually(lambda: zero.links.gate._count == 1)
            await still_works(at, zero, one)

    run(scenario())


def test_malformed_messages_are_answered_and_then_the_connection_ends(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            client = await dial(at, 0)
            stolen = Submit(Request(CLIENT + 1, 1, 0, (b"x",), bytes(64)))
            client.writer.write(frame(encode_client_message(stolen)))
            for _ in range(40):
                client.writer.write(frame(b"\x93\x91nonsense"))
            first = await client.receive()
            assert isinstance(first, Refusal)
            assert (first.number, first.reason) == (0, f"a request in the name of client {CLIENT + 1}")
            for _ in range(18):
                answer = await client.receive()
                assert isinstance(answer, Refusal)
                assert answer.reason.startswith("not a message")
            assert await client.receive() == Refusal(0, "20 malformed messages on one connection: it is closed")
            await client.closed()
            assert len(zero.observer.lies) == 20
            assert zero.messages == []
            await still_works(at, zero, one)

    run(scenario())


def test_a_client_that_never_reads_is_dropped_and_others_are_not(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            deaf, good = await dial(at, 0), await dial(at, 0, party=CLIENT + 1)
            deaf.send(Ask(1))
            good.send(Ask(2))
            await eventually(lambda: len(zero.messages) == 2)
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            text = "x" * 100_000
            for number in range(1000):
                zero.links.answer(CLIENT, Refusal(number, text))
                await asyncio.sleep(0)
                if zero.lost:
                    break
            assert zero.lost == [CLIENT]
            assert zero.observer.counts["client_dropped_unread"] == 1
            zero.links.answer(CLIENT + 1, Refusal(3, "good"))
            assert await good.receive() == Refusal(3, "good")
            deaf.writer.transport.abort()
            await still_works(at, zero, one)

    run(scenario())


def test_a_paused_party_waits_and_loses_nothing(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            one.links.send(0, b"before")
            client = await dial(at, 0)
            client.send(Ask(0))
            await eventually(lambda: len(zero.frames) == len(zero.messages) == 1)
            zero.links.pause(1)
            zero.links.pause(CLIENT)
            for number in range(200):
                one.links.send(0, bytes(100_000))
                client.send(Ask(number))
            other = await dial(at, 0, party=CLIENT + 1)
            other.send(Ask(99))
            await eventually(lambda: (CLIENT + 1, Ask(99)) in zero.messages)
            assert len(zero.frames) + len(zero.messages) < 10
            outgoing = one.links._outgoing[0]
            assert len(outgoing.queue) > 0, "frames wait in the queue that is bounded, not in the socket's buffer"
            assert outgoing._connection is not None
            assert outgoing._connection.bytes_unsent - outgoing.queue.bytes_waiting < 2 << 20
            late = await dial(at, 0)
            await eventually(lambda: len(zero.links.gate.connections(CLIENT)) == 2)
            late.send(Ask(1000))
            other.send(Ask(100))
            await eventually(lambda: (CLIENT + 1, Ask(100)) in zero.messages)
            assert (CLIENT, Ask(1000)) not in zero.messages
            zero.links.resume(1)
            zero.links.resume(CLIENT)
            await eventually(lambda: len(zero.frames) == 201 - one.observer.counts.get("frame_dropped", 0))
            await eventually(lambda: len(zero.messages) == 204)

    run(scenario())


def test_a_full_queue_drops_the_oldest(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "QUEUE_FRAMES_MAX", 10)
    monkeypatch.setattr(links, "QUEUE_BYTES_MAX", 1000)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0) as (zero,):
            for number in range(25):
                zero.links.send(1, b"%d" % number)
            for number in range(25):
                zero.links.send(2, bytes([number]) * 196)
            assert zero.observer.counts["frame_dropped"] == 15 + 20
            async with running(at, 1, 2) as (one, two):
                await eventually(lambda: len(one.frames) == 10 and len(two.frames) == 5)
                assert [body for _, body in one.frames] == [b"%d" % number for number in range(15, 25)]
                assert [body[0] for _, body in two.frames] == [20, 21, 22, 23, 24]

    run(scenario())


def test_an_address_that_cannot_be_listened_on_is_a_mistake(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for address, sentence in (
                (("127.0.0.1", port), f"replica 0 cannot listen on 127.0.0.1:{port}: .*stop the program that uses"),
                (("no.such.host.invalid", 7000), "no.such.host.invalid:7000: the host is unknown here"),
            ):
                replica = Links(
                    at[1],
                    load_replica_keys(at[0], 0, at[1]),
                    Recorder(),
                    on_replica_frame=lambda _, __: None,
                    on_client_message=lambda _, __: None,
                    listen=address,
                )
                with pytest.raises(Mistake, match=sentence):
                    await replica.start()
                await replica.stop()

    run(scenario())


def test_stopping_delivers_the_last_words(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 1) as (one,):
            async with running(at, 0) as (zero,):
                await eventually(lambda: 1 in zero.links.connected())
                client = await dial(at, 0)
                client.send(Ask(1))
                await eventually(lambda: len(zero.messages) == 1)
                zero.links.send(1, b"goodbye")
                zero.links.answer(CLIENT, Refusal(0, "going down"))
            assert await client.receive() == Refusal(0, "going down")
            await eventually(lambda: one.frames == [(0, b"goodbye")])
            await client.closed()

    run(scenario())
