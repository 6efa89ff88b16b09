"""Receipts: true ones check offline, every alteration is noticed, garbage is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outvote.client.receipts import RECEIPT_BYTES_MAX, Receipt
from outvote.configuration.files import create_cluster, load_replica_keys
from outvote.configuration.genesis import Genesis
from outvote.crypto.seals import Ed25519Sealer, domain
from outvote.errors import Lie, Mistake
from outvote.types import FIRST_CLIENT
from outvote.wire.client_messages import ReplyStatement

ANSWER = ReplyStatement(FIRST_CLIENT, 7, 12, (b"one", b"two"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Genesis, list[Ed25519Sealer]]:
    directory: Path = tmp_path_factory.mktemp("receipts") / "cluster"
    genesis = create_cluster(directory, name="notary", machine="shop:Orders", replicas=4)
    seal_domain = domain(genesis.identity(), genesis.epoch)
    return genesis, [
        Ed25519Sealer(seal_domain, load_replica_keys(directory, replica, genesis).signing) for replica in range(4)
    ]


def receipt_of(genesis: Genesis, sealers: list[Ed25519Sealer], *replicas: int) -> Receipt:
    seals = tuple((replica, sealers[replica].seal(ANSWER)) for replica in replicas)
    return Receipt(genesis.identity(), genesis.epoch, ANSWER, seals)


def test_a_true_receipt_survives_json_and_checks(cluster: tuple[Genesis, list[Ed25519Sealer]]) -> None:
    genesis, sealers = cluster
    receipt = receipt_of(genesis, sealers, 2, 0)
    again = Receipt.from_json(receipt.to_json())
    assert again == receipt
    again.check(genesis)
    Receipt.from_json(receipt.to_json().decode()).check(genesis)


def test_too_few_seals_prove_nothing(cluster: tuple[Genesis, list[Ed25519Sealer]]) -> None:
    genesis, sealers = cluster
    for replicas in ((), (1,)):
        with pytest.raises(Lie, match="2 of 4 replicas are needed"):
            receipt_of(genesis, sealers, *replicas).check(genesis)
    with pytest.raises(Lie, match="twice"):
        receipt_of(genesis, sealers, 1, 1).check(genesis)


@pytest.mark.parametrize(
    "altered",
    [
        ReplyStatement(FIRST_CLIENT + 1, 7, 12, (b"one", b"two")),
        ReplyStatement(FIRST_CLIENT, 8, 12, (b"one", b"two")),
        ReplyStatement(FIRST_CLIENT, 7, 13, (b"one", b"two")),
        ReplyStatement(FIRST_CLIENT, 7, 12, (b"one", b"too")),
        ReplyStatement(FIRST_CLIENT, 7, 12, (b"onetwo",)),
    ],
)
def test_no_field_can_be_altered(
    cluster: tuple[Genesis, list[Ed25519Sealer]], altered: ReplyStatement
) -> None:
    genesis, sealers = cluster
    receipt = receipt_of(genesis, sealers, 0, 1)
    with pytest.raises(Lie, match="seal of replica 0"):
        Receipt(receipt.cluster, receipt.epoch, altered, receipt.seals).check(genesis)
    swapped = ((1, receipt.seals[0][1]), (0, receipt.seals[1][1]))
    with pytest.raises(Lie):
        Receipt(receipt.cluster, receipt.epoch, ANSWER, swapped).check(genesis)


def test_strangers_and_other_clusters(cluster: tuple[Genesis, list[Ed25519Sealer]]) -> None:
    genesis, sealers = cluster
    receipt = receipt_of(genesis, sealers, 0, 1)
    with pytest.raises(Mistake, match="not from cluster notary"):
        Receipt(bytes(32), receipt.epoch, ANSWER, receipt.seals).check(genesis)
    with pytest.raises(Mistake, match="not from cluster notary"):
        Receipt(receipt.cluster, 1, ANSWER, receipt.seals).check(genesis)
    for stranger in (-1, 4, FIRST_CLIENT):
        with pytest.raises(Lie):
            Receipt(receipt.cluster, 0, ANSWER, ((stranger, b"s" * 64), *receipt.seals)).check(genesis)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"outvote": "receipt 2"}', b"\xff\xfe", "[" * 100_000, "1" * (RECEIPT_BYTES_MAX + 1)],
)
def test_garbage_is_a_mistake(text: str | bytes) -> None:
    with pytest.raises(Mistake, match="receipt"):
        Receipt.from_json(text)


def test_unknown_and_missing_fields_are_refused(cluster: tuple[Genesis, list[Ed25519Sealer]]) -> None:
    fields = json.loads(receipt_of(*cluster, 0, 1).to_json())
    for name in fields:
        with pytest.raises(Mistake):
            Receipt.from_json(json.dumps({key: value for key, value in fields.items() if key != name}))
    with pytest.raises(Mistake):
        Receipt.from_json(json.dumps({**fields, "more": 1}))


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(Mistake):
        Receipt.from_json(data)
