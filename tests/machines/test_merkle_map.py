"""The map behaves as a dict, its digest as the content's name, and its proofs show what it holds and nothing else."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outvote.errors import Lie, Mistake
from outvote.machines import merkle_map
from outvote.machines.merkle_map import (
    EMPTY,
    EMPTY_DIGEST,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Inner,
    Leaf,
    MerkleMap,
    Node,
    build,
    inner_digest,
    leaf_digest,
    path_of,
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
        assert version.digest == of(content).digest == MerkleMap(build(list(of(content).leaves()))).digest
        for key in [*content, b"none such"]:
            assert version.get(key) == content.get(key)
        for older, before in versions:
            differing = {key for key in {**before, **content} if before.get(key) != content.get(key)}
            assert set(version.changed_since(older)) == differing
            assert (version == older) == (not differing)


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
        assert state.node(path) == leaf, "however short the way to it is"
        assert state.node(path[:-1] + ("0" if path[-1] != "0" else "1")) is None
        assert int(path[-1], 16) in state.children(path[:-1])
    assert state.node("") is state.root
    assert sum(node.count for node in state.children("").values()) == 300
    assert EMPTY.node("") is None
    assert EMPTY.node("ab") is None
    assert EMPTY.children("a") == {}


def test_an_update_makes_nodes_on_the_way_to_the_change_alone() -> None:
    """Persistent: the rest is shared, not copied."""

    def nodes(node: Node | None) -> dict[int, Node]:
        found = {} if node is None else {id(node): node}
        if isinstance(node, Inner):
            for one in node.children:
                found |= nodes(one)
        return found

    old = of(numbered(5000))
    new = old.update({b"key 77": b"changed"})
    made = nodes(new.root).keys() - nodes(old.root).keys()
    assert len(made) <= 6, "one leaf, and a node a level: 16 ** 4 > 5000"
    assert old.get(b"key 77") == b"value 77"
    assert old.update({b"key 77": b"value 77", b"none": None}) is old


def test_the_digests_are_fixed() -> None:
    """Other programs may have to compute them: a changed number here is a changed format."""
    assert EMPTY.digest == EMPTY_DIGEST
    assert of({b"a": b"1"}).digest == leaf_digest(b"a", b"1")
    assert of(numbered(20)).digest.hex() == "9ace86cc48d8f79878bfbd4e0f4c78125c4e083f58a3b490c8823ac7aa08a42c"
    assert len(dict.fromkeys([leaf_digest(b"ab", b"c"), leaf_digest(b"a", b"bc"), inner_digest(3, b"abc")])) == 3


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
    return Proof((*steps, Step(last.bitmap & ~bit, last.others)), None)


def absent_by_a_cut(state: MerkleMap, key: bytes) -> Proof:
    """Shows a leaf that is really there, at the end of another way."""
    proof = prove(state, key)
    other = next(leaf for leaf in state.leaves() if leaf.key != key)
    return Proof(prove(state, other.key).steps[: len(proof.steps)], (other.key, other.value))


def absent_by_a_neighbour(state: MerkleMap, key: bytes) -> Proof:
    """The key's own steps, with the leaf of another key at their end."""
    proof = prove(state, key)
    other = next(leaf for leaf in state.leaves() if leaf.key != key)
    return Proof(proof.steps, (other.key, other.value))


def absent_by_no_leaf(state: MerkleMap, key: bytes) -> Proof:
    """The key's own steps, and nothing at their end; the digest put among the others."""
    proof = prove(state, key)
    *steps, last = proof.steps
    assert proof.leaf is not None
    bit = 1 << int(path_of(key)[len(steps)], 16)
    place = (last.bitmap & (bit - 1)).bit_count() * 32
    others = last.others[:place] + leaf_digest(*proof.leaf) + last.others[place:]
    return Proof((*steps, Step(last.bitmap, others)), None)


def another_value(state: MerkleMap, key: bytes) -> Proof:
    return msgspec.structs.replace(prove(state, key), leaf=(key, b"forged"))


def too_short(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    return Proof(proof.steps[:-1], proof.leaf)


def too_long(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    return Proof((proof.steps[0],) * 65, proof.leaf)


def spoilt_digest(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    first, *steps = proof.steps
    return Proof((Step(first.bitmap, bytes(32) + first.others[32:]), *steps), proof.leaf)


def extra_digest(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    first, *steps = proof.steps
    return Proof((Step(first.bitmap, first.others + bytes(32)), *steps), proof.leaf)


def wide_bitmap(state: MerkleMap, key: bytes) -> Proof:
    proof = prove(state, key)
    first, *steps = proof.steps
    return Proof((Step(first.bitmap | 1 << 16, first.others + bytes(32)), *steps), proof.leaf)


def huge_leaf(state: MerkleMap, key: bytes) -> Proof:
    return msgspec.structs.replace(prove(state, key), leaf=(key, bytes(VALUE_BYTES_MAX + 1)))


def a_node_taken_for_a_leaf(state: MerkleMap, key: bytes) -> Proof:
    """What an inner node's digest is computed of, offered as a leaf: the domains keep them apart."""
    root = state.root
    assert isinstance(root, Inner)
    body = root.bitmap.to_bytes(2, "big") + b"".join(node.digest for node in root.children)
    return Proof((), (key, body))


FORGERIES = (
    absent_by_an_empty_slot, absent_by_a_cut, absent_by_a_neighbour, absent_by_no_leaf, another_value, too_short,
    too_long, spoilt_digest, extra_digest, wide_bitmap, huge_leaf, a_node_taken_for_a_leaf,
)  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("count", [2, 40, 600])
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
    assert max(len(encode_proof(prove(state, b"key %d" % index))) for index in range(0, 10_000, 100)) < 2500
    for data in (b"", b"\xc1", bytes(100_001), encode_proof(prove(state, b"key 1"))[:-1]):
        with pytest.raises(Lie):
            decode_proof(data)


def test_a_trie_of_one_branch_is_walked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys whose paths have twenty digits in common: nobody can find such keys, and nothing breaks if they do."""
    monkeypatch.setattr(merkle_map, "path_of", lambda key: "a" * 20 + key.hex().ljust(44, "0"))
    state = of({b"\x01": b"x", b"\x02": b"y"})
    assert [leaf.key for leaf in state.leaves()] == [b"\x01", b"\x02"]
    assert state.get(b"\x02") == b"y"
    assert isinstance(state.update({b"\x01": None}).root, Leaf)
