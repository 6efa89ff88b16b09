"""Who may be at the other end of TLS: exactly the pinned certificates, with their keys, in TLS 1.3."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from outvote.configuration.certificates import mint_certificate
from outvote.configuration.files import (
    PartyKeys,
    create_cluster,
    load_client_keys,
    load_genesis,
    load_replica_keys,
)
from outvote.errors import Lie, Mistake, OtherVersion
from outvote.transport import tls
from outvote.transport.tls import PinnedCertificates, TlsChannel, TlsSide
from outvote.types import FIRST_CLIENT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls") / "cluster"
    create_cluster(directory, name="tls", machine="m:M", replicas=2)
    return directory


def pinned(directory: Path) -> PinnedCertificates:
    return PinnedCertificates(load_genesis(directory).certificates())


def channels(directory: Path, accepts: PartyKeys, dials: PartyKeys) -> tuple[TlsChannel, TlsChannel]:
    pins = pinned(directory)
    return (
        TlsChannel(TlsSide(pins.accepting_context(accepts), pins, accepting=True)),
        TlsChannel(TlsSide(pins.dialing_context(dials), pins, accepting=False)),
    )


def shake(accepting: TlsChannel, dialing: TlsChannel) -> None:
    dialing.receive(b"")
    for _ in range(3):
        accepting.receive(dialing.take())
        dialing.receive(accepting.take())


def of_formats(patch: pytest.MonkeyPatch, *formats: str) -> None:
    patch.setattr(tls, "WIRE_FORMATS", formats)


@pytest.mark.parametrize("newer_dials", [False, True])
def test_the_best_wire_format_that_both_speak_is_taken(made: Path, newer_dials: bool) -> None:
    """One replica is upgraded, the next is not yet."""
    pins, sides = pinned(made), []
    for accepting in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            of_formats(patch, *(("outvote/2", "outvote/1") if newer_dials != accepting else ("outvote/1",)))
            keys = load_replica_keys(made, 0 if accepting else 1)
            context = pins.accepting_context(keys) if accepting else pins.dialing_context(keys)
            sides.append(TlsChannel(TlsSide(context, pins, accepting=accepting)))
    shake(*sides)
    assert [side._object.selected_alpn_protocol() for side in sides] == ["outvote/1"] * 2
    assert (sides[0].identity(), sides[1].identity()) == (1, 0)


def test_no_wire_format_in_common_is_refused_by_both_with_a_sentence(made: Path) -> None:
    pins = pinned(made)
    accepting = TlsChannel(TlsSide(pins.accepting_context(load_replica_keys(made, 0)), pins, accepting=True))
    with pytest.MonkeyPatch.context() as patch:
        of_formats(patch, "outvote/9")
        dialing = TlsChannel(TlsSide(pins.dialing_context(load_replica_keys(made, 1)), pins, accepting=False))
        shake(accepting, dialing)
        with pytest.raises(OtherVersion, match="party 0 does not speak outvote/9"):
            dialing.identity()
    with pytest.raises(OtherVersion, match="another version of outvote: party 1 does not speak outvote/1"):
        accepting.identity()


def test_both_ends_know_each_other_and_bytes_flow(made: Path) -> None:
    accepting, dialing = channels(made, load_replica_keys(made, 0), load_client_keys(made))
    shake(accepting, dialing)
    assert accepting.identity() == FIRST_CLIENT
    assert dialing.identity() == 0
    large = bytes(range(256)) * 20_000
    assert accepting.receive(dialing.encrypt(b"small") + dialing.encrypt(large)) == b"small" + large
    assert dialing.receive(accepting.encrypt(b"back")) == b"back"
    assert accepting._object.version() == "TLSv1.3"
    assert not accepting._object.session_reused
    dialing.goodbye()
    assert accepting.receive(dialing.take()) == b""
    assert accepting.finished
    assert not dialing.finished


def test_no_session_tickets_are_given(made: Path) -> None:
    accepting, dialing = channels(made, load_replica_keys(made, 0), load_replica_keys(made, 1))
    dialing.receive(b"")
    accepting.receive(dialing.take())
    dialing.receive(accepting.take())
    accepting.receive(dialing.take())
    assert accepting.established
    assert accepting.take() == b""


def test_a_certificate_signed_by_a_pinned_one_is_nobody(made: Path, tmp_path: Path) -> None:
    """Replica 1 plays a certificate authority: OpenSSL or the comparison of bytes must refuse what it issues."""
    issuer = load_replica_keys(made, 1)
    issuer_key = load_pem_private_key(issuer.tls_key.read_bytes(), None)
    issuer_certificate = x509.load_pem_x509_certificate(issuer.tls_certificate.read_bytes())
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key_pem, _ = mint_certificate("replica-0 of tls")
    key = load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issued = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "replica-0 of tls")]))
        .issuer_name(issuer_certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.datetime(1970, 1, 1))
        .not_valid_after(datetime.datetime(9999, 1, 1))
        .sign(issuer_key, hashes.SHA256())
    )
    (tmp_path / "tls.key").write_bytes(key_pem)
    (tmp_path / "tls.crt").write_bytes(issued.public_bytes(Encoding.PEM))
    forged = msgspec.structs.replace(issuer, tls_key=tmp_path / "tls.key", tls_certificate=tmp_path / "tls.crt")
    accepting, dialing = channels(made, load_replica_keys(made, 0), forged)

    def identities() -> None:
        shake(accepting, dialing)
        accepting.identity()

    with pytest.raises(Lie, match=r"no TLS handshake|does not name"):
        identities()


def test_a_client_trusts_replicas_only(made: Path) -> None:
    genesis = load_genesis(made)
    everybody = genesis.certificates()
    replicas = PinnedCertificates({replica.id: everybody[replica.id] for replica in genesis.replicas})
    client = load_client_keys(made)
    pins = pinned(made)
    accepting = TlsChannel(TlsSide(pins.accepting_context(client), pins, accepting=True))
    dialing = TlsChannel(TlsSide(replicas.dialing_context(client), replicas, accepting=False))
    with pytest.raises(Lie, match="no TLS handshake"):
        shake(accepting, dialing)


def test_older_tls_is_refused(made: Path) -> None:
    pins = pinned(made)
    accepting = TlsChannel(TlsSide(pins.accepting_context(load_replica_keys(made, 0)), pins, accepting=True))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    dialing = TlsChannel(TlsSide(old, pins, accepting=False))
    dialing.receive(b"")
    with pytest.raises(Lie, match="no TLS handshake: unsupported protocol"):
        accepting.receive(dialing.take())
    assert accepting.waiting, "the alert that tells the other end why"


def test_a_handshake_that_never_ends_is_cut_off(made: Path) -> None:
    pins = pinned(made)
    accepting = TlsChannel(TlsSide(pins.accepting_context(load_replica_keys(made, 0)), pins, accepting=True))
    hello = b"\x16\x03\x01\x00\x05\x01\x01\xff\xff\x03" + b"\x16\x03\x01\x40\x00" + bytes(16_384)

    def trickle() -> None:
        for start in range(0, len(hello), 100):
            accepting.receive(hello[start : start + 100])

    with pytest.raises(Lie, match="TLS handshake"):
        trickle()


def test_changed_ciphertext_is_a_lie(made: Path) -> None:
    accepting, dialing = channels(made, load_replica_keys(made, 0), load_replica_keys(made, 1))
    shake(accepting, dialing)
    record = bytearray(dialing.encrypt(b"promise"))
    record[-1] ^= 1
    with pytest.raises(Lie, match="broken TLS"):
        accepting.receive(bytes(record))


def test_unusable_key_files_are_a_mistake(made: Path, tmp_path: Path) -> None:
    keys = load_replica_keys(made, 0)
    (tmp_path / "tls.key").write_text("nonsense")
    broken = msgspec.structs.replace(keys, tls_key=tmp_path / "tls.key")
    with pytest.raises(Mistake, match=r"tls\.key cannot be used for TLS"):
        pinned(made).accepting_context(broken)


def test_a_trusted_certificate_of_nobody_is_refused(made: Path) -> None:
    """Should OpenSSL ever accept more than it is given, the comparison of bytes still decides."""
    everybody, nobody = pinned(made), PinnedCertificates({})
    dialing = TlsChannel(TlsSide(everybody.dialing_context(load_client_keys(made)), everybody, accepting=False))
    accepting = TlsChannel(TlsSide(everybody.accepting_context(load_replica_keys(made, 0)), nobody, accepting=True))
    shake(accepting, dialing)
    with pytest.raises(Lie, match=r"a certificate that cluster\.toml does not name"):
        accepting.identity()
