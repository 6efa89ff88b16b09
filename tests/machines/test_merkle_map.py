"""The map behaves as a dict, its digest as the content's name, and its proofs show what it holds and nothing else."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.errors import Lie, Mistake
from outvote.machines import merkle_map
from outvote.machines.merkle_branch import Branch
from outvote.machines.merkle_map import (
    BUCKET_BYTES_MAX,
    BUCKET_LEAVES_MAX,
    EMPTY,
    EMPTY_DIGEST,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    MerkleMap,
    Node,
    bucket_digest,
    build,
    inner_digest,
    path_of,
    record_of,
)
from outvote.machines.merkle_proofs import Proof, Step, decode_proof, encode_proof, prove, proven

KEYS = st.binary(max_size=2)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=12)


def of(content: dict[bytes, bytes]) -> MerkleMap:
    return EMPTY.update(dict(content))


def numbered(count: int) -> dict[bytes, bytes]:
    return {b"key %d" % index: b"value %d" % index for index in range(count)}


@given(st.lists(CHANGES, max_size=8))
@settings(deadline=None)
def test_it_behaves_as_a_dict_and_forgets_its_history(batches: list[dict[bytes, bytes | None]]) -> None:
    state, model = EMPTY, dict[bytes, bytes]()
    versions: list[tuple[MerkleMap, dict[bytes, bytes]]] = []
    for changes in batches:
        versions.append((state, dict(model)))
        state = state.update(changes)
        for key, value in changes.items():
            model.pop(key, None)
            if value is not None:
                model[key] = value
    versions.append((state, model))
    for version, content in versions:
        assert {leaf.key: leaf.value for leaf in version.leaves()} == content
        assert len(version) == len(content)
        assert version.size_bytes == sum(6 + len(key) + len(value) for key, value in content.items())
        assert version.digest == of(content).digest == MerkleMap(build(list(of(content).records()))).digest
        for key in [*content, b"none such"]:
            assert version.get(key) == content.get(key)
        for older, before in versions:
            differing = {key for key in {**before, **content} if before.get(key) != content.get(key)}
            assert set(version.changed_since(older)) == differing
            assert (version == older) == (not differing)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_buckets_split_and_join_as_their_content_says(data: st.DataObject) -> None:
    """Around both limits of a bucket, whatever the way there was."""
    sizes = st.sampled_from([0, 1, 100, 120, 130, 4000, 8100, 8192, 9000])
    keys = st.integers(0, 90).map(lambda number: b"key %d" % number)
    state, model = EMPTY, dict[bytes, bytes]()
    for _ in range(data.draw(st.integers(1, 8))):
        some = data.draw(st.dictionaries(keys, st.none() | sizes.map(bytes), max_size=80))
        state = state.update(some)
        model = {key: value for key, value in (model | some).items() if value is not None}
        assert state.digest == of(model).digest
        assert dict(state.leaves()) == model
        for node in nodes_of(state.root):
            one = node.count == 1 or (node.count <= BUCKET_LEAVES_MAX and node.size_bytes <= BUCKET_BYTES_MAX)
            assert isinstance(node.content, tuple) == one
            if isinstance(node.content, tuple):
                records = node.content
                assert list(records) == sorted(records)
                assert (len(records), sum(map(len, records))) == (node.count, node.size_bytes)


def nodes_of(node: Node | None) -> list[Node]:
    if node is None:
        return []
    below = node.content.children if isinstance(node.content, Branch) else ()
    return [node, *[one for child in below for one in nodes_of(child)]]


@given(st.dictionaries(KEYS, st.binary(max_size=3), max_size=30), KEYS)
@settings(deadline=None)
def test_every_question_has_a_proof(content: dict[bytes, bytes], other: bytes) -> None:
    state = of(content)
    for key in [*content, other]:
        proof = decode_proof(encode_proof(prove(state, key)))
        assert proven(state.digest, key, proof) == content.get(key)
        with pytest.raises(Lie):
            proven(state.update({b"new key": b""}).digest, key, proof)


def test_leaves_and_nodes_are_reached_by_their_paths() -> None:
    state = of(numbered(300))
    for leaf in state.leaves():
        path = path_of(leaf.key)
        node = state.node(path)
        assert node is not None
        assert node.digest == bucket_digest(leaf.record), "however short the way to its bucket is"
        assert state.node(path[:-1] + ("0" if path[-1] != "0" else "1")) is None
        assert int(path[-1], 16) in state.children(path[:-1])
    assert state.node("") is state.root
    assert sum(node.count for node in state.children("").values()) == 300
    assert EMPTY.node("") is None
    assert EMPTY.node("ab") is None
    assert EMPTY.children("a") == {}


def test_an_update_makes_nodes_on_the_way_to_the_change_alone() -> None:
    """Persistent: the rest is shared, not copied."""
    old = of(numbered(5000))
    new = old.update({b"key 77": b"changed"})
    made = {id(node) for node in nodes_of(new.root)} - {id(node) for node in nodes_of(old.root)}
    assert len(made) <= 3, "one bucket, and a node a level: 64 * 16 ** 2 > 5000"
    assert old.get(b"key 77") == b"value 77"
    assert old.update({b"key 77": b"value 77", b"none": None}) is old


def test_the_digests_are_fixed() -> None:
    """Other programs may have to compute them: a changed number here is a changed format."""
    assert EMPTY.digest == EMPTY_DIGEST
    assert of({b"a": b"1"}).digest == bucket_digest(record_of(b"a", b"1"))
    assert of(numbered(20)).digest.hex() == "057ed3d2e688eac6b7fc3bbff4a1243a4a0f79f7a9148bf5e8206e028cc9239d"
    several = [record_of(b"ab", b"c"), record_of(b"a", b"bc"), record_of(b"a", b"") + record_of(b"b", b"c")]
    assert len(dict.fromkeys([*map(bucket_digest, several), inner_digest(3, b"abc")])) == 4


def test_too_large_leaves_are_refused() -> None:
    assert len(EMPTY.update({bytes(KEY_BYTES_MAX): bytes(VALUE_BYTES_MAX)})) == 1
    for key, value in ((bytes(KEY_BYTES_MAX + 1), b""), (b"", bytes(VALUE_BYTES_MAX + 1))):
        with pytest.raises(Mistake, match="pieces"):
            EMPTY.update({key: value})


# ------------------------------------------------------------------ forged proofs


def absent_by_an_empty_slot(state: MerkleMap, key: bytes) -> Proof:
    """Says that the last node has no child where the key's leaf hangs."""
    proof = prove(state, key)
    *steps, last = proof.steps
    bit = 1 << int(path_of(key)[len(steps)], 16)
    return Proof((*steps, Step(last.bitmap & ~bit, last.others)), ())


