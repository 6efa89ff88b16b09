"""A cluster as a directory: one public file for everybody, one private directory a party.

    DIR/cluster.toml                                       public, the same on every host
    DIR/replica-0/{signing.key,tls.key,tls.crt}            private, on that replica's host only
    DIR/replica-0/threshold.key                            the same; where the protocol has threshold keys
    DIR/replica-0/data/                                    made by the replica when it first runs
    DIR/client-<name>/{signing.key,tls.key,tls.crt}        private, on that client's host only

Private keys are never readable by others, not even for a moment: their directories are made 0700, the
files by O_EXCL with 0600. cluster.toml is written last: its presence says that the directory is complete.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outvote.configuration.certificates import (
    certificate_der,
    certificate_text,
    key_fits_certificate,
    mint_certificate,
)
from outvote.configuration.genesis import (
    ChannelKind,
    ClientEntry,
    Form,
    Genesis,
    Parameters,
    ReplicaEntry,
    ThresholdEntry,
    genesis_from_toml,
    genesis_to_toml,
)
from outvote.core.committee import Tolerates
from outvote.core.quorums import check_size, faults
from outvote.crypto.keys import (
    SigningKey,
    ThresholdSecret,
    generate_signing_key,
    signing_key_from_pem,
    signing_key_to_pem,
    threshold_secret_from_pem,
    threshold_secret_to_pem,
)
from outvote.errors import Mistake
from outvote.types import FIRST_CLIENT, PartyId, ReplicaId

CLUSTER_FILE: Final = "cluster.toml"
CLUSTER_BYTES_MAX: Final = 16 << 20  # 4096 clients and 100 replicas at 900 bytes are 3.8 MB
KEY_BYTES_MAX: Final = 64 << 10  # a PEM key has 120 to 250 bytes

_SIGNING_KEY: Final = "signing.key"
_THRESHOLD_KEY: Final = "threshold.key"
_TLS_KEY: Final = "tls.key"
_TLS_CERTIFICATE: Final = "tls.crt"


class PartyKeys(msgspec.Struct, frozen=True):
    """What one party holds privately. The TLS files stay paths, because `ssl` loads keys from files only."""

    party: PartyId
    directory: Path
    signing: SigningKey
    tls_key: Path
    tls_certificate: Path
    threshold: ThresholdSecret | None = None  # of replicas, if the cluster has threshold keys

    @property
    def data(self) -> Path:
        """Where a replica keeps its log and snapshots; not made here."""
        return self.directory / "data"


def create_cluster(
    directory: Path,
    *,
    name: str,
    machine: str,
    replicas: int,
    hosts: Sequence[str] | None = None,
    base_port: int = 7000,
    clients: Sequence[str] = ("default",),
    protocol: str = "pbft",
    parameters: Parameters | None = None,
    form: Form = "signatures",
    channel: ChannelKind = "tls",
    tolerates: Tolerates = "lies",
    flags: Mapping[str, int] | None = None,
    deals: bool = False,
) -> Genesis:
    """Make keys and certificates for everybody, and write the directory.

    `hosts`: one entry a replica, each "host" or "host:port"; without it all are on 127.0.0.1. Replica i
    listens on base_port + i unless its entry says otherwise. `deals`: draw threshold keys as well, here, as a trusted
    dealer. Raises Mistake; never overwrites anything.
    """
    check_size(replicas)
    addresses = _addresses(replicas, hosts, base_port)
    folders = [replica_directory(directory, number) for number in range(replicas)]
    folders += [client_directory(directory, client) for client in clients]
    _refuse_to_overwrite(directory, folders)
    keys = [generate_signing_key() for _ in folders]
    minted = [mint_certificate(f"{folder.name} of {name}") for folder in folders]
    threshold, secrets = _dealt(replicas) if deals else (None, ())
    certificates = [certificate_text(certificate_der(certificate)) for _, certificate in minted]
    genesis = Genesis(
        name=name,
        protocol=protocol,
        epoch=0,
        machine=machine,
        replicas=tuple(
            ReplicaEntry(number, host, port, keys[number].public.hex(), certificates[number])
            for number, (host, port) in enumerate(addresses)
        ),
        clients=tuple(
            ClientEntry(
                FIRST_CLIENT + number,
                client,
                keys[replicas + number].public.hex(),
                certificates[replicas + number],
            )
            for number, client in enumerate(clients)
        ),
        parameters=parameters or Parameters(),
        form=form,
        channel=channel,
        tolerates=tolerates,
        flags=dict(flags or {}),
        threshold=threshold,
    )
    genesis.check()
    _write(directory, genesis, list(zip(folders, keys, minted, strict=True)), secrets)
    return genesis


def _write(
    directory: Path,
    genesis: Genesis,
    parties: Sequence[tuple[Path, SigningKey, tuple[bytes, bytes]]],
    secrets: Sequence[ThresholdSecret],
) -> None:
    """`parties`: folder, signing key, TLS key and certificate; replicas first. `secrets`: of the replicas, or empty."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for folder, key, (tls_key, tls_certificate) in parties:
            folder.mkdir(mode=0o700)
            _write_new(folder / _SIGNING_KEY, signing_key_to_pem(key), 0o600)
            _write_new(folder / _TLS_KEY, tls_key, 0o600)
            _write_new(folder / _TLS_CERTIFICATE, tls_certificate, 0o644)
        for (folder, *_), secret in zip(parties, secrets, strict=False):
            _write_new(folder / _THRESHOLD_KEY, threshold_secret_to_pem(secret), 0o600)
        _write_new(directory / CLUSTER_FILE, genesis_to_toml(genesis).encode(), 0o644)
    except OSError as error:
        raise Mistake(f"cannot write {error.filename}: {error.strerror}: choose another directory") from None


