"""The asynchronous client over real TLS sockets, against replicas with all sorts of manners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pretend_cluster import PretendCluster

from outvote.client.aio import Client, connect
from outvote.client.config import SessionConfig
from outvote.configuration.files import create_cluster, load_client_keys, load_genesis
from outvote.errors import Mistake, NotEnoughReplicas, Refused, UnknownOutcome
from outvote.machines.key_value import Entry, KeyValueStore
from outvote.types import MILLISECOND
from outvote.wire.client_messages import OPERATIONS_MAX

HASTY = SessionConfig(
    retry_ns=30 * MILLISECOND, retry_max_ns=60 * MILLISECOND, timeout_ns=600 * MILLISECOND, first_number=1
)


Scene = Callable[[PretendCluster], Coroutine[Any, Any, None]]


def run(
    directory: Path,
    scene: Scene,
    n: int = 4,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    async def play() -> None:
        async with asyncio.timeout(60), PretendCluster(directory / "cluster", n) as cluster:
            await scene(cluster)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(play())


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what it waits for tells nobody when it changes
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_calls_answers_and_receipts(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory) as client:
            assert await client.call("put", "a", "1") == 1
            assert await client.call("get", key="a") == Entry("1", 1)
            answer = await client.submit("put", "b", "2")
            assert (answer.value, answer.position) == (2, 3)
            answer.receipt.check(cluster.genesis)
            store = client.of(KeyValueStore)
            assert await store.list() == ["a", "b"]
            assert "list(prefix" in store.list.__doc__
        with pytest.raises(Mistake, match="closed"):
            await client.call("put", "a", "1")
        await client.close()
        async with connect(cluster.directory, KeyValueStore) as store:
            assert await store.get("b") == Entry("2", 2)

    run(tmp_path, scene, loop_factory=loop_factory)


def test_calls_of_one_loop_pass_share_a_signature(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory) as client:
            revisions = await asyncio.gather(*(client.call("put", f"k{i}", "v") for i in range(200)))
            assert revisions == list(range(1, 201))
            assert [len(request.operations) for request in cluster.requests] == [200]
            await asyncio.gather(*(client.call("get", "k1") for _ in range(OPERATIONS_MAX + 10)))
            assert [len(request.operations) for request in cluster.requests[1:]] == [OPERATIONS_MAX, 10]

    run(tmp_path, scene)


def test_queries_whose_results_do_not_fit_together_are_asked_again_alone(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory) as client:
            large = "x" * 100_000
            for key in "abcde":
                await client.call("put", key, large)
            before = len(cluster.requests)
            entries = await asyncio.gather(*(client.call("get", key) for key in "abcde"))
            assert [entry.value for entry in entries] == [large] * 5
            assert [len(request.operations) for request in cluster.requests[before:]] == [5, 1, 1, 1]

    run(tmp_path, scene)


def test_wrong_use_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory) as client:
            with pytest.raises(Mistake, match="no command 'putt'"):
                await client.call("putt", "a", "1")
            with pytest.raises(Mistake, match="put"):
                await client.call("put", 3)
            with pytest.raises(Mistake, match="too large"):
                await client.call("put", "a", "x" * 300_000)
            with pytest.raises(Refused, match="limit must be"):
                await client.call("list", limit=0)
            assert len(cluster.requests) == 1

    run(tmp_path, scene)


def test_a_cancelled_call_takes_nobody_along(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory) as client:
            calls = [asyncio.create_task(client.call("put", f"k{i}", "v")) for i in range(5)]
            await asyncio.sleep(0)
            calls[1].cancel()  # before the request leaves
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            calls[3].cancel()  # under way
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [isinstance(result, asyncio.CancelledError) for result in results] == [0, 1, 0, 1, 0]
            assert await client.call("put", "after", "v") > 3

    run(tmp_path, scene)


@pytest.mark.parametrize("manner", ["lying", "forging", "silent", "busy", "babbling"])
@pytest.mark.parametrize("liar", [0, 2])
def test_one_faulty_replica_changes_nothing(tmp_path: Path, manner: str, liar: int) -> None:
    async def scene(cluster: PretendCluster) -> None:
        cluster.manners[liar] = manner
        async with await Client.connect(cluster.directory, config=HASTY) as client:
            for revision in range(1, 6):
                assert await client.call("put", "a", "1") == revision
            if manner == "lying":
                await wait_until(lambda: client.session.wrong_replies[liar] == 5)
                assert sum(client.session.wrong_replies) == 5

    run(tmp_path, scene)


def test_too_many_liars_are_noticed(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        cluster.manners = ["lying", "silent", "silent", "honest"]
        async with await Client.connect(cluster.directory, config=HASTY) as client:
            with pytest.raises(UnknownOutcome, match="2 replicas answered, 2 different answers"):
                await client.call("put", "a", "1")
            cluster.manners = ["honest"] * 4
            assert await client.call("get", "a") == Entry("1", 1)

    run(tmp_path, scene)


def test_replicas_go_and_come_back(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory, config=HASTY) as client:
            for replica in (0, 1, 2):
                cluster.shut(replica)
            await wait_until(lambda: client.session.connections == 1)
            with pytest.raises(NotEnoughReplicas, match="1 of the 4 replicas can be reached, 3 are needed") as caught:
                await client.call("put", "a", "1")
            assert caught.value.may_execute
            assert "nobody listens at 127.0.0.1" in str(caught.value)
            for replica in (0, 1, 2):
                await cluster.open(replica)
            await wait_until(lambda: client.session.connections == 4)
            assert await client.call("put", "a", "2") == 2

    run(tmp_path, scene)


def test_an_unreachable_cluster_is_one_sentence(tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    create_cluster(directory, name="away", machine="outvote.machines.key_value:KeyValueStore", replicas=4, base_port=9)
    with pytest.raises(NotEnoughReplicas, match="0 of the 4 replicas of away answered, 3 are needed") as caught:
        asyncio.run(Client.connect(directory, config=HASTY))
    assert not caught.value.may_execute


def test_a_client_that_the_replicas_do_not_know(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        stranger = tmp_path / "stranger"
        machine = "outvote.machines.key_value:KeyValueStore"
        create_cluster(stranger, name="pretend", machine=machine, replicas=4)
        keys = load_client_keys(stranger)
        with pytest.raises(Refused, match="does not accept this client's certificate"):
            await Client.connect(cluster.genesis, keys=keys, config=HASTY)

    run(tmp_path, scene)


def test_replicas_that_are_not_the_ones_of_cluster_toml(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        other = tmp_path / "other"
        machine = "outvote.machines.key_value:KeyValueStore"
        hosts = [f"127.0.0.1:{port}" for port in cluster.ports]
        create_cluster(other, name="pretend", machine=machine, replicas=4, hosts=hosts)
        with pytest.raises(NotEnoughReplicas, match="does not prove the key"):
            await Client.connect(other, config=HASTY)

    run(tmp_path, scene)


def test_a_replica_cannot_play_another(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        text = (cluster.directory / "cluster.toml").read_text()
        first, second = (f"port = {port}" for port in cluster.ports[:2])
        text = text.replace(first, "port = X").replace(second, first).replace("port = X", second)
        (cluster.directory / "cluster.toml").write_text(text)
        with pytest.raises(NotEnoughReplicas, match=r"2 of the 4 .*does not prove the key"):
            await Client.connect(cluster.directory, config=HASTY)

    run(tmp_path, scene)


def test_status_of_each_replica(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory, config=HASTY) as client:
            await wait_until(lambda: client.session.connections == 4)
            cluster.manners[1] = "deaf"
            cluster.shut(3)
            await wait_until(lambda: client.session.connections == 3)
            reports = await client.status(0.2)
            assert [report and report.replica for report in reports] == [0, None, 2, None]

    run(tmp_path, scene)


def test_closing_wakes_those_who_wait(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        cluster.manners = ["silent"] * 4
        client = await Client.connect(cluster.directory)
        call = asyncio.create_task(client.call("put", "a", "1"))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(UnknownOutcome, match="closed"):
            await call

    run(tmp_path, scene)


def test_numbers_grow_from_one_process_to_the_next(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        for _ in range(3):
            async with await Client.connect(cluster.directory) as client:
                await client.call("put", "a", "1")
                await client.call("put", "a", "1")
        numbers = [request.number for request in cluster.requests]
        assert numbers == sorted(set(numbers))
        assert all(request.acknowledged == request.number - 1 for request in cluster.requests)

    run(tmp_path, scene)


def test_one_replica_alone_is_a_cluster_too(tmp_path: Path) -> None:
    async def scene(cluster: PretendCluster) -> None:
        async with await Client.connect(cluster.directory) as client:
            assert await client.call("put", "a", "1") == 1

    run(tmp_path, scene, 1)


def test_a_genesis_needs_keys(tmp_path: Path) -> None:
    create_cluster(tmp_path / "c", name="x", machine="outvote.machines.key_value:KeyValueStore", replicas=1)
    with pytest.raises(Mistake, match="has no keys"):
        asyncio.run(Client.connect(load_genesis(tmp_path / "c")))
