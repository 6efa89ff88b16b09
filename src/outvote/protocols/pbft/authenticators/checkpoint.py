"""Certified checkpoints without signatures: a quorum's CHECKPOINTs heard here, or f + 1 replicas that heard them."""

from __future__ import annotations

from outvote.core.checkpoints import CheckpointCertificate
from outvote.protocols.pbft.authenticators.messages import StableWord
from outvote.protocols.pbft.checkpoint import fetch_if_in_the_way, learn
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId, Seal


def on_stable_word(state: State, sender: ReplicaId, message: StableWord, _seal: Seal) -> None:
    """One of f + 1 that say so is correct, and its low watermark moved for a quorum's CHECKPOINTs only, or for the word
    of f + 1 others: so there was a first that heard a quorum."""
    words = state.unsigned.stable_words
    word = message.position, message.digest
    words[sender] = word
    saying = sorted(voter for voter, said in words.items() if said == word)
    if len(saying) < state.committee.weak:
        return
    seals = tuple((voter, b"") for voter in saying[: state.committee.weak])
    learn(state, CheckpointCertificate(message.position, message.digest, seals))
    fetch_if_in_the_way(state)
