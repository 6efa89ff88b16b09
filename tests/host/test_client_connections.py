"""Clients on real sockets: many connections, malformed messages, answers that nobody reads."""

from __future__ import annotations

import asyncio

import pytest
from link_parties import (
    CLIENT,
    Cluster,
    Run,
    cluster,
    dial,
    eventually,
    free_ports,
    run,
    running,
    still_works,
)

from outvote.core.contract import Request
from outvote.host import client_gate
from outvote.wire.client_messages import (
    Ask,
    Refusal,
    Submit,
    encode_client_message,
)
from outvote.wire.frames import frame

__all__ = ["cluster", "run"]  # fixtures


def test_all_connections_of_a_client_get_the_answer_and_the_ninth_ends_the_first(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0) as (zero,):
            clients = []
            for number in range(9):
                clients.append(await dial(at, 0))
                clients[-1].send(Ask(number))
                await eventually(lambda number=number: len(zero.messages) == number + 1)  # type: ignore[misc]
            await clients[0].closed()
            other = await dial(at, 0, party=CLIENT + 1)
            other.send(Ask(9))
            await eventually(lambda: len(zero.messages) == 10)
            zero.links.answer(CLIENT, Refusal(1, "for all"))
            zero.links.answer(CLIENT + 1, Refusal(2, "for the other"))
            zero.links.answer(CLIENT + 5, Refusal(2, "for nobody"))
            for client in clients[1:]:
                assert await client.receive() == Refusal(1, "for all")
            assert await other.receive() == Refusal(2, "for the other")
            assert zero.lost == []
            for client in clients[1:]:
                client.writer.close()
            await eventually(lambda: zero.lost == [CLIENT])

    run(scenario())


def test_a_client_too_many_is_told_so(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_gate, "CONNECTIONS_MAX", 2)

    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            kept = [await dial(at, 0), await dial(at, 0)]
            await eventually(lambda: zero.links.gate._count == 2)
            late = await dial(at, 0, party=CLIENT + 1)
            assert await late.receive() == Refusal(0, "this replica serves 2 connections already")
            await late.closed()
            kept[0].writer.close()
            await eventually(lambda: zero.links.gate._count == 1)
            await still_works(at, zero, one)

    run(scenario())


def test_malformed_messages_are_answered_and_then_the_connection_ends(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            client = await dial(at, 0)
            stolen = Submit(Request(CLIENT + 1, 1, 0, (b"x",), bytes(64)))
            client.writer.write(frame(encode_client_message(stolen)))
            for _ in range(40):
                client.writer.write(frame(b"\x93\x91nonsense"))
            first = await client.receive()
            assert isinstance(first, Refusal)
            assert (first.number, first.reason) == (0, f"a request in the name of client {CLIENT + 1}")
            for _ in range(18):
                answer = await client.receive()
                assert isinstance(answer, Refusal)
                assert answer.reason.startswith("not a message")
            assert await client.receive() == Refusal(0, "20 malformed messages on one connection: it is closed")
            await client.closed()
            assert len(zero.observer.lies) == 20
            assert zero.messages == []
            await still_works(at, zero, one)

    run(scenario())


def test_a_client_that_never_reads_is_dropped_and_others_are_not(cluster: Cluster, run: Run) -> None:
    async def scenario() -> None:
        at = free_ports(cluster)
        async with running(at, 0, 1) as (zero, one):
            deaf, good = await dial(at, 0), await dial(at, 0, party=CLIENT + 1)
            deaf.send(Ask(1))
            good.send(Ask(2))
            await eventually(lambda: len(zero.messages) == 2)
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            text = "x" * 100_000
            for number in range(1000):
                zero.links.answer(CLIENT, Refusal(number, text))
                await asyncio.sleep(0)
                if zero.lost:
                    break
            assert zero.lost == [CLIENT]
            assert zero.observer.counts["client_dropped_unread"] == 1
            zero.links.answer(CLIENT + 1, Refusal(3, "good"))
            assert await good.receive() == Refusal(3, "good")
            deaf.writer.transport.abort()
            await still_works(at, zero, one)

    run(scenario())
