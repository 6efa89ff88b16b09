"""A layout as SVG: alone with a legend, or as a part of a page.

Kept: every text that came with a chronicle is escaped, and characters that XML does not allow are replaced, so no
message can break the picture or bring anything to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from importlib import resources
from math import hypot
from typing import Final

from outvote.diagram.layout import (
    AXIS_WIDTH,
    LABEL_CHARACTER_WIDTH,
    RULE_HEIGHT,
    TOP,
    VIOLATION_HEIGHT,
    Arrow,
    Label,
    Layout,
    Mark,
    Rule,
    Stretch,
    Tick,
    lane_positions,
    lay_out,
    shortened,
    width_of,
)
from outvote.diagram.story import Story, Window
from outvote.observe.chronicle import Event, EventKind
from outvote.types import Nanos

COLOURS: Final = 12  # of kinds; later kinds take them again, dashed
VIEW_COLOURS: Final = 6
HEAD: Final = 7.0  # pixels of an arrow's head
CROSS: Final = 4.5  # half of one
BAND: Final = 12  # width of the strip that shows the view
LEGEND_ENTRY: Final = 190
LEGEND_LINE: Final = 18
TALL: Final = 1400
NAMES_AGAIN: Final = 48  # height of the lanes' names below the lanes
# 400 x (600 of drawing + 600 of fields) bytes and 2000 x 600 of signs: 1.7 MB at most, with usual texts 0.3 MB.
PICTURE_MESSAGES_MAX: Final = 400
PICTURE_EVENTS_MAX: Final = 2000

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

SIGNS: Final[dict[EventKind, str]] = {
    EventKind.STARTED: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0",
    EventKind.CRASHED: "M-6 -6L6 6M-6 6L6 -6",
    EventKind.TIMER: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0M0 -3V0H2.5",
    EventKind.VIEW_LEFT: "M-6 -3H6L0 5Z",
    EventKind.VIEW_ENTERED: "M-6 -4H6V4H-6Z",
    EventKind.DELIVERED: "M-4 -4H4V4H-4Z",
    EventKind.CHECKPOINT: "M-7 -2H7V2H-7Z",
    EventKind.STABLE: "M-7 -4H7V-1H-7ZM-7 1H7V4H-7Z",
    EventKind.TRANSFER: "M-5 -4H5L0 5Z",
    EventKind.CALLED: "M-4 -5L5 0L-4 5Z",
    EventKind.ANSWERED: "M-4 -4H4V4H-4Z",
    EventKind.LIE_NOTICED: "M0 -6L6 5H-6Z",
    EventKind.EVIDENCE: "M0 -8L8 0L0 8L-8 0Z",
    EventKind.WITHHELD: "M-5 -1.5H5V1.5H-5Z",
    EventKind.NOTE: "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0",
}


def quoted(text: str) -> str:
    """Fit for an element or an attribute."""
    return escape(_FORBIDDEN.sub("\ufffd", text))


def style() -> str:
    """The CSS of every picture."""
    return resources.files("outvote.diagram").joinpath("picture.css").read_text(encoding="utf-8")


def window_of(story: Story, since: Nanos | None, until: Nanos | None) -> Window:
    """What one picture shows of [since, until]."""
    return story.choose(since, until, PICTURE_MESSAGES_MAX, PICTURE_EVENTS_MAX)


def picture(story: Story, since: Nanos | None = None, until: Nanos | None = None, elsewhere: str = "") -> str:
    """One SVG document of at most PICTURE_MESSAGES_MAX messages; `elsewhere` tells how to see the others."""
    window = window_of(story, since, until)
    layout = lay_out(story, window)
    words = [summary(story, window), *([elsewhere] if elsewhere and is_part(story, window) else [])]
    # Who looks at the end of a long picture does not see the names at its top.
    again = NAMES_AGAIN if layout.height > TALL else 0
    start = layout.height + again
    below = [*(_heads(story, start - 4) if again else ()), *_legend(story, layout, start)]
    below += _footer(words, start + _legend_height(story, layout) + 6)
    head = story.chronicle.title
    height = start + 26 + _legend_height(story, layout) + 16 * len(words)
    return "\n".join(
        [
            _opening(layout.width, height, head),
            f"<style>\n{style()}</style>",
            f'<rect class="paper" width="{_n(layout.width)}" height="{_n(height)}"/>',
            f'<text x="8" y="12" class="sub" style="text-anchor:start">{quoted(head)}</text>',
            *_heads(story, TOP),
            *_inside(story, layout),
            *below,
            "</svg>\n",
        ]
    )


def panel(story: Story, layout: Layout) -> str:
    """One window as a part of a page, without style and names."""
    height = layout.height - TOP
    return "\n".join(
        [
            f'<svg class="outvote panel" xmlns="http://www.w3.org/2000/svg" width="{_n(layout.width)}" '
            f'height="{_n(height)}" viewBox="0 {TOP} {_n(layout.width)} {_n(height)}">',
            *_inside(story, layout),
            "</svg>",
        ]
    )


def names(story: Story) -> str:
    """The lanes' names, to stand above the panels of a page."""
    width = width_of(story)
    return "\n".join([_opening(width, TOP - 12, "lanes"), *_heads(story, TOP - 12), "</svg>"])


