"""The genesis: who takes part in a cluster, with which keys and limits. Public, and equal on every host.

Its identity binds every seal (see crypto/seals.py): two clusters that differ in anything but addresses cannot
understand each other's promises. Addresses may change without changing the cluster.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final, Literal, TypeVar

import msgspec
import tomli_w

from outvote.configuration.certificates import certificate_from_text
from outvote.core.committee import Committee, Tolerates
from outvote.core.quorums import check_size
from outvote.crypto.keys import PUBLIC_KEY_BYTES, check_public_key
from outvote.errors import Mistake
from outvote.types import FIRST_CLIENT, MILLISECOND, ClientId, Digest, Nanos, PartyId, ReplicaId

T = TypeVar("T")

CLIENTS_MAX: Final = 4096  # each costs 900 bytes of cluster.toml and a certificate in every trust store
LAST_CLIENT: Final = (1 << 31) - 1
FLAGS_MAX: Final = 32
EPOCH_MAX: Final = (1 << 63) - 1

Form = Literal["signatures", "authenticators"]
ChannelKind = Literal["tls", "plain"]
FORMS: Final[tuple[Form, ...]] = ("signatures", "authenticators")
CHANNELS: Final[tuple[ChannelKind, ...]] = ("tls", "plain")

THRESHOLD_KEY_BYTES: Final = 48  # a point of G1 of BLS12-381, compressed
THRESHOLD_VERIFICATION_BYTES: Final = 96  # of G2

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")  # becomes a directory's name, so no slash
_MACHINE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")


def entry_name(protocol: str, form: str) -> str:
    """What the catalogue of protocols calls a protocol in one of its forms. Raises Mistake for another form."""
    return protocol if form_named(form) == "signatures" else f"{protocol}-{form}"


def form_named(text: str) -> Form:
    """Raises Mistake unless it is one."""
    for form in FORMS:
        if text == form:
            return form
    raise Mistake(f"there is no form {text!r}: choose {' or '.join(FORMS)}")


def channel_named(text: str) -> ChannelKind:
    """Raises Mistake unless it is one."""
    for channel in CHANNELS:
        if text == channel:
            return channel
    raise Mistake(f"there is no channel {text!r}: choose {' or '.join(CHANNELS)}")


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits and times that all replicas must share. Durations are milliseconds, sizes bytes."""

    view_timeout_ms: int = 1000  # how long a leader may take before its view is given up
    checkpoint_interval: int = 256  # positions from one digest of the whole state to the next
    window: int = 512  # positions that may be under way beyond the last certified checkpoint
    batch_requests_max: int = 256  # requests that share one position
    batch_bytes_max: int = 512 << 10  # and their bytes
    pipeline: int = 2  # positions that a leader keeps under way while it fills batches
    time_tolerance_ms: int = 10_000  # how far a leader's clock may be from ours
    tentative: bool = True  # what is prepared is executed before it is committed; clients then need 2f + 1 answers
    reads: bool = True  # queries in one round trip; then clients want a quorum of answers, else f + 1

    @property
    def view_timeout_ns(self) -> Nanos:
        return self.view_timeout_ms * MILLISECOND

    @property
    def time_tolerance_ns(self) -> Nanos:
        return self.time_tolerance_ms * MILLISECOND

    def check(self) -> None:
        """Raises Mistake with the first parameter that cannot work, and why."""
        _between("view_timeout_ms", self.view_timeout_ms, 10, 3_600_000, "a network round trip must fit")
        _between("checkpoint_interval", self.checkpoint_interval, 1, 65_536, "a state is digested that often")
        _between("window", self.window, 2 * self.checkpoint_interval, 65_536, "two checkpoint_intervals must fit")
        if self.window % self.checkpoint_interval:
            raise Mistake(f"window is {self.window}: make it a multiple of checkpoint_interval")
        _between("batch_requests_max", self.batch_requests_max, 1, 4096, "a batch holds at least one request")
        _between(
            "batch_bytes_max",
            self.batch_bytes_max,
            300 * 1024,
            2 << 20,
            "the largest request must fit into a batch, and two batches into a 4 MiB frame",
        )
        _between("pipeline", self.pipeline, 1, self.window, "at least one position, at most the window")
        _between("time_tolerance_ms", self.time_tolerance_ms, 1, 86_400_000, "one millisecond to one day")


class ReplicaEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One replica: its address, its signing key (hex) and its TLS certificate (base64 of DER).

    `machine` names another implementation of the cluster's machine, for this replica alone: see machines/versions.py.
    """

    id: ReplicaId
    host: str
    port: int
    public_key: str
    certificate: str
    machine: str = ""


class ThresholdEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The public half of threshold keys, in hexadecimal: points of BLS12-381. A client needs none of it.

    Either a dealer has made the keys, or the replicas make them when they first run; then this is what each of them has
    registered for that.
    """

    public_key: str = ""
    verification: tuple[str, ...] = ()  # each replica's own
    registrations: tuple[str, ...] = ()  # each replica's: a key to encrypt shares to, and a proof of its possession

    def key(self) -> bytes:
        return bytes.fromhex(self.public_key)

    def verification_keys(self) -> tuple[bytes, ...]:
        return tuple(map(bytes.fromhex, self.verification))

    def registered(self) -> tuple[bytes, ...]:
        return tuple(map(bytes.fromhex, self.registrations))

    def check(self, replicas: int) -> None:
        """Raises Mistake. Whether they are points is looked at where the library for it is: by replicas."""
        if bool(self.registrations) == bool(self.public_key or self.verification):
            raise Mistake("threshold has either registrations, or public_key and verification")
        if self.public_key:
            _check_digits("threshold.public_key", self.public_key, THRESHOLD_KEY_BYTES)
        for name, keys, size in (
            ("verification", self.verification, THRESHOLD_VERIFICATION_BYTES),
            ("registrations", self.registrations, THRESHOLD_KEY_BYTES + THRESHOLD_VERIFICATION_BYTES),
        ):
            if bool(self.public_key) == (name == "verification") and len(keys) != replicas:
                raise Mistake(f"threshold.{name} needs a key a replica, {replicas}, not {len(keys)}")
            for number, text in enumerate(keys):
                _check_digits(f"threshold.{name} of replica {number}", text, size)

    def values(self) -> tuple[object, ...]:
        """For the cluster's identity."""
        return ("threshold", self.key(), self.verification_keys(), self.registered())


class ClientEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One client: its signing key (hex) and its TLS certificate (base64 of DER)."""

    id: ClientId
    name: str
    public_key: str
    certificate: str


class Genesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole cluster. `genesis_from_toml` and configuration.files.create_cluster make checked ones."""

    name: str
    protocol: str
    epoch: int
    machine: str  # "module:Class" of the replicated state
    replicas: tuple[ReplicaEntry, ...]
    clients: tuple[ClientEntry, ...] = ()
    parameters: Parameters = Parameters()
    form: Form = "signatures"  # how replicas and clients vouch for what they say
    channel: ChannelKind = "tls"  # "plain" has MACs instead, and no secrecy
    session_key_seconds: int = 3600  # session keys are agreed on anew that often
    # What replicas may do wrong without breaking the cluster: the protocol's word, told to clients.
    tolerates: Tolerates = "lies"
    flags: dict[str, int] = {}  # what only this protocol has; see its README
    threshold: ThresholdEntry | None = None  # for protocols whose replicas decrypt or toss coins together

    @property
    def entry(self) -> str:
        """The name of protocol and form together in the catalogue of protocols."""
        return entry_name(self.protocol, self.form)

    @property
    def has_session_keys(self) -> bool:
        """Whether parties agree on session keys: for MACs on frames, for authenticators of requests, or for both."""
        return self.channel == "plain" or self.form == "authenticators"

    @property
    def n(self) -> int:
        return len(self.replicas)

    def committee(self) -> Committee:
        """The replicas, with the thresholds that follow from what the protocol tolerates."""
        return Committee(self.n, self.tolerates)

    def parties(self) -> list[ReplicaEntry | ClientEntry]:
        """All replicas, then all clients."""
        return [*self.replicas, *self.clients]

    def public_keys(self) -> dict[PartyId, bytes]:
        """Raw Ed25519 keys of all replicas and clients."""
        return {party.id: bytes.fromhex(party.public_key) for party in self.parties()}

    def certificates(self) -> dict[PartyId, bytes]:
        """DER bytes of the TLS certificates of all replicas and clients."""
        return {party.id: certificate_from_text(party.certificate) for party in self.parties()}

    def addresses(self) -> dict[ReplicaId, tuple[str, int]]:
        return {replica.id: (replica.host, replica.port) for replica in self.replicas}

    def machine_of(self, replica: ReplicaId) -> str:
        """"module:Class" of what this replica runs."""
        return self.replicas[replica].machine or self.machine

    def client_named(self, name: str) -> ClientEntry:
        """Raises Mistake if the cluster has no such client."""
        for client in self.clients:
            if client.name == name:
                return client
        known = ", ".join(client.name for client in self.clients) or "no clients at all"
        raise Mistake(f"cluster.toml names no client {name!r}: it has {known}")

    def identity(self) -> Digest:
        """SHA-256 over everything but addresses and replicas' own machines, by value rather than spelling."""
        keys, certificates = self.public_keys(), self.certificates()
        values = (
            "outvote genesis 2",
            (self.name, self.protocol, self.epoch, self.machine),
            [(replica.id, keys[replica.id], certificates[replica.id]) for replica in self.replicas],
            [(client.id, client.name, keys[client.id], certificates[client.id]) for client in self.clients],
            msgspec.structs.astuple(self.parameters),
            (self.form, self.channel, self.session_key_seconds),
            *((self.tolerates,) if self.tolerates != "lies" else ()),
            *((sorted(self.flags.items()),) if self.flags else ()),
            *((self.threshold.values(),) if self.threshold is not None else ()),
        )
        return sha256(msgspec.msgpack.encode(values)).digest()

    def check(self) -> None:
        """Raises Mistake with the first thing that is wrong, in one sentence."""
        _check_name("the cluster", self.name)
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", self.protocol):
            raise Mistake(f'protocol = {self.protocol!r} is not the name of a protocol: write "pbft"')
        if not _MACHINE.fullmatch(self.machine):
            raise Mistake(f'machine = {self.machine!r} names no class: write it as "package.module:Class"')
        _between("session_key_seconds", self.session_key_seconds, 10, 86_400, "an exchange of keys takes a while")
        if len(self.flags) > FLAGS_MAX:
            raise Mistake(f"there are {len(self.flags)} flags: no protocol has more than {FLAGS_MAX}")
        for name, value in self.flags.items():
            _between(f"the flag {name[:32]!r}", value, 0, LAST_CLIENT, "flags are 0, 1, or a small number")
        _between("epoch", self.epoch, 0, EPOCH_MAX, "epochs are counted from 0")
        check_size(len(self.replicas))
        if [replica.id for replica in self.replicas] != list(range(len(self.replicas))):
            raise Mistake(
                f"the replicas must have the ids 0 to {len(self.replicas) - 1} in this order, "
                f"not {', '.join(str(replica.id) for replica in self.replicas)}"
            )
        if len(self.clients) > CLIENTS_MAX:
            raise Mistake(f"a cluster has at most {CLIENTS_MAX} clients, not {len(self.clients)}")
        for replica in self.replicas:
            check_entry(replica)
        for client in self.clients:
            _check_name(f"client {client.id}", client.name)
            _between("the id of a client", client.id, FIRST_CLIENT, LAST_CLIENT, "smaller ones are replicas'")
            _check_keys(f"client {client.name}", client.public_key, client.certificate)
        if self.threshold is not None:
            self.threshold.check(len(self.replicas))
        self._check_distinct()
        self.parameters.check()

    def _check_distinct(self) -> None:
        parties = self.parties()
        _distinct("address", (f"{replica.host}:{replica.port}" for replica in self.replicas))
        _distinct("client id", (str(client.id) for client in self.clients))
        _distinct("client name", (client.name for client in self.clients))
        _distinct("public key", (party.public_key.lower() for party in parties))
        _distinct("certificate", (party.certificate for party in parties))


