"""Where everything stands: time runs down, a lane a party, from left to right clients and replicas.

Kept: what happens later stands lower; a row an instant; no two labels of a lane overlap; an arrow ends on its
receiver's lane, or in a cross before or on it. Times are stretched where much happens and pauses are cut short, so
distances tell the order and not the duration; the axis tells the times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from outvote.diagram.story import LIFE, Ending, Passage, Story, Window
from outvote.observe.chronicle import NO_VIEW, WORLD, Event, EventKind
from outvote.types import Nanos, Position, View

# Pixels.
AXIS_WIDTH: Final = 92
LANE_WIDTH: Final = 176
TOP: Final = 64  # the lanes' names stand above
BOTTOM: Final = 40
LABEL_HEIGHT: Final = 14
LABEL_RAISE: Final = 4
LABEL_OFFSET: Final = 10  # from the lane
LABEL_CHARACTERS: Final = 26  # 26 x 6.2 = 161, and the lane's own 10: less than LANE_WIDTH
LABEL_CHARACTER_WIDTH: Final = 6.2  # of 11 px sans-serif, on average
ROW_MIN: Final = 4
ROW_MAX: Final = 46  # a longer pause is cut to this and written down
TYPICAL_DELAY: Final = 40  # pixels that a message of the median delay falls
FALL_MIN: Final = 12  # from its sending to its arrival, unless they are one instant
TICK_DISTANCE: Final = 42
STUB: Final = 0.42  # of the way to the receiver, for messages that do not come (or did not come from) this far
STUB_FALL: Final = 20
RULE_HEIGHT: Final = 20
VIOLATION_HEIGHT: Final = 44
SAME_NAME_LABELS_MAX: Final = 3  # of messages of one kind that leave a lane at one instant; more become one label


class Arrow(NamedTuple):
    """One copy of a message on its way. `ending`: "arrived", "lost", "later" (behind this window); `comes` is "now",
    "again" for a second copy, "earlier" for one sent before this window."""

    passage: Passage
    x1: float
    y1: float
    x2: float
    y2: float
    ending: str
    comes: str
    end: Ending | None


class Label(NamedTuple):
    """A text right of a lane. `event` is the first of what it stands for."""

    x: float
    y: float  # its middle
    text: str
    event: Event


class Mark(NamedTuple):
    """A sign on a lane; `times` alike at this instant are one sign."""

    x: float
    y: float
    event: Event
    times: int


class Rule(NamedTuple):
    """A line across all lanes: a fault of the world, or a violation."""

    y: float  # its middle
    text: str
    event: Event


class Stretch(NamedTuple):
    """A lane's state from y1 to y2: up or not, in which view (NO_VIEW: not known), on its way to another or not."""

    lane: int
    x: float
    y1: float
    y2: float
    is_up: bool
    view: View
    is_changing: bool


class Tick(NamedTuple):
    """A time on the axis; `pause` is the time passed over above it, if that was cut short."""

    y: float
    at: Nanos
    pause: Nanos


class Layout(NamedTuple):
    """Positions of one window."""

    width: float
    height: float
    lanes: tuple[float, ...]  # their x
    arrows: tuple[Arrow, ...]
    labels: tuple[Label, ...]
    marks: tuple[Mark, ...]
    rules: tuple[Rule, ...]
    stretches: tuple[Stretch, ...]
    ticks: tuple[Tick, ...]


def lane_positions(story: Story) -> tuple[float, ...]:
    """The x of every lane; the same in all windows."""
    return tuple(AXIS_WIDTH + index * LANE_WIDTH for index in range(len(story.chronicle.lanes)))


def width_of(story: Story) -> float:
    return AXIS_WIDTH + max(1, len(story.chronicle.lanes)) * LANE_WIDTH


def lay_out(story: Story, window: Window) -> Layout:
    """Place one window."""
    return _Placing(story, window).layout()


class _Rows(NamedTuple):
    """What happens at each instant of a window."""

    sends: dict[Nanos, list[Passage]]
    ends: dict[Nanos, list[tuple[Passage, Ending]]]
    marks: dict[Nanos, list[Event]]

    def times(self) -> list[Nanos]:
        return sorted(dict.fromkeys((*self.sends, *self.ends, *self.marks)))


