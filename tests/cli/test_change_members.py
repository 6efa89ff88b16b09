"""Five processes on HoneyBadger that make their keys, of which four are to be the members, and then four others."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("py_arkworks_bls12381")

from outvote.cli import endings, members
from outvote.cli.demo_cluster import DemoCluster
from outvote.cli.status import show_status
from outvote.client.aio import Client
from outvote.errors import Mistake
from outvote.machines.key_value import KeyValueStore


async def command(run: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """Its exit code, and the JSON that it printed."""
    code = await asyncio.to_thread(run)
    return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])


async def go_through(cluster: DemoCluster, capsys: pytest.CaptureFixture[str]) -> None:
    where = cluster.directory
    await asyncio.gather(*(cluster.start(replica) for replica in range(5)))
    async with await Client.connect(where, "two", KeyValueStore) as client:
        store = client.of(KeyValueStore)
        await store.put("key", "first")

        code, told = await command(lambda: members.change_members(where, "one", "0,1,2,3", 60, True), capsys)
        assert (code, told["done"], told["told"]) == (endings.DONE, True, [0, 1, 2, 3, 4])
        code, told = await command(lambda: show_status(where, "one", 10.0, True, False), capsys)
        assert (code, told["voters"], told["quorum"]) == (endings.DONE, [0, 1, 2, 3], 3)
        assert [one["role"] for one in told["replicas"]] == ["proposer"] * 4 + ["learner"]  # type: ignore[attr-defined]
        await store.put("key", "second")

        await cluster.kill(0)  # before it is told: three of four are a quorum
        code, told = await command(lambda: members.change_members(where, "one", "1,2,3,4", 60, True), capsys)
        assert (code, told["done"], told["told"]) == (endings.DONE, True, [1, 2, 3])
        assert set(told["refused"]) == {"0", "4"}  # type: ignore[call-overload]
        assert (await store.get("key")).value == "second"
        await store.put("key", "third")

        await cluster.start(0)  # it comes back to a cluster of which it is no member, and learns so
        await cluster.kill(1)
        await cluster.start(1)
        await store.put("key", "fourth")
        assert (await store.get("key")).value == "fourth"
        code, told = await command(lambda: show_status(where, "one", 10.0, True, False), capsys)
        assert (code, told["voters"]) == (endings.DONE, [1, 2, 3, 4])


def test_members_change_while_one_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        cluster = DemoCluster(
            tmp_path / "cluster", ["one", "two"], protocol="honeybadger", replicas=5, threshold_keys="generated"
        )
        try:
            await go_through(cluster, capsys)
        finally:
            await cluster.close()

    asyncio.run(main())


def test_what_is_wrong_with_a_wish_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    dealt = DemoCluster(tmp_path / "dealt", ["one"], protocol="honeybadger").directory
    pbft = DemoCluster(tmp_path / "pbft", ["one"]).directory
    made = DemoCluster(
        tmp_path / "made", ["one"], protocol="honeybadger", replicas=5, threshold_keys="generated"
    ).directory
    with pytest.raises(Mistake, match="cannot be changed with pbft"):
        members.change_members(pbft, "one", "0,1,2,3", 1.0, False)
    with pytest.raises(Mistake, match="--threshold-keys generated"):
        members.change_members(dealt, "one", "0,1,2,3", 1.0, False)
    with pytest.raises(Mistake, match="numbers from 0 to 4"):
        members.change_members(made, "one", "0,1,2,5", 1.0, False)
    with pytest.raises(Mistake, match="4 members or more"):
        members.change_members(made, "one", "0,1,2", 1.0, False)
    for replica in range(5):
        shutil.rmtree(made / f"replica-{replica}")
    with pytest.raises(Mistake, match="holds no replica's keys"):
        members.change_members(made, "one", "0,1,2,3", 1.0, False)
