"""Dealings: what honest ones come to, what each lie of a dealer, an accuser or a helper comes to, and shares anew."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

pytest.importorskip("py_arkworks_bls12381")

from py_arkworks_bls12381 import Scalar

from outvote.core.contract import canonical
from outvote.crypto import threshold
from outvote.crypto.dealings import (
    REGISTRATION_BYTES,
    Accusation,
    Ceremony,
    Combined,
    Dealing,
    Terms,
    Verdict,
    dealing_bytes_max,
    register,
    registered,
    value_for,
    verdict_bytes_max,
)
from outvote.crypto.threshold import Keys, Public, ThresholdCoin, ThresholdEncryption
from outvote.errors import Lie, Mistake

SECRETS = [bytes([number + 1]) * 32 for number in range(7)]
NOTHING = canonical(Verdict(()))


def ceremony(n: int, name: bytes = b"test", old: Public | None = None, dealers: int = 0) -> Ceremony:
    registrations = tuple(register(secret) for secret in SECRETS[:n])
    return Ceremony(Terms(name, (n - 1) // 3 + 1, registrations, dealers or n, old))


def dealt(made: Ceremony, dealers: Sequence[int]) -> dict[int, bytes]:
    return {one: made.deal(one, SECRETS[one]) for one in dealers}


def changed(raw: bytes, **fields: object) -> bytes:
    """By somebody who does not know r: the proof stays."""
    return canonical(msgspec.structs.replace(msgspec.msgpack.decode(raw, type=Dealing), **fields))


def proven(made: Ceremony, dealer: int, raw: bytes, **fields: object) -> bytes:
    """By the dealer itself, who does: the proof is good."""
    bare = msgspec.structs.replace(msgspec.msgpack.decode(changed(raw, **fields), type=Dealing), proof=b"")
    r = threshold.scalar_of(b"dealing's ephemeral key", SECRETS[dealer], made.terms.name)
    return canonical(msgspec.structs.replace(bare, proof=bytes((made._proven(dealer, bare) * r).to_compressed_bytes())))


def shares_of(made: Combined, n: int) -> list[bytes]:
    rows = [made.row(me, SECRETS[me]) for me in range(n)]
    return [bytes(row[0].to_be_bytes()) for row in rows if row is not None]


def signature(public: Public, shares: dict[int, bytes], name: bytes = b"name") -> bytes:
    """By these replicas; each share is verified as replicas do it."""
    coins = {me: ThresholdCoin(Keys(public, me, share)) for me, share in shares.items()}
    said = {me: coin.share(name) for me, coin in coins.items()}
    first = next(iter(coins.values()))
    assert all(first.verifies(name, me, share) for me, share in said.items())
    return first.combine(name, said)


def wrong_row(made: Ceremony, dealer: int, victim: int) -> bytes:
    """A dealer's own lie, with a good proof: the victim's box holds somebody else's row."""
    honest = Ceremony._sealed

    def sealed(self: Ceremony, d: int, receiver: int, key: object, row: list[Scalar]) -> bytes:
        return honest(self, d, receiver, key, [one + Scalar(1) for one in row] if receiver == victim else row)  # type: ignore[arg-type]

    Ceremony._sealed = sealed  # type: ignore[method-assign, assignment]
    try:
        return made.deal(dealer, SECRETS[dealer])
    finally:
        Ceremony._sealed = honest  # type: ignore[method-assign]


@pytest.mark.parametrize(("n", "dealers"), [(1, [0]), (4, [0, 1, 2, 3]), (4, [1, 3]), (7, [0, 2, 3, 4, 6])])
def test_honest_dealings_make_keys_that_work(n: int, dealers: list[int]) -> None:
    made = ceremony(n)
    dealings = dealt(made, dealers)
    verdicts = {me: made.verdict(dealings, me, SECRETS[me]) for me in range(n)}
    assert set(verdicts.values()) == {NOTHING}
    assert made.qualified(dealings, verdicts) == dealers
    whole = ceremony(n).combine(dealings, dealers)  # a third party, who has seen nothing but what is public
    shares = shares_of(whole, n)
    t = whole.public.threshold
    first = signature(whole.public, dict(list(enumerate(shares))[:t]))
    last = signature(whole.public, dict(list(enumerate(shares))[-t:]))
    assert first == last
    systems = [ThresholdEncryption(Keys(whole.public, me, share)) for me, share in enumerate(shares)]
    box = systems[0].encrypt(b"label", b"text", bytes(32))
    opened = {me: systems[me].share(b"label", box) for me in range(n - t, n)}
    assert systems[0].combine(b"label", box, opened) == b"text"


