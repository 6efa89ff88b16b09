"""The outbox lane by lane, and the small values of the contract."""

from __future__ import annotations

from hashlib import sha256

import pytest

from outvote.core.certificates import claims_of
from outvote.core.committee import Committee
from outvote.core.contract import (
    ALL,
    Claim,
    Hint,
    Message,
    Outbox,
    Request,
    RequestStatement,
    Struct,
    canonical,
    digest_of,
    sealed_bytes,
)
from outvote.errors import Mistake
from outvote.types import NEVER

LANES = ("hints", "records", "notes", "messages", "deliveries", "stable", "transfers", "lies")


@pytest.mark.parametrize("lane", LANES)
def test_an_outbox_waits_with_anything_in_any_lane_until_it_is_cleared(lane: str) -> None:
    out = Outbox()
    assert not out.waits()
    getattr(out, lane).append(None)
    assert out.waits()
    out.clear()
    assert not out.waits()
    assert getattr(out, lane) == []


def test_a_message_is_sealed_and_covers_itself_and_a_hint_is_not() -> None:
    assert Message.sealed
    assert not Hint.sealed
    assert Message().statement() == Message()
    assert Message().claims() == ()
    assert Struct().exclusive() is None


def test_a_request_is_known_by_client_and_number_and_sealed_without_its_seal() -> None:
    request = Request(7, 3, 2, (b"a", b"bc"), b"seal", True)
    assert request.key == (7, 3)
    assert request.statement() == RequestStatement(7, 3, 2, (b"a", b"bc"), True)
    assert request.claim() == Claim(7, request.statement(), b"seal")
    assert request.size_bytes() == 36 + len(b"seal") + 6 + 7
    assert not Request(7, 3, 2, (), b"").receipt, "sealed replies are asked for"
    assert not RequestStatement(7, 3, 2, ()).receipt


def test_a_seal_covers_its_domain_and_the_digest_of_the_values() -> None:
    statement = RequestStatement(7, 3, 2, (b"a",))
    assert digest_of(statement) == sha256(canonical(statement)).digest()
    assert sealed_bytes(b"domain", statement) == b"domain" + digest_of(statement)


def test_claims_are_one_a_signer() -> None:
    statement = RequestStatement(7, 3, 2, ())
    assert claims_of(statement, ((1, b"x"), (4, b"y"))) == [Claim(1, statement, b"x"), Claim(4, statement, b"y")]


def test_a_committee_has_its_thresholds_its_leaders_and_its_members() -> None:
    committee = Committee(7)
    assert (committee.n, committee.faults, committee.quorum, committee.weak) == (7, 2, 5, 3)
    assert [committee.leader(view) for view in (0, 6, 7, 15)] == [0, 6, 0, 1]
    assert [committee.holds(replica) for replica in (-1, 0, 6, 7)] == [False, True, True, False]
    for n in (0, 101):
        with pytest.raises(Mistake):
            Committee(n)


def test_all_is_no_replica_and_never_does_not_come() -> None:
    assert not Committee(100).holds(ALL)
    assert NEVER > 10**18
