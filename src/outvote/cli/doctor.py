"""`outvote doctor`: what replicas share, and how many of the f faults that the cluster bears are left for it.

f counts replicas that fail, whatever the reason. What replicas share - a host, a binary, a directory with their keys -
fails for all of them at once: a fault domain. From cluster.toml, from the keys that lie in this directory, and from
what the replicas say of themselves.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from outvote.cli import endings
from outvote.cli.status import Inquiry, Overview
from outvote.configuration.files import clients_present, load_genesis, replica_directory
from outvote.configuration.genesis import Genesis
from outvote.errors import Mistake
from outvote.types import ReplicaId

# What to say of each kind: what its failure is, and what to do about it.
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "address": ("one address", "if that machine fails, they fail together; give them machines of their own"),
    "host": ("one running machine", "if it fails, they fail together; give them machines of their own"),
    "keys": (
        "one directory with their keys",
        "whoever reads it speaks for all of them; leave each replica's keys on its own host only",
    ),
    "issuer": ("one certificate issuer", "whoever holds its key can stand in for them; let each sign its own"),
    "dealer": (
        "one dealer of their threshold keys",
        "whoever read them there decrypts batches before they are ordered; let the replicas generate them",
    ),
    "kernel": ("one kernel", "a bug in it is in all of them; mix releases or systems"),
    "python": ("one Python", "a bug in it is in all of them; mix versions or implementations"),
    "outvote": ("one outvote", "a bug in it is in all of them; roll out new versions one replica at a time"),
    "machine": (
        "one implementation of the machine",
        "a bug in it is in all of them; give some replicas another one (machine = in cluster.toml)",
    ),
}


class Domain(NamedTuple):
    """Replicas that one fault reaches together."""

    kind: str
    what: str
    replicas: tuple[ReplicaId, ...]


class Diagnosis(NamedTuple):
    genesis: Genesis
    domains: tuple[Domain, ...]  # of more than one replica
    silent: tuple[ReplicaId, ...]  # were asked and said nothing of themselves
    accepted: tuple[str, ...] = ()  # kinds that the operator lives with

    @property
    def faults(self) -> int:
        return self.genesis.committee().faults

    def effective_faults(self) -> int:
        """How many domains may fail, whichever they are, with no more than f replicas failing: of the kind that leaves
        the fewest."""
        return min((self._bears(kind) for kind in KINDS if kind not in self.accepted), default=self.faults)

    def _bears(self, kind: str) -> int:
        sizes = [len(domain.replicas) for domain in self.domains if domain.kind == kind]
        sizes += [1] * (self.genesis.n - sum(sizes))
        failed = count = 0
        for size in sorted(sizes, reverse=True):
            failed += size
            if failed > self.faults:
                break
            count += 1
        return count

    def too_large(self) -> list[Domain]:
        """Domains whose single failure is more than the cluster bears."""
        return [
            one for one in self.domains if len(one.replicas) > self.faults and one.kind not in self.accepted
        ]

    def lines(self) -> list[str]:
        """For people."""
        said = []
        for one in self.domains:
            shared, advice = KINDS[one.kind]
            verdict = f"more than f = {self.faults}" if len(one.replicas) > self.faults else "within f"
            if one.kind in self.accepted:
                verdict, advice = "accepted", "as you said"
            said.append(f"{one.kind}: {_several(one.replicas)} share {shared} ({one.what}): {verdict}; {advice}")
        if self.silent:
            said.append(
                f"{_several(self.silent)} did not answer: what they run on is not known; start them, and ask again"
            )
        n, bears = self.genesis.n, self.effective_faults()
        said.append(
            f"on paper f = {self.faults} of {n} replicas may fail in any way; "
            + (
                "what they share leaves that as it is" if bears == self.faults
                else f"what they share leaves {bears}: a single fault can reach more than f replicas" if not bears
                else f"what they share leaves {bears}"
            )
        )
        return said

    def as_json(self) -> dict[str, object]:
        return {
            "cluster": self.genesis.name,
            "faults": self.faults,
            "effective_faults": self.effective_faults(),
            "domains": [{**one._asdict(), "too_large": one in self.too_large()} for one in self.domains],
            "silent": list(self.silent),
        }


def diagnose(
    genesis: Genesis, directory: Path, surroundings: Sequence[Mapping[str, str] | None] | None,
    accepted: Sequence[str] = (),
) -> Diagnosis:
    """`surroundings`: what each replica says of itself, None for one that does not answer; None if nobody was asked."""
    groups: dict[tuple[str, str], list[ReplicaId]] = {}

    def add(kind: str, what: str, replica: ReplicaId) -> None:
        groups.setdefault((kind, what), []).append(replica)

    certificates = genesis.certificates()
    for number, entry in enumerate(genesis.replicas):
        add("address", _address(entry.host), number)
        if (replica_directory(directory, number) / "signing.key").exists():
            add("keys", str(directory), number)
        if genesis.threshold is not None and genesis.threshold.public_key:
            add("dealer", "outvote init", number)
        certificate = x509.load_der_x509_certificate(certificates[number])
        if certificate.issuer != certificate.subject:
            add("issuer", certificate.issuer.rfc4514_string(), number)
        said = surroundings[number] if surroundings is not None else None
        if said is None:
            add("machine", genesis.machine_of(number), number)
            continue
        for kind in ("host", "kernel", "python", "outvote", "machine"):
            if kind in said:
                add(kind, said[kind], number)
    domains = [Domain(kind, what, tuple(who)) for (kind, what), who in groups.items() if len(who) > 1]
    domains.sort(key=lambda one: (list(KINDS).index(one.kind), one.replicas))
    silent = tuple(number for number, said in enumerate(surroundings or ()) if said is None)
    return Diagnosis(genesis, tuple(domains), silent, tuple(accepted))


def show_diagnosis(
    directory: Path, client: str | None, timeout_s: float, as_json: bool, accepted: Sequence[str], offline: bool
) -> int:
    """Raises Mistake. Returns 1 if one fault domain holds more than f replicas."""
    for kind in accepted:
        if kind not in KINDS:
            raise Mistake(f"--accept {kind}: there is no such kind of fault domain; choose from {', '.join(KINDS)}")
    genesis = load_genesis(directory)
    said: list[Mapping[str, str] | None] | None = None
    if not offline and clients_present(directory, genesis):
        overview = asyncio.run(_ask(directory, client, timeout_s))
        said = [report.surroundings if report is not None else None for report in overview.reports]
    diagnosis = diagnose(genesis, directory, said, accepted)
    print(json.dumps(diagnosis.as_json()) if as_json else "\n".join(diagnosis.lines()), flush=True)
    return endings.NEGATIVE if diagnosis.too_large() else endings.DONE


async def _ask(directory: Path, client: str | None, timeout_s: float) -> Overview:
    inquiry = Inquiry(directory, client)
    try:
        return await inquiry.overview(timeout_s)
    finally:
        await inquiry.close()


def _address(host: str) -> str:
    """A name's number, where it has one: two names of one machine are one domain."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host


def _several(replicas: Sequence[ReplicaId]) -> str:
    return f"replica{'s' * (len(replicas) > 1)} {', '.join(map(str, replicas))}"
