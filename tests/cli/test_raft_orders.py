"""Four processes on Raft, one of them a learner: it is read from, leadership is handed over, the learner gets a vote
and another replica loses its own, and orders are taken from nobody without a replica's key."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from outvote.cli import calls, endings, orders
from outvote.cli.demo_cluster import DemoCluster
from outvote.cli.status import show_status
from outvote.client.aio import Client
from outvote.errors import Mistake
from outvote.machines.key_value import KeyValueStore

LEARNER = 3


async def command(run: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """Its exit code, and the JSON that it printed."""
    code = await asyncio.to_thread(run)
    return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])


async def go_through(cluster: DemoCluster, capsys: pytest.CaptureFixture[str]) -> None:
    where = cluster.directory
    settings = calls.Settings(where, "one", 10.0, True, None)
    await asyncio.gather(*(cluster.start(replica) for replica in range(4)))
    async with await Client.connect(where, "two", KeyValueStore) as client:
        store = client.of(KeyValueStore)
        await store.put("key", "first")
        stale = await client.read_stale("get", "key", within_s=30)
        assert (stale.value.value, stale.replica) == ("first", LEARNER), "what it does not know yet it asks"
        again = await client.read_stale("get", "key", within_s=30)
        assert again.replica == LEARNER
        assert 0 < again.age_ns < 30_000_000_000

        proof = where / "proof.json"
        proven = settings._replace(receipt=proof)
        code, told = await command(lambda: calls.get_stale(proven, "key", 30.0, 1, False), capsys)
        assert (code, told["value"], told["replica"]) == (endings.DONE, "first", 1)
        code, checked = await command(lambda: calls.verify(proof, where, True), capsys)
        assert (code, checked["replicas"], checked["position"]) == (endings.DONE, [1], told["position"])
        proof.write_text(proof.read_text().replace('"number":-', '"number":-9'))
        code, checked = await command(lambda: calls.verify(proof, where, True), capsys)
        assert (code, checked["valid"]) == (endings.NEGATIVE, False)

        for successor in (1, 2):
            code, told = await command(partial(orders.hand_over, where, "one", successor, 20, True), capsys)
            assert (code, told["done"]) == (endings.DONE, True)
        code, told = await command(lambda: orders.hand_over(where, "one", LEARNER, 20, True), capsys)
        assert (code, told["refusal"]) == (endings.NEGATIVE, "replica 3 does not vote, so it cannot lead")

        code, told = await command(lambda: orders.change_voters(where, "one", "1,2,3", 20, True), capsys)
        assert (code, told["done"]) == (endings.DONE, True)
        code, told = await command(lambda: show_status(where, "one", 10.0, True, False), capsys)
        assert (code, told["voters"], told["quorum"]) == (endings.DONE, [1, 2, 3], 2)
        roles = [one["role"] for one in told["replicas"]]  # type: ignore[attr-defined]
        assert roles == ["learner", "follower", "leader", "follower"]
        await store.put("key", "second")
        assert (await store.get("key")).value == "second"

    for replica in range(LEARNER):
        await cluster.kill(replica)
    code, told = await command(lambda: calls.get_stale(settings, "key", 3600.0, None, False), capsys)
    assert (code, told["replica"]) == (endings.DONE, LEARNER), "all by itself, and no older than it says"

    for replica in range(4):
        shutil.rmtree(where / f"replica-{replica}", ignore_errors=True)  # the processes hold their files open
    with pytest.raises(Mistake, match="holds no replica's keys"):
        await asyncio.to_thread(orders.hand_over, where, "one", 1, 1.0, True)


def test_learners_are_read_and_operators_are_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        cluster = DemoCluster(
            tmp_path / "cluster", ["one", "two"], protocol="raft", replicas=4, flags={"learners": 1 << LEARNER}
        )
        try:
            await go_through(cluster, capsys)
        finally:
            await cluster.close()

    asyncio.run(main())


def test_what_is_wrong_with_an_order_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    raft = DemoCluster(tmp_path / "raft", ["one"], protocol="raft", replicas=3).directory
    pbft = DemoCluster(tmp_path / "pbft", ["one"]).directory
    with pytest.raises(Mistake, match="pbft takes no order to hand-over: which replica leads"):
        orders.hand_over(pbft, "one", 1, 1.0, False)
    with pytest.raises(Mistake, match="there is no replica 3"):
        orders.hand_over(raft, "one", 3, 1.0, False)
    for text in ("", "0,1,3", "0;1", "0,-1"):
        with pytest.raises(Mistake, match="numbers from 0 to 2"):
            orders.change_voters(raft, "one", text, 1.0, False)
    with pytest.raises(Mistake, match="--replica goes with --stale"):
        calls.get_stale(calls.Settings(raft, "one", 1.0, False, None), "key", None, 1, False)
