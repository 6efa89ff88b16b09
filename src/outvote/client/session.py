"""One client's conversation with the replicas: numbers requests, repeats them, believes f + 1 equal answers.

Pure: time comes in as an argument, messages go out through `take_outgoing`. The invariant: an answer is
accepted only if f + 1 different replicas gave the very same ReplyStatement for a number that is still
waited for, so at least one correct replica vouches for it; where a proof was asked for, with seals that open.

What becomes of a number that is given up: later requests acknowledge it. A replica that executes such a later
request moves this client's low mark past the number and from then on skips it, so a copy that was delayed in
the network cannot run afterwards. It may however have run before: giving up is safe, and leaves the outcome
unknown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from outvote.client.config import SessionConfig
from outvote.client.reads import Reads
from outvote.client.votes import Group, Said, Votes, said_of
from outvote.core.committee import Committee
from outvote.core.contract import Claim, Request, RequestStatement, Struct
from outvote.errors import Mistake, NotEnoughReplicas, Refused, Unanswered, UnknownOutcome
from outvote.types import NEVER, SECOND, ClientId, Nanos, ReplicaId, Seal, View
from outvote.wire.client_messages import (
    OPERATIONS_MAX,
    OUTSTANDING_MAX,
    REQUEST_BYTES_MAX,
    Read,
    ReadReply,
    Refusal,
    Reply,
    ReplyStatement,
    Submit,
    ToClient,
    ToReplica,
    Unread,
)

BUSY: Final = "busy"  # a reason that starts so says "not now": other replicas may still take the request
LARGE_BYTES_MIN: Final = 4096  # a larger request goes to all replicas at once: the primary then proposes its digest
REASON_CHARACTERS_MAX: Final = 200  # kept of a refusal's reason: it ends up in an error text
# Of so many requests one goes to all: replicas that do not lead learn what there is to do, and so how long the leader
# takes. It costs 3/16 of a message more a request with four replicas, and no signature check.
SHOWN_EVERY: Final = 16
REQUEST_FIXED_BYTES: Final = 100  # of Request.size_bytes
OPERATION_FIXED_BYTES: Final = 5  # of Request.size_bytes, each operation


class Sealer(Protocol):
    """Signs in this client's name."""

    def seal(self, statement: Struct) -> Seal: ...


class Opener(Protocol):
    """Knows the replicas' public keys."""

    def opens(self, claim: Claim) -> bool: ...


class Answered(NamedTuple):
    """f + 1 replicas gave `statement`; `seals` are theirs and good if a proof was asked for, else nothing."""

    number: int
    statement: ReplyStatement
    seals: tuple[tuple[ReplicaId, Seal], ...]


class Failed(NamedTuple):
    """Nobody waits for this number any more."""

    number: int
    error: Unanswered


class _Pending:
    """One number that waits for its answer."""

    __slots__ = (
        "alias", "deadline", "handed", "insists", "number", "operations", "proof", "refusals", "request", "retry_at",
        "retry_ns", "to_all", "votes", "whole_at",
    )

    def __init__(
        self, number: int, operations: tuple[bytes, ...], deadline: Nanos, retry_ns: Nanos, proof: bool
    ) -> None:
        self.proof = proof  # whether the answer shall be sealed
        self.number = number
        self.operations = operations
        self.deadline = deadline
        self.retry_ns = retry_ns
        self.retry_at: Nanos = NEVER
        self.request: Submit | None = None  # sealed when the window reaches this number
        self.handed = False  # to at least one connected replica
        self.to_all = False  # not only the believed leader should have it
        self.votes = Votes()
        self.whole_at: Nanos = NEVER  # when to ask everybody for whole results
        self.insists = False  # asks those as well that have answered
        self.alias = number  # by which the owner knows it: of a read that had to be ordered, the read's
        self.refusals: dict[ReplicaId, str] = {}


class _Settled:
    """What an accepted answer said, kept until every replica has spoken, to tell who said something else."""

    __slots__ = ("replied", "said")

    def __init__(self, said: Said, replied: int) -> None:
        self.said = said
        self.replied = replied  # bit r: replica r has said its last word


SETTLED_MAX: Final = OUTSTANDING_MAX  # kept answers: 64 x 256 KiB of results = 16 MiB at the very worst


def check_operation(operation: bytes) -> None:
    """Raises Mistake if one operation alone is too large for a request."""
    limit = REQUEST_BYTES_MAX - REQUEST_FIXED_BYTES - OPERATION_FIXED_BYTES
    if len(operation) > limit:
        raise Mistake(
            f"an operation of {len(operation)} bytes is too large: the limit is {limit} bytes, "
            "so split the value over several operations"
        )


