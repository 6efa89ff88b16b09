"""How fast PBFT should be: latency and throughput from what one of each thing costs. Pure arithmetic.

In the manner of Castro's thesis (MIT 2001, chapter 7): what every party computes for a batch is counted, each kind is
multiplied by its measured cost, and an operation takes the longer of two times:

    path   what follows one after the other: one-way delays (2 for a read, 4 if executed tentatively, 5 if not), and
           what is computed and written between them
    work   what all parties compute together, divided by the cores that they share

Throughput is the batch over the longest of path / batches under way, work / cores, and the busiest party's own work.
Not modelled: waiting for a core that another process has, several messages in one write, checkpoints, the machine's own
operations, garbage collection. The error beside each prediction is the size of that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from outvote.core.committee import Committee
from outvote.protocols.pbft.large import LARGE_BYTES_MIN

DELAYS_READ: Final = 2  # request, reply
DELAYS_TENTATIVE: Final = 4  # request, PRE-PREPARE, PREPARE, reply
DELAYS_COMMITTED: Final = 5  # and COMMIT


class Costs(NamedTuple):
    """What one of each costs on this machine, in seconds."""

    signature_s: float
    verification_s: float
    mac_s: float
    mac_byte_s: float  # for each byte covered, on top
    digest_s: float
    digest_byte_s: float
    message_s: float  # from one process to the other, both ends, with nothing in it
    message_byte_s: float
    sync_s: float  # one record appended to the log and durable


class Deployment(NamedTuple):
    """What is run, and where."""

    n: int
    signatures: bool  # whether replicas sign, else authenticators
    tentative: bool
    cores: int
    pipeline: int  # batches that the primary keeps under way


class Operation(NamedTuple):
    """Bytes of the argument and of the result; nothing is computed."""

    argument_bytes: int
    result_bytes: int


class Tally(NamedTuple):
    """How many of each. A message has two ends, each half of its cost."""

    signatures: int = 0
    verifications: int = 0
    macs: int = 0
    mac_bytes: int = 0
    digests: int = 0
    digest_bytes: int = 0
    ends: int = 0
    end_bytes: int = 0
    syncs: int = 0

    def plus(self, other: Tally) -> Tally:
        return Tally(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def times(self, factor: int) -> Tally:
        return Tally(*(mine * factor for mine in self))

    def seconds(self, costs: Costs) -> float:
        return (
            self.signatures * costs.signature_s
            + self.verifications * costs.verification_s
            + self.macs * costs.mac_s
            + self.mac_bytes * costs.mac_byte_s
            + self.digests * costs.digest_s
            + self.digest_bytes * costs.digest_byte_s
            + self.ends / 2 * costs.message_s
            + self.end_bytes / 2 * costs.message_byte_s
            + self.syncs * costs.sync_s
        )


class Shares(NamedTuple):
    """What each party does for one batch, and what of all that follows one after the other."""

    client: Tally
    primary: Tally
    backup: Tally
    path: Tally
    n: int

    def work(self) -> Tally:
        return self.client.plus(self.primary).plus(self.backup.times(self.n - 1))

    def latency_s(self, costs: Costs, cores: int) -> float:
        return max(self.path.seconds(costs), self.work().seconds(costs) / cores)


def ordered(where: Deployment, operation: Operation, requests: int = 1) -> Shares:
    """One batch of so many requests of one operation each, through the three phases (Castro and Liskov, section 4).

    One replica's reply carries the result, the others' its digest. A certificate counts the own vote, so a backup
    opens quorum - 2 PREPAREs beside the PRE-PREPARE, the primary quorum - 1; a COMMIT carries no signature. The log is
    synchronised before PREPARE (or PRE-PREPARE) and before COMMIT. With authenticators the client still signs, the
    primary opens that, and each backup checks its own MAC. A large request goes from the client to all replicas, each
    of which opens its signature, and the PRE-PREPARE carries its digest alone.
    """
    n, quorum = where.n, Committee(where.n).quorum
    others = n - 1
    argument, result = operation.argument_bytes * requests, operation.result_bytes * requests
    signed = 1 if where.signatures else 0
    unsigned = 1 - signed
    large = is_large(operation)
    receivers = n if large else 1  # of the client's request
    opened = 1 if where.signatures or large else 0  # by each backup: the client's signature, else its own MAC
    digests = Tally(digests=requests + 1, digest_bytes=argument)
    client = Tally(
        signatures=requests,
        macs=unsigned * n * requests,
        mac_bytes=unsigned * n * argument,
        digests=requests,
        digest_bytes=argument,
        ends=requests * (receivers + n),
        end_bytes=receivers * argument + result,
    )
    primary = digests.plus(
        Tally(
            signatures=signed,
            verifications=requests + signed * min(quorum - 1, others),
            ends=requests + 4 * others + requests,  # request; PRE-PREPARE, PREPAREs, COMMIT, COMMITs; replies
            end_bytes=argument * (1 if large else n) + result,
            syncs=2,
        )
    )
    backup = digests.plus(
        Tally(
            signatures=signed,
            verifications=opened * requests + signed * (1 + max(0, quorum - 2)),
            macs=(1 - opened) * requests,
            mac_bytes=(1 - opened) * argument,
            ends=1 + others + max(0, others - 1) + 2 * others + requests + (requests if large else 0),
            end_bytes=argument,
            syncs=2,
        )
    )
    return Shares(client, primary, backup, _path(where, operation, client, requests), n)


def is_large(operation: Operation) -> bool:
    """Whether its request, which is a little longer than its argument, goes to all replicas at once."""
    return operation.argument_bytes >= LARGE_BYTES_MIN


def _path(where: Deployment, operation: Operation, client: Tally, requests: int) -> Tally:
    """Up to the last reply that the client needs; messages of one kind, and backups, take their time side by side."""
    argument, result = operation.argument_bytes * requests, operation.result_bytes * requests
    signed = 1 if where.signatures else 0
    opened = 1 if where.signatures or is_large(operation) else 0
    delays = DELAYS_TENTATIVE if where.tentative else DELAYS_COMMITTED
    if where.n == 1:
        delays = DELAYS_READ  # its own votes need no message
    proposing = Tally(
        signatures=signed, verifications=requests, digests=requests + 1, digest_bytes=argument, syncs=1
    )
    preparing = Tally(
        signatures=signed,
        verifications=opened * requests + signed,
        macs=(1 - opened) * requests,
        mac_bytes=(1 - opened) * argument,
        digests=requests + 1,
        digest_bytes=argument,
        syncs=1,
    )
    prepared = Tally(verifications=signed, syncs=1)  # the PREPARE that completes the quorum
    between = proposing.plus(Tally(syncs=1)) if where.n == 1 else proposing.plus(preparing).plus(prepared)
    hops_with_argument = 1 if where.n == 1 or is_large(operation) else 2
    messages = Tally(ends=2 * delays, end_bytes=2 * (hops_with_argument * argument + result))
    return client._replace(ends=0, end_bytes=0).plus(between).plus(messages)


def read_only(n: int, operation: Operation) -> Shares:
    """A query in one round trip: to all replicas and back, nothing signed, ordered or logged. n = 1: unreplicated."""
    argument, result = operation.argument_bytes, operation.result_bytes
    replica = Tally(ends=2, end_bytes=argument)
    one_with_result = replica.plus(Tally(end_bytes=result))
    client = Tally(ends=2 * n, end_bytes=n * argument + result)
    path = Tally(ends=2 * DELAYS_READ, end_bytes=2 * (argument + result))
    return Shares(client, one_with_result, replica, path, n)


def throughput_per_s(where: Deployment, operation: Operation, costs: Costs, outstanding: int, batch_max: int) -> float:
    """Operations a second with so many requests outstanding and at most `batch_max` of them in a batch."""
    requests = min(outstanding, batch_max)
    shares = ordered(where, operation, requests)
    under_way = max(1, min(where.pipeline, outstanding // requests))
    busiest = max(shares.client.seconds(costs), shares.primary.seconds(costs), shares.backup.seconds(costs))
    slowest = max(
        shares.path.seconds(costs) / under_way, shares.work().seconds(costs) / where.cores, busiest
    )
    return requests / slowest


def error_percent(predicted: float, measured: float) -> float:
    """Of the measured figure: positive if the model is too high."""
    return (predicted / measured - 1) * 100
