"""`--diagram FILE` and what belongs to it: which part of a run is drawn, and into which file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from outvote.diagram import page, svg
from outvote.diagram.story import Story
from outvote.errors import Mistake
from outvote.observe.chronicle import Chronicle
from outvote.types import MILLISECOND, SECOND, Nanos

SUFFIXES: Final = (".html", ".svg")
MOMENT: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)")
ELSEWHERE: Final = "--from and --until (as 1.2s or 800ms) draw another part of the run."


class Drawing(NamedTuple):
    """Where a diagram goes and what it shows."""

    path: Path
    since: Nanos | None
    until: Nanos | None
    hidden: tuple[str, ...]

    def write(self, chronicle: Chronicle) -> str:
        """Returns what is to be seen in it. Raises Mistake if the file cannot be written, or nothing would be seen."""
        if self.since is not None and self.since > chronicle.end:
            raise Mistake(f"--from is behind the end of the run: it ended at {chronicle.show_time(chronicle.end)}")
        story = Story(chronicle, self.hidden)
        unknown = [name for name in self.hidden if name not in story.hidden]
        if unknown:
            kinds = ", ".join((*story.kinds, *story.hidden))
            raise Mistake(f"--hide {unknown[0]}: the run has no such messages; it has {kinds}")
        if self.path.suffix == ".svg":
            text = svg.picture(story, self.since, self.until, ELSEWHERE)
            window = svg.window_of(story, self.since, self.until)
        else:
            text = page.page(story, self.since, self.until, ELSEWHERE)
            window = page.window_of(story, self.since, self.until)
        try:
            self.path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Mistake(f"--diagram {self.path}: the file cannot be written: {error.strerror}") from error
        return svg.summary(story, window)


def drawing_of(path: Path | None, since: str | None, until: str | None, hidden: Sequence[str]) -> Drawing | None:
    """From the options of a command; None if nothing is to be drawn. Raises Mistake for options that do not fit."""
    if path is None:
        if since is not None or until is not None or hidden:
            raise Mistake("--from, --until and --hide belong to a diagram: give --diagram FILE too")
        return None
    if path.suffix not in SUFFIXES:
        raise Mistake(f"--diagram {path}: the name must end in .html (a page) or .svg (a picture)")
    first, last = moment("--from", since), moment("--until", until)
    if first is not None and last is not None and last < first:
        raise Mistake(f"--until {until} is before --from {since}")
    return Drawing(path, first, last, tuple(hidden))


def moment(option: str, text: str | None) -> Nanos | None:
    """`1.2s` or `800ms` in nanoseconds from the run's beginning. Raises Mistake."""
    if text is None:
        return None
    match = MOMENT.fullmatch(text)
    if match is None:
        raise Mistake(f"{option} {text!r} is no time: write 1.2s or 800ms")
    return int(Decimal(match[1]) * {"ms": MILLISECOND, "s": SECOND}[match[2]])