class _Placing:
    """One pass from top to bottom."""

    def __init__(self, story: Story, window: Window) -> None:
        self.story = story
        self.window = window
        self.lanes = lane_positions(story)
        self.rows = _rows(story, window)
        self.arrows: list[Arrow] = []
        self.labels: list[Label] = []
        self.marks: list[Mark] = []
        self.rules: list[Rule] = []
        self.ticks: list[Tick] = []
        self.sent_at: dict[int, float] = {}  # y of messages sent in this window
        self.came: dict[int, int] = {}  # copies that were drawn
        self.free = [float(TOP)] * len(self.lanes)  # where each lane's next label may stand
        self.bottom = float(TOP)

    def layout(self) -> Layout:
        per_pixel = _typical_delay(self.story, self.window) / TYPICAL_DELAY
        before: Nanos | None = None
        for at in self.rows.times():
            pause: Nanos = 0
            if before is None:
                y = TOP + 16.0
            else:
                gap = (at - before) / per_pixel
                pause = at - before if gap > 2 * ROW_MAX else 0
                y = self.bottom + max(ROW_MIN, min(ROW_MAX, gap))
            self._place_row(at, self._low_enough(at, y), pause)
            before = at
        for passage in self._unfinished():
            self._arrow(passage, None, self.bottom)
        height = max(self.bottom, *self.free, TOP) + BOTTOM
        return Layout(
            width_of(self.story), height, self.lanes, tuple(self.arrows), tuple(self.labels), tuple(self.marks),
            tuple(self.rules), tuple(self._stretches(height - BOTTOM / 2)), tuple(self.ticks),
        )

    def _low_enough(self, at: Nanos, y: float) -> float:
        """Below the labels of the lanes that get new ones, and below where the arriving messages came from."""
        across = [mark for mark in self.rows.marks.get(at, ()) if mark.lane == WORLD or _is_violation(mark)]
        if across:
            y = max([y, *self.free])
        for mark in self.rows.marks.get(at, ()):
            y = max(y, self.free[mark.lane]) if mark.lane != WORLD else y
        for passage in self.rows.sends.get(at, ()):
            y = max(y, self.free[passage.sent.lane])
        for passage, ending in self.rows.ends.get(at, ()):
            if ending.at > passage.sent.at and passage.sent.message in self.sent_at:
                y = max(y, self.sent_at[passage.sent.message] + FALL_MIN)
        return y

    def _place_row(self, at: Nanos, y: float, pause: Nanos) -> None:
        row_y = y
        marks = self.rows.marks.get(at, [])
        across = [mark for mark in marks if mark.lane == WORLD and mark.kind is not EventKind.VIOLATION]
        if across:
            text = _joined(mark.text for mark in across)
            self.rules.append(Rule(y + RULE_HEIGHT / 2, text, across[0]))
            y += RULE_HEIGHT + LABEL_HEIGHT / 2
        bottoms = [y] * len(self.lanes)
        for passage, ending in self.rows.ends.get(at, ()):
            if ending.at != passage.sent.at:
                self._arrow(passage, ending, y)
        self._place_marks(marks, bottoms)
        bottoms = [bottom + LABEL_RAISE if bottom > y else bottom for bottom in bottoms]
        self._place_sends(self.rows.sends.get(at, []), bottoms)
        for passage, ending in self.rows.ends.get(at, ()):
            if ending.at == passage.sent.at:
                self._arrow(passage, ending, self.sent_at[passage.sent.message])
        self.bottom = max([y, *(bottom - LABEL_HEIGHT for bottom in bottoms)])
        for lane, bottom in enumerate(bottoms):
            if bottom > y or across:
                self.free[lane] = max(bottom, y)
        for mark in marks:
            if _is_violation(mark):
                middle = self.bottom + LABEL_HEIGHT + VIOLATION_HEIGHT / 2
                self.rules.append(Rule(middle, mark.text, mark))
                self.bottom = middle + VIOLATION_HEIGHT / 2
                self.free = [self.bottom + LABEL_HEIGHT] * len(self.lanes)
        if pause or not self.ticks or row_y - self.ticks[-1].y >= TICK_DISTANCE:
            self.ticks.append(Tick(y, at, pause))

    def _place_marks(self, marks: Sequence[Event], bottoms: list[float]) -> None:
        on_lanes = [mark for mark in marks if mark.lane != WORLD and not _is_violation(mark)]
        for (lane, _, _), group in groupby(on_lanes, lambda mark: (mark.lane, mark.kind, _merged_text(mark))):
            alike = list(group)
            first, y = alike[0], bottoms[lane]
            self.marks.append(Mark(self.lanes[lane], y, first, len(alike)))
            text = mark_text(first, alike[-1].position, len(alike))
            if text:
                self.labels.append(Label(self.lanes[lane] + LABEL_OFFSET, y, shortened(text), first))
            bottoms[lane] += LABEL_HEIGHT

    def _place_sends(self, sends: Sequence[Passage], bottoms: list[float]) -> None:
        groups: dict[tuple[int, str], dict[tuple[str, bool], list[Passage]]] = {}
        for passage in sends:
            sent = passage.sent
            alike = groups.setdefault((sent.lane, sent.name), {})
            alike.setdefault((sent.text, sent.is_lie), []).append(passage)
        for (lane, name), variants in groups.items():
            if len(variants) > SAME_NAME_LABELS_MAX:
                # A lie among many keeps a label of its own colour.
                for is_lie in (False, True):
                    many = [one for (_, lie), some in variants.items() if lie is is_lie for one in some]
                    if many:
                        self._send(lane, f"{name} ×{len(many)}", many, bottoms)
                continue
            for (text, _), alike_passages in variants.items():
                self._send(lane, f"{name} {text}".strip(), alike_passages, bottoms)

    def _send(self, lane: int, text: str, passages: Sequence[Passage], bottoms: list[float]) -> None:
        y = bottoms[lane]
        # A little above the point from which its arrows fall, so that they do not strike it through.
        self.labels.append(Label(self.lanes[lane] + LABEL_OFFSET, y - LABEL_RAISE, shortened(text), passages[0].sent))
        for passage in passages:
            self.sent_at[passage.sent.message] = y
        bottoms[lane] += LABEL_HEIGHT

    def _arrow(self, passage: Passage, end: Ending | None, y: float) -> None:
        """One copy of a message; `y` is where it ends."""
        sent = passage.sent
        x1, x2 = self.lanes[sent.lane], self.lanes[sent.peer]
        y1 = self.sent_at.get(sent.message)
        copies = self.came[sent.message] = self.came.get(sent.message, 0) + 1
        comes = "again" if copies > 1 else "now"
        if end is None:
            start = self.sent_at[sent.message]
            stub = Arrow(passage, x1, start, x1 + STUB * (x2 - x1), start + STUB_FALL, "later", comes, None)
            self.arrows.append(stub)
        elif y1 is None:
            beginning = x2 - STUB * (x2 - x1)
            ending = "arrived" if end.arrived else "lost"
            self.arrows.append(Arrow(passage, beginning, y - STUB_FALL, x2, y, ending, "earlier", end))
        elif end.arrived or end.at > sent.at:
            self.arrows.append(Arrow(passage, x1, y1, x2, y, "arrived" if end.arrived else "lost", comes, end))
        else:
            x2 = x1 + STUB * (x2 - x1)
            self.arrows.append(Arrow(passage, x1, y1, x2, y1 + STUB_FALL, "lost", comes, end))

    def _unfinished(self) -> list[Passage]:
        """Sent here, and a copy of them (or nothing) ends behind the window."""
        return [
            passage
            for passages in self.rows.sends.values()
            for passage in passages
            if not passage.endings or any(ending.at >= self.window.until for ending in passage.endings)
        ]

    def _stretches(self, bottom: float) -> Iterable[Stretch]:
        placed = {mark_key(mark.event): mark.y for mark in self.marks}
        for lane, x in enumerate(self.lanes):
            yield from _stretches_of(self.story, self.window, lane, x, placed, bottom)