def test_a_row_that_is_wrong_is_shown_and_the_dealer_disqualified() -> None:
    made = ceremony(4)
    dealings = {**dealt(made, [0, 1, 3]), 2: wrong_row(made, 2, victim=1)}
    assert made.checks(2, dealings[2])
    verdicts = {me: made.verdict(dealings, me, SECRETS[me]) for me in range(4)}
    assert [me for me in range(4) if verdicts[me] != NOTHING] == [1]
    assert made.qualified(dealings, verdicts) == [0, 1, 3]
    assert made.qualified(dealings, {me: verdicts[me] for me in (0, 2, 3)}) == [0, 1, 2, 3], "nobody heard the accuser"


def test_false_accusations_convict_nobody() -> None:
    made = ceremony(4)
    dealings = dealt(made, [0, 1, 2, 3])
    right = msgspec.msgpack.decode(wrong_key(made, dealings), type=Verdict).accusations[0].key
    another = msgspec.msgpack.decode(dealings[1], type=Dealing).u  # a point, and the key to no box
    for key in (right, another, b"", bytes(48), canonical(Verdict(()))):
        said = canonical(Verdict((Accusation(0, key), Accusation(17, key), Accusation(-1, key))))
        assert made.qualified(dealings, {3: said}) == [0, 1, 2, 3]
    for junk in (b"", b"junk", b"\x91" * 200, canonical(Verdict((Accusation(0, right),) * 20))):
        assert made.qualified(dealings, {3: junk}) == [0, 1, 2, 3]


def wrong_key(made: Ceremony, dealings: dict[int, bytes]) -> bytes:
    """Replica 3 accuses the honest dealer 0 with the true key to its box."""
    known = made._look(0, dealings[0])
    assert known is not None
    shown = known.u * threshold.scalar_of(b"registered key", SECRETS[3])
    return canonical(Verdict((Accusation(0, bytes(shown.to_compressed_bytes())),)))


def test_what_is_wrong_in_public_counts_for_nothing() -> None:
    made = ceremony(4)
    raw = made.deal(2, SECRETS[2])
    other = msgspec.msgpack.decode(made.deal(1, SECRETS[1]), type=Dealing)
    mine = msgspec.msgpack.decode(raw, type=Dealing)
    false = [
        changed(raw, boxes=other.boxes), changed(raw, boxes=mine.boxes[:3]), changed(raw, boxes=(*mine.boxes, b"")),
        changed(raw, commitments=other.commitments), changed(raw, commitments=mine.commitments[:2]),
        changed(raw, key=other.key), changed(raw, u=other.u), changed(raw, u_too=other.u_too),
        changed(raw, u=other.u, u_too=other.u_too, boxes=other.boxes),  # another one's boxes, to have them opened
        changed(raw, proof=other.proof), changed(raw, proof=b""), raw + b"\0", raw[:-1],
        raw.replace(b"\xc4\x60", b"\xc5\x00\x60", 1),  # the same values in another encoding
        b"", b"\xff" * 5000,
        proven(made, 2, raw, key=other.key), proven(made, 2, raw, u_too=other.u_too), proven(made, 2, raw, u=other.u),
        proven(made, 2, raw, commitments=(bytes(96), *mine.commitments[1:])),
    ]  # fmt: skip
    assert made.checks(2, raw)
    assert made.checks(2, proven(made, 2, raw))
    assert not made.checks(1, raw), "another one's dealing as one's own"
    assert not ceremony(4, b"another").checks(2, raw), "of another ceremony"
    assert [one for one in false if made.checks(2, one)] == []
    assert made.verdict({2: false[0]}, 0, SECRETS[0]) == NOTHING, "nothing is opened for what does not check"
    with pytest.raises(Lie, match="only 1 dealings count"):
        made.combine({2: raw}, [2])