def elsewhere(state: MerkleMap, key: bytes) -> Proof:
    """The proof of a key that is in another bucket."""
    proof = prove(state, key)
    return next(other for other in (prove(state, leaf.key) for leaf in state.leaves()) if other.bucket != proof.bucket)


def absent_by_a_cut(state: MerkleMap, key: bytes) -> Proof:
    """Shows a bucket that is really there, at the end of another way."""
    proof, other = prove(state, key), elsewhere(state, key)
    return Proof(other.steps[: len(proof.steps)], other.bucket)


def absent_by_a_neighbour(state: MerkleMap, key: bytes) -> Proof:
    """The key's own steps, with the bucket of another key at their end."""
    return Proof(prove(state, key).steps, elsewhere(state, key).bucket)


def absent_from_its_bucket(state: MerkleMap, key: bytes) -> Proof:
    """The right bucket without the key's leaf."""
    proof = prove(state, key)
    return Proof(proof.steps, tuple(leaf for leaf in proof.bucket if leaf[0] != key))


def absent_by_no_bucket(state: MerkleMap, key: bytes) -> Proof:
    """The key's own steps, and nothing at their end; the digest put among the others."""
    proof = prove(state, key)
    *steps, last = proof.steps
    bit = 1 << int(path_of(key)[len(steps)], 16)
    place = (last.bitmap & (bit - 1)).bit_count() * 32
    digest = bucket_digest(b"".join(record_of(*leaf) for leaf in proof.bucket))
    others = last.others[:place] + digest + last.others[place:]
    return Proof((*steps, Step(last.bitmap, others)), ())


