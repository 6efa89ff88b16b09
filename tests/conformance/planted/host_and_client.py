"""Rules of the host, the executor and the client, turned off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from outvote.client import session
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Delivery, Message
from outvote.host.turn import Turn
from outvote.machines.executor import Executor
from outvote.machines.merkle_map import MerkleMap
from outvote.machines.sessions import Sessions
from outvote.types import ReplicaId, Seal
from outvote.wire.client_messages import ReplyStatement


def seals_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turn, "_genuine", lambda turn, sender, message, seal, claims: True)


def claims_unchecked(patch: pytest.MonkeyPatch) -> None:
    """The sender's own seal is checked, those that it quotes are not."""

    def genuine(turn: Turn, sender: ReplicaId, message: Message, seal: Seal, claims: Sequence[Claim]) -> bool:
        return not message.sealed or turn._opener.opens(Claim(sender, message.statement(), seal))

    patch.setattr(Turn, "_genuine", genuine)


def executed_again(patch: pytest.MonkeyPatch) -> None:
    """The client table is not consulted."""
    patch.setattr(Sessions, "executable", lambda sessions, request: True)


def client_table_not_in_state(patch: pytest.MonkeyPatch) -> None:
    """A replica that fetched the state knows of no request that was executed before."""
    original = Executor.install

    def install(executor: Executor, state: MerkleMap) -> None:
        original(executor, state)
        executor._sessions = Sessions()

    patch.setattr(Executor, "install", install)


def history_not_in_state(patch: pytest.MonkeyPatch) -> None:
    original = Executor.install

    def install(executor: Executor, state: MerkleMap) -> None:
        history = executor.history
        original(executor, state)
        executor.history = history

    patch.setattr(Executor, "install", install)


def client_believes_one(patch: pytest.MonkeyPatch) -> None:
    original = Committee

    def init(client: session.Session, *arguments: Any) -> None:
        first_init(client, *arguments)
        lenient = original(client.committee.n)
        lenient.weak -= 1
        client.committee = lenient

    first_init = session.Session.__init__
    patch.setattr(session.Session, "__init__", init)


def executed_in_reverse_at_odd_replicas(patch: pytest.MonkeyPatch) -> None:
    """The order within a batch depends on the replica."""
    original = Executor.run

    def run(executor: Executor, delivery: Delivery) -> list[ReplyStatement]:
        if executor._replica.me % 2:  # type: ignore[attr-defined]
            delivery = msgspec.structs.replace(delivery, requests=delivery.requests[::-1])
        return original(executor, delivery)

    patch.setattr(Executor, "run", run)
