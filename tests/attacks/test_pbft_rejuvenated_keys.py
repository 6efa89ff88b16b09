"""Session keys of a replica's old incarnation, after it was rejuvenated by a host whose clock had been set back.

Real sockets, plain TCP with MACs. The attacker recorded all that the old process said, and holds its connection open.
Passes if the new process is accepted although its clock is an hour behind, and if what was recorded is refused: on the
old connection, on a new one, and by a receiver that was rejuvenated itself and remembers no counter.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from test_pbft_key_replay import Tap, Witness, free_port, links_of, until

from outvote.configuration.files import create_cluster
from outvote.storage.ceiling import CEILING_NAME, DurableCeiling
from outvote.types import SECOND

HOUR_NS = 3600 * SECOND
OLD, NEW, LAST = b"a vote of the old process", b"a vote of the new process", b"and one to the last"


def made(directory: Path) -> Path:
    hosts = [f"127.0.0.1:{7000 + replica}" for replica in range(2)]
    create_cluster(
        directory, name="c", machine="m:M", replicas=2, hosts=hosts, clients=[], form="authenticators", channel="plain"
    )
    return directory


async def played(port: int, recording: bytes) -> None:
    _, stranger = await asyncio.open_connection("127.0.0.1", port)
    stranger.write(recording)


async def attack(directory: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    ceiling = DurableCeiling(directory / CEILING_NAME, print) if durable else None
    port = await free_port()
    tap = Tap(port)
    tapping = await asyncio.start_server(tap.arrived, "127.0.0.1", 0)
    tapped = tapping.sockets[0].getsockname()[1]
    answers = DurableCeiling(directory / "answers", print)  # whoever is dialed makes NEW-KEYs too
    heard: list[bytes] = []
    victim, speaker = Witness(), Witness()
    receiving = links_of(directory, 1, [1, port], heard, victim, answers)
    old = links_of(directory, 0, [await free_port(), tapped], [], speaker, ceiling)
    new = links_of(directory, 0, [await free_port(), port], [], speaker, ceiling)
    try:
        await receiving.listener.start("127.0.0.1", port)
        await old.start()
        old.send(1, OLD)
        await until(lambda: heard == [OLD])
        recording, old_record = b"".join(tap.recorded), tap.recorded[-1]
        await old.stop()

        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() - HOUR_NS)
        await new.start()
        if not durable:
            await until(lambda: victim.lies != [])
            assert "counter is not above its last one" in victim.lies[0]
            return
        new.send(1, NEW)
        await until(lambda: heard[1:] == [NEW])
        assert victim.lies == []

        assert tap.into is not None
        tap.into.write(old_record)  # the connection has gone with the process
        await played(port, recording)
        await until(lambda: len(victim.lies) == 1)
        assert "counter is not above its last one" in victim.lies[0]

        await receiving.stop()
        receiving = links_of(directory, 1, [1, port], heard, victim, answers)
        await receiving.listener.start("127.0.0.1", port)
        await played(port, recording)
        await until(lambda: len(victim.lies) == 2)
        assert "not made now" in victim.lies[1]
        new.send(1, LAST)
        await until(lambda: heard[2:] == [LAST])
        assert len(victim.lies) == 2
    finally:
        await old.stop()
        await new.stop()
        await receiving.stop()
        tapping.close()


def test_what_the_old_process_said_is_refused_and_the_new_one_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(attack(made(tmp_path / "c"), monkeypatch, durable=True))


def test_without_a_durable_counter_a_clock_set_back_shuts_the_new_process_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file is for."""
    asyncio.run(attack(made(tmp_path / "c"), monkeypatch, durable=False))
