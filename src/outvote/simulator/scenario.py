"""Script tests: commands in a text, and below them what the replicas then do, line by line.

    cluster protocol=pbft n=4
    submit client=0 put a 1
    run until idle
    ----
    c0 -> 0 ...

A text is a row of blocks: commands, a line `----`, the trace that they give, an empty line. `rewrite` runs the commands
and puts the trace that they really give in its place: a script holds if that changes nothing.

    cluster protocol=NAME n=N [seed=S] [clients=C] [delay=1ms] [sync=0ms] [liars=0:equivocate+silent,3:replay]
            [PARAMETER=VALUE ...]        (on one line)
    link A->B cut | open       one direction; * stands for everybody
    hold R | hold leader | release    what R, or whoever leads, says to the others waits; nothing is lost
    submit client=C NAME ARGUMENT ...
    run 500ms | run 2s | run until idle      idle: nothing to show for 150 ms
    crash R [after=CALLS]      at once, or after so many port calls (a send, an append, an answer are one each)
    restart R
    show KIND ... | hide KIND ...    which types of messages and records are shown; STATUS and FORWARD are not, at first
    standing                   one line a replica: where it stands
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from outvote.core.contract import Request, Struct
from outvote.errors import Mistake
from outvote.protocols.catalogue import protocol
from outvote.simulator.adversaries.sins import parse_time
from outvote.simulator.plan import Plan
from outvote.simulator.scheduler import Scheduler
from outvote.simulator.trace import Trace
from outvote.simulator.world import World
from outvote.types import FIRST_CLIENT, MILLISECOND, NEVER, SEAL_BYTES, SECOND, Nanos, ReplicaId

SEPARATOR: Final = "----"
QUIET_NS: Nanos = 150 * MILLISECOND  # below the interval of STATUS messages, above any script's delays
RUN_MAX_NS: Nanos = 60 * SECOND  # of one `run until idle`
HIDDEN_AT_FIRST: Final = ("Status", "Forward")
LETTERS: Final[Mapping[str, str]] = {"view": "v", "position": "p"}


class ScriptTrace(Trace):
    """What is shown: what a replica sends (once, however many hear it), records, executes and notes."""

    hidden: tuple[str, ...] = ()

    def heard(self, now: Nanos, me: str, sender: ReplicaId, body: bytes) -> None:
        """Seen when it was sent."""

    def sent(self, now: Nanos, me: str, receiver: ReplicaId, body: bytes) -> None:
        message, _ = self.codec.decode(body)
        if type(message).__name__ in self.hidden:
            return
        text = brief(message)
        if self.lines:
            start, arrow, rest = self.lines[-1].partition(" -> ")
            receivers, _, said = rest.partition(" ")
            if arrow and said == text and start == _stamp(now, me) and str(receiver) not in receivers.split(","):
                self.lines[-1] = f"{start} -> {receivers},{receiver} {text}"
                return
        self._add(now, me, f"-> {receiver} {text}")

    def recorded(self, now: Nanos, me: str, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            record = self.records.decode(body)
            if type(record).__name__ not in self.hidden:
                self._add(now, me, f"records {brief(record)}")

    def _add(self, now: Nanos, who: str, what: str) -> None:
        self.lines.append(f"{_stamp(now, who)} {what}")


def _stamp(now: Nanos, who: str) -> str:
    return f"{now // MILLISECOND:>5} {who:>2}"


def brief(value: Struct) -> str:
    """A message or record as a script shows it: `Prepare v0 p1 4f1c`."""
    return " ".join([type(value).__name__, *_parts(value)])


def _parts(value: object) -> list[str]:
    parts: list[str] = []
    for name in getattr(value, "__struct_fields__", ()):
        field = getattr(value, name)
        if isinstance(field, bool):
            parts += [f"bit {field:d}"] if name == "bit" else [name] if field else []
        elif isinstance(field, int):
            if name != "time":
                parts.append(f"{LETTERS.get(name, name + ' ')}{field}")
        elif isinstance(field, bytes):
            if ("digest" in name or name == "root") and field:
                parts.append(field.hex()[:4])
        elif isinstance(field, Request):
            parts.append(_request(field))
        elif isinstance(field, tuple) and name == "branch":
            continue  # it proves what the root says
        elif isinstance(field, tuple):
            parts.append(f"{name}[{' '.join(map(_element, field))}]")
        elif hasattr(field, "__struct_fields__"):
            parts += [type(field).__name__] if name == "body" else []
            parts += _parts(field)
    return parts


def _element(value: object) -> str:
    """What is inside a tuple: of a seal its signer, of a proposal position and digest, of a request its name."""
    if isinstance(value, Request):
        return _request(value)
    if isinstance(value, tuple):
        return ":".join(_element(part) for part in value if not (isinstance(part, bytes) and len(part) == SEAL_BYTES))
    if isinstance(value, bytes):
        return value.hex()[:4]
    if hasattr(value, "__struct_fields__"):
        return f"({' '.join(_parts(value))})"
    return str(value)


def _request(request: Request) -> str:
    return f"c{request.client - FIRST_CLIENT}#{request.number}"


class Scenario:
    """Runs the commands of one text."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._one_held: Scheduler | None = None
        self._shown = 0

    @property
    def world(self) -> World:
        if self._world is None:
            raise Mistake("a script begins with a cluster: cluster protocol=pbft n=4")
        return self._world

    @property
    def _scheduler(self) -> Scheduler:
        if self._one_held is None:
            self._one_held = Scheduler(self.world)
        return self._one_held

    @property
    def trace(self) -> ScriptTrace:
        trace = self.world.trace
        assert isinstance(trace, ScriptTrace)
        return trace

    def do(self, line: str) -> None:
        """One command. Raises Mistake, with the line, if it is none."""
        words = line.split()
        command = COMMANDS.get(words[0])
        if command is None:
            raise Mistake(f"{line!r}: there is no command {words[0]!r}; choose one of {', '.join(COMMANDS)}")
        try:
            command(self, words[1:])
        except (ValueError, IndexError, KeyError) as error:
            raise Mistake(f"{line!r}: {error}") from error

    def take_lines(self) -> list[str]:
        """What was shown since the last time."""
        lines = self.trace.lines[self._shown :]
        self._shown = len(self.trace.lines)
        return lines

    def cluster(self, words: Sequence[str]) -> None:
        settings = _settings(words)
        name = settings.pop("protocol")
        n, seed = int(settings.pop("n")), int(settings.pop("seed", "0"))
        liars = _liars(settings.pop("liars", ""))
        delay = parse_time(settings.pop("delay", "1ms"))
        sync = parse_time(settings.pop("sync", "0ms"))
        clients = int(settings.pop("clients", "1"))
        plan = Plan(
            seed=seed, n=n, clients=clients, parameters={key: int(value) for key, value in settings.items()},
            delay_min=delay, sync_max=sync, liars=liars, faults_end=NEVER, deadline=NEVER,
        )
        self._world = World(plan, protocol(name), keep_trace=True, trace=ScriptTrace)
        self.trace.hidden = HIDDEN_AT_FIRST
        self._world.start()

    def link(self, words: Sequence[str]) -> None:
        ends, action = words
        froms, tos = (self._ends(end) for end in ends.split("->"))
        network = self.world.network
        for sender in froms:
            for receiver in tos:
                if sender != receiver:
                    {"cut": network.cut, "open": network.heal}[action](sender, receiver)

    def hold(self, words: Sequence[str]) -> None:
        if words[0] == "leader":
            self._scheduler.follow_the_leader()
        else:
            self._scheduler.hold(int(words[0]))

    def release(self, _words: Sequence[str]) -> None:
        self._scheduler.end()

    def _ends(self, end: str) -> list[int]:
        if end.startswith("c"):
            return [FIRST_CLIENT + int(end[1:])]
        return list(range(self.world.plan.n)) if end == "*" else [int(end)]

    def submit(self, words: Sequence[str]) -> None:
        client = int(words[0].removeprefix("client="))
        name, *texts = words[1:]
        arguments = [int(text) if name == "cas" and place == 2 else text for place, text in enumerate(texts)]
        self.world.call(client, [(name, tuple(arguments))])

    def run(self, words: Sequence[str]) -> None:
        world = self.world
        if list(words) != ["until", "idle"]:
            world.run_until(world.now + parse_time(words[0]))
            return
        end = world.now + RUN_MAX_NS
        shown, quiet_since = len(self.trace.lines), world.now
        while world.now < end and world.now - quiet_since < QUIET_NS:
            world.run_until(world.now + MILLISECOND)
            if len(self.trace.lines) != shown:
                shown, quiet_since = len(self.trace.lines), world.now

    def crash(self, words: Sequence[str]) -> None:
        calls = int(words[1].removeprefix("after=")) if len(words) > 1 else 0
        replica = self.world.replicas[int(words[0])]
        if calls:
            replica.crash_after(calls)
        else:
            replica.crash()

    def restart(self, words: Sequence[str]) -> None:
        self.world.replicas[int(words[0])].start()

    def show(self, words: Sequence[str]) -> None:
        self.trace.hidden = tuple(kind for kind in self.trace.hidden if kind not in words)

    def hide(self, words: Sequence[str]) -> None:
        self.trace.hidden = (*self.trace.hidden, *words)

    def standing(self, words: Sequence[str]) -> None:
        for replica in self.world.replicas:
            self.world.log(replica.name, f"stands at {replica.describe()}")


