"""Links on real sockets, under asyncio and uvloop: good traffic gets through, whatever strangers send meanwhile."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import msgspec
import pytest
from link_parties import (
    CLIENT,
    DEADLINE_S,
    Cluster,
    RawClient,
    Recorder,
    Run,
    cluster,
    dial,
    eventually,
    free_ports,
    plain,
    run,
    running,
    still_works,
)

from outvote.configuration.files import create_cluster, load_client_keys, load_replica_keys
from outvote.errors import Mistake
from outvote.host import connection, links, listener
from outvote.host.connection import NOBODY
from outvote.host.links import Links
from outvote.wire.client_messages import (
    Ask,
    Refusal,
)
from outvote.wire.frames import FRAME_BYTES_MAX, frame

__all__ = ["cluster", "run"]  # fixtures


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


def test_what_is_hastened_leaves_though_a_flush_is_still_to_come(cluster: Cluster, run: Run) -> None:
    """The caller waits for its disk meanwhile, and flushes afterwards."""

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            await eventually(lambda: 1 in zero.links.connected())
            zero.links.flush_follows()
            zero.links.send(1, b"entries")
            zero.links.hasten()
            await eventually(lambda: [body for _, body in one.frames] == [b"entries"])
            assert zero.links._scheduled, "frames that come behind wait for that flush"

    run(scenario())


def test_what_is_not_urgent_leaves_with_the_next_frame_or_by_itself(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1, 2) as (zero, one, two):
            await eventually(lambda: zero.links.connected() == (1, 2))
            monkeypatch.setattr(links, "HOLD_S", 3600.0)
            for replica in (1, 2):
                zero.links.flush_follows()
                zero.links.send(replica, b"patient")
                zero.links.flush(urgent=False)
            zero.links.flush_follows()
            zero.links.send(1, b"urgent")
            assert one.frames == two.frames == []
            zero.links.flush()
            await eventually(lambda: len(one.frames) == 2 and len(two.frames) == 1)
            assert [body for _, body in one.frames] == [b"patient", b"urgent"]
            monkeypatch.setattr(links, "HOLD_S", 0.01)
            assert zero.links._holding is not None
            zero.links._holding.cancel()
            zero.links._holding = None
            zero.links.flush_follows()
            zero.links.send(2, b"alone")
            zero.links.flush(urgent=False)
            await eventually(lambda: len(two.frames) == 2)

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
            assert "no handshake within 0.05 s" in zero.observer.lies[0][1]

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
            assert outgoing.connection is not None
            assert outgoing.connection.bytes_unsent - outgoing.queue.bytes_waiting < 2 << 20
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
