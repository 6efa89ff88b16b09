"""Layouts: later is lower, labels keep apart, arrows meet the lanes of their senders and receivers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from pictures import crowd, view_change

from outvote.diagram.layout import FALL_MIN, LABEL_CHARACTER_WIDTH, LANE_WIDTH, Layout, lay_out
from outvote.diagram.story import Story
from outvote.observe.chronicle import EVENTS_MAX, NO_VIEW, Chronicle, EventKind
from outvote.types import MILLISECOND

LEGIBLE = 9.5  # pixels from label to label of an 11 pixel font


def whole(chronicle: Chronicle, hidden: tuple[str, ...] = ()) -> tuple[Story, Layout]:
    story = Story(chronicle, hidden)
    return story, lay_out(story, story.window(0, chronicle.end + 1))


@pytest.mark.parametrize("lanes", [4, 7])
def test_labels_of_two_hundred_messages_do_not_overlap(lanes: int) -> None:
    _, layout = whole(crowd(200, lanes))
    by_lane: dict[float, list[float]] = {}
    for label in layout.labels:
        by_lane.setdefault(label.x, []).append(label.y)
        assert len(label.text) * LABEL_CHARACTER_WIDTH < LANE_WIDTH, "a label stays within its lane"
    assert len(by_lane) == lanes
    for ys in by_lane.values():
        assert all(below - above >= LEGIBLE for above, below in pairwise(sorted(ys)))


def test_arrows_connect_the_lanes_of_their_messages() -> None:
    story, layout = whole(crowd(200))
    copies = Counter(arrow.passage.sent.message for arrow in layout.arrows)
    assert copies == Counter({number: len(one.endings) for number, one in story.passages.items()})
    assert len(copies) == 200
    for arrow in layout.arrows:
        sent = arrow.passage.sent
        assert arrow.x1 == layout.lanes[sent.lane]
        if arrow.ending == "arrived":
            assert arrow.x2 == layout.lanes[sent.peer]
        else:
            assert arrow.ending == "lost"
            low, high = sorted((layout.lanes[sent.lane], layout.lanes[sent.peer]))
            assert low < arrow.x2 < high, "a cross stands between the lanes"
        assert arrow.y2 - arrow.y1 >= FALL_MIN, "time runs down, and visibly so"


def test_what_happens_later_stands_lower() -> None:
    _, layout = whole(crowd(200))
    places = sorted(
        [(arrow.passage.sent.at, arrow.y1) for arrow in layout.arrows]
        + [(arrow.end.at, arrow.y2) for arrow in layout.arrows if arrow.end is not None and arrow.ending == "arrived"]
        + [(mark.event.at, mark.y) for mark in layout.marks]
    )
    lowest: dict[int, float] = {}
    highest: dict[int, float] = {}
    for at, y in places:
        lowest[at] = max(lowest.get(at, y), y)
        highest[at] = min(highest.get(at, y), y)
    times = sorted(lowest)
    assert all(highest[later] > lowest[earlier] for earlier, later in pairwise(times))
    assert [tick.at for tick in layout.ticks] == sorted(tick.at for tick in layout.ticks)


def test_two_hundred_messages_fit_a_few_screens() -> None:
    _, layout = whole(crowd(200))
    assert 600 < layout.height < 4500


def test_a_lane_is_broken_while_it_is_down_and_shows_its_views() -> None:
    _, layout = whole(view_change(), ("Status", "Forward"))
    primary = [one for one in layout.stretches if one.lane == 1]  # the client is lane 0
    assert [(one.is_up, one.view) for one in primary] == [
        (False, NO_VIEW), (True, NO_VIEW), (True, 0), (False, NO_VIEW), (True, NO_VIEW), (True, 0), (True, 1),
    ]
    backup = [one for one in layout.stretches if one.lane == 2]
    assert [(one.view, one.is_changing) for one in backup] == [
        (NO_VIEW, False), (NO_VIEW, False), (0, False), (1, True), (1, False),
    ]
    for one in layout.stretches:
        assert one.x == layout.lanes[one.lane]
    assert all(above.y2 == below.y1 for above, below in pairwise(backup))


def test_a_window_shows_what_reaches_into_it_and_out_of_it() -> None:
    chronicle = Chronicle()
    chronicle.add_lane("a")
    chronicle.add_lane("b")
    early = chronicle.sent(0, 0, 1, "Vote")
    late = chronicle.sent(10, 0, 1, "Vote")
    chronicle.arrived(12, early)
    never = chronicle.sent(13, 1, 0, "Vote")
    chronicle.arrived(30, late)
    story = Story(chronicle)
    layout = lay_out(story, story.window(5, 20))
    assert {(arrow.passage.sent.message, arrow.comes, arrow.ending) for arrow in layout.arrows} == {
        (early, "earlier", "arrived"), (late, "now", "later"), (never, "now", "later"),
    }


def test_a_pause_is_cut_short_and_written_down() -> None:
    chronicle = Chronicle()
    chronicle.add_lane("a")
    chronicle.add_lane("b")
    for start in (0, 1_000_000 * MILLISECOND):
        number = chronicle.sent(start, 0, 1, "Vote")
        chronicle.arrived(start + MILLISECOND, number)
    _, layout = whole(chronicle)
    assert layout.height < 400
    assert [tick.pause for tick in layout.ticks if tick.pause] == [999_999 * MILLISECOND]


def test_deliveries_and_repeated_signs_of_one_instant_become_one() -> None:
    chronicle = Chronicle()
    lane = chronicle.add_lane("a")
    for position in range(3, 9):
        chronicle.happened(5, EventKind.DELIVERED, lane, "c0#1", position=position)
    for _ in range(4):
        chronicle.happened(5, EventKind.LIE_NOTICED, lane, "replica 2: no")
    _, layout = whole(chronicle)
    assert [label.text for label in layout.labels] == ["delivers 3–8", "lie: replica 2: no ×4"]
    assert [mark.times for mark in layout.marks] == [6, 4]


def test_many_messages_of_one_kind_and_instant_share_a_label_and_lies_keep_theirs() -> None:
    chronicle = Chronicle()
    for name in "ab":
        chronicle.add_lane(name)
    for position in range(8):
        chronicle.sent(1, 0, 1, "Vote", f"p{position}", is_lie=position == 5)
    _, layout = whole(chronicle)
    assert [(label.text, label.event.is_lie) for label in layout.labels] == [("Vote ×7", False), ("Vote ×1", True)]


def test_windows_hold_so_much_and_no_more() -> None:
    chronicle = crowd(1000)
    story = Story(chronicle)
    first = story.choose(None, None, 300, 10_000)
    assert first.since == 0
    assert 280 < first.messages <= 300
    assert story.left_out(first) == (0, 1000 - first.messages)
    last = story.choose(None, chronicle.end, 300, 10_000)
    assert last.until == chronicle.end + 1
    assert 280 < last.messages <= 300
    assert story.left_out(last) == (1000 - last.messages, 0)
    few = story.choose(None, None, 300, 50)
    assert 0 < few.events <= 50
    parts = story.pages(story.window(0, chronicle.end + 1), 200, 10_000)
    assert sum(part.messages for part in parts) == 1000
    assert all(part.messages <= 200 for part in parts)
    assert all(one.until == next_one.since for one, next_one in pairwise(parts))


def test_a_run_that_breaks_is_shown_at_its_end() -> None:
    chronicle = crowd(1000)
    chronicle.violation(chronicle.end, "agreement: two batches at one position")
    story = Story(chronicle)
    window = story.choose(None, None, 300, 10_000)
    assert story.violation is not None
    assert window.holds(story.violation.at)
    assert story.left_out(window)[1] == 0
    (rule,) = lay_out(story, window).rules
    assert rule.text.startswith("agreement")


def test_hidden_kinds_take_their_timers_with_them() -> None:
    story, layout = whole(view_change(), ("Status",))
    assert "Status" not in story.kinds
    assert story.hidden["Status"] > 10
    assert all(arrow.passage.sent.name != "Status" for arrow in layout.arrows)
    timers = [mark for mark in story.marks if mark.kind is EventKind.TIMER]
    everything = [mark for mark in Story(view_change()).marks if mark.kind is EventKind.TIMER]
    left = [mark for mark in story.marks if mark.kind is EventKind.VIEW_LEFT]
    assert 0 < len(timers) < len(everything)
    assert {(mark.at, mark.lane) for mark in left} <= {(mark.at, mark.lane) for mark in timers}


def test_an_empty_chronicle_has_a_layout() -> None:
    story, layout = whole(Chronicle())
    assert layout.arrows == ()
    assert story.choose(None, None, 10, 10).messages == 0
    chronicle = Chronicle()
    chronicle.fault(3, "nobody is there")
    assert len(whole(chronicle)[1].rules) == 1


def test_a_full_chronicle_forgets_its_beginning() -> None:
    chronicle = Chronicle()
    chronicle.add_lane("a")
    chronicle.add_lane("b")
    numbers = [chronicle.sent(at, 0, 1, "Vote") for at in range(EVENTS_MAX + 1)]
    assert chronicle.forgotten == EVENTS_MAX // 2
    chronicle.arrived(EVENTS_MAX + 2, numbers[0])  # its sending is forgotten
    story = Story(chronicle)
    window = story.choose(None, None, 100, 1000)
    assert story.left_out(window) == (EVENTS_MAX // 2, EVENTS_MAX + 1 - EVENTS_MAX // 2 - 100)


def test_time_does_not_run_backwards() -> None:
    chronicle = Chronicle()
    chronicle.fault(5, "cut")
    with pytest.raises(ValueError, match="told after"):
        chronicle.fault(4, "heal")