def mark_key(event: Event) -> tuple[Nanos, int, str, str, Position]:
    """What tells marks apart that are not merged."""
    return event.at, event.lane, event.kind, event.text, event.position


def _stretches_of(
    story: Story, window: Window, lane: int, x: float, placed: dict[tuple[Nanos, int, str, str, Position], float],
    bottom: float,
) -> Iterable[Stretch]:
    """How one lane stands, from the top of the window to its bottom; what came before the window counts."""
    changes = story.states.get(lane, [])
    # A lane that is told to start was not up before; one of which nothing is told is up all the time.
    is_up = next((mark.kind for mark in changes if mark.kind in LIFE), None) is not EventKind.STARTED
    view, is_changing, y = NO_VIEW, False, float(TOP)
    for mark in changes:
        if mark.at >= window.until:
            break
        here = placed.get(mark_key(mark), y) if mark.at >= window.since else y
        if here > y:
            yield Stretch(lane, x, y, here, is_up, view, is_changing)
            y = here
        if mark.kind in LIFE:
            is_up, view, is_changing = mark.kind is EventKind.STARTED, NO_VIEW, False
        else:
            is_changing = mark.kind is EventKind.VIEW_LEFT
            view = mark.view
    yield Stretch(lane, x, y, bottom, is_up, view, is_changing)


