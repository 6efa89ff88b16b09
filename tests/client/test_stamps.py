"""How clients vouch for what they ask: by signatures, or by stamps where the channel's word is enough."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outvote import Client, KeyValueStore
from outvote.cli.demo_cluster import DemoCluster
from outvote.configuration.files import load_client_keys, load_genesis
from outvote.crypto.seals import STAMP_BYTES
from outvote.host.node import request_seal_bytes
from outvote.types import SEAL_BYTES
from outvote.wire.client_messages import Submit


@pytest.mark.parametrize(("protocol", "length"), [("pbft", SEAL_BYTES), ("raft", STAMP_BYTES)])
def test_requests_are_signed_where_replicas_may_lie_and_stamped_elsewhere(
    tmp_path: Path, protocol: str, length: int
) -> None:
    """No two stamps are equal: the agreed random bytes follow from them."""
    directory = DemoCluster(tmp_path, ["one"], protocol=protocol, replicas=4).directory

    async def main() -> None:
        genesis = load_genesis(directory)
        client = Client(genesis, load_client_keys(directory, "one", genesis), KeyValueStore)
        client.session.connected(0)
        numbers = [client.session.submit([b"operation"], 0) for _ in range(2)]
        sent = [message for _, message in client.session.take_outgoing()]
        seals = {one.request.number: one.request.seal for one in sent if isinstance(one, Submit)}
        assert sorted(seals) == sorted(numbers)
        assert [len(seal) for seal in seals.values()] == [length] * 2
        assert len(set(seals.values())) == 2
        assert length in request_seal_bytes(client.genesis)
        assert (STAMP_BYTES in request_seal_bytes(client.genesis)) == (protocol == "raft")

    asyncio.run(main())
