"""Links over plain TCP on real sockets: the same traffic as over TLS, and what somebody on the wire can do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from link_parties import CLIENT, Cluster, Run, eventually, free_ports, plain, run, running

from outvote.client.connections import Connections
from outvote.configuration.files import create_cluster, load_client_keys
from outvote.configuration.genesis import Genesis
from outvote.host import connection, listener
from outvote.transport import keyed
from outvote.types import ReplicaId
from outvote.wire.client_messages import Ask, Refusal, ToClient, encode_client_message
from outvote.wire.frames import FRAME_BYTES_MAX, frame

__all__ = ["run"]  # a fixture


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    directory = tmp_path_factory.mktemp("plain-links") / "cluster"
    return directory, create_cluster(directory, name="plain", machine="m:M", replicas=3, channel="plain")


class Wire:
    """A relay in front of one replica: whoever dials its port is carried there, through `change` on the way."""

    def __init__(self, behind: tuple[str, int]) -> None:
        self.forth: list[bytes] = []  # what dialing sides sent, chunk by chunk
        self.change: Callable[[bytes], bytes] = lambda data: data
        self.writers: list[asyncio.StreamWriter] = []  # to the replica behind, oldest first
        self._behind = behind

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*self._behind)
        except OSError:
            writer.close()
            return
        self.writers.append(inner_writer)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, forth: bool) -> None:
            try:
                while data := await source.read(65_536):
                    if forth:
                        self.forth.append(data)
                        data = self.change(data)
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass
            finally:
                sink.close()

        await asyncio.gather(carry(reader, inner_writer, True), carry(inner_reader, writer, False))


@asynccontextmanager
async def wire_to(at: Cluster, replica: ReplicaId) -> AsyncIterator[tuple[Cluster, Wire]]:
    """The cluster as the others see it, with a wire in front of one replica."""
    directory, genesis = at
    host, port = genesis.addresses()[replica]
    wire = Wire((host, port))
    server = await asyncio.start_server(wire.arrived, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    entries = tuple(
        msgspec.structs.replace(entry, port=taken) if entry.id == replica else entry for entry in genesis.replicas
    )
    try:
        yield (directory, msgspec.structs.replace(genesis, replicas=entries)), wire
    finally:
        server.close()


def test_frames_arrive_in_order_and_large_ones_whole(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            bodies = [number.to_bytes(4, "big") * (number % 50) for number in range(2000)]
            for body in [*bodies, b"x" * FRAME_BYTES_MAX]:
                zero.links.send(1, body)
            await eventually(lambda: len(one.frames) == 2001)
            assert [body for _, body in one.frames] == [*bodies, b"x" * FRAME_BYTES_MAX]
            assert zero.observer.lies + one.observer.lies == []

    run(scenario())


class Hearing:
    """A client's side of its connections."""

    def __init__(self) -> None:
        self.open: list[ReplicaId] = []
        self.messages: list[tuple[ReplicaId, ToClient]] = []
        self.keys: list[tuple[ReplicaId, bytes]] = []

    def opened(self, replica: ReplicaId) -> None:
        self.open.append(replica)

    def lost(self, replica: ReplicaId) -> None:
        self.open.remove(replica)

    def keyed(self, replica: ReplicaId, key: bytes) -> None:
        self.keys.append((replica, key))

    def heard(self, replica: ReplicaId, message: ToClient) -> None:
        self.messages.append((replica, message))


def test_clients_speak_over_it_and_refresh_their_keys(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "REFRESH_PAUSE_S", 0.0)

    async def scenario() -> None:
        at = free_ports(cluster)
        directory, genesis = at
        hearing = Hearing()
        async with running(at, 0, 1) as (zero, one):
            connections = Connections(genesis, load_client_keys(directory, None, genesis), hearing)
            connections.start()
            await eventually(lambda: len(hearing.open) == 2)
            for replica in (0, 1):
                assert connections.send(replica, frame(encode_client_message(Ask(7 + replica))))
            await eventually(lambda: zero.messages == [(CLIENT, Ask(7))] and one.messages == [(CLIENT, Ask(8))])
            zero.links.answer(CLIENT, Refusal(1, "no"))
            await eventually(lambda: hearing.messages == [(0, Refusal(1, "no"))])
            assert sorted(replica for replica, _ in hearing.keys) == [0, 1]
            connections.refresh_keys()
            await eventually(lambda: len(hearing.keys) == 4)
            assert len({key for _, key in hearing.keys}) == 4
            await eventually(lambda: zero.observer.counts["session_keys"] >= 2)
            zero.links.answer(CLIENT, Refusal(2, "no"))
            await eventually(lambda: hearing.messages[1:] == [(0, Refusal(2, "no"))])
            await connections.close()
            assert zero.observer.lies + one.observer.lies == []

    run(scenario())


