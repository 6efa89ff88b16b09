"""A sin in words: which behaviour, towards whom, and when.

    NAME[:ARGUMENT][@TARGETS][/SINCE-UNTIL]
    equivocate      omit@2      delay@1.3/500ms-2s      silent/1s-      mutate:3.nil.0@1

What an argument means is the behaviour's affair. Targets are replicas with dots between them; without them the sin is
towards everybody. The times count from the beginning of the run.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from outvote.errors import Mistake
from outvote.types import MILLISECOND, NEVER, SECOND, Nanos, ReplicaId

FORM: Final = re.compile(
    r"(?P<name>[a-z0-9-]+)(?::(?P<argument>[a-z0-9.-]+))?"
    r"(?:@(?P<targets>[\d.]+))?(?:/(?P<since>\w*)-(?P<until>\w*))?"
)
UNITS: Final = {"ms": MILLISECOND, "s": SECOND}


class Sin(NamedTuple):
    """`targets` empty: towards everybody."""

    name: str
    targets: tuple[ReplicaId, ...]
    since: Nanos
    until: Nanos
    argument: str = ""

    @property
    def aimed(self) -> bool:
        return bool(self.targets) or self.since > 0 or self.until < NEVER


def parse_sin(text: str) -> Sin:
    """Raises Mistake for what is not of this form."""
    match = FORM.fullmatch(text)
    if match is None:
        raise Mistake(f"{text!r} is no behaviour: write NAME, NAME@1.2 (towards replicas 1 and 2) or NAME/500ms-2s")
    try:
        targets = tuple(int(target) for target in match["targets"].split(".")) if match["targets"] else ()
    except ValueError as error:
        raise Mistake(f"{text!r}: targets are replicas' numbers with dots between them, as in omit@1.3") from error
    since = parse_time(match["since"]) if match["since"] else 0
    until = parse_time(match["until"]) if match["until"] else NEVER
    return Sin(match["name"], targets, since, until, match["argument"] or "")


def parse_time(text: str) -> Nanos:
    """`500ms` or `2s`. Raises Mistake."""
    for unit, nanos in UNITS.items():
        if text.endswith(unit) and text[: -len(unit)].isdecimal():
            return int(text[: -len(unit)]) * nanos
    raise Mistake(f"{text!r} is no time: write 500ms or 2s")
