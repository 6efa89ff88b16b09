"""Who checks what of a client's authenticator on real hosts: a backup its own MAC in a proposal, everybody else the
signature; so what a primary has accepted, every backup accepts as well."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from outvote import Client, KeyValueStore
from outvote.cli.serve import make_node
from outvote.client import session
from outvote.configuration.files import create_cluster
from outvote.configuration.genesis import CHANNELS, ChannelKind
from outvote.core.contract import Claim
from outvote.crypto.authenticators import AuthenticatorOpener, AuthenticatorSealer, vector_bytes
from outvote.crypto.seals import Ed25519Opener
from outvote.host.node import Node

SPOILED = 2


class Clerk:
    """Counts signatures of clients that each replica verified: a replica's opener is known by its object."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checked: dict[int, int] = {}
        opens = Ed25519Opener.opens

        def counting(this: Ed25519Opener, claim: Claim) -> bool:
            self.checked[id(this)] = self.checked.get(id(this), 0) + 1
            return opens(this, claim)

        monkeypatch.setattr(Ed25519Opener, "opens", counting)
        # A request shown to all is checked by its signature, and which one that is depends on the first number drawn.
        monkeypatch.setattr(session, "SHOWN_EVERY", 1 << 62)

    def of(self, node: Node) -> int:
        opener = node.turn._opener
        assert isinstance(opener, AuthenticatorOpener)
        return self.checked.get(id(opener._signatures), 0)


async def _scene(directory: Path, clerk: Clerk) -> list[int]:
    """Five operations; signatures that each replica checked meanwhile."""
    nodes = [make_node(directory, replica, say=lambda _: None, sync="inline") for replica in range(4)]
    for node in nodes:
        await node.start()
    try:
        async with await Client.connect(directory, machine=KeyValueStore) as client:
            async with asyncio.timeout(20):
                while any(node.journal.counters.get("session_keys", 0) < 7 for node in nodes):  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            before = [clerk.of(node) for node in nodes]
            for number in range(5):
                assert await client.call("put", "k", str(number)) == number + 1
            async with asyncio.timeout(20):
                while any(node.turn.executor.position < 5 for node in nodes):  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            assert all(node.turn.core.standing().view == 0 for node in nodes)
            return [clerk.of(node) - count for node, count in zip(nodes, before, strict=True)]
    finally:
        for node in nodes:
            await node.stop()


def _cluster(directory: Path, channel: ChannelKind) -> Path:
    with_ports = [f"127.0.0.1:{port}" for port in _ports(4)]
    create_cluster(
        directory, name="macs", machine="outvote.machines.key_value:KeyValueStore", replicas=4, hosts=with_ports,
        form="authenticators", channel=channel,
    )
    return directory


def _ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.processes
@pytest.mark.parametrize("channel", CHANNELS)
def test_backups_check_their_macs_and_the_primary_the_signature(
    tmp_path: Path, channel: ChannelKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk = Clerk(monkeypatch)
    assert asyncio.run(_scene(_cluster(tmp_path / "c", channel), clerk)) == [5, 0, 0, 0]


@pytest.mark.processes
def test_a_client_whose_entry_for_one_backup_is_bad_changes_no_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Big MAC attack: that backup looks at the signature instead, which the primary has found good."""
    seal = AuthenticatorSealer.seal

    def spoiling(self: AuthenticatorSealer, statement: object) -> bytes:
        good = seal(self, statement)  # type: ignore[arg-type]
        return good[: vector_bytes(SPOILED)] + bytes(16) + good[vector_bytes(SPOILED + 1) :]

    monkeypatch.setattr(AuthenticatorSealer, "seal", spoiling)
    clerk = Clerk(monkeypatch)
    assert asyncio.run(_scene(_cluster(tmp_path / "c", "plain"), clerk)) == [5, 0, 5, 0]
