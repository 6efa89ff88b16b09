"""Writes the chronicle of a simulated run, for diagrams: what is sent and what becomes of it, how every party stands.

Kept: it only looks on. A run with a chronicler draws the same numbers, schedules the same events and ends in the same
trace digest as one without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from outvote.core.contract import Delivery, Request, Standing, Struct
from outvote.errors import Lie
from outvote.observe.chronicle import Chronicle, EventKind
from outvote.simulator.adversaries.behaviour import TraitorVoice
from outvote.simulator.network import FRAME_BYTES
from outvote.simulator.trace import shorten
from outvote.types import FIRST_CLIENT, ClientId, PartyId, Position, ReplicaId
from outvote.wire.client_messages import Read, Reply, ReplyStatement, Submit, ToClient

if TYPE_CHECKING:
    from outvote.simulator.replica import SimulatedReplica
    from outvote.simulator.world import World

FIELDS_SHOWN_MAX = 24  # of one message, nested ones included
OPERATIONS_SHOWN_MAX = 4  # of one request
# Beginnings of lines of the trace that have typed events.
TOLD_OTHERWISE = ("starts", "crashes", "delivers ", "installs ", "lie of ", "evidence against ")


class Chronicler:
    """Of one world. Places of replicas and clients become lanes, clients first."""

    def __init__(self, world: World) -> None:
        self.world = world
        plan = world.plan
        self.chronicle = Chronicle(f"{world.protocol.name}, seed {plan.seed}: {plan.describe()}")
        self._clients: dict[ClientId, int] = {}
        self._places: dict[int, int] = {}
        self._lanes_by_name: dict[str, int] = {}  # replicas, as the trace calls them
        self._standing: dict[int, tuple[int, bool]] = {}  # view and whether it is active, by lane
        self._due: dict[tuple[int, PartyId], set[bytes | ReplyStatement]] = {}  # what liars ought to have said, to whom
        self._body = b""
        self._decoded: tuple[str, str, str] = ("", "", "")

    def begin(self) -> None:
        """All parties are there."""
        world, chronicle = self.world, self.chronicle
        clients = [client.client for client in world.clients]
        for client in clients:
            self._clients[client] = chronicle.add_lane(f"client {client - FIRST_CLIENT}", "client")
        for index, sins in enumerate(world.plan.false_clients):
            client = FIRST_CLIENT + len(clients) + index
            name = f"client {client - FIRST_CLIENT}"
            self._clients[client] = chronicle.add_lane(name, "client", f"liar: {' '.join(sins)}", is_liar=True)
        for replica in world.replicas:
            note = f"liar: {' '.join(replica.sins)}" if replica.sins else ""
            lane = chronicle.add_lane(f"replica {replica.name}", "replica", note, bool(note))
            self._places[replica.place] = self._lanes_by_name[replica.name] = lane

    def _lane(self, party: int) -> int:
        """Of a replica's place or a client."""
        return self._clients[party] if party >= FIRST_CLIENT else self._places[party]

    # ------------------------------------------------------------------ messages

    def carry(
        self, sender: int, receiver: int, said: bytes | Request | Read | ToClient, deliver: Callable[[], None]
    ) -> None:
        """Hand something to the network, and tell what becomes of it. Parties are places or clients."""
        world, chronicle = self.world, self.chronicle
        name, text, detail = self._describe(said)
        is_lie = self._is_lie(sender, receiver, said)
        number = chronicle.sent(world.now, self._lane(sender), self._lane(receiver), name, text, detail, is_lie)
        lost = world.network.lost

        def arrive() -> None:
            if receiver < FIRST_CLIENT and world.replicas[receiver].turn is None:
                chronicle.lost(world.now, number, "nobody is there")
            else:
                chronicle.arrived(world.now, number)
            deliver()

        world.network.carry(sender, receiver, arrive, len(said) if isinstance(said, bytes) else FRAME_BYTES)
        if world.network.lost > lost:
            why = "the link is cut" if world.network.is_cut(sender, receiver) else "lost by the network"
            chronicle.lost(world.now, number, why)

    def due(self, place: int, party: PartyId, said: bytes | ReplyStatement, name: str, speaks: bool) -> None:
        """An honest replica in a liar's place would say this now; a liar that `speaks` says it, or something else."""
        self._due.setdefault((place, party), set()).add(said)
        if not speaks:
            lane = self._places[self.world.places[party][0]] if party < FIRST_CLIENT else self._clients.get(party)
            if lane is not None:
                self.chronicle.withheld(self.world.now, self._places[place], lane, name)

    def _is_lie(self, sender: int, receiver: int, said: bytes | Request | Read | ToClient) -> bool:
        if sender >= FIRST_CLIENT:
            return sender in self.world.liars
        turn = self.world.replicas[sender].turn
        if turn is None or not isinstance(turn.voice, TraitorVoice):
            return False
        party = receiver if receiver >= FIRST_CLIENT else self.world.replicas[receiver].me
        due = self._due.get((sender, party), set())
        if isinstance(said, Reply):
            return said.answer not in due
        return isinstance(said, bytes) and said not in due

    def _describe(self, said: bytes | Request | Read | ToClient) -> tuple[str, str, str]:
        """Kind, one line, and the fields, a line each."""
        if not isinstance(said, bytes):
            return _words(Submit(said) if isinstance(said, Request) else said)
        if said != self._body:
            self._body = said
            try:
                self._decoded = _words(self.world.codec.decode(said)[0])
            except Lie as lie:
                self._decoded = ("garbage", str(lie), "")
        return self._decoded

    # ------------------------------------------------------------------ replicas

    def started(self, replica: SimulatedReplica) -> None:
        self._happened(EventKind.STARTED, replica, "starts again" if replica.crashes else "starts")

    def crashed(self, replica: SimulatedReplica) -> None:
        self._standing.pop(self._places[replica.place], None)
        self._happened(EventKind.CRASHED, replica)

    def timer(self, replica: SimulatedReplica) -> None:
        """The core's next deadline has come."""
        self._happened(EventKind.TIMER, replica)

    def stands(self, replica: SimulatedReplica, standing: Standing) -> None:
        """A turn is over."""
        lane = self._places[replica.place]
        now = (standing.view, standing.active)
        if self._standing.get(lane) != now:
            self._standing[lane] = now
            kind = EventKind.VIEW_ENTERED if standing.active else EventKind.VIEW_LEFT
            self.chronicle.happened(self.world.now, kind, lane, view=standing.view)

    def delivered(self, replica: SimulatedReplica, delivery: Delivery) -> None:
        requests = " ".join(f"c{one.client - FIRST_CLIENT}#{one.number}" for one in delivery.requests)
        self.chronicle.happened(
            self.world.now, EventKind.DELIVERED, self._places[replica.place], requests, position=delivery.position,
            view=delivery.view,
        )

    def installed(self, replica: SimulatedReplica, position: Position) -> None:
        self._happened(EventKind.TRANSFER, replica, position=position)

    def checkpoint(self, replica: SimulatedReplica, position: Position) -> None:
        self._happened(EventKind.CHECKPOINT, replica, position=position)

    def stable(self, replica: SimulatedReplica, position: Position) -> None:
        self._happened(EventKind.STABLE, replica, position=position)

    def took_for_lie(self, replica: SimulatedReplica, party: PartyId, text: str) -> None:
        self._happened(EventKind.LIE_NOTICED, replica, f"{party_name(party)}: {text}")

    def evidence(
        self, replica: SimulatedReplica, party: ReplicaId, first: tuple[Struct, bytes], second: tuple[Struct, bytes]
    ) -> None:
        self._happened(
            EventKind.EVIDENCE, replica, f"against {party_name(party)}", f"{shorten(first[0])}\n{shorten(second[0])}"
        )

    def _happened(
        self, kind: EventKind, replica: SimulatedReplica, text: str = "", detail: str = "", position: Position = 0
    ) -> None:
        self.chronicle.happened(self.world.now, kind, self._places[replica.place], text, detail, position=position)

    # ------------------------------------------------------------------ clients and the world

    def requested(self, client: ClientId, number: int, operations: Sequence[bytes]) -> None:
        text = ", ".join(map(call_text, operations[:OPERATIONS_SHOWN_MAX]))
        more = f" and {len(operations) - OPERATIONS_SHOWN_MAX} more" if len(operations) > OPERATIONS_SHOWN_MAX else ""
        self.chronicle.happened(self.world.now, EventKind.CALLED, self._clients[client], f"#{number} {text}{more}")

    def answered(self, client: ClientId, text: str) -> None:
        self.chronicle.happened(self.world.now, EventKind.ANSWERED, self._clients[client], text)

    def logged(self, who: str, what: str) -> None:
        """A line of the trace: what happens to the world, and what has no event of its own here."""
        if who == "world":
            self.chronicle.fault(self.world.now, what.replace("->", "→"))
        elif who in self._lanes_by_name and not what.startswith(TOLD_OTHERWISE):
            self.chronicle.happened(self.world.now, EventKind.NOTE, self._lanes_by_name[who], what)

    def violation(self, text: str) -> None:
        self.chronicle.violation(self.world.now, text)


