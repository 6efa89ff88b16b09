"""A chronicle as one HTML page that needs nothing else: windows to page through, filters, search, what hovers say.

Kept: the page loads nothing and sends nothing; only its own script may run (a policy in the page names its digest),
whatever texts a chronicle brought along; and its size is bounded, with what was left out written in it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib import resources
from typing import Final

from outvote.diagram.layout import lay_out
from outvote.diagram.story import Story, Window
from outvote.diagram.svg import SIGNS, is_part, kind_class, names, panel, quoted, style, summary
from outvote.observe.chronicle import Event, EventKind
from outvote.types import Nanos

PAGE_MESSAGES: Final = 200  # drawn at a time: some 3000 pixels of height
PAGE_EVENTS: Final = 1000
# 6000 messages, each in two copies of 500 bytes with 600 of fields, are 13 MB at most; 12,000 other events of 700 bytes
# 8 MB more. A usual run of 4000 messages makes a page of 2.5 MB.
MESSAGES_MAX: Final = 6000
EVENTS_MAX: Final = 24_000
TICKS_MAX: Final = 120  # marks on one button of the overview

SIGN_NAMES: Final[dict[EventKind, str]] = {
    EventKind.CALLED: "calls",
    EventKind.ANSWERED: "answers",
    EventKind.DELIVERED: "deliveries",
    EventKind.VIEW_LEFT: "views left",
    EventKind.VIEW_ENTERED: "views entered",
    EventKind.TIMER: "timers expired",
    EventKind.STARTED: "starts",
    EventKind.CRASHED: "crashes",
    EventKind.CHECKPOINT: "checkpoints",
    EventKind.STABLE: "stable checkpoints",
    EventKind.TRANSFER: "states taken over",
    EventKind.WITHHELD: "silences of liars",
    EventKind.LIE_NOTICED: "lies noticed",
    EventKind.EVIDENCE: "evidence",
    EventKind.NOTE: "notes",
    EventKind.FAULT: "faults of the world",
}
_OVERVIEW: Final[dict[EventKind, str]] = {
    EventKind.CRASHED: "crash", EventKind.VIEW_ENTERED: "view", EventKind.FAULT: "world", EventKind.VIOLATION: "broken",
}


def window_of(story: Story, since: Nanos | None, until: Nanos | None) -> Window:
    """What one page shows of [since, until]."""
    return story.choose(since, until, MESSAGES_MAX, EVENTS_MAX)


def page(story: Story, since: Nanos | None = None, until: Nanos | None = None, elsewhere: str = "") -> str:
    """The HTML of [since, until], or of as much of it as MESSAGES_MAX allows; `elsewhere` tells how to see the rest."""
    window = window_of(story, since, until)
    parts = story.pages(window, PAGE_MESSAGES, PAGE_EVENTS)
    script = _file("page.js")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    )
    title = story.chronicle.title or "a run"
    first = next((index for index, part in enumerate(parts) if _broken_in(story, part)), 0)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{quoted(title)}</title>",
            f"<style>\n{style()}{_file('page.css')}</style></head>",
            f'<body data-first="{first}">',
            "<aside>",
            *_about(story, window, title, elsewhere),
            *_filters(story, window),
            "</aside>",
            '<main><div id="top"><div id="bar">',
            *_overview(story, window, parts),
            '</div><div id="words"></div><div id="names">',
            names(story),
            '</div></div><div id="stage"></div></main>',
            '<div id="tip" hidden></div>',
            *_templates(story, parts),
            f"<script>{script}</script>",
            "</body></html>\n",
        ]
    )


def _file(name: str) -> str:
    return resources.files("outvote.diagram").joinpath(name).read_text(encoding="utf-8")


def _broken_in(story: Story, window: Window) -> bool:
    return story.violation is not None and window.holds(story.violation.at)


def _about(story: Story, window: Window, title: str, elsewhere: str) -> Iterable[str]:
    head, _, rest = title.partition(": ")
    yield f"<h1>{quoted(head)}</h1><p>{quoted(rest)}</p>"
    if story.violation is not None:
        text = f"<b>VIOLATION</b> {quoted(story.violation.text)}"
        if _broken_in(story, window):
            yield f'<button id="broken" class="broken">{text}<br>show it</button>'
        else:
            at = quoted(story.chronicle.show_time(story.violation.at))
            yield f'<p class="broken">{text}<br>at {at}, outside of this page</p>'
    yield f'<p id="summary">{quoted(summary(story, window))}</p>'
    if elsewhere and is_part(story, window):
        yield f'<p class="elsewhere">{quoted(elsewhere)}</p>'


def _filters(story: Story, window: Window) -> Iterable[str]:
    sent = [one.sent for one in story.passages.values() if window.holds(one.sent.at)]
    lies = sum(event.is_lie for event in sent)
    yield '<input id="search" type="search" placeholder="search texts and fields" aria-label="search">'
    yield '<div id="hits"></div>'
    yield f'<label class="lies"><input type="checkbox" id="lies"> lies only <i>{lies}</i></label>'
    yield _group("kind", "Messages")
    for place, name in enumerate(story.kinds):
        alike = [event for event in sent if event.name == name]
        if alike:
            yield _choice("kind", str(place), _swatch(story, alike), name, len(alike))
    yield "</fieldset>"
    yield _group("lane", "Lanes")
    for lane, party in enumerate(story.chronicle.lanes):
        count = sum(lane in (event.lane, event.peer) for event in sent)
        yield _choice("lane", str(lane), "", party.name + (", a liar" if party.is_liar else ""), count)
    yield "</fieldset>"
    yield _group("sign", "Signs")
    marks = [mark for mark in story.marks if window.holds(mark.at)]
    for kind, name in SIGN_NAMES.items():
        count = sum(mark.kind is kind for mark in marks)
        if count:
            css = kind.replace(" ", "-")
            yield _choice("sign", css, _sign_swatch(kind), name, count)
    yield "</fieldset>"
    yield (
        '<p class="help">An arrow is a message: time runs down, stretched where much happens; the axis tells the '
        "times. Dashed: a second copy, or a kind whose colour another has too. A cross: lost. Dotted: it comes from "
        "before this page, or goes beyond it. Strips: a replica's view, hatched while it changes. Hover over "
        "anything; click keeps what it says; the keys &larr; and &rarr; turn pages.</p>"
    )


def _group(name: str, title: str) -> str:
    buttons = '<button class="all">all</button><button class="none">none</button>'
    return f'<fieldset data-set="{name}"><legend>{title} {buttons}</legend>'


def _choice(group: str, value: str, swatch: str, name: str, count: int) -> str:
    return (
        f'<label><input type="checkbox" checked data-{group}="{quoted(value)}">{swatch}'
        f"<span>{quoted(name)}</span><i>{count}</i></label>"
    )


def _swatch(story: Story, alike: Sequence[Event]) -> str:
    honest = next((event for event in alike if not event.is_lie), alike[0])
    return (
        f'<svg class="outvote swatch" width="22" height="10"><g class="m {kind_class(story, honest)}">'
        '<path d="M0 5H21"/></g></svg>'
    )


def _sign_swatch(kind: EventKind) -> str:
    if kind not in SIGNS:
        return ""
    return (
        f'<svg class="outvote swatch" width="22" height="14"><path class="s {kind.replace(" ", "-")}" '
        f'transform="translate(11 7) scale(.85)" d="{SIGNS[kind]}"/></svg>'
    )


def _overview(story: Story, window: Window, parts: Sequence[Window]) -> Iterable[str]:
    """A button a part, with what happens in it; and what was left out before and behind."""
    chronicle = story.chronicle
    before, behind = story.left_out(window)
    yield '<button id="back" title="the page before">&larr;</button>'
    if before:
        yield f'<span class="out">{before} messages before are left out</span>'
    for index, part in enumerate(parts):
        times = f"{chronicle.show_time(part.since)} to {chronicle.show_time(part.until - 1)}"
        broken = " broken" if _broken_in(story, part) else ""
        yield (
            f'<button class="part{broken}" data-part="{index}" title="{quoted(times)}, {part.messages} messages">'
            f'<svg viewBox="0 0 120 16" preserveAspectRatio="none">{_ticks(story, part)}</svg>'
            f"<span>{part.since // chronicle.unit_ns}</span></button>"
        )
    if behind:
        yield f'<span class="out">{behind} messages after are left out</span>'
    yield '<button id="on" title="the next page">&rarr;</button>'


def _ticks(story: Story, part: Window) -> str:
    """Where in this part are lies, crashes, new views, faults, the violation: the first TICKS_MAX places of each."""
    span = max(1, part.until - part.since)
    places: dict[tuple[str, int], None] = {}
    for passage in story.passages.values():
        if passage.sent.is_lie and part.holds(passage.sent.at):
            places["lie", 120 * (passage.sent.at - part.since) // span] = None
    for mark in story.marks:
        if mark.kind in _OVERVIEW and part.holds(mark.at):
            places[_OVERVIEW[mark.kind], 120 * (mark.at - part.since) // span] = None
    return "".join(f'<path class="{css}" d="M{x} 0V16"/>' for css, x in places)


def _templates(story: Story, parts: Sequence[Window]) -> Iterable[str]:
    show = story.chronicle.show_time
    for index, part in enumerate(parts):
        until = min(part.until - 1, story.chronicle.end)
        words = f"page {index + 1} of {len(parts)}: {show(part.since)} to {show(until)}, {part.messages} messages"
        drawing = panel(story, lay_out(story, part))
        yield f'<template data-part="{index}" data-words="{quoted(words)}">{drawing}</template>'