def _rows(story: Story, window: Window) -> _Rows:
    rows = _Rows({}, {}, {})
    for passage in story.passages.values():
        if window.holds(passage.sent.at):
            rows.sends.setdefault(passage.sent.at, []).append(passage)
        for ending in passage.endings:
            if window.holds(ending.at):
                rows.ends.setdefault(ending.at, []).append((passage, ending))
    for mark in story.marks:
        if window.holds(mark.at):
            rows.marks.setdefault(mark.at, []).append(mark)
    return rows


def _typical_delay(story: Story, window: Window) -> float:
    """The median of how long the window's messages took, in ns; at least 1."""
    delays = sorted(
        passage.endings[0].at - passage.sent.at
        for passage in story.passages.values()
        if passage.endings and passage.endings[0].arrived and window.holds(passage.sent.at)
    )
    return max(1.0, delays[len(delays) // 2]) if delays else max(1.0, (window.until - window.since) / 20)


def _is_violation(event: Event) -> bool:
    return event.kind is EventKind.VIOLATION


def _merged_text(mark: Event) -> str:
    """Marks of one kind that stand side by side become one if this is equal: deliveries always."""
    return "" if mark.kind is EventKind.DELIVERED else f"{mark.name} {mark.position} {mark.view} {mark.text}"


def mark_text(mark: Event, last: Position, count: int) -> str:
    """What stands beside a sign."""
    many = f" ×{count}" if count > 1 else ""
    if mark.kind is EventKind.DELIVERED:
        if count > 1:
            return f"delivers {mark.position}–{last}"
        return f"delivers {mark.position} {mark.text}".strip()
    if mark.kind is EventKind.VIEW_ENTERED:
        return f"view {mark.view} {mark.text}".strip()
    if mark.kind is EventKind.VIEW_LEFT:
        return f"leaves for view {mark.view} {mark.text}".strip()
    if mark.kind in (EventKind.CHECKPOINT, EventKind.STABLE, EventKind.TRANSFER):
        words = {EventKind.CHECKPOINT: "checkpoint", EventKind.STABLE: "stable", EventKind.TRANSFER: "gets state"}
        return f"{words[mark.kind]} {mark.position} {mark.text}".strip()
    if mark.kind is EventKind.WITHHELD:
        return f"says no {mark.name}{many}"
    if mark.kind is EventKind.STARTED:
        return mark.text or "starts"
    if mark.kind is EventKind.CRASHED:
        return mark.text or "crashes"
    words_before = {EventKind.LIE_NOTICED: "lie: ", EventKind.EVIDENCE: "EVIDENCE "}
    return f"{words_before.get(mark.kind, '')}{mark.text}{many}" if mark.text else ""


def shortened(text: str, characters: int = LABEL_CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def _joined(texts: Iterable[str]) -> str:
    """Several faults of one instant in one line; `cut 0→1, cut 0→2` as `cut 0→1, 0→2`."""
    parts: list[str] = []
    before = ""
    for text in texts:
        verb, space, rest = text.partition(" ")
        parts.append(rest if space and verb == before else text)
        before = verb
    return ", ".join(parts)
