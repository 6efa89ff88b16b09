"""Events that break what the checkers of secrecy and of eras hold: real messages, eras and records of HoneyBadger; only
what happened is made up. For test_checkers_fire.py, where replica 3 lies."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from outvote.broadcast.binary_agreement import Term
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.protocols.catalogue import MembersInsight, protocol
from outvote.protocols.honeybadger.insight import wished
from outvote.protocols.honeybadger.membership import Era, mask_of
from outvote.protocols.honeybadger.messages import Agreeing, Decrypting
from outvote.protocols.honeybadger.records import Wished
from outvote.simulator.checkers.eras import Eras
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


FIRST, SECOND = Era(0, 1, (0, 1, 2, 3)), Era(1, 9, (1, 2, 3, 4))
WISH = Wished(0, mask_of(SECOND.members))


def turn(stage: Any, me: int, *eras: Era) -> Event:
    found = protocol("honeybadger")
    members = MembersInsight(lambda core: core.eras, wished)  # type: ignore[attr-defined]
    stage.protocol = found._replace(insight=found.insight._replace(members=members))
    return "turned", me, SimpleNamespace(me=me, core=SimpleNamespace(eras=eras)), True


def two_memberships(stage: Any) -> Sequence[Event]:
    told = [("recorded", 0, WISH), ("recorded", 1, WISH), turn(stage, 0, FIRST, SECOND), turn(stage, 1, FIRST)]
    return [*told, turn(stage, 1, FIRST, SECOND), turn(stage, 2, FIRST, Era(1, 9, (1, 2, 3, 4), 0, b"", b"others"))]


def changed_though_two_of_four_wished(stage: Any) -> Sequence[Event]:
    """An honest one and a liar; what is wished by a learner, of others, or in another era is not this."""
    wishes = [
        ("recorded", 0, WISH), ("recorded", 4, WISH), ("recorded", 1, Wished(0, 31)),
        ("recorded", 2, Wished(1, WISH.wish)),
    ]  # fmt: skip
    return [turn(stage, 0, FIRST), *wishes, turn(stage, 0, FIRST, SECOND)]


CASES = (
    (Secrecy, "secrecy", share_before_all_is_agreed_on),
    (Secrecy, "secrecy", share_of_what_is_left_out),
    (Eras, "one membership", two_memberships),
    (Eras, "change without a quorum", changed_though_two_of_four_wished),
)
