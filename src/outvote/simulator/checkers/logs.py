"""One log, for protocols in which an elected leader writes it: what Raft's proof rests on (figure 3 of the paper).

One leader a term; what two logs hold at one index under one term is the same, and so is what lies before; a leader's
log holds everything that was ever decided; and what is executed is durable in the logs of a majority, judged by what
was really written and synced, whatever the replicas acknowledged or believe.
"""

from __future__ import annotations

from collections import deque

from outvote.core.contract import Delivery, Record, Struct
from outvote.host.turn import Turn
from outvote.protocols.catalogue import LogInsight
from outvote.simulator.checkers.checker import Checker, Scene
from outvote.simulator.checkers.violation import Violation
from outvote.storage.contract import Ticket
from outvote.types import ClientId, Digest, PartyId, Position, ReplicaId
from outvote.wire.client_messages import ReplyStatement

Entry = tuple[int, Digest]  # a term, and what the entry holds
LOST: Entry = (-2, b"")


class WrittenLog:
    """One replica's log, put together from its records; the rules are stated a second time on purpose."""

    __slots__ = ("base", "base_term", "entries")

    def __init__(self) -> None:
        self.base: Position = 0
        self.base_term = 0
        self.entries: list[Entry] = []

    def apply(self, record: Record, insight: LogInsight) -> None:
        begins = insight.begins(record)
        if begins is not None and begins[0] >= self.base and self.term(begins[0]) != begins[1]:
            (self.base, self.base_term), self.entries = begins, []
        wrote = insight.writes(record)
        if wrote is not None:
            after, entries = wrote
            missed = max(0, self.base - after)
            if not missed or missed < len(entries):
                self._pad(after)
                self.entries[max(0, after - self.base) :] = entries[missed:]
        repaired = insight.repairs(record)
        if repaired is not None and repaired[0] > self.base:
            self._pad(repaired[0])
            self.entries[repaired[0] - self.base - 1] = repaired[1]
        named = insight.identifies(record)
        if named is not None:
            self._pad(named[0] - 1)
            for position, term in enumerate(named[1], named[0]):
                self._pad(position)
                if position > self.base and self.term(position) != term:
                    self.entries[position - self.base - 1 :] = [(term, b"")]

    def _pad(self, to: Position) -> None:
        """A record in between is lost."""
        self.entries += [LOST] * (to - self.base - len(self.entries))

    def term(self, position: Position) -> int:
        if position == self.base:
            return self.base_term
        inside = self.base < position <= self.base + len(self.entries)
        return self.entries[position - self.base - 1][0] if inside else -1

    def holds(self, position: Position, content: Digest) -> bool:
        if not self.base < position <= self.base + len(self.entries):
            return False
        return self.entries[position - self.base - 1][1] == content