def party_name(party: PartyId) -> str:
    return f"replica {party}" if party < FIRST_CLIENT else f"client {party - FIRST_CLIENT}"


def call_text(operation: bytes) -> str:
    """An encoded operation for people: `put k 1`."""
    try:
        name, arguments = msgspec.msgpack.decode(operation)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError):
        return "an operation that cannot be read"
    values = arguments.values() if isinstance(arguments, dict) else arguments
    return " ".join(map(str, (name, *(values if isinstance(values, list | tuple) else (values,)))))


LETTERS = {"view": "v", "position": "p", "number": "#"}  # of the fields that a label shows


def _words(message: msgspec.Struct) -> tuple[str, str, str]:
    """A message's kind, its place in the protocol in one line, its fields a line each."""
    brief: list[str] = []
    lines: list[str] = []
    _walk(message, "", brief, lines)
    return type(message).__name__, " ".join(brief), "\n".join(lines[:FIELDS_SHOWN_MAX])


def _walk(value: msgspec.Struct, prefix: str, brief: list[str], lines: list[str]) -> None:
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, msgspec.Struct):
            _walk(field, f"{prefix}{name}.", brief, lines)
            continue
        if name in LETTERS and isinstance(field, int):
            brief.append(f"{LETTERS[name]}{field}")
        elif name == "client":
            brief.append(f"c{field - FIRST_CLIENT}")
        elif name == "digest" and field:
            brief.append(field.hex()[:4])
        if name != "seal" and not name.endswith("_seal"):
            lines.append(f"{prefix}{name} = {_value(field)}")


def _value(field: object) -> str:
    if isinstance(field, bytes):
        return field.hex()[:16] or "nothing"
    if isinstance(field, tuple):
        shown = ", ".join(_element(one) for one in field[:6])
        return f"[{shown}{', …' if len(field) > 6 else ''}]"
    return str(field)[:80]


def _element(one: object) -> str:
    if isinstance(one, Request):
        return f"c{one.client - FIRST_CLIENT}#{one.number}"
    if isinstance(one, msgspec.Struct):
        return shorten(one)[:60]
    if isinstance(one, bytes):
        return one.hex()[:8]
    if isinstance(one, tuple):
        return ":".join(_element(part) for part in one if not (isinstance(part, bytes) and len(part) == 64))
    return str(one)[:40]
