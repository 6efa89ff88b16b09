"""A chronicle read once: every message with what became of it, and which part of a run is drawn.

Kept: windows hold a bounded number of messages and events, whatever the run; what was left out is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from outvote.observe.chronicle import Chronicle, Event, EventKind
from outvote.types import Nanos

MESSAGE_KINDS: Final = frozenset((EventKind.SENT, EventKind.ARRIVED, EventKind.LOST))
LIFE: Final = (EventKind.STARTED, EventKind.CRASHED)
STATES: Final = (*LIFE, EventKind.VIEW_LEFT, EventKind.VIEW_ENTERED)


class Ending(NamedTuple):
    """One copy of a message has come to its end."""

    at: Nanos
    arrived: bool
    why: str  # of a loss


class Passage:
    """A message and the ends of its copies: none while it is under way, two if it was doubled."""

    __slots__ = ("endings", "sent")

    def __init__(self, sent: Event) -> None:
        self.sent = sent
        self.endings: list[Ending] = []

    @property
    def lost_at_once(self) -> bool:
        """The network dropped it: it never left the sender's side."""
        return bool(self.endings) and not self.endings[0].arrived and self.endings[0].at == self.sent.at


class Window(NamedTuple):
    """A part of a run: `since` <= at < `until`."""

    since: Nanos
    until: Nanos
    messages: int  # sent in it
    events: int  # in it, the messages' included

    def holds(self, at: Nanos) -> bool:
        return self.since <= at < self.until


class Story:
    """A chronicle with its messages paired with their ends; without the kinds of messages that are to be hidden."""

    def __init__(self, chronicle: Chronicle, hidden: Collection[str] = ()) -> None:
        self.chronicle = chronicle
        self.hidden: dict[str, int] = {}  # messages that are not told of, by kind
        self.passages: dict[int, Passage] = {}
        self.marks: list[Event] = []  # everything that is no message
        self.states: dict[int, list[Event]] = {}  # by lane, those of the marks that change how it stands
        self.kinds: dict[str, int] = {}  # messages by kind, in the order of their first appearance
        self.lies = 0
        self.losses = 0
        times: list[Nanos] = []
        idle = _timers_of_hidden(chronicle.events, hidden) if hidden else {}
        for event in chronicle.events:
            if event.kind is EventKind.SENT and event.name in hidden:
                self.hidden[event.name] = self.hidden.get(event.name, 0) + 1
                continue
            if event.kind is EventKind.TIMER and (event.at, event.lane) in idle:
                continue
            if event.kind is EventKind.WITHHELD and event.name in hidden:
                continue
            times.append(event.at)
            if event.kind is EventKind.SENT:
                self.passages[event.message] = Passage(event)
                self.kinds[event.name] = self.kinds.get(event.name, 0) + 1
                self.lies += event.is_lie
            elif event.kind not in MESSAGE_KINDS:
                self.marks.append(event)
                if event.kind in STATES:
                    self.states.setdefault(event.lane, []).append(event)
            # An end whose beginning was forgotten to make room is passed over.
            elif (passage := self.passages.get(event.message)) is not None:
                arrived = event.kind is EventKind.ARRIVED
                self.losses += not arrived
                passage.endings.append(Ending(event.at, arrived, event.text))
        self.messages = chronicle.messages - sum(self.hidden.values())
        self._times = times
        self._sent = [passage.sent.at for passage in self.passages.values()]
        self.violation = next((mark for mark in self.marks if mark.kind is EventKind.VIOLATION), None)

    def window(self, since: Nanos, until: Nanos) -> Window:
        """That part of the run, counted."""
        return Window(
            since, until,
            bisect_left(self._sent, until) - bisect_left(self._sent, since),
            bisect_left(self._times, until) - bisect_left(self._times, since),
        )

    def choose(
        self, since: Nanos | None, until: Nanos | None, messages_max: int, events_max: int
    ) -> Window:
        """The part of [since, until] that is drawn, within the bounds: its last messages if an invariant breaks in it
        or only its end was named, else its first. Whole instants only, so a burst at one instant may exceed them."""
        start = 0 if since is None else since
        end = self.chronicle.end + 1 if until is None else until + 1
        broken = self.violation is not None and start <= self.violation.at < end
        if broken or (since is None and until is not None):
            return self.window(max(start, self._back_from(end, messages_max, events_max)), end)
        return self.window(start, min(end, self._on_from(start, messages_max, events_max)))

    def pages(self, window: Window, messages_max: int, events_max: int) -> Sequence[Window]:
        """The window in parts that hold so much each."""
        parts: list[Window] = []
        start = window.since
        while start < window.until:
            end = min(window.until, self._on_from(start, messages_max, events_max))
            parts.append(self.window(start, end))
            start = end
        return parts or [window]

    def _on_from(self, start: Nanos, messages_max: int, events_max: int) -> Nanos:
        """The first instant that no longer fits behind `start`."""
        ends = [self.chronicle.end + 1]
        for times, most in ((self._sent, messages_max), (self._times, events_max)):
            first = bisect_left(times, start)
            if first + most < len(times):
                # The instant at the bound goes whole to what follows, unless everything is of one instant.
                ends.append(times[first + most] if times[first + most] > times[first] else times[first] + 1)
        return max(start + 1, min(ends))

    def _back_from(self, end: Nanos, messages_max: int, events_max: int) -> Nanos:
        """The earliest start from which everything up to `end` fits."""
        starts = [0]
        for times, most in ((self._sent, messages_max), (self._times, events_max)):
            last = bisect_left(times, end)
            if last > most:
                outside = times[last - most - 1]
                starts.append(min(outside + 1, times[last - 1]))
        return max(starts)

    def left_out(self, window: Window) -> tuple[int, int]:
        """Messages sent before the window, and behind it."""
        told = bisect_left(self._sent, window.since)
        before = self.messages - len(self._sent) + told  # forgotten ones are older than all that is told
        return before, self.messages - before - window.messages


def _timers_of_hidden(events: Sequence[Event], hidden: Collection[str]) -> dict[tuple[Nanos, int], None]:
    """The instants and lanes at which nothing but hidden messages went out: a timer that expired there meant them."""
    only: dict[tuple[Nanos, int], bool] = {}
    for event in events:
        if event.kind in (EventKind.SENT, EventKind.WITHHELD):
            place = (event.at, event.lane)
            only[place] = only.get(place, True) and event.name in hidden
        elif event.kind is EventKind.VIEW_LEFT:
            only[event.at, event.lane] = False
    return {place: None for place, nothing_else in only.items() if nothing_else}
