"""What happened in a run as a flat list of typed events: who said what to whom, what came of it, who stood how.

Whoever runs something - the simulated world, a synchronous algorithm, a test - fills a Chronicle; diagrams and reports
read it. It knows no protocol: lanes, names and texts are the teller's.

Kept: events stand in the order in which they were told, times never run backwards, and every arrival or loss names a
message that was sent before.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from outvote.types import MILLISECOND, Nanos, Position, View

# The event structs of a full chronicle take 400,000 x 200 bytes = 80 MB beside their texts; a simulated run of ten
# virtual seconds has some 30,000. Once it is full the older half is forgotten: what went wrong stands at the end.
EVENTS_MAX: Final = 400_000
TEXT_CHARACTERS_MAX: Final = 200  # of one line
DETAIL_CHARACTERS_MAX: Final = 600  # of the fields of one message, a line each

WORLD: Final = -1  # the lane of what concerns everybody
NO_VIEW: Final = -1


class EventKind(StrEnum):
    """What an event is. SENT, ARRIVED and LOST are about messages, FAULT about the world, all others about a lane."""

    SENT = "sent"
    ARRIVED = "arrived"  # a second one of the same message: it was doubled on the way
    LOST = "lost"
    WITHHELD = "withheld"  # a liar does not say what it ought to
    STARTED = "started"
    CRASHED = "crashed"
    TIMER = "timer"  # one has expired
    VIEW_LEFT = "view left"
    VIEW_ENTERED = "view entered"
    DELIVERED = "delivered"
    CHECKPOINT = "checkpoint"
    STABLE = "stable"
    TRANSFER = "transfer"  # a fetched state is installed
    CALLED = "called"
    ANSWERED = "answered"
    LIE_NOTICED = "lie noticed"
    EVIDENCE = "evidence"
    NOTE = "note"
    FAULT = "fault"
    VIOLATION = "violation"


class Lane(msgspec.Struct, frozen=True):
    """One party: `role` groups lanes ("replica", "client", "general"), `note` is what to know about it ("liar: silent"
    or nothing)."""

    name: str
    role: str = "replica"
    note: str = ""
    is_liar: bool = False


class Event(msgspec.Struct, gc=False):
    """One thing that happened. Fields that a kind does not use keep their defaults."""

    at: Nanos
    kind: EventKind
    lane: int = WORLD  # SENT, WITHHELD: the sender's; otherwise where it happened
    peer: int = WORLD  # SENT, WITHHELD: the receiver's lane; LIE_NOTICED, EVIDENCE: the liar's
    message: int = 0  # its number from 1; 0 for what is no message
    name: str = ""  # SENT: the message's kind, as "Prepare"
    text: str = ""  # one line
    detail: str = ""  # further lines
    is_lie: bool = False  # SENT: not what an honest party would have said
    position: Position = 0
    view: View = NO_VIEW


class Chronicle:
    """Collects the events of one run. `unit` and `unit_ns` say how its times are shown: a chronicle of rounds may
    count them in `unit_ns` of 1 and call them "round"."""

    def __init__(self, title: str = "", unit: str = "ms", unit_ns: Nanos = MILLISECOND) -> None:
        self.title = title
        self.unit = unit
        self.unit_ns = unit_ns
        self.lanes: list[Lane] = []
        self.events: list[Event] = []
        self.messages = 0  # sent so far; the last one's number
        self.forgotten = 0  # events that made room for newer ones

    def add_lane(self, name: str, role: str = "replica", note: str = "", is_liar: bool = False) -> int:
        """A party, to the right of those that are there. Returns its lane."""
        self.lanes.append(Lane(name, role, note, is_liar))
        return len(self.lanes) - 1

    def sent(
        self, at: Nanos, sender: int, receiver: int, name: str, text: str = "", detail: str = "", is_lie: bool = False
    ) -> int:
        """A message leaves. Returns its number, by which `arrived` and `lost` tell what became of it."""
        self.messages += 1
        self._add(
            Event(
                at, EventKind.SENT, sender, receiver, self.messages, name, one_line(text),
                detail[:DETAIL_CHARACTERS_MAX], is_lie,
            )
        )
        return self.messages

    def arrived(self, at: Nanos, message: int) -> None:
        """It is heard by its receiver; told again if it comes again."""
        self._add(Event(at, EventKind.ARRIVED, message=message))

    def lost(self, at: Nanos, message: int, why: str = "lost") -> None:
        """It is never heard: at the instant of its sending if the network dropped it, later if nobody was there."""
        self._add(Event(at, EventKind.LOST, message=message, text=one_line(why)))

    def withheld(self, at: Nanos, sender: int, receiver: int, name: str, text: str = "") -> None:
        """A liar keeps silent where an honest party would have spoken."""
        self._add(Event(at, EventKind.WITHHELD, sender, receiver, name=name, text=one_line(text), is_lie=True))

    def happened(
        self, at: Nanos, kind: EventKind, lane: int, text: str = "", detail: str = "", *, position: Position = 0,
        view: View = NO_VIEW, peer: int = WORLD,
    ) -> None:
        """Anything else on one lane, or to the whole world."""
        self._add(
            Event(
                at, kind, lane, peer, text=one_line(text), detail=detail[:DETAIL_CHARACTERS_MAX], position=position,
                view=view,
            )
        )

    def fault(self, at: Nanos, text: str) -> None:
        """Something happens to the world: a partition, its end."""
        self.happened(at, EventKind.FAULT, WORLD, text)

    def violation(self, at: Nanos, text: str, lane: int = WORLD) -> None:
        """An invariant broke."""
        self.happened(at, EventKind.VIOLATION, lane, text, text)

    @property
    def end(self) -> Nanos:
        """The time of the last event; 0 if there is none."""
        return self.events[-1].at if self.events else 0

    def show_time(self, at: Nanos) -> str:
        """`1203.482 ms`, or `3 round`; rounded, without superfluous zeros."""
        whole, rest = divmod((at * 1000 + self.unit_ns // 2) // self.unit_ns, 1000)
        digits = f"{rest:03}".rstrip("0")
        return f"{whole}.{digits} {self.unit}" if digits else f"{whole} {self.unit}"

    def _add(self, event: Event) -> None:
        if self.events and event.at < self.events[-1].at:
            raise ValueError(f"an event at {event.at} was told after one at {self.events[-1].at}")
        self.events.append(event)
        if len(self.events) > EVENTS_MAX:
            self.forgotten += EVENTS_MAX // 2
            del self.events[: EVENTS_MAX // 2]


def one_line(text: str) -> str:
    """The text without line breaks, cut at TEXT_CHARACTERS_MAX."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS_MAX else line[: TEXT_CHARACTERS_MAX - 1] + "…"