def is_part(story: Story, window: Window) -> bool:
    """Whether there is more to be seen than the window."""
    return window.messages < story.messages or bool(story.chronicle.forgotten)


def summary(story: Story, window: Window) -> str:
    """What a window holds, and what was left out."""
    chronicle = story.chronicle
    before, behind = story.left_out(window)
    if before or behind:
        until = min(window.until - 1, chronicle.end)
        text = (
            f"{window.messages} of {story.messages} messages, {chronicle.show_time(window.since)} to "
            f"{chronicle.show_time(until)} of {chronicle.show_time(chronicle.end)}. "
            f"Left out: {before} messages before, {behind} after."
        )
    else:
        text = f"All {story.messages} messages, until {chronicle.show_time(chronicle.end)}."
    if story.hidden:
        text += f" Hidden: {', '.join(f'{count} {name}' for name, count in story.hidden.items())}."
    return text


def kind_class(story: Story, event: Event) -> str:
    """The classes that colour a message: by the place of its kind, or as a lie."""
    if event.is_lie:
        return "lie"
    place = list(story.kinds).index(event.name) if event.name in story.kinds else 0
    return f"k{place % COLOURS}" + (" dashed" if place >= COLOURS else "")


def _opening(width: float, height: float, title: str) -> str:
    return (
        f'<svg class="outvote" xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{quoted(title)}">'
    )


def _inside(story: Story, layout: Layout) -> Iterable[str]:
    yield (
        '<defs><pattern id="changing" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="3" height="6" fill="var(--faint)"/></pattern></defs>'
    )
    for tick in layout.ticks:
        yield _tick(story, layout, tick)
    for stretch in layout.stretches:
        yield from _stretch(story, stretch)
    for rule in layout.rules:
        if rule.event.kind is EventKind.FAULT:
            yield _fault(layout, rule)
    for arrow in layout.arrows:
        yield _arrow(story, arrow)
    for mark in layout.marks:
        yield _mark(story, mark)
    for label in layout.labels:
        yield _label(story, label)
    for rule in layout.rules:
        if rule.event.kind is EventKind.VIOLATION:
            yield _violation(layout, rule)


def _heads(story: Story, bottom: float) -> Iterable[str]:
    for lane, x in zip(story.chronicle.lanes, lane_positions(story), strict=True):
        liar = " liar" if lane.is_liar else ""
        yield f'<text class="name{liar}" x="{_n(x)}" y="{_n(bottom - 32)}">{quoted(shortened(lane.name, 20))}</text>'
        if lane.note:
            yield (
                f'<text class="sub{liar}" x="{_n(x)}" y="{_n(bottom - 15)}">{quoted(shortened(lane.note, 30))}'
                f"<title>{quoted(lane.note)}</title></text>"
            )


def _tick(story: Story, layout: Layout, tick: Tick) -> str:
    right = AXIS_WIDTH - 22
    parts = [
        f'<line class="tickline" x1="{right + 4}" x2="{_n(layout.width)}" y1="{_n(tick.y)}" y2="{_n(tick.y)}"/>'
        f'<text class="tick" x="{right}" y="{_n(tick.y)}">{quoted(story.chronicle.show_time(tick.at))}</text>'
    ]
    if tick.pause:
        pause = quoted(story.chronicle.show_time(_rounded(tick.pause)))
        parts.append(f'<text class="pause" x="{right}" y="{_n(tick.y - 15)}">⋮ {pause} pass</text>')
    return "".join(parts)