def _dealt(replicas: int) -> tuple[ThresholdEntry, list[ThresholdSecret]]:
    """The dealer's seed is forgotten when this returns. Raises Mistake where the library for it is not installed."""
    from outvote.crypto import threshold  # noqa: PLC0415 - an extra, and heavy

    public, secrets = threshold.deal(replicas, faults(replicas) + 1, os.urandom(64))
    entry = ThresholdEntry(public.key.hex(), tuple(one.hex() for one in public.verification))
    return entry, [ThresholdSecret(secret) for secret in secrets]


def load_genesis(directory: Path) -> Genesis:
    """Read and check `directory`/cluster.toml, or the file itself if its path is given."""
    named_itself = directory.suffix == ".toml" and not directory.is_dir()
    path = directory if named_itself else directory / CLUSTER_FILE
    raw = _read(path, CLUSTER_BYTES_MAX, "create the cluster first, or copy the file from one of its hosts")
    try:
        return genesis_from_toml(raw.decode(), str(path))
    except UnicodeDecodeError as error:
        raise Mistake(f"{path} is not TOML: byte {error.start} is not UTF-8") from None


def load_replica_keys(directory: Path, replica: ReplicaId, genesis: Genesis | None = None) -> PartyKeys:
    """The private half of one replica, after checking that it is the half that cluster.toml names."""
    genesis = genesis or load_genesis(directory)
    if not 0 <= replica < genesis.n:
        raise Mistake(
            f"cluster.toml names the replicas 0 to {genesis.n - 1}, so there is no replica {replica}"
        )
    entry = genesis.replicas[replica]
    folder = replica_directory(directory, replica)
    keys = _load(folder, genesis, replica, entry.public_key, f"replica {replica}")
    if genesis.threshold is None:
        return keys
    return msgspec.structs.replace(keys, threshold=_load_threshold(folder, f"replica {replica}"))


def load_client_keys(directory: Path, name: str | None = None, genesis: Genesis | None = None) -> PartyKeys:
    """The private half of a client; without a name, of the only client whose keys lie in `directory`."""
    genesis = genesis or load_genesis(directory)
    if name is None:
        names = [client.name for client in genesis.clients]
        present = [known for known in names if client_directory(directory, known).is_dir()]
        if len(present) != 1:
            found = (
                f"those of {', '.join(present)}: say which" if present else "none: copy its directory here"
            )
            raise Mistake(f"{directory} should hold the keys of one client, but holds {found}")
        name = present[0]
    entry = genesis.client_named(name)
    return _load(client_directory(directory, name), genesis, entry.id, entry.public_key, f"client {name}")


