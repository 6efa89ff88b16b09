"""Traffic of an old key epoch, captured on the wire and sent again after a refresh of the session keys.

Real sockets, plain TCP with MACs. The attacker sits between two replicas and has recorded everything from the first
byte. After the refresh it puts a recorded record into the running connection, and plays the whole recording on a new
one. Passes if neither is accepted, both are counted, and the replicas speak to each other afterwards.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outvote.configuration.files import create_cluster, load_replica_keys
from outvote.configuration.genesis import genesis_from_toml
from outvote.host.inline import Quiet
from outvote.host.links import Links
from outvote.storage.ceiling import DurableCeiling
from outvote.transport import keyed

DEADLINE_S = 20.0


class Tap:
    """A relay that records what goes forth, and can put bytes of its own into the stream."""

    def __init__(self, port: int) -> None:
        self.recorded: list[bytes] = []
        self.into: asyncio.StreamWriter | None = None
        self._port = port

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, self.into = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._carry(reader, self.into, self.recorded), self._carry(back, writer, []))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, record: list[bytes]) -> None:
        try:
            while data := await source.read(65_536):
                record.append(data)
                sink.write(data)
        except OSError:
            pass
        finally:
            sink.close()


class Witness(Quiet):
    """Counts, and remembers the words."""

    def __init__(self) -> None:
        super().__init__()
        self.lies: list[str] = []

    def lie(self, party: int, kind: str, text: str) -> None:
        self.lies.append(text)


def links_of(
    directory: Path,
    number: int,
    ports: list[int],
    heard: list[bytes],
    observer: Witness,
    ceiling: DurableCeiling | None = None,
) -> Links:
    text = (directory / "cluster.toml").read_text()
    for replica, port in enumerate(ports):
        text = text.replace(f"port = {7000 + replica}\n", f"port = {port}\n")
    genesis = genesis_from_toml(text)
    return Links(
        genesis,
        load_replica_keys(directory, number),
        observer,
        on_replica_frame=lambda _replica, body: heard.append(body),
        on_client_message=lambda _client, _message: None,
        ceiling=ceiling,
    )


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def _attack(directory: Path) -> None:
    port = await free_port()
    tap = Tap(port)
    tapping = await asyncio.start_server(tap.arrived, "127.0.0.1", 0)
    tapped = tapping.sockets[0].getsockname()[1]
    heard: list[bytes] = []
    victim, speaker = Witness(), Witness()
    receiving = links_of(directory, 1, [1, port], heard, victim)
    sending = links_of(directory, 0, [await free_port(), tapped], [], speaker)
    try:
        await receiving.listener.start("127.0.0.1", port)
        await sending.start()
        sending.send(1, b"a vote of the old epoch")
        await until(lambda: heard == [b"a vote of the old epoch"])
        old_record = tap.recorded[-1]
        recording = b"".join(tap.recorded)
        before = victim.counters["session_keys"]
        sending.refresh_keys()
        await until(lambda: victim.counters["session_keys"] == before + 1)
        sending.send(1, b"under the new keys")
        await until(lambda: heard[1:] == [b"under the new keys"])

        _, stranger = await asyncio.open_connection("127.0.0.1", port)
        stranger.write(recording)
        await until(lambda: len(victim.lies) == 1)
        assert "counter is not above its last one" in victim.lies[0]

        assert tap.into is not None
        tap.into.write(old_record)
        await until(lambda: len(victim.lies) == 2)
        assert "under old keys" in victim.lies[1]
        assert heard[2:] == []

        await until(lambda: speaker.counters.get("link_up", 0) >= 2)
        sending.send(1, b"after the attack")
        await until(lambda: heard[2:] == [b"after the attack"])
    finally:
        await sending.stop()
        await receiving.stop()
        tapping.close()


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - conditions are of many kinds, and this is a test
            await asyncio.sleep(0.002)


@pytest.mark.processes
@pytest.mark.parametrize("form", ["signatures", "authenticators"])
def test_captured_traffic_is_refused_after_a_refresh(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "REFRESH_PAUSE_S", 0.0)
    create_cluster(
        tmp_path / "c", name="replay", machine="m:M", replicas=2, channel="plain",
        form="authenticators" if form == "authenticators" else "signatures",
    )
    asyncio.run(_attack(tmp_path / "c"))