def _rounded(pause: Nanos) -> Nanos:
    """To two digits or three: how long a pause is roughly."""
    digits = max(0, len(str(pause)) - 3)
    return int(round(pause, -digits))


def _stretch(story: Story, stretch: Stretch) -> Iterable[str]:
    x, y1, y2 = _n(stretch.x), _n(stretch.y1), _n(stretch.y2)
    if stretch.y2 <= stretch.y1:
        return
    if stretch.is_up and stretch.view >= 0:
        box = f'x="{_n(stretch.x - BAND / 2)}" y="{y1}" width="{BAND}" height="{_n(stretch.y2 - stretch.y1)}"'
        changing = f'<rect class="changing" {box}/>' if stretch.is_changing else ""
        words = f"on its way to view {stretch.view}" if stretch.is_changing else f"view {stretch.view}"
        yield f'<g><rect class="v{stretch.view % VIEW_COLOURS}" {box}/>{changing}<title>{words}</title></g>'
    css = "lane" if stretch.is_up else "down"
    yield f'<line class="{css}" data-lane="{stretch.lane}" x1="{x}" x2="{x}" y1="{y1}" y2="{y2}"/>'


def _arrow(story: Story, arrow: Arrow) -> str:
    sent = arrow.passage.sent
    css = " ".join(filter(None, ["m", kind_class(story, sent), arrow.ending, arrow.comes]))
    x1, y1, x2, y2 = arrow[1:5]
    length = hypot(x2 - x1, y2 - y1) or 1.0
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    line = f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}"
    end = ""
    if arrow.ending == "arrived":
        bx, by = x2 - HEAD * ux, y2 - HEAD * uy
        wx, wy = -uy * HEAD * 0.42, ux * HEAD * 0.42
        line += f"M{_n(bx + wx)} {_n(by + wy)}L{_n(x2)} {_n(y2)}L{_n(bx - wx)} {_n(by - wy)}Z"
    elif arrow.ending == "lost":
        left, right, top, bottom = _n(x2 - CROSS), _n(x2 + CROSS), _n(y2 - CROSS), _n(y2 + CROSS)
        end = f'<path class="cross" d="M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"/>'
    place = list(story.kinds).index(sent.name)
    return (
        f'<g class="{css}" data-n="{sent.message}" data-k="{place}" data-f="{sent.lane}" data-t="{sent.peer}">'
        f'<path d="{line}"/>{end}<title>{quoted(arrow_text(story, arrow))}</title></g>'
    )


def arrow_text(story: Story, arrow: Arrow) -> str:
    """All that is known of a message: the first line is its label in full."""
    chronicle, sent, lanes = story.chronicle, arrow.passage.sent, story.chronicle.lanes
    lines = [f"{sent.name} {sent.text}".strip() + (" (a lie)" if sent.is_lie else "")]
    lines.append(f"{lanes[sent.lane].name} → {lanes[sent.peer].name}, message {sent.message}")
    fate = f"sent {chronicle.show_time(sent.at)}"
    if arrow.end is not None:
        took = chronicle.show_time(arrow.end.at - sent.at)
        at = chronicle.show_time(arrow.end.at)
        fate += f", arrived {at}, after {took}" if arrow.end.arrived else f", lost {at}: {arrow.end.why}"
    elif not arrow.passage.endings:
        fate += ", not heard in this run"
    else:
        fate += f", comes to its end at {chronicle.show_time(arrow.passage.endings[-1].at)}, further on"
    lines.append(fate + (" (a second copy)" if arrow.comes == "again" else ""))
    return "\n".join([*lines, sent.detail] if sent.detail else lines)


def _mark(story: Story, mark: Mark) -> str:
    event = mark.event
    fill = f' style="fill:var(--v{event.view % VIEW_COLOURS})"' if event.kind is EventKind.VIEW_ENTERED else ""
    return (
        f'<g class="e" data-lane="{event.lane}" data-e="{_css(event.kind)}">'
        f'<path class="s {_css(event.kind)}"{fill} transform="translate({_n(mark.x)} {_n(mark.y)})" '
        f'd="{SIGNS.get(event.kind, SIGNS[EventKind.NOTE])}"/>'
        f"<title>{quoted(mark_title(story, event, mark.times))}</title></g>"
    )