def replica_directory(directory: Path, replica: ReplicaId) -> Path:
    return directory / f"replica-{replica}"


def client_directory(directory: Path, name: str) -> Path:
    return directory / f"client-{name}"


def _load(folder: Path, genesis: Genesis, party: PartyId, public_key: str, whose: str) -> PartyKeys:
    lost = f"copy the directory {folder.name} to the host of {whose}"
    tls_key, tls_certificate = folder / _TLS_KEY, folder / _TLS_CERTIFICATE
    pem = _read(folder / _SIGNING_KEY, KEY_BYTES_MAX, lost, private=True)
    tls_pem = _read(tls_key, KEY_BYTES_MAX, lost, private=True)
    certificate_pem = _read(tls_certificate, KEY_BYTES_MAX, lost)
    place = folder / _SIGNING_KEY
    try:
        signing = signing_key_from_pem(pem)
        place = tls_certificate
        der = certificate_der(certificate_pem)
        place = tls_key
        fits = key_fits_certificate(tls_pem, der)
    except Mistake as error:
        raise Mistake(f"{place} is {error}: restore it from where it was made") from None
    another = "it was made for another party or another cluster"
    if signing.public != bytes.fromhex(public_key):
        place = folder / _SIGNING_KEY
        raise Mistake(f"{place} is not the key that cluster.toml names for {whose}: {another}")
    if der != genesis.certificates()[party]:
        place = tls_certificate
        raise Mistake(f"{place} is not the certificate that cluster.toml names for {whose}: {another}")
    if not fits:
        raise Mistake(f"{tls_key} is not the key of the certificate beside it: {another}")
    return PartyKeys(party, folder, signing, tls_key, tls_certificate)


def _load_threshold(folder: Path, whose: str) -> ThresholdSecret:
    """Whether it belongs to the public key is checked by who knows the groups: see protocols/catalogue.py."""
    path = folder / _THRESHOLD_KEY
    pem = _read(path, KEY_BYTES_MAX, f"copy the directory {folder.name} to the host of {whose}", private=True)
    try:
        return threshold_secret_from_pem(pem)
    except Mistake as error:
        raise Mistake(f"{path} is {error}: restore it from where it was made") from None


def _addresses(replicas: int, hosts: Sequence[str] | None, base_port: int) -> list[tuple[str, int]]:
    if hosts is None:
        hosts = ["127.0.0.1"] * replicas
    if len(hosts) != replicas:
        raise Mistake(f"{replicas} replicas need {replicas} hosts, but {len(hosts)} are given")
    addresses: list[tuple[str, int]] = []
    for number, text in enumerate(hosts):
        host, colon, port = text.rpartition(":")
        if colon and (host.startswith("[") or ":" not in host):
            if not (port.isascii() and port.isdigit()):
                raise Mistake(f"the host {text!r} should be a name, an address or host:port")
            addresses.append((host.strip("[]"), int(port)))
        else:
            addresses.append((text.strip("[]"), base_port + number))
    return addresses


def _refuse_to_overwrite(directory: Path, folders: Sequence[Path]) -> None:
    if directory.exists() and not directory.is_dir():
        raise Mistake(f"{directory} is a file: choose another directory")
    for path in (directory / CLUSTER_FILE, *folders):
        if path.exists():
            raise Mistake(
                f"{path} exists already, and keys are never overwritten: choose another directory, "
                "or remove the old cluster yourself"
            )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, bytes_max: int, advice: str, *, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            if private and _open_to_others(file.fileno()):
                raise Mistake(
                    f"{path} can be read by others: run chmod 600 {path}, and replace the key if it leaked"
                )
            content = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: {advice}") from None
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > bytes_max:
        raise Mistake(f"{path} is larger than {bytes_max} bytes: it is not the file it should be")
    return content


def _open_to_others(descriptor: int) -> bool:
    """Windows keeps no such bits; there the directory's access list decides."""
    return os.name == "posix" and os.fstat(descriptor).st_mode & (stat.S_IRWXG | stat.S_IRWXO) != 0
