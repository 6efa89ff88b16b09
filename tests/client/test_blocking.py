"""The client without await: several threads, errors, and its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pretend_cluster import PretendCluster

from outvote.client.blocking import BlockingClient
from outvote.errors import Mistake, Refused
from outvote.machines.key_value import Entry, KeyValueStore


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PretendCluster]:
    found = PretendCluster(tmp_path / "cluster")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(found.__aenter__(), loop).result()
    yield found
    asyncio.run_coroutine_threadsafe(found.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_calls_from_several_threads(cluster: PretendCluster) -> None:
    with BlockingClient(cluster.directory) as client:
        with ThreadPoolExecutor(8) as pool:
            revisions = list(pool.map(lambda i: client.call("put", f"k{i}", "v"), range(100)))
        assert sorted(revisions) == list(range(1, 101))
        answer = client.submit("get", "k7")
        assert isinstance(answer.value, Entry)
        answer.receipt.check(cluster.genesis)
        store = client.of(KeyValueStore)
        assert len(store.list(limit=100)) == 100
        with pytest.raises(Refused):
            store.list(limit=0)
        with pytest.raises(Mistake, match="no command"):
            client.call("nothing")
        assert sum(report is not None for report in client.status()) >= 3
    client.close()
    with pytest.raises(Mistake, match="closed"):
        client.call("get", "a")


def test_a_failed_beginning_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(Mistake, match="is missing"):
        BlockingClient(tmp_path)
    assert threading.active_count() == before