COMMANDS: Final[Mapping[str, Callable[[Scenario, Sequence[str]], None]]] = {
    "cluster": Scenario.cluster,
    "link": Scenario.link,
    "hold": Scenario.hold,
    "release": Scenario.release,
    "submit": Scenario.submit,
    "run": Scenario.run,
    "crash": Scenario.crash,
    "restart": Scenario.restart,
    "show": Scenario.show,
    "hide": Scenario.hide,
    "standing": Scenario.standing,
}


def rewrite(text: str) -> str:
    """The script with the trace that its commands give now. Raises Mistake for a text that is no script, and
    Violation if an invariant breaks."""
    scenario = Scenario()
    out: list[str] = []
    expected = False
    for line in text.splitlines():
        if expected:
            # The old trace is passed over, up to the empty line behind it.
            if not line.strip():
                expected = False
                out.append("")
        elif line.strip() == SEPARATOR:
            out += [SEPARATOR, *scenario.take_lines()]
            expected = True
        else:
            out.append(line)
            if line.strip() and not line.lstrip().startswith("#"):
                scenario.do(line)
    return "\n".join(out) + "\n"


def _settings(words: Sequence[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Mistake(f"{word!r}: a setting is NAME=VALUE")
        settings[name] = value
    return settings


def _liars(text: str) -> tuple[tuple[ReplicaId, tuple[str, ...]], ...]:
    """`0:equivocate+silent,3:replay`"""
    liars = []
    for one in filter(None, text.split(",")):
        replica, _, sins = one.partition(":")
        liars.append((int(replica), tuple(sins.split("+"))))
    return tuple(liars)
