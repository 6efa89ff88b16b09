"""The decision procedure of the form without signatures: what was decided stays, and nobody's invention is chosen."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as some

from outvote.core.committee import Committee
from outvote.protocols.pbft.authenticators import choice
from outvote.protocols.pbft.authenticators.choice import Choice, choose
from outvote.protocols.pbft.authenticators.messages import PreparedEntry, PrePreparedEntry, ViewChange
from outvote.protocols.pbft.messages import NULL_DIGEST

DIGESTS = tuple(sha256(b"batch %d" % index).digest() for index in range(4))
D, E, F, Z = DIGESTS
NEW_VIEW = 5
FOUR = Committee(4)


def asked(
    prepared: dict[int, tuple[bytes, int]] | None = None,
    pre_prepared: dict[int, dict[bytes, int]] | None = None,
    checkpoints: tuple[tuple[int, bytes], ...] = ((0, b""),),
) -> ViewChange:
    """A VIEW-CHANGE for NEW_VIEW."""
    return ViewChange(
        NEW_VIEW, checkpoints[0][0], checkpoints,
        tuple(PreparedEntry(at, *entry) for at, entry in sorted((prepared or {}).items())),
        tuple(PrePreparedEntry(at, tuple(sorted(held.items()))) for at, held in sorted((pre_prepared or {}).items())),
    )


def test_nothing_prepared_begins_with_nothing() -> None:
    assert choose([asked(), asked(), asked()], FOUR) == Choice(0, b"", ())


def test_what_f_plus_1_pre_prepared_and_one_prepared_is_chosen() -> None:
    messages = [asked({1: (D, 0)}, {1: {D: 0}}), asked({}, {1: {D: 0}}), asked()]
    assert choose(messages, FOUR) == Choice(0, b"", ((1, D),))


def test_what_one_replica_invents_is_not_chosen() -> None:
    """Attack pbft_vc_lie_P: without A2 the new primary would have to propose what nobody ever saw."""
    liar = asked({1: (Z, 4)}, {1: {Z: 4}})
    assert choose([liar, asked(), asked(), asked()], FOUR) == Choice(0, b"", ())
    assert choose([liar, asked({1: (D, 0)}, {1: {D: 0}}), asked({1: (D, 0)}, {1: {D: 0}})], FOUR) is None
    genuine = asked({1: (D, 0)}, {1: {D: 0}})
    assert choose([liar, genuine, genuine, genuine], FOUR) == Choice(0, b"", ((1, D),))


def test_a_liar_can_make_three_undecided_and_a_fourth_decides() -> None:
    liar = asked({1: (Z, 4)}, {1: {Z: 4}})
    assert choose([liar, asked(), asked()], FOUR) is None


def test_the_latest_view_counts() -> None:
    messages = [
        asked({1: (D, 0)}, {1: {D: 0, E: 2}}), asked({1: (E, 2)}, {1: {E: 2}}), asked({}, {1: {D: 0, E: 2}}),
    ]
    assert choose(messages, FOUR) == Choice(0, b"", ((1, E),))


def test_a_gap_is_filled_and_an_end_of_nothing_is_cut() -> None:
    genuine = asked({2: (D, 0)}, {2: {D: 0}})
    liar = asked({7: (Z, 4)})
    assert choose([genuine, genuine, genuine, liar], FOUR) == Choice(0, b"", ((1, NULL_DIGEST), (2, D)))


def test_a_checkpoint_needs_f_plus_1_that_vouch_and_a_quorum_that_reaches_back_to_it() -> None:
    behind, ahead = asked(), asked(checkpoints=((0, b""), (4, D)))
    assert choose([behind, behind, ahead], FOUR) == Choice(0, b"", ())
    assert choose([behind, ahead, ahead], FOUR) == Choice(4, D, ())
    moved = asked(checkpoints=((4, D),))
    assert choose([behind, moved, ahead], FOUR) == Choice(4, D, ())
    liar = asked(checkpoints=((8, Z),))
    assert choose([behind, moved, liar], FOUR) is None, "two reach back to 0, one vouches for 4"
    assert choose([behind, moved, ahead, liar], FOUR) == Choice(4, D, ())


VIEWS = some.integers(0, NEW_VIEW - 1)
# Made once: hypothesis takes longer to make them than to draw from them.
SIZES = some.sampled_from((4, 5, 6, 7, 10))
ORDERS = {n: some.permutations(range(n)) for n in (4, 5, 6, 7, 10)}
ACCEPTED = some.dictionaries(some.sampled_from((E, F)), VIEWS, max_size=2)
PREPARED = some.none() | some.tuples(some.sampled_from((E, F)), VIEWS)
LATER = [some.integers(view, NEW_VIEW - 1) for view in range(NEW_VIEW)]
INVENTED = some.dictionaries(some.just(Z), VIEWS)


@some.composite
def histories(draw: some.DrawFn) -> tuple[int, list[ViewChange]]:
    """D was committed at position 1 in some view: f + 1 correct replicas prepared it there, a quorum less f of them
    accepted it. Whatever a correct replica accepted or prepared besides was in an earlier view. Liars say anything."""
    n = draw(SIZES)
    committee = Committee(n)
    view = draw(VIEWS)
    correct = list(draw(ORDERS[n]))[committee.faults :]
    prepared = correct[: committee.quorum - committee.faults]  # a quorum said COMMIT, f of it may have lied
    messages: list[ViewChange] = []
    for replica in range(n):
        q = dict(draw(ACCEPTED))
        p = draw(PREPARED)
        if replica in correct:
            q = {one: at for one, at in q.items() if at < view}
            p = None if p is None or p[1] >= view else p
            if replica in prepared:
                later = draw(LATER[view])
                p, q[D] = (D, later), later
        else:
            q |= draw(INVENTED)
        if p is not None and replica in correct:
            q.setdefault(p[0], p[1])
        messages.append(asked({} if p is None else {1: p}, {1: q} if q else {}))
    return n, messages


def test_an_empty_batch_that_may_have_been_committed_is_kept_though_nothing_comes_behind_it() -> None:
    """The simulator found it given away: seed 37, an empty batch committed in view 2, another one there in view 4."""
    showed = asked({1: (NULL_DIGEST, 2)}, {1: {NULL_DIGEST: 2}})
    chosen = choose([showed, showed, asked()], FOUR)
    assert chosen is not None
    assert chosen.proposals == ((1, NULL_DIGEST),)
    alone = choose([showed, asked(), asked(), asked()], FOUR)
    assert alone is not None
    assert alone.proposals == ()


def check_choices(history: tuple[int, list[ViewChange]], rng: object) -> None:
    n, messages = history
    committee = Committee(n)
    order = list(range(n))
    rng.shuffle(order)  # type: ignore[attr-defined]
    for count in range(committee.quorum, n + 1):
        chosen = choose([messages[one] for one in sorted(order[:count])], committee)
        assert chosen is None or chosen.proposals == ((1, D),)


@given(histories(), some.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_what_was_committed_is_chosen_or_more_is_waited_for(history: tuple[int, list[ViewChange]], rng: object) -> None:
    check_choices(history, rng)


def without_rule(patch: pytest.MonkeyPatch, rule: str) -> None:
    """`choose_digest` with one of its thresholds gone."""
    def choose_digest(shown: list[choice._Shown], position: int, committee: Committee) -> bytes | None:
        covering = [one for one in shown if one.stable < position]
        entries = [entry for entry in (one.prepared.get(position) for one in shown) if entry is not None]
        for digest, view in sorted(entries, key=lambda entry: (-entry[1], entry[0])):
            others = [one.prepared.get(position) for one in covering]
            agreeing = sum(1 for other in others if other is None or other[1] < view or other == (digest, view))
            supporting = sum(1 for one in shown if one.pre_prepared.get(position, {}).get(digest, -1) >= view)
            if (rule == "A1" or agreeing >= committee.quorum) and (rule == "A2" or supporting >= committee.weak):
                return digest
        empty = sum(1 for one in covering if position not in one.prepared)
        return NULL_DIGEST if empty >= (committee.weak if rule == "B" else committee.quorum) else None

    patch.setattr(choice, "choose_digest", choose_digest)


@pytest.mark.parametrize("rule", ["A1", "A2", "B"])
def test_without_any_of_its_rules_something_committed_is_lost(rule: str) -> None:
    """So each is needed, and the test above notices. To look for the smallest example would take most of the time."""
    drawn = given(histories(), some.randoms(use_true_random=False))(check_choices)
    search = settings(max_examples=400, deadline=None, database=None, phases=(Phase.generate,))(drawn)
    with pytest.MonkeyPatch.context() as patch:
        without_rule(patch, rule)
        with pytest.raises(AssertionError):
            search()
