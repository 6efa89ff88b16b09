"""Events that break what the checker of secrecy holds: real messages of HoneyBadger; only what happened is made up. For
test_checkers_fire.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outvote.broadcast.binary_agreement import Term
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.protocols.catalogue import protocol
from outvote.protocols.honeybadger.messages import Agreeing, Decrypting
from outvote.simulator.checkers.secrecy import Secrecy

Event = tuple[Any, ...]


def term(party: int, proposer: int, bit: bool = True, epoch: int = 1) -> Event:
    return "said", party, Agreeing(epoch, proposer, Term(bit))


def opens(party: int, proposer: int, epoch: int = 1) -> Event:
    return "said", party, Decrypting(epoch, proposer, DecryptionShare(b"share"))


def agreed(party: int) -> list[Event]:
    """All of four proposals but the last one are in."""
    return [term(party, proposer, proposer < 3) for proposer in range(4)]


def share_before_all_is_agreed_on(stage: Any) -> Sequence[Event]:
    """A liar may; and what another one has agreed on, or in another epoch, does not count."""
    stage.protocol = protocol("honeybadger")
    three = [term(0, proposer) for proposer in range(3)]
    return [opens(3, 0), *agreed(1), opens(1, 0), opens(1, 2), *three, term(0, 3, epoch=2), opens(0, 0)]


def share_of_what_is_left_out(stage: Any) -> Sequence[Event]:
    stage.protocol = protocol("honeybadger")
    return [*agreed(0), opens(0, 0), opens(0, 3)]


CASES = (
    (Secrecy, "secrecy", share_before_all_is_agreed_on),
    (Secrecy, "secrecy", share_of_what_is_left_out),
)