def another_value(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    forged = tuple((held, b"forged" if held == key else value) for held, value in proof.bucket)
    return msgspec.structs.replace(proof, bucket=forged)


def too_short(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    return Proof(proof.steps[:-1], proof.bucket)


def too_long(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    return Proof((proof.steps[0],) * 65, proof.bucket)


def spoilt_digest(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    first, *steps = proof.steps
    return Proof((Step(first.bitmap, bytes(32) + first.others[32:]), *steps), proof.bucket)


def extra_digest(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    first, *steps = proof.steps
    return Proof((Step(first.bitmap, first.others + bytes(32)), *steps), proof.bucket)


def wide_bitmap(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    first, *steps = proof.steps
    return Proof((Step(first.bitmap | 1 << 16, first.others + bytes(32)), *steps), proof.bucket)


def huge_leaf(state: MerkleMap, key: bytes) -> Proof:
    return msgspec.structs.replace(prove(state, key), bucket=((key, bytes(VALUE_BYTES_MAX + 1)),))


def a_node_taken_for_a_leaf(state: MerkleMap, key: bytes) -> Proof:
    """What an inner node's digest is computed of, offered as a leaf: the domains keep them apart."""
    assert state.root is not None
    root = state.root.content
    assert isinstance(root, Branch)
    body = root.bitmap.to_bytes(2, "big") + b"".join(node.digest for node in root.children)
    return Proof((), ((key, body),))


FORGERIES = (
    absent_by_an_empty_slot, absent_by_a_cut, absent_by_a_neighbour, absent_by_no_bucket, absent_from_its_bucket,
    another_value, too_short, too_long, spoilt_digest, extra_digest, wide_bitmap, huge_leaf, a_node_taken_for_a_leaf,
)  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("count", [70, 600, 3000])
def test_a_forged_proof_is_a_lie(forge: object, count: int) -> None:
    assert callable(forge)
    state = of(numbered(count))
    rng = Random(count)
    for index in rng.sample(range(count), min(count, 20)):
        key = b"key %d" % index
        assert proven(state.digest, key, prove(state, key)) == b"value %d" % index
        with pytest.raises(Lie):
            proven(state.digest, key, forge(state, key))


def test_a_proof_is_small_and_its_bytes_are_bounded() -> None:
    state = of(numbered(10_000))
    assert max(len(encode_proof(prove(state, b"key %d" % index))) for index in range(0, 10_000, 100)) < 4000
    for data in (b"", b"\xc1", bytes(100_001), encode_proof(prove(state, b"key 1"))[:-1]):
        with pytest.raises(Lie):
            decode_proof(data)


def test_a_trie_of_one_branch_is_walked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys whose paths have twenty digits in common: nobody can find such keys, and nothing breaks if they do."""
    monkeypatch.setattr(merkle_map, "path_of", lambda key: "a" * 20 + key.hex().ljust(44, "0"))
    content = {bytes([first, second]): b"x" for first in range(8) for second in range(16)}
    state = of(content)
    assert [leaf.key for leaf in state.leaves()] == sorted(content)
    assert state.get(b"\x07\x01") == b"x"
    few = state.update({key: None for key in content if key[0] or key[1] > 9})
    assert few.root is not None
    assert isinstance(few.root.content, tuple), "which is what it is as soon as it fits"
