"""What traitors say. They act as one: each knows what all of them have heard, and signs with any of their keys.

A strategy is asked twice: `speak` for every message that an honest general would send now, and `whisper`, once a round,
for what is said beside. Both are functions of the round, so a battle is repeated by repeating it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, TypeAlias

from outvote.errors import Mistake
from outvote.protocols.generals.general import GENERALS_MAX, LETTERS, Path
from outvote.protocols.generals.orders import ATTACK, ORDER_CHARACTERS_MAX, RETREAT, Order, opposite
from outvote.types import ReplicaId

Whispered: TypeAlias = "list[tuple[Path, ReplicaId, Order]]"
Lines: TypeAlias = "dict[tuple[Path, ReplicaId], Order | None]"  # None: nothing

LINES_MAX: Final = 20_000  # of a table: OM(3) with 13 generals has 13 344 messages
NOTHING: Final = "nothing"


class Situation(NamedTuple):
    """What the traitors know of the battle before it begins."""

    n: int
    m: int
    commander: ReplicaId
    order: Order
    traitors: tuple[ReplicaId, ...]

    @property
    def loyal(self) -> tuple[ReplicaId, ...]:
        return tuple(one for one in range(self.n) if one not in self.traitors)


class Strategy(Protocol):
    """How traitors act in one battle."""

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        """What to say along `path`, which ends with the speaker, where an honest one would say `order`, or None."""

    def whisper(self, round_: int) -> Whispered:
        """What to say beside: (path, receiver, order). Loyal generals' signatures that were not heard are forged."""


class Obey:
    """Do everything that honest generals do."""

    def __init__(self, situation: Situation, seed: int) -> None:
        self.situation = situation
        self.seed = seed

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        return order

    def whisper(self, round_: int) -> Whispered:
        return []


class Silent(Obey):
    """Say nothing at all."""

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        return None


class Contrary(Obey):
    """Say the opposite to everybody; with signatures, under a forged one of whoever did not sign that."""

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        return opposite(order)


class Split(Obey):
    """Tell generals with an odd number to attack, the others to retreat."""

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        return ATTACK if receiver % 2 else RETREAT


class Halves(Obey):
    """Tell the first half of the loyal generals to attack, the others to retreat."""

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        loyal = self.situation.loyal
        return ATTACK if receiver in loyal[: (len(loyal) + 1) // 2] else RETREAT


class AtRandom(Obey):
    """Attack, retreat or nothing, drawn for each message from the seed."""

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        return (ATTACK, RETREAT, None)[drawn(self.seed, (round_, *path, receiver)) % 3]


class Whisper(Obey):
    """Obey; in the last round, let the last loyal general alone hear another order, signed by traitors only.

    With m traitors the commander among them that chain is a signature too short for the round.
    """

    def whisper(self, round_: int) -> Whispered:
        _, m, commander, order, traitors = self.situation
        if round_ != m + 1 or not traitors or not self.situation.loyal:
            return []
        others = [one for one in traitors if one != commander][:m]
        return [((commander, *others), self.situation.loyal[-1], opposite(order))]


class WhisperAtRandom(AtRandom):
    """Beside what is drawn for each message, offer random chains to random generals in every round."""

    def whisper(self, round_: int) -> Whispered:
        n, _, commander, _, traitors = self.situation
        said: Whispered = []
        for number in range(n):
            draw = drawn(self.seed, (-round_, number))
            size = 1 + draw % (round_ + 1)
            speaker = traitors[(draw >> 8) % len(traitors)]
            middle = [one for one in range(n) if one not in (commander, speaker) and (draw >> (16 + one)) & 1]
            path = (commander, *middle, speaker) if speaker != commander else (commander,)
            receiver = (draw >> 40) % n
            if receiver not in path:
                said.append(((*path[: size - 1], speaker), receiver, (ATTACK, RETREAT)[(draw >> 48) & 1]))
        return said


class Table:
    """Say what a table says, and obey where it says nothing."""

    def __init__(self, lines: Lines, whispered: Mapping[int, Whispered]) -> None:
        self.lines = lines
        self.whispered = whispered

    def speak(self, round_: int, path: Path, receiver: ReplicaId, order: Order) -> Order | None:
        return self.lines.get((path, receiver), order)

    def whisper(self, round_: int) -> Whispered:
        return self.whispered.get(round_, [])


Making: TypeAlias = Callable[[Situation, int], Strategy]

STRATEGIES: Final[Mapping[str, Making]] = {
    "obey": Obey,
    "silent": Silent,
    "contrary": Contrary,
    "split": Split,
    "halves": Halves,
    "random": AtRandom,
    "whisper": Whisper,
    "chains": WhisperAtRandom,
}


def drawn(seed: int, place: Sequence[int]) -> int:
    """A number of 64 bits that depends on nothing else: the order of the questions does not matter."""
    return int.from_bytes(sha256(repr((seed, tuple(place))).encode()).digest()[:8], "big")


def text_of(lines: Lines) -> str:
    """A table as `table` reads it."""
    rows = [
        f"{' '.join(str(one) for one in path)} -> {receiver}: {NOTHING if order is None else order}"
        for (path, receiver), order in lines.items()
    ]
    return "\n".join(rows) + "\n"


_LINE: Final = re.compile(
    r"(?:@(?P<round>\d{1,2})\s+)?(?P<path>[\w\s]+?)\s*->\s*(?P<receivers>\*|[\w\s,]+?)\s*:\s*(?P<order>\S+)"
)


def table(text: str) -> Table:
    """From a text with a line for each lie; raises Mistake with the line that is none.

        0 -> 2: retreat          general 0 tells general 2 so (numbers from 0, or letters: A -> C: retreat)
        0 3 -> 1, 2: nothing     3, who has heard it from 0, keeps it from 1 and 2
        0 3 -> *: attack         and tells everybody else something else
        @3 0 4 -> 1: attack      in round 3, beside what would be said there: a chain out of place
    """
    lines: Lines = {}
    whispered: dict[int, Whispered] = {}
    numbered = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.split("\n"), 1)]
    if len(numbered) > LINES_MAX:
        raise Mistake(f"the table has {len(numbered)} lines: {LINES_MAX} are enough for every battle")
    for number, line in numbered:
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None or len(match["order"]) > ORDER_CHARACTERS_MAX:
            raise Mistake(f"line {number} of the table is {line[:60]!r}: write it as 0 3 -> 1: retreat")
        path = tuple(general(one, number) for one in match["path"].split())
        named = match["receivers"]
        receivers = (
            [one for one in range(GENERALS_MAX) if one not in path]
            if named == "*"
            else [general(one.strip(), number) for one in named.split(",")]
        )
        order = None if match["order"] == NOTHING else match["order"]
        for receiver in receivers:
            if match["round"] is None:
                lines.setdefault((path, receiver), order)
            elif order is not None:
                whispered.setdefault(int(match["round"]), []).append((path, receiver, order))
    return Table(lines, whispered)


def general(text: str, line: int | None = None) -> ReplicaId:
    """A number from 0, or a letter from A. Raises Mistake."""
    where = "" if line is None else f"line {line} of the table: "
    if len(text) == 1 and text.upper() in LETTERS:
        return LETTERS.index(text.upper())
    if text.isascii() and text.isdigit() and int(text[:3]) < GENERALS_MAX:
        return int(text[:3])
    raise Mistake(f"{where}{text[:20]!r} is no general: write 0 to {GENERALS_MAX - 1}, or A to {LETTERS[-1]}")