def check_entry(replica: ReplicaEntry) -> None:
    """Raises Mistake with the first thing that is wrong in one replica's entry."""
    whose = f"replica {replica.id}"
    if not _HOST.fullmatch(replica.host):
        raise Mistake(f"the host of {whose}, {replica.host!r}, is neither a name nor an address")
    _between(f"the port of {whose}", replica.port, 1, 65_535, "TCP ports are 16 bits")
    if replica.machine and not _MACHINE.fullmatch(replica.machine):
        raise Mistake(
            f"the machine of {whose}, {replica.machine!r}, names no class: write it as \"package.module:Class\""
        )
    _check_keys(whose, replica.public_key, replica.certificate)


def check_registration(replica: ReplicaId, text: str) -> None:
    """Raises Mistake unless it has the form of one."""
    size = THRESHOLD_KEY_BYTES + THRESHOLD_VERIFICATION_BYTES
    _check_digits(f"threshold.registrations of replica {replica}", text, size)


def genesis_from_toml(text: str, source: str = "cluster.toml") -> Genesis:
    """Read and check. `source` opens the sentence of the Mistake that is raised for anything wrong."""
    return from_toml(text, source, Genesis, Genesis.check, "does not describe a cluster")


def from_toml(text: str, source: str, kind: type[T], check: Callable[[T], None], unlike: str) -> T:
    """A value of this kind. Raises Mistake, with a sentence that begins with `source`; `unlike` says what it is not."""
    try:
        found = msgspec.convert(tomllib.loads(text), kind)
        check(found)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Mistake(f"{source} is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise Mistake(f"{source} {unlike}: {in_words(str(error))}") from None
    except Mistake as error:
        raise Mistake(f"{source}: {error}") from None
    return found


def genesis_to_toml(genesis: Genesis) -> str:
    """The text that `genesis_from_toml` reads back as an equal value."""
    return (
        f"# The outvote cluster {genesis.name}: public, and the same file on every host.\n"
        "# Only host, port and machine of a replica may be changed by hand; anything else makes it another cluster.\n"
        + tomli_w.dumps(_told(genesis))
    )


def _told(genesis: Genesis) -> dict[str, Any]:
    """Fields that only some clusters have are left out of the others' files."""
    fields: dict[str, Any] = msgspec.to_builtins(genesis)
    if genesis.tolerates == "lies":
        del fields["tolerates"]
    if not genesis.flags:
        del fields["flags"]
    if genesis.threshold is None:
        del fields["threshold"]
    return fields


def _between(what: str, value: int, low: int, high: int, why: str) -> None:
    if not low <= value <= high:
        raise Mistake(f"{what} must be between {low} and {high}, not {value}: {why}")


def _check_name(whose: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Mistake(
            f"the name of {whose}, {name!r}, must be 1 to 48 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit"
        )


def _check_keys(whose: str, public_key: str, certificate: str) -> None:
    try:
        raw = bytes.fromhex(public_key)
    except ValueError:
        raise Mistake(
            f"the public key of {whose} is not hexadecimal: it has {2 * PUBLIC_KEY_BYTES} digits 0-9, a-f"
        ) from None
    check_public_key(raw, whose)
    try:
        certificate_from_text(certificate)
    except Mistake as error:
        raise Mistake(f"the certificate of {whose} is {error}") from None


def _check_digits(what: str, text: str, size: int) -> None:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", text):
        raise Mistake(f"{what} is no key: it has {2 * size} digits 0-9, a-f")


def _distinct(what: str, values: Iterable[str]) -> None:
    seen: dict[str, None] = {}
    for value in values:
        if value in seen:
            shown = value if len(value) <= 80 else value[:40] + "..."
            raise Mistake(f"the {what} {shown} appears twice: every party needs its own")
        seen[value] = None


def in_words(text: str) -> str:
    """msgspec's "... - at `$.replicas[0].port`" as "replicas[0].port: ..."."""
    reason, at, place = text.partition(" - at `$.")
    return f"at {place.rstrip('`')}: {reason}" if at else reason
