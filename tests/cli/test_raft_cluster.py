"""Three processes on Raft: the one that leads is killed, another leads, and nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest

from outvote.cli import endings
from outvote.cli.demo_cluster import DemoCluster
from outvote.cli.status import show_status
from outvote.client.aio import Client
from outvote.machines.key_value import KeyValueStore
from outvote.types import ReplicaId


async def kill_the_leader(cluster: DemoCluster) -> tuple[ReplicaId, ReplicaId, list[str]]:
    """Who led, who leads then, and what is read in the end."""
    await asyncio.gather(*(cluster.start(replica) for replica in range(3)))
    async with await Client.connect(cluster.directory, "one", KeyValueStore) as client:
        store = client.of(KeyValueStore)
        for number in range(20):
            await store.put(f"key{number}", "before")
        first = client.session.leader
        await cluster.kill(first)
        await store.put("key0", "after")
        second = client.session.leader
        await cluster.start(first)
        return first, second, [(await store.get(f"key{number}")).value for number in range(20)]


def test_another_replica_leads_and_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> tuple[ReplicaId, ReplicaId, list[str]]:
        cluster = DemoCluster(tmp_path / "cluster", ["one"], protocol="raft", replicas=3)
        try:
            found = await kill_the_leader(cluster)
            code = await asyncio.to_thread(show_status, cluster.directory, "one", 10.0, True, False)
            assert code == endings.DONE
            return found
        finally:
            await cluster.close()

    first, second, values = asyncio.run(main())
    assert first != second
    assert values == ["after", *["before"] * 19]
    told = json.loads(capsys.readouterr().out)
    assert (told["tolerates"], told["quorum"], told["faults"], told["reachable"]) == ("crashes", 2, 1, 3)
    roles = [one["role"] for one in told["replicas"]]
    assert sorted(roles) == ["follower", "follower", "leader"]


HIDDEN: Final = "what no witness may ever see"
WITNESS: Final[ReplicaId] = 2


def test_a_witness_stands_in_and_its_disk_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of the two that keep data is killed; then that one comes back, with everything, and the other is killed."""
    cluster = DemoCluster(
        tmp_path / "cluster", ["one"], protocol="raft", replicas=3, flags={"witnesses": 1 << WITNESS}
    )

    async def main() -> None:
        await asyncio.gather(*(cluster.start(replica) for replica in range(3)))
        async with await Client.connect(cluster.directory, "one", KeyValueStore) as client:
            store = client.of(KeyValueStore)
            for number in range(80):  # the witness's log begins anew every 64
                await store.put("key", f"{HIDDEN} {number}")
            await cluster.kill(1)
            await store.put("key", f"{HIDDEN}, one copy")
            await cluster.start(1)
            caught_up = await client.read_stale("get", "key", within_s=0.001, replica=1)
            assert caught_up.value.value == f"{HIDDEN}, one copy"
            await cluster.kill(0)
            assert (await store.get("key")).value == f"{HIDDEN}, one copy"
            await store.put("key", f"{HIDDEN}, the other")
            await asyncio.to_thread(show_status, cluster.directory, "one", 1.0, True, False)

    async def run() -> None:
        try:
            await main()
        finally:
            await cluster.close()

    asyncio.run(run())
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert [one.get("role") for one in told["replicas"]] == [None, "leader", "witness"]
    written = [path for path in (cluster.directory / f"replica-{WITNESS}").rglob("*") if path.is_file()]
    assert any(path.suffix == ".segment" for path in written)
    assert not any(HIDDEN.encode() in path.read_bytes() for path in written)
    others = (cluster.directory / "replica-1").rglob("*.segment")
    assert any(HIDDEN.encode() in path.read_bytes() for path in others), "the search would find it"


def test_an_entry_that_went_bad_on_a_disk_is_mended_by_the_others(tmp_path: Path) -> None:
    cluster = DemoCluster(tmp_path / "cluster", ["one"], protocol="raft", replicas=3)

    async def main() -> list[str]:
        await asyncio.gather(*(cluster.start(replica) for replica in range(3)))
        async with await Client.connect(cluster.directory, "one", KeyValueStore) as client:
            store = client.of(KeyValueStore)
            for number in range(20):
                await store.put(f"key{number}", f"value{number}.")
            await client.read_stale("get", "key0", within_s=0.001, replica=1)
            await cluster.kill(1)
            [log] = (cluster.directory / "replica-1" / "data").glob("*.segment")
            data = bytearray(log.read_bytes())
            data[data.index(b"value7.")] ^= 1
            log.write_bytes(data)
            await cluster.start(1)
            mended = await client.read_stale("get", "key7", within_s=0.001, replica=1)
            assert mended.value.value == "value7."
            return list(cluster.processes[1].lines)

    async def run() -> list[str]:
        try:
            return await main()
        finally:
            await cluster.close()

    assert any("records are lost there, and good ones follow" in line for line in asyncio.run(run()))