def test_who_learned_too_late_of_its_wrong_row_is_helped() -> None:
    made = ceremony(4)
    dealings = {**dealt(made, [0, 1]), 2: wrong_row(made, 2, victim=3)}
    whole = made.combine(dealings, [0, 1, 2])
    rows = [whole.row(me, SECRETS[me]) for me in range(4)]
    assert rows[3] is None
    values = {}
    for helper in (0, 1, 2):
        row = rows[helper]
        assert row is not None
        box = made.help(helper, 3, value_for(row, 3), SECRETS[helper])
        values[helper] = made.helped(helper, 3, box, SECRETS[3])
        assert whole.fits(helper, 3, values[helper])
        assert not whole.fits(helper, 3, values[helper] + Scalar(1))
        for junk in (b"", box[:60], box[:-1] + b"\0", made.help(helper, 2, value_for(row, 2), SECRETS[helper])):
            with pytest.raises(Lie):
                made.helped(helper, 3, junk, SECRETS[3])
    share = whole.share_of_help({0: values[0], 2: values[2]})
    assert share == whole.share_of_help({1: values[1], 2: values[2]})
    first = rows[0]
    assert first is not None
    assert signature(whole.public, {0: bytes(first[0].to_be_bytes()), 3: share})


def test_shares_are_dealt_anew_to_others_under_the_same_key() -> None:
    """From 4 replicas to 7, one of the old ones lying; f grows from 1 to 2."""
    before = ceremony(4)
    whole = before.combine(dealt(before, range(4)), range(4))
    old = shares_of(whole, 4)
    again = ceremony(7, b"epoch 1", whole.public, dealers=4)
    dealings = {one: again.deal(one, SECRETS[one], old[one]) for one in range(3)}
    dealings[3] = again.deal(3, SECRETS[3], old[2])
    assert [one for one in range(4) if again.checks(one, dealings[one])] == [0, 1, 2], "3 deals another's share"
    qualified = again.qualified(dealings, {me: again.verdict(dealings, me, SECRETS[me]) for me in range(7)})
    after = again.combine(dealings, qualified)
    assert after.public.key == whole.public.key
    assert after.public.threshold == 3
    new = shares_of(after, 7)
    assert not {*old} & {*new}
    assert signature(after.public, dict(list(enumerate(new))[4:])) == signature(whole.public, {0: old[0], 1: old[1]})
    with pytest.raises(Mistake, match="does not belong to its public key"):
        Keys(after.public, 0, old[0])
    coins = ThresholdCoin(Keys(whole.public, 0, old[0])), ThresholdCoin(Keys(after.public, 1, new[1]))
    mixed = {0: coins[0].share(b"name"), 1: coins[1].share(b"name"), 2: coins[1].share(b"name")}
    assert coins[1].combine(b"name", mixed) != signature(whole.public, {0: old[0], 1: old[1]})
    with pytest.raises(Lie, match="only 1 dealings count"):
        again.combine(dealings, [1])


def test_a_registration_needs_a_proof_of_possession() -> None:
    mine, other = register(SECRETS[0]), register(SECRETS[1])
    assert len(mine) == REGISTRATION_BYTES
    registered(mine, "replica 0")
    for wrong in (mine[:48] + other[48:], b"", mine[:-1], bytes(REGISTRATION_BYTES), other[48:]):
        with pytest.raises(Mistake, match="the registered threshold key of replica 0 is wrong"):
            registered(wrong, "replica 0")


@pytest.mark.parametrize("n", [1, 4, 7])
def test_sizes_have_bounds(n: int) -> None:
    made = ceremony(n)
    raw = made.deal(0, SECRETS[0])
    assert len(raw) <= dealing_bytes_max(made.terms.threshold, n)
    worst = canonical(Verdict(tuple(Accusation(dealer, bytes(48)) for dealer in range(n))))
    assert len(worst) <= verdict_bytes_max(n)
