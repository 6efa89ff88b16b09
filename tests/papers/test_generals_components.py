"""One general alone: what it refuses, what it keeps, and the planted bugs that the theorems' tests must find."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, Final, NamedTuple

import pytest
from generals_pieces import ARMY, broken_by_one_of_four, saying

from outvote.cli.generals import Army
from outvote.core.contract import Claim
from outvote.errors import Mistake
from outvote.protocols.generals import oral_messages as oral_module
from outvote.protocols.generals import signed_messages as signed_module
from outvote.protocols.generals.battle import FORGED, Outcome, Plan, fight
from outvote.protocols.generals.general import General, check_battle
from outvote.protocols.generals.general import Path as Mouths
from outvote.protocols.generals.oral_messages import OralGeneral, OralMessage
from outvote.protocols.generals.orders import ATTACK, RETREAT, Order, majority
from outvote.protocols.generals.signed_messages import ORDERS_KEPT_MAX, Signature, SignedGeneral, SignedOrder
from outvote.protocols.generals.traitors import STRATEGIES, table, text_of
from outvote.types import SEAL_BYTES, ReplicaId

SEAL: Final = bytes(SEAL_BYTES)


def lieutenant(me: ReplicaId = 1, n: int = 5, m: int = 2, round_: int = 1) -> OralGeneral:
    general = OralGeneral(me, n, m)
    general.start()
    for _ in range(round_ - 1):
        general.next_round()
    general.out.clear()
    return general


def signer(me: ReplicaId = 1, n: int = 5, m: int = 2, round_: int = 1) -> SignedGeneral:
    general = SignedGeneral(me, n, m)
    general.start()
    for _ in range(round_ - 1):
        general.next_round()
    general.out.clear()
    return general


def order(*signers: ReplicaId, order: Order = ATTACK, battle: int = 0) -> SignedOrder:
    return SignedOrder(battle, order, signers, (SEAL,) * (len(signers) - 1))


OUT_OF_PLACE: Final[list[tuple[ReplicaId, int, Mouths, str]]] = [
    (0, 2, (0,), "a path of 1 in round 2"),
    (2, 1, (0, 2), "a path of 2 in round 1"),
    (2, 1, (2,), "who is not the commander"),
    (3, 2, (0, 2), "on a path that ends with 2"),
    (2, 3, (0, 2, 2), "twice through one general"),
    (2, 3, (0, 1, 2), "I have passed on"),
    (9, 2, (0, 9), "no general"),
    (-1, 2, (0, -1), "no general"),
    (0, 1, (), "a path of 0"),
]


@pytest.mark.parametrize(("sender", "round_", "path", "why"), OUT_OF_PLACE)
def test_what_is_out_of_place_is_refused_and_counted(
    sender: ReplicaId, round_: int, path: Mouths, why: str
) -> None:
    oral, signed = lieutenant(round_=round_), signer(round_=round_)
    for general, message in ((oral, OralMessage(path, ATTACK)), (signed, order(*path))):
        assert not general.admits(sender, message)
        general.receive(sender, message, SEAL)
        assert [who for who, _ in general.out.lies] == [sender]
        if path:
            assert why in general.out.lies[0][1]
    assert not signed.known


def test_what_is_in_place_is_heard() -> None:
    oral, signed = lieutenant(round_=3), signer(round_=3)
    for general, message in ((oral, OralMessage((0, 2, 3), ATTACK)), (signed, order(0, 2, 3))):
        assert general.admits(3, message)
        general.receive(3, message, SEAL)
        assert general.out.lies == []


def test_orders_are_bounded() -> None:
    for bad in ("", "x" * 65):
        assert not lieutenant().admits(0, OralMessage((0,), bad))
        assert not signer().admits(0, order(0, order=bad))
    assert lieutenant().admits(0, OralMessage((0,), "x" * 64))
    assert not lieutenant().admits(0, order(0))
    assert not signer().admits(0, OralMessage((0,), ATTACK))


def test_a_second_order_along_one_path_is_a_lie() -> None:
    general = lieutenant()
    general.receive(0, OralMessage((0,), ATTACK), b"")
    general.receive(0, OralMessage((0,), RETREAT), b"")
    assert general.out.lies == [(0, "a second order along one path")]
    general.next_round()
    assert {message.order for _, message in general.out.messages if isinstance(message, OralMessage)} == {ATTACK}


def test_signatures_and_signers_must_be_as_many() -> None:
    general = signer(round_=2)
    general.receive(2, SignedOrder(0, ATTACK, (0, 2), ()), SEAL)
    general.receive(2, SignedOrder(0, ATTACK, (0, 2), (SEAL, SEAL)), SEAL)
    assert [why for _, why in general.out.lies] == ["2 signers and 1 signatures", "2 signers and 3 signatures"]
    assert not general.known


def test_a_third_order_is_neither_kept_nor_relayed() -> None:
    general = signer()
    for one in (ATTACK, RETREAT, "wait"):
        general.receive(0, order(0, order=one), SEAL)
    assert list(general.known) == [ATTACK, RETREAT]
    assert not general.admits(0, order(0, order="dig"))
    assert len(general.known) == ORDERS_KEPT_MAX
    general.next_round()
    assert len(general.out.messages) == 2 * 3
    assert general.out.lies == []  # to hear of a third one is nobody's lie but the commander's


def test_signatures_are_good_for_one_battle() -> None:
    """The same order under the same key in another battle, or another campaign, is a forgery."""
    seal = ARMY.sign(0, Signature(0, ATTACK, (0,)))
    assert ARMY.opens(Claim(0, Signature(0, ATTACK, (0,)), seal))
    assert not ARMY.opens(Claim(0, Signature(1, ATTACK, (0,)), seal))
    assert not ARMY.opens(Claim(0, Signature(0, ATTACK, (0, 1)), seal))
    assert not Army(1).opens(Claim(0, Signature(0, ATTACK, (0,)), seal))
    assert not signer().admits(0, order(0, battle=1))


def test_a_lieutenant_may_sign_two_orders_and_a_commander_one() -> None:
    assert Signature(3, ATTACK, (0,)).exclusive() == Signature(3, RETREAT, (0,)).exclusive() is not None
    assert Signature(3, ATTACK, (0,)).exclusive() != Signature(4, ATTACK, (0,)).exclusive()
    assert Signature(3, ATTACK, (0, 1)).exclusive() is None


def test_claims_name_each_earlier_signer_with_what_it_signed() -> None:
    claims = order(0, 2, 3).claims()
    assert [(claim.signer, claim.statement) for claim in claims] == [
        (0, Signature(0, ATTACK, (0,))),
        (2, Signature(0, ATTACK, (0, 2))),
    ]


@pytest.mark.parametrize("kind", [OralGeneral, SignedGeneral])
def test_nobody_decides_before_the_last_round_is_over(kind: type[General]) -> None:
    general = kind(1, 4, 1)
    general.start()
    general.next_round()
    with pytest.raises(Mistake, match="round 2 of 2"):
        general.decision()
    general.next_round()
    assert general.decision() == RETREAT
    commander = kind(0, 4, 1)
    commander.start(ATTACK)
    assert len(commander.out.messages) == 3
    commander.next_round()
    commander.next_round()
    assert commander.decision() == ATTACK


@pytest.mark.parametrize(
    ("n", "m", "oral"), [(1, 0, True), (14, 1, True), (4, 3, False), (4, -1, False), (13, 4, True)]
)
def test_sizes_that_make_no_sense(n: int, m: int, oral: bool) -> None:
    with pytest.raises(Mistake):
        check_battle(n, m, oral)


def test_a_forged_signature_is_never_heard() -> None:
    outcome = fight(Plan(True, 4, 1, traitors=(3,)), STRATEGIES["contrary"], 0, ARMY.sign, ARMY.opens)
    lies = [said for said in outcome.messages if said.is_lie]
    assert len(lies) == 2
    assert all(said.fate == FORGED for said in lies)


def test_a_table_is_read_and_written() -> None:
    lies = table("# lies\n0 -> 2: retreat\nA D -> *: nothing  # keeps silent\n@2 0 3 -> 1, 2: attack\n")
    assert lies.speak(1, (0,), 2, ATTACK) == RETREAT
    assert lies.speak(1, (0,), 1, ATTACK) == ATTACK
    assert lies.speak(2, (0, 3), 1, ATTACK) is None
    assert lies.whisper(2) == [((0, 3), 1, ATTACK), ((0, 3), 2, ATTACK)]
    assert lies.whisper(1) == []
    assert table(text_of(lies.lines)).lines == lies.lines


LINES: Final = ["0 > 2: retreat", "0 -> 2", "0 -> 13: attack", "Z -> 1: attack", f"0 -> 1: {'x' * 65}"]


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_none_is_told(line: str) -> None:
    with pytest.raises(Mistake, match=r"line 2 of the table"):
        table(f"0 -> 1: attack\n{line}\n")


# ---------------------------------------------------------------------- planted bugs


def one_of_four_breaks_nothing() -> None:
    assert broken_by_one_of_four() == 0


def two_of_seven_break_nothing() -> None:
    """Sampled: where a missing order is left out, one battle in twenty breaks."""
    for seed, traitors in enumerate([*combinations(range(7), 2)] * 3):
        assert fight(Plan(False, 7, 2, traitors=traitors), STRATEGIES["random"], seed).holds


def a_whisper_in_the_last_round_is_not_heard() -> None:
    assert signed_battle((0, 3), "whisper").holds


def signed_battle(traitors: Mouths, strategy: str, n: int = 4, m: int = 2) -> Outcome:
    making = STRATEGIES.get(strategy) or saying(strategy)
    return fight(Plan(True, n, m, traitors=traitors), making, 0, ARMY.sign, ARMY.opens)


def a_chain_with_one_signer_twice_is_not_heard() -> None:
    assert signed_battle((0, 3), "@3 0 3 3 -> 2: retreat").holds


def an_order_of_a_lieutenant_is_not_heard() -> None:
    assert signed_battle((3,), "@1 3 -> 1: retreat").holds


def forged_chains_are_not_heard() -> None:
    assert signed_battle((3,), "contrary").holds


def a_commander_with_two_orders_is_not_obeyed_by_some() -> None:
    assert signed_battle((0,), "split").holds
    # Told so late that only the last round can pass it on.
    assert signed_battle((0, 3), "@2 0 3 -> 1: retreat").holds


class Planted(NamedTuple):
    """A rule that is turned off, and the check that must notice."""

    subject: Any
    attribute: str
    instead: Any
    killed_by: Callable[[], None]


def without(why: str) -> Callable[[General, ReplicaId, Mouths], str]:
    """`misplaced` without the refusal whose text holds `why`."""
    original = General.misplaced

    def misplaced(self: General, sender: ReplicaId, path: Mouths) -> str:
        found = original(self, sender, path)
        return "" if why in found else found

    return misplaced


def first_order(orders: list[Order], default: Order = RETREAT) -> Order:
    return max(dict.fromkeys(orders), key=orders.count, default=default)


def votes_that_came(self: OralGeneral, path: Mouths) -> Order:
    """The missing are left out instead of counted as the default."""
    if len(path) == self.rounds:
        return self._order_along(path)
    others = [(*path, one) for one in self.others_outside(path)]
    heard = [self._order_of(other) for other in others if other in self._heard]
    return majority([*([self._heard[path]] if path in self._heard else []), *heard])


BUGS: Final[dict[str, Planted]] = {
    "majority_without_default": Planted(oral_module, "majority", first_order, one_of_four_breaks_nothing),
    "missing_orders_are_not_counted": Planted(OralGeneral, "_order_of", votes_that_came, two_of_seven_break_nothing),
    "oral_last_round_left_out": Planted(
        OralGeneral, "rounds", property(lambda self: self.m), one_of_four_breaks_nothing
    ),
    "own_order_not_counted": Planted(
        OralGeneral, "_order_along", lambda self, path: self.default, one_of_four_breaks_nothing
    ),
    "late_chains_accepted": Planted(
        General, "misplaced", without("a path of 2 in round 3"), a_whisper_in_the_last_round_is_not_heard
    ),
    "repeated_signers_accepted": Planted(
        General, "misplaced", without("twice"), a_chain_with_one_signer_twice_is_not_heard
    ),
    "anybody_commands": Planted(
        General, "misplaced", without("not the commander"), an_order_of_a_lieutenant_is_not_heard
    ),
    "chain_not_verified": Planted(SignedOrder, "claims", lambda self: (), forged_chains_are_not_heard),
    "signed_last_round_left_out": Planted(
        SignedGeneral, "rounds", property(lambda self: self.m), a_commander_with_two_orders_is_not_obeyed_by_some
    ),
    "one_order_kept": Planted(signed_module, "ORDERS_KEPT_MAX", 1, a_commander_with_two_orders_is_not_obeyed_by_some),
    "first_order_chosen": Planted(
        signed_module, "choice", lambda orders, default: orders[0] if orders else default,
        a_commander_with_two_orders_is_not_obeyed_by_some,
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    bug = BUGS[name]
    bug.killed_by()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bug.subject, bug.attribute, bug.instead)
        with pytest.raises((AssertionError, Mistake)):
            bug.killed_by()
