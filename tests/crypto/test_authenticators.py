"""An authenticator's entries convince one replica each, its signature everybody; and nothing else convinces."""

from __future__ import annotations

import pytest

from outvote.core.contract import Claim, RequestStatement
from outvote.crypto.authenticators import (
    AuthenticatorOpener,
    AuthenticatorSealer,
    authenticator_bytes,
    signature_of,
    vector_bytes,
)
from outvote.crypto.keys import signing_key_from_seed
from outvote.crypto.seals import Ed25519Opener, Ed25519Sealer, domain
from outvote.types import FIRST_CLIENT

N = 4
CLIENT = FIRST_CLIENT
OTHER = FIRST_CLIENT + 1
KEY = signing_key_from_seed(b"c" * 32)
DOMAIN = domain(bytes(32), 7)
REQUEST = RequestStatement(CLIENT, 3, 2, (b"put",))
CHANGED = RequestStatement(CLIENT, 3, 2, (b"get",))


class Signatures(Ed25519Opener):
    """Counts what it is asked."""

    asked = 0

    def opens(self, claim: Claim) -> bool:
        self.asked += 1
        return super().opens(claim)


def session_key(replica: int, refresh: int = 0) -> bytes:
    return bytes((replica, refresh)) * 16


def sealer(*known: int) -> AuthenticatorSealer:
    made = AuthenticatorSealer(DOMAIN, N, Ed25519Sealer(DOMAIN, KEY))
    for replica in known:
        made.renew(replica, session_key(replica))
    return made


def opener(me: int) -> tuple[AuthenticatorOpener, Signatures]:
    other = signing_key_from_seed(b"d" * 32)
    signatures = Signatures(DOMAIN, {CLIENT: KEY.public, OTHER: other.public})
    made = AuthenticatorOpener(me, N, DOMAIN, signatures)
    made.renew(CLIENT, 1, session_key(me))
    return made, signatures


def test_the_form_is_a_count_the_entries_and_a_signature() -> None:
    seal = sealer(0, 1, 2, 3).seal(REQUEST)
    assert len(seal) == authenticator_bytes(N) == 1 + 16 * N + 64
    assert seal[0] == N
    assert signature_of(seal, N) == Ed25519Sealer(DOMAIN, KEY).seal(REQUEST) == seal[vector_bytes(N) :]
    assert len({seal[vector_bytes(replica) : vector_bytes(replica + 1)] for replica in range(N)}) == N


@pytest.mark.parametrize("me", range(N))
def test_a_replica_is_convinced_by_its_own_entry_without_a_signature_check(me: int) -> None:
    made, signatures = opener(me)
    assert made.opens_here(Claim(CLIENT, REQUEST, sealer(0, 1, 2, 3).seal(REQUEST)))
    assert signatures.asked == 0


@pytest.mark.parametrize("me", range(N))
def test_an_entry_convinces_nobody_but_its_replica(me: int) -> None:
    """A good entry of the others and a broken signature: exactly what a Big MAC attacker sends."""
    seal = sealer(*(replica for replica in range(N) if replica != me)).seal(REQUEST)
    made, _ = opener(me)
    broken = seal[:-1] + bytes((seal[-1] ^ 1,))
    assert not made.opens_here(Claim(CLIENT, REQUEST, broken))
    assert made.opens_here(Claim(CLIENT, REQUEST, seal))


def test_what_convinces_everybody_is_the_signature_alone() -> None:
    made, _ = opener(1)
    seal = sealer(0, 1, 2, 3).seal(REQUEST)
    assert made.opens(Claim(CLIENT, REQUEST, seal))
    assert made.opens(Claim(CLIENT, REQUEST, seal[-64:]))
    broken = seal[:-1] + bytes((seal[-1] ^ 1,))
    assert made.opens_here(Claim(CLIENT, REQUEST, broken))
    assert not made.opens(Claim(CLIENT, REQUEST, broken))


def test_a_changed_request_or_a_changed_name_convinces_nobody() -> None:
    made, _ = opener(2)
    made.renew(OTHER, 1, session_key(2, 5))
    seal = sealer(0, 1, 2, 3).seal(REQUEST)
    for claim in (Claim(CLIENT, CHANGED, seal), Claim(OTHER, REQUEST, seal)):
        assert not made.opens_here(claim)
        assert not made.opens(claim)


def test_after_a_refresh_the_old_key_is_refused() -> None:
    made, signatures = opener(0)
    seal = sealer(0, 1, 2, 3).seal(REQUEST)
    unsigned = seal[:-64] + bytes(64)
    assert made.opens_here(Claim(CLIENT, REQUEST, unsigned))
    made.renew(CLIENT, 1, session_key(0, 1))
    assert not made.opens_here(Claim(CLIENT, REQUEST, unsigned))
    assert signatures.asked == 1
    renewed = sealer(0)
    renewed.renew(0, session_key(0, 1))
    assert made.opens_here(Claim(CLIENT, REQUEST, renewed.seal(REQUEST)[:-64] + bytes(64)))
    made.forget(CLIENT, 1)
    assert not made.opens_here(Claim(CLIENT, REQUEST, renewed.seal(REQUEST)[:-64] + bytes(64)))


def test_processes_that_share_an_identity_have_a_session_each() -> None:
    made, _ = opener(0)
    made.renew(CLIENT, 2, session_key(0, 9))
    other = sealer()
    other.renew(0, session_key(0, 9))
    for one in (sealer(0), other):
        assert made.opens_here(Claim(CLIENT, REQUEST, one.seal(REQUEST)[:-64] + bytes(64)))
    made.forget(CLIENT, 1)
    assert not made.opens_here(Claim(CLIENT, REQUEST, sealer(0).seal(REQUEST)[:-64] + bytes(64)))
    assert made.opens_here(Claim(CLIENT, REQUEST, other.seal(REQUEST)[:-64] + bytes(64)))


def test_without_a_session_key_the_signature_counts() -> None:
    made, signatures = opener(3)
    some = sealer(0, 1)
    some.forget(1)
    seal = some.seal(REQUEST)
    assert seal[vector_bytes(1) : vector_bytes(N)] == bytes(48)
    assert made.opens_here(Claim(CLIENT, REQUEST, seal))
    assert signatures.asked == 1


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128, 129, 130, 145, 256])
def test_any_other_length_is_no_seal(length: int) -> None:
    made, _ = opener(0)
    seal = (sealer(0, 1, 2, 3).seal(REQUEST) * 2)[:length]
    expected = length == authenticator_bytes(N)
    assert made.opens_here(Claim(CLIENT, REQUEST, seal)) is expected
    assert made.opens(Claim(CLIENT, REQUEST, seal)) is expected


def test_a_wrong_count_is_no_authenticator() -> None:
    made, _ = opener(0)
    seal = bytes((N + 1,)) + sealer(0, 1, 2, 3).seal(REQUEST)[1:]
    assert not made.opens_here(Claim(CLIENT, REQUEST, seal))
    assert not made.opens(Claim(CLIENT, REQUEST, seal))