def test_a_bit_flipped_on_the_wire_ends_the_connection_and_is_counted(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with wire_to(at, 1) as (seen, wire), running(at, 1) as (one,), running(seen, 0) as (zero,):
            zero.links.send(1, b"first")
            await eventually(lambda: (0, b"first") in one.frames)
            wire.change = lambda data: data[:-1] + bytes((data[-1] ^ 1,))
            zero.links.send(1, b"second")
            await eventually(lambda: one.observer.lies)
            wire.change = lambda data: data
            assert "without its MAC" in one.observer.lies[0][1]
            assert one.observer.lies[0][0] == 0
            assert (0, b"second") not in one.frames
            await eventually(lambda: zero.observer.counts.get("link_up", 0) >= 2)  # dialed again, with new keys
            zero.links.send(1, b"third")
            await eventually(lambda: (0, b"third") in one.frames)

    run(scenario())


@pytest.mark.parametrize("which", ["again", "dropped"])
def test_a_chunk_sent_again_or_left_out_ends_the_connection(cluster: Cluster, run: Run, which: str) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with wire_to(at, 1) as (seen, wire), running(at, 1) as (one,), running(seen, 0) as (zero,):
            zero.links.send(1, b"first")
            await eventually(lambda: (0, b"first") in one.frames)
            before = len(wire.forth)
            wire.change = lambda data: data * 2 if which == "again" else b""
            zero.links.send(1, b"second")
            await eventually(lambda: len(wire.forth) > before)
            wire.change = lambda data: data
            zero.links.send(1, b"third")
            await eventually(lambda: one.observer.lies)
            assert "without its MAC" in one.observer.lies[0][1]
            assert [body for _, body in one.frames].count(b"second") <= (which == "again")  # never twice

    run(scenario())


def test_a_replayed_connection_is_refused_by_its_counter(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with wire_to(at, 1) as (seen, wire), running(at, 1) as (one,), running(seen, 0) as (zero,):
            zero.links.send(1, b"vote")
            await eventually(lambda: (0, b"vote") in one.frames)
            recorded = b"".join(wire.forth)
            stranger = await plain(at, 1)
            stranger.writer.write(recorded)
            await stranger.closed()
            await eventually(lambda: one.observer.lies)
            assert "counter is not above its last one" in one.observer.lies[0][1]
            assert one.frames == [(0, b"vote")]
            zero.links.send(1, b"still here")  # the genuine connection has not noticed
            await eventually(lambda: (0, b"still here") in one.frames)
            assert one.observer.counts.get("replica_connection_replaced", 0) == 0

    run(scenario())


def test_half_handshakes_and_garbage_are_bounded_in_time_and_number(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(listener, "HANDSHAKES_MAX", 5)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with wire_to(at, 1) as (seen, wire), running(at, 1) as (one,):
            async with running(seen, 0) as (zero,):
                zero.links.send(1, b"vote")
                await eventually(lambda: (0, b"vote") in one.frames)
            offer = wire.forth[0]
            flipped = offer[:-1] + bytes((offer[-1] ^ 1,))
            for garbage in (b"\xa7" * 300, b"\x00" * 64, b"\x16\x03\x01\x02\x00", flipped):
                stranger = await plain(at, 1)
                stranger.writer.write(garbage)
                await stranger.closed()
            silent = [await plain(at, 1) for _ in range(8)]
            for stranger in silent:
                stranger.writer.write(offer[:20])
            for stranger in silent:
                await stranger.closed()
            assert one.observer.counts["handshake_dropped"] >= 3
            assert any("no handshake within" in text for _, text in one.observer.lies)
            async with running(at, 0) as (zero,):
                zero.links.send(1, b"still here")
                await eventually(lambda: (0, b"still here") in one.frames)

    run(scenario())


def test_keys_that_nobody_refreshes_end_the_connection(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers our requests for new keys with silence is sent away, and may dial again."""
    monkeypatch.setattr(connection, "REFRESH_WITHIN_S", 0.05)
    monkeypatch.setattr(keyed.KeyedChannel, "refresh", lambda self: None)

    async def scenario() -> None:
        directory, genesis = free_ports(cluster)
        at: Cluster = (directory, _impatient(genesis))
        async with running(at, 0, 1) as (zero, one):
            await eventually(lambda: any("session keys are older" in text for _, text in one.observer.lies))
            await eventually(lambda: zero.observer.counts.get("link_up", 0) >= 2)

    run(scenario())


def test_keys_are_refreshed_on_schedule(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "REFRESH_PAUSE_S", 0.0)

    async def scenario() -> None:
        directory, genesis = free_ports(cluster)
        at: Cluster = (directory, _impatient(genesis))
        async with running(at, 0, 1) as (zero, one):
            await eventually(lambda: one.observer.counts.get("session_keys", 0) >= 6)
            zero.links.send(1, b"under the newest keys")
            await eventually(lambda: (0, b"under the newest keys") in one.frames)
            assert zero.observer.counts["link_up"] == 1
            assert zero.observer.lies + one.observer.lies == []

    run(scenario())


def _impatient(genesis: Genesis) -> Genesis:
    """A tenth of a second, which no cluster.toml may say."""
    return msgspec.structs.replace(genesis, session_key_seconds=0.1)