class Logs(Checker):
    """Keeps two logs of every replica: as written, and as durable. Silent where the catalogue tells of no log."""

    invariants = ("two leaders", "log matching", "leader completeness", "not durable in a majority")
    covers = ("I1", "I12")
    when = "every record, every delivery, every answer that a client takes, every leader's first turn; Raft only"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._written: dict[ReplicaId, WrittenLog] = {}
        self._durable: dict[ReplicaId, WrittenLog] = {}
        self._fresh: dict[ReplicaId, list[Record]] = {}
        self._waiting: dict[ReplicaId, deque[tuple[Ticket, Record]]] = {}
        self._kept: dict[ReplicaId, Position] = {}
        self._rotted: set[ReplicaId] = set()  # whose disks have lost states: what they held they may hold no longer
        self._log_rotted: set[ReplicaId] = set()  # whose logs were damaged: the same, and for good
        self._decided: dict[Position, Digest] = {}
        self._terms: dict[Position, set[int]] = {}  # under which terms replicas held what was decided there
        self._acknowledged: dict[Position, None] = {}
        self._leaders: dict[int, ReplicaId] = {}
        self._looked: dict[int, None] = {}  # terms whose leaders' logs were looked at when they began
        self._entries: dict[tuple[Position, int], tuple[Digest, int, ReplicaId]] = {}

    # ------------------------------------------------------------------ what is written

    def read_back(self, replica: ReplicaId, position: Position, records: list[Record]) -> None:
        insight = self.scene.protocol.insight.log
        if insight is None:
            return
        self._kept[replica] = position
        log = self._written[replica] = WrittenLog()
        durable = self._durable[replica] = WrittenLog()
        self._fresh[replica], self._waiting[replica] = [], deque()
        for record in records:
            log.apply(record, insight)
            durable.apply(record, insight)

    def recorded(self, replica: ReplicaId, record: Record) -> None:
        insight = self.scene.protocol.insight.log
        if insight is None:
            return
        log = self._written[replica]
        log.apply(record, insight)
        self._fresh[replica].append(record)
        wrote = insight.writes(record)
        if wrote is None:
            return
        after, entries = wrote
        for index, (term, content) in enumerate(entries, after + 1):
            before = log.term(index - 1)
            held, its_before, first = self._entries.setdefault((index, term), (content, before, replica))
            if content and not held:  # a witness, which notes no content, had it first
                self._entries[index, term] = (content, its_before, first)
            if (held != content and held and content) or (before != its_before and min(before, its_before) >= 0):
                raise Violation(
                    "log matching",
                    f"replicas {first} and {replica} hold different entries or prefixes at {index} of term {term}",
                )

    def written(self, replica: ReplicaId, ticket: Ticket) -> None:
        if replica in self._fresh:
            self._waiting[replica] += [(ticket, record) for record in self._fresh[replica]]
            self._fresh[replica].clear()

    def said(self, party: PartyId, statement: Struct) -> None:
        """It speaks of what is durable now, and may crash in the next moment."""
        insight = self.scene.protocol.insight.log
        if insight is not None and party in self._waiting:
            self._settle(party, insight)

    def _settle(self, replica: ReplicaId, insight: LogInsight) -> None:
        waiting = self._waiting[replica]
        while waiting and waiting[0][0] <= self.scene.durable(replica):
            self._durable[replica].apply(waiting.popleft()[1], insight)

    def kept(self, replica: ReplicaId, position: Position, digest: Digest) -> None:
        self._kept[replica] = position
        self._rotted.discard(replica)

    def state_rotted(self, replica: ReplicaId, position: Position) -> None:
        self._rotted.add(replica)

    def log_rotted(self, replica: ReplicaId) -> None:
        self._log_rotted.add(replica)

    # ------------------------------------------------------------------ what is decided

    def delivered(
        self, replica: ReplicaId, delivery: Delivery, replies: list[ReplyStatement], history: Digest
    ) -> None:
        if self.scene.protocol.insight.log is None or delivery.position in self._decided:
            return
        self._decided[delivery.position] = self.scene.protocol.insight.content(delivery)
        self._judge(delivery.position, replica)

    def answered(self, client: ClientId, statement: ReplyStatement) -> None:
        if self.scene.protocol.insight.log is not None and statement.position not in self._acknowledged:
            self._acknowledged[statement.position] = None
            self._judge(statement.position)

    def healed(self) -> None:
        self._judge_all()

    def finished(self) -> None:
        self._judge_all()

    def _judge_all(self) -> None:
        for position in self._acknowledged:
            self._judge(position)

    def _holders(self, position: Position) -> tuple[set[ReplicaId], set[ReplicaId]]:
        """Who has it on its disk, and which witnesses have noted it on theirs."""
        insight = self.scene.protocol.insight.log
        content = self._decided.get(position)
        holders, witnesses = self._rotted | self._log_rotted, set[ReplicaId]()
        if insight is None or content is None:
            return holders, witnesses
        terms = self._terms.setdefault(position, set())
        keeping: list[ReplicaId] = []
        noting: list[ReplicaId] = []
        for replica in self._durable:
            self._settle(replica, insight)
            keeps_data = insight.keeps_data(self.scene.plan.parameters, replica)
            (keeping if keeps_data else noting).append(replica)
        for replica in keeping:
            durable = self._durable[replica]
            if self._kept.get(replica, 0) >= position or durable.holds(position, content):
                holders.add(replica)
            if durable.holds(position, content):
                terms.add(durable.term(position))
        for replica in noting:
            durable = self._durable[replica]
            if max(self._kept.get(replica, 0), durable.base) >= position or durable.term(position) in terms:
                witnesses.add(replica)
        return holders, witnesses

    def _judge(self, position: Position, replica: ReplicaId | None = None) -> None:
        """As the replica sees it that executes, or else as any of those that are up."""
        insight = self.scene.protocol.insight.log
        cores = [turn.core for turn in self.scene.turns() if replica in (None, turn.me)]
        if insight is None or not cores:
            return
        holders, witnesses = self._holders(position)
        if not holders or not any(insight.majority(core, holders | witnesses) for core in cores):
            raise Violation(
                "not durable in a majority",
                f"position {position} was {'executed' if replica is not None else 'acknowledged'}, and only replicas"
                f" {sorted(holders)} hold it on their disks, and witnesses {sorted(witnesses)} have noted it",
            )

    # ------------------------------------------------------------------ who leads

    def turned(self, replica: ReplicaId, turn: Turn, promised: bool) -> None:
        insight = self.scene.protocol.insight.log
        term = insight.leads(turn.core) if insight is not None else None
        if insight is None or term is None:
            return
        first = self._leaders.setdefault(term, replica)
        if first != replica:
            raise Violation("two leaders", f"replicas {first} and {replica} both lead term {term}")
        if term not in self._looked:
            self._looked[term] = None
            self._look(replica, turn, insight)

    def _look(self, replica: ReplicaId, turn: Turn, insight: LogInsight) -> None:
        base, entries = insight.log_of(turn.core)
        for position, content in self._decided.items():
            if position <= base:
                continue
            held = entries[position - base - 1][1] if position <= base + len(entries) else None
            faulty = held == b"" and replica in self._log_rotted  # it knows which one, and asks for it
            if held != content and not faulty:
                raise Violation(
                    "leader completeness", f"replica {replica} leads, and its log lacks the decided position {position}"
                )