def mark_title(story: Story, event: Event, count: int) -> str:
    """All that is known of a sign."""
    lines = [event.kind + (f" ({count} times)" if count > 1 else "")]
    lines.append(f"{story.chronicle.lanes[event.lane].name}, {story.chronicle.show_time(event.at)}")
    if event.position:
        lines.append(f"position {event.position}")
    if event.view >= 0:
        lines.append(f"view {event.view}")
    if event.name:
        lines.append(f"{event.name} for {story.chronicle.lanes[event.peer].name}")
    lines += [text for text in (event.text, event.detail) if text]
    return "\n".join(lines)


def _label(story: Story, label: Label) -> str:
    event = label.event
    place = f'x="{_n(label.x)}" y="{_n(label.y)}"'
    if event.kind is EventKind.SENT:
        kind = list(story.kinds).index(event.name)
        css = kind_class(story, event).removesuffix(" dashed")
        return f'<text class="l {css}" data-k="{kind}" data-f="{event.lane}" {place}>{quoted(label.text)}</text>'
    css = _css(event.kind)
    return f'<text class="l {css}" data-lane="{event.lane}" data-e="{css}" {place}>{quoted(label.text)}</text>'


def _fault(layout: Layout, rule: Rule) -> str:
    left, width = AXIS_WIDTH - 18, layout.width - AXIS_WIDTH + 10
    text = shortened(rule.text, int(width / LABEL_CHARACTER_WIDTH) - 2)
    y = rule.y + RULE_HEIGHT / 2
    box = f'width="{_n(len(text) * LABEL_CHARACTER_WIDTH + 22)}" height="{RULE_HEIGHT - 3}" rx="3"'
    return (
        f'<g class="fault" data-e="fault"><line x1="{left}" x2="{_n(left + width)}" y1="{_n(y)}" y2="{_n(y)}"/>'
        f'<rect x="{left}" y="{_n(rule.y - RULE_HEIGHT / 2)}" {box}/>'
        f'<text x="{left + 8}" y="{_n(rule.y - 1)}">{quoted(text)}</text><title>{quoted(rule.text)}</title></g>'
    )


def _violation(layout: Layout, rule: Rule) -> str:
    y = rule.y - VIOLATION_HEIGHT / 2
    text = shortened(f"VIOLATION  {rule.text}", int((layout.width - 24) / 8.6))
    return (
        f'<g class="violation" data-e="violation"><rect x="0" y="{_n(y)}" width="{_n(layout.width)}" '
        f'height="{VIOLATION_HEIGHT}"/><text x="12" y="{_n(rule.y)}">{quoted(text)}</text>'
        f"<title>{quoted(rule.event.detail or rule.text)}</title></g>"
    )


def _legend(story: Story, layout: Layout, start: float) -> Iterable[str]:
    """The colours of the kinds that are drawn, and what signs mean."""
    for index, (css, text) in enumerate(_legend_entries(story, layout)):
        columns = max(1, int((layout.width - 16) // LEGEND_ENTRY))
        x, y = 16 + index % columns * LEGEND_ENTRY, start + index // columns * LEGEND_LINE
        yield (
            f'<g class="m {css}"><path d="M{x} {_n(y)}h22"/></g>'
            f'<text x="{x + 28}" y="{_n(y)}">{quoted(text)}</text>'
        )


def _legend_entries(story: Story, layout: Layout) -> list[tuple[str, str]]:
    drawn: dict[str, Event] = {}
    lies = doubled = 0
    for arrow in layout.arrows:
        sent = arrow.passage.sent
        lies += sent.is_lie
        doubled += arrow.comes == "again"
        if not sent.is_lie:
            drawn.setdefault(sent.name, sent)
    entries = [(kind_class(story, drawn[name]), name) for name in story.kinds if name in drawn]
    return entries + [("lie", "a lie")] * bool(lies) + [("again", "a second copy")] * bool(doubled)


def _legend_height(story: Story, layout: Layout) -> float:
    columns = max(1, int((layout.width - 16) // LEGEND_ENTRY))
    return -(-len(_legend_entries(story, layout)) // columns) * LEGEND_LINE


def _footer(lines: list[str], y: float) -> Iterable[str]:
    for index, line in enumerate(lines):
        yield f'<text class="sub" style="text-anchor:start" x="16" y="{_n(y + 16 * index)}">{quoted(line)}</text>'


def _css(kind: EventKind) -> str:
    return kind.replace(" ", "-")


def _n(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")