def bundle_size(operations: Iterable[bytes]) -> int:
    """How many of the first operations fit into one request."""
    room = REQUEST_BYTES_MAX - REQUEST_FIXED_BYTES
    count = 0
    for operation in operations:
        room -= len(operation) + OPERATION_FIXED_BYTES
        if room < 0 or count == OPERATIONS_MAX:
            break
        count += 1
    return count


class Session:
    """One client identity. Not for two processes at once: both would use the same numbers."""

    def __init__(
        self,
        client: ClientId,
        committee: Committee,
        sealer: Sealer,
        opener: Opener,
        config: SessionConfig | None = None,
    ) -> None:
        self.client = client
        self.committee = committee
        self.config = config or SessionConfig()
        self._sealer = sealer
        self._opener = opener
        self._last = self.config.first_number - 1  # the highest number given out
        self._pending: dict[int, _Pending] = {}  # sealed, in order of their numbers
        self._waiting: deque[_Pending] = deque()  # numbered behind a full window, in order
        self._waiting_operations = 0
        self._settled: dict[int, _Settled] = {}
        self._views: list[View] = [0] * committee.n  # the highest each replica reported
        self._connected = [False] * committee.n
        self._outgoing: list[tuple[ReplicaId, ToReplica]] = []
        self.reads = Reads(client, committee, self.config.read_patience_ns)
        self._wake_at: Nanos = NEVER  # never later than the first deadline; may be earlier
        self.view: View = 0  # the (f + 1)-th highest report: at least one correct replica has reached it
        self.wrong_replies: list[int] = [0] * committee.n  # replies that differ from the accepted one
        self.forged_seals: list[int] = [0] * committee.n
        self.connection_refusals: dict[ReplicaId, str] = {}
        self.counters: dict[str, int] = dict.fromkeys(
            ("answered", "unanswered", "refusals", "repeats", "strays"), 0
        )

    # ---- what the owner says -------------------------------------------------------------------------------

    def submit(self, operations: Sequence[bytes], now: Nanos, proof: bool = True) -> int:
        """Number one bundle: its operations are executed together, under one seal. Returns its number.

        Without `proof` the replicas do not seal their replies: who speaks is certain anyway, since the channel to each
        replica is authenticated, and f + 1 equal answers are demanded in any case. With it, the seals that come with
        the answer are checked, and convince anybody.

        Raises Mistake if the bundle is empty or too large, or if `waiting_max` operations wait already.
        """
        bundle = tuple(operations)
        if not bundle:
            raise Mistake("a request needs at least one operation")
        if bundle_size(bundle) < len(bundle):
            for operation in bundle:
                check_operation(operation)
            raise Mistake(
                f"{len(bundle)} operations do not fit into one request: at most {OPERATIONS_MAX} operations "
                f"and {REQUEST_BYTES_MAX} bytes do, so submit them in several"
            )
        if self.room <= 0 and self._waiting_operations + len(bundle) > self.config.waiting_max:
            raise Mistake(
                f"{self._waiting_operations} operations wait already: await some answers before you send more"
            )
        pending = self._enqueue(bundle, now + self.config.timeout_ns, proof)
        self._fill_window(now)
        return pending.number

    def _enqueue(self, bundle: tuple[bytes, ...], deadline: Nanos, proof: bool) -> _Pending:
        self._last += 1
        pending = _Pending(self._last, bundle, deadline, self.config.retry_ns, proof)
        self._waiting.append(pending)
        self._waiting_operations += len(bundle)
        self._wake_at = min(self._wake_at, pending.deadline)
        return pending

    def read(self, operations: Sequence[bytes], now: Nanos) -> int:
        """Queries that run in one round trip if a quorum of replicas agrees, and are ordered if it does not. Returns
        the number, below 0, under which the answer comes. Raises what `submit` raises."""
        if not self.config.reads or not self.reads.worth_trying(self._connected):
            return self.submit(operations, now, proof=False)
        bundle = tuple(operations)
        if not 0 < bundle_size(bundle) == len(bundle):
            return self.submit(operations, now, proof=False)  # which says what is wrong with it
        number = self.reads.next_number()
        message = self.reads.begin(number, bundle, self._connected, now, now + self.config.timeout_ns)
        if self.committee.tolerates == "crashes" and self._connected[self.leader]:
            self._outgoing.append((self.leader, message))  # one answer is enough; if it does not come, it is ordered
        else:
            self._send_read(message)
        self._wake_at = min(self._wake_at, self.reads.next_deadline())
        return -number

    def is_connected(self, replica: ReplicaId) -> bool:
        return self._connected[replica]

    def _send_read(self, message: Read) -> None:
        for replica in range(self.committee.n):
            if self._connected[replica]:
                self._outgoing.append((replica, message))

    def _order_failed_reads(self, now: Nanos) -> None:
        failed = self.reads.take_failed()
        for number, operations, deadline in failed:
            self._enqueue(operations, deadline, False).alias = -number
        if failed:
            self._fill_window(now)

    def give_up(self, number: int, now: Nanos) -> None:
        """The owner no longer wants this answer. Whether the request runs is then unknown."""
        if number < 0:
            if self.reads.give_up(-number):
                return
            number = next((one.number for one in (*self._pending.values(), *self._waiting) if one.alias == number), 0)
        if self._pending.pop(number, None) is None:
            for pending in self._waiting:
                if pending.number == number:
                    self._waiting.remove(pending)
                    self._waiting_operations -= len(pending.operations)
                    break
        self._fill_window(now)

    def connected(self, replica: ReplicaId) -> None:
        """Messages to this replica can leave now; it gets every pending request that it should have."""
        if not self.committee.holds(replica) or self._connected[replica]:
            return
        self._connected[replica] = True
        self.connection_refusals.pop(replica, None)
        leads = replica == self.leader
        for pending in self._pending.values():
            if leads or pending.to_all or not pending.handed:
                self._send(pending, replica)

    def disconnected(self, replica: ReplicaId) -> None:
        """Its words end with its connection: in the next one a rejuvenated process may speak, and two replicas that
        lied one after the other, while a request waited, must not add up. It will be asked again."""
        if not self.committee.holds(replica):
            return
        self._connected[replica] = False
        self._views[replica] = 0
        self.reads.forget(replica)
        for pending in self._pending.values():
            pending.refusals.pop(replica, None)
            if pending.votes.forget(replica):
                pending.to_all = True

    # ---- what the owner asks -------------------------------------------------------------------------------

    @property
    def acknowledged(self) -> int:
        """Every number up to this one has been answered or given up."""
        if self._pending:
            return next(iter(self._pending)) - 1
        return self._waiting[0].number - 1 if self._waiting else self._last

    @property
    def room(self) -> int:
        """How many more requests would leave at once."""
        return self.acknowledged + OUTSTANDING_MAX - self._last

    @property
    def outstanding(self) -> int:
        """Numbers that wait for an answer, sent or not."""
        return len(self._pending) + len(self._waiting) + len(self.reads)

    @property
    def needed(self) -> int:
        """Final answers to believe; reads meet writes in a correct replica only if a quorum answered both."""
        if self.committee.tolerates == "crashes":
            return self.committee.weak  # where nobody lies a replica answers a read only if it knows the newest state
        return self.committee.quorum if self.config.reads else self.committee.weak

    @property
    def leader(self) -> ReplicaId:
        return self.committee.leader(self.view)

    @property
    def connections(self) -> int:
        return sum(self._connected)

    def take_outgoing(self) -> list[tuple[ReplicaId, ToReplica]]:
        """What is to be sent, oldest first; each message is given once, and only for connected replicas."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    @property
    def has_outgoing(self) -> bool:
        return bool(self._outgoing)

    def next_deadline(self) -> Nanos:
        """When to call `tick`; sometimes early, never late. NEVER if nothing is waited for."""
        return self._wake_at if self.outstanding else NEVER

    # ---- time ----------------------------------------------------------------------------------------------

    def tick(self, now: Nanos) -> list[Failed]:
        """Repeat what is due, and give up what has waited too long."""
        if now < self._wake_at:
            return []
        for again in self.reads.tick(now):
            self._send_read(again)
        self._order_failed_reads(now)
        expired = [pending for pending in self._pending.values() if pending.deadline <= now]
        failed = [Failed(pending.alias, self._verdict(pending)) for pending in expired]
        for pending in expired:
            del self._pending[pending.number]
        for pending in [one for one in self._waiting if one.deadline <= now]:
            self._waiting.remove(pending)
            self._waiting_operations -= len(pending.operations)
            failed.append(Failed(pending.alias, self._verdict(pending)))
        self.counters["unanswered"] += len(failed)
        wake_at = min((pending.deadline for pending in self._waiting), default=NEVER)
        wake_at = min(wake_at, self.reads.next_deadline())
        for pending in self._pending.values():
            if pending.whole_at <= now:
                pending.whole_at = NEVER
                pending.insists = True
                self._send_to_all(pending)  # a request that has run is answered with whole results
            if pending.retry_at <= now:
                # Those that have answered tell the others what was decided when they are asked again.
                pending.insists = pending.insists or self.config.reads
                self._send_to_all(pending)
                self.counters["repeats"] += 1
                pending.retry_ns = min(2 * pending.retry_ns, self.config.retry_max_ns)
                pending.retry_at = now + pending.retry_ns
            wake_at = min(wake_at, pending.retry_at, pending.whole_at, pending.deadline)
        self._wake_at = wake_at
        self._fill_window(now)
        return failed

    # ---- what replicas say ---------------------------------------------------------------------------------

    def receive(self, replica: ReplicaId, message: ToClient, now: Nanos) -> list[Answered]:
        """A message on the authenticated connection of `replica`. Nothing in it is believed on its own.

        Failures, refusals among them, come out of `tick`.
        """
        if not self.committee.holds(replica):
            return []
        if type(message) is Reply:
            if message.view > self._views[replica]:
                self._views[replica] = message.view
                self.view = sorted(self._views, reverse=True)[self.committee.liars]
            return self._reply(replica, message, now)
        if type(message) is Refusal:
            self._refusal(replica, message, now)
        elif type(message) is ReadReply:
            return self._read_reply(replica, message, now)
        elif type(message) is Unread:
            self.reads.unread(replica, message.number)
            self._order_failed_reads(now)
        return []

    def _read_reply(self, replica: ReplicaId, reply: ReadReply, now: Nanos) -> list[Answered]:
        agreed = self.reads.receive(replica, reply)
        self._order_failed_reads(now)
        if agreed is None:
            return []
        self.counters["answered"] += 1
        position, results = agreed
        return [Answered(-reply.number, ReplyStatement(self.client, -reply.number, position, results), ())]

    def _reply(self, replica: ReplicaId, reply: Reply, now: Nanos) -> list[Answered]:
        statement = reply.answer
        said, results = said_of(statement.position, statement.results, reply.digest)
        pending = self._pending.get(statement.number)
        if pending is None or statement.client != self.client:
            self._late_reply(replica, statement, said, reply.tentative)
            return []
        if pending.proof and (reply.tentative or results is None):
            return []  # a receipt proves what is final
        group = pending.votes.add(replica, said, results, reply.seal, reply.tentative)
        if group is None or not self._suffices(pending, group):
            return []
        if group.results is None:
            if pending.whole_at == NEVER:
                pending.whole_at = now + self.config.whole_ns
                self._wake_at = min(self._wake_at, pending.whole_at)
            return []
        self._settle(pending, group)
        self._fill_window(now)
        accepted = ReplyStatement(self.client, statement.number, statement.position, group.results)
        seals = group.verified if pending.proof else group.final
        return [Answered(pending.alias, accepted, tuple(seals.items()))]

    def _suffices(self, pending: _Pending, group: Group) -> bool:
        """Enough final words, or a quorum of words that may yet be taken back: then at f + 1 correct replicas the
        request is prepared, and no view change decides otherwise."""
        if group.voices < self.needed:
            return False
        if not pending.proof:
            return len(group.final) >= self.needed or group.voices >= self.committee.quorum
        statement = ReplyStatement(self.client, pending.number, group.said[0], group.results or ())
        for signer, seal in list(group.final.items()):
            if signer in group.verified:
                continue
            if self._opener.opens(Claim(signer, statement, seal)):
                group.verified[signer] = seal
            else:
                self.forged_seals[signer] += 1
                del group.final[signer]
        return len(group.verified) >= self.needed

    def _settle(self, pending: _Pending, accepted: Group) -> None:
        del self._pending[pending.number]
        self.counters["answered"] += 1
        replied = 0
        for replica, group in pending.votes.spoken.items():
            if pending.votes.final(replica):
                replied |= 1 << replica
                if group is not accepted:
                    self.wrong_replies[replica] += 1
        if replied != (1 << self.committee.n) - 1:
            self._settled[pending.number] = _Settled(accepted.said, replied)
            if len(self._settled) > SETTLED_MAX:
                del self._settled[next(iter(self._settled))]

    def _late_reply(self, replica: ReplicaId, statement: ReplyStatement, said: Said, tentative: bool) -> None:
        settled = self._settled.get(statement.number)
        if settled is None or statement.client != self.client:
            self.counters["strays"] += 1
            return
        bit = 1 << replica
        if settled.replied & bit or tentative:
            return
        settled.replied |= bit
        if said != settled.said:
            self.wrong_replies[replica] += 1
        if settled.replied == (1 << self.committee.n) - 1:
            del self._settled[statement.number]

    def _refusal(self, replica: ReplicaId, refusal: Refusal, now: Nanos) -> None:
        """One replica's word. f + 1 of them make it a verdict, but not before nobody else can answer or time
        is up: a liar and one hasty replica must not take an answer away that the others are about to give."""
        self.counters["refusals"] += 1
        reason = refusal.reason[:REASON_CHARACTERS_MAX]
        if refusal.number == 0:
            self.connection_refusals[replica] = reason
            return
        pending = self._pending.get(refusal.number)
        if pending is None:
            return
        pending.refusals[replica] = reason
        if len(_lasting(pending.refusals)) >= self.committee.n - self.committee.faults:
            pending.deadline = now
            self._wake_at = min(self._wake_at, now)

    # ---- sending -------------------------------------------------------------------------------------------

    def _fill_window(self, now: Nanos) -> None:
        while self._waiting and self._waiting[0].number - self.acknowledged <= OUTSTANDING_MAX:
            acknowledged = self.acknowledged
            pending = self._waiting.popleft()
            self._waiting_operations -= len(pending.operations)
            operations, proof = pending.operations, pending.proof
            seal = self._sealer.seal(RequestStatement(self.client, pending.number, acknowledged, operations, proof))
            request = Request(self.client, pending.number, acknowledged, operations, seal, proof)
            pending.request = Submit(request)
            pending.retry_at = now + pending.retry_ns
            self._wake_at = min(self._wake_at, pending.retry_at)
            self._pending[pending.number] = pending
            large = request.size_bytes() > LARGE_BYTES_MIN
            if self._connected[self.leader] and pending.number % SHOWN_EVERY and not large:
                self._send(pending, self.leader)
            else:
                self._send_to_all(pending)

    def _send_to_all(self, pending: _Pending) -> None:
        pending.to_all = True
        for replica in range(self.committee.n):
            if self._connected[replica]:
                self._send(pending, replica)

    def _send(self, pending: _Pending, replica: ReplicaId) -> None:
        if pending.request is not None and (pending.insists or not pending.votes.final(replica)):
            pending.handed = True
            self._outgoing.append((replica, pending.request))

    # ---- when time is up -----------------------------------------------------------------------------------

    def _verdict(self, pending: _Pending) -> Unanswered:
        """What to tell the owner of a number that is given up."""
        committee = self.committee
        lasting = _lasting(pending.refusals)
        if len(lasting) >= committee.weak and not pending.votes.groups:
            reason = max(lasting, key=lasting.count)
            return Refused(f"{_replicas(len(lasting))} refused the request: {reason}")
        seconds = f"{self.config.timeout_ns / SECOND:g} s"
        doubt = "it may yet be executed" if pending.handed else "it was never sent, so it has not run"
        hearsay = "".join(
            f"; replica {replica} refused: {reason}"
            for replica, reason in (self.connection_refusals | pending.refusals).items()
        )
        if self.connections < committee.quorum:
            return NotEnoughReplicas(
                f"{self.connections} of the {committee.n} replicas can be reached, {committee.quorum} are "
                f"needed: no answer within {seconds}; {doubt}{hearsay}",
                may_execute=pending.handed,
            )
        if not pending.handed:
            return NotEnoughReplicas(
                f"the cluster is stalled: {OUTSTANDING_MAX} earlier requests of this client had no answer "
                f"within {seconds}; {doubt}{hearsay}",
                may_execute=False,
            )
        replied = len(pending.votes.spoken)
        different = sum(1 for group in pending.votes.groups.values() if group.voices)
        return UnknownOutcome(
            f"no {self.needed} equal answers within {seconds}: {_replicas(replied)} answered, "
            f"{different} different answer{'' if different == 1 else 's'}: more than f = {committee.faults} "
            f"of the {committee.n} replicas may be faulty or the cluster is stalled; {doubt}{hearsay}"
        )


def _lasting(refusals: dict[ReplicaId, str]) -> list[str]:
    """Reasons that lie in the request itself, so every correct replica gives them."""
    return [reason for reason in refusals.values() if not reason.startswith(BUSY)]


def _replicas(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"
