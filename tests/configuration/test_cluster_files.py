"""A cluster directory, made and read: everything that can be wrong there is a Mistake with one sentence."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import msgspec
import pytest

from outvote.configuration.certificates import certificate_from_text, fingerprint, mint_certificate
from outvote.configuration.files import create_cluster, load_client_keys, load_genesis, load_replica_keys
from outvote.configuration.genesis import Genesis, Parameters, genesis_from_toml, genesis_to_toml
from outvote.errors import Mistake
from outvote.types import FIRST_CLIENT

ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Genesis]:
    directory = tmp_path_factory.mktemp("made") / "cluster"
    genesis = create_cluster(
        directory, name="bank", machine="bank.accounts:Bank", replicas=4, clients=["default", "auditor"]
    )
    return directory, genesis


@pytest.fixture
def copy(made: tuple[Path, Genesis], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def test_what_is_written_is_read_back(made: tuple[Path, Genesis]) -> None:
    directory, genesis = made
    assert load_genesis(directory) == genesis == load_genesis(directory / "cluster.toml")
    assert genesis.n == 4
    assert genesis.addresses() == {i: ("127.0.0.1", 7000 + i) for i in range(4)}
    assert [client.id for client in genesis.clients] == [FIRST_CLIENT, FIRST_CLIENT + 1]
    assert genesis.parameters == Parameters()
    for replica in range(4):
        keys = load_replica_keys(directory, replica)
        assert keys.signing.public == genesis.public_keys()[replica]
        assert keys.data == directory / f"replica-{replica}" / "data"
    auditor = load_client_keys(directory, "auditor")
    assert (auditor.party, auditor.signing.public) == (
        FIRST_CLIENT + 1,
        genesis.public_keys()[FIRST_CLIENT + 1],
    )
    assert fingerprint(genesis.certificates()[0]).count(":") == 31


def test_private_files_are_private(made: tuple[Path, Genesis]) -> None:
    directory, _ = made
    for folder in directory.iterdir():
        if folder.is_dir():
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o600
            assert stat.S_IMODE((folder / "tls.key").stat().st_mode) == 0o600
    public = (directory / "cluster.toml").read_text()
    assert "PRIVATE" not in public


def test_an_existing_cluster_is_never_overwritten(copy: Path) -> None:
    before = (copy / "cluster.toml").read_bytes(), (copy / "replica-0" / "signing.key").read_bytes()
    with pytest.raises(Mistake, match=r"cluster\.toml exists already, and keys are never overwritten"):
        create_cluster(copy, name="bank", machine="m:M", replicas=4)
    (copy / "cluster.toml").unlink()
    with pytest.raises(Mistake, match="replica-0 exists already"):
        create_cluster(copy, name="bank", machine="m:M", replicas=4)
    assert (copy / "replica-0" / "signing.key").read_bytes() == before[1]


def test_hosts_and_ports(tmp_path: Path) -> None:
    genesis = create_cluster(
        tmp_path / "a", name="a", machine="m:M", replicas=4, base_port=9000,
        hosts=["one.example", "two.example:7", "[::1]:8", "::1"], clients=[],
    )  # fmt: skip
    assert list(genesis.addresses().values()) == [
        ("one.example", 9000), ("two.example", 7), ("::1", 8), ("::1", 9003),
    ]  # fmt: skip
    with pytest.raises(Mistake, match="4 replicas need 4 hosts, but 1 are given"):
        create_cluster(tmp_path / "b", name="b", machine="m:M", replicas=4, hosts=["one"])
    with pytest.raises(Mistake, match="should be a name, an address or host:port"):
        create_cluster(tmp_path / "b", name="b", machine="m:M", replicas=1, hosts=["one:x"])
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"replicas": 0}, "1 to 100 replicas, not 0"),
        ({"replicas": 101}, "1 to 100 replicas, not 101"),
        ({"name": "../x"}, "the name of the cluster"),
        ({"machine": "no colon"}, 'write it as "package.module:Class"'),
        ({"protocol": "No!"}, "is not the name of a protocol"),
        ({"clients": ["a", "a"]}, "client name a appears twice"),
        ({"clients": ["../../etc"]}, "must be 1 to 48 letters"),
        ({"base_port": 65_535}, "the port of replica 1 must be between 1 and 65535, not 65536"),
        ({"parameters": Parameters(view_timeout_ms=1)}, "view_timeout_ms must be between 10"),
        ({"parameters": Parameters(window=100)}, "window must be between 512"),
        ({"parameters": Parameters(pipeline=0)}, "pipeline must be between 1"),
        ({"parameters": Parameters(batch_bytes_max=10)}, "the largest request must fit"),
        ({"parameters": Parameters(batch_requests_max=0)}, "batch_requests_max"),
        ({"parameters": Parameters(checkpoint_interval=0)}, "checkpoint_interval"),
        ({"parameters": Parameters(time_tolerance_ms=0)}, "time_tolerance_ms"),
    ],
)  # fmt: skip
def test_a_wrong_wish_writes_nothing(tmp_path: Path, options: dict[str, object], sentence: str) -> None:
    wish: dict[str, object] = {"name": "bank", "machine": "m:M", "replicas": 4} | options
    with pytest.raises(Mistake, match=re.escape(sentence)):
        create_cluster(tmp_path / "new", **wish)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_identity_covers_everything_but_addresses(made: tuple[Path, Genesis]) -> None:
    _, genesis = made
    change = msgspec.structs.replace
    moved = change(genesis, replicas=tuple(change(r, host="elsewhere", port=1) for r in genesis.replicas))
    assert moved.identity() == genesis.identity()
    shouted = change(
        genesis, replicas=tuple(change(r, public_key=r.public_key.upper()) for r in genesis.replicas)
    )
    assert shouted.identity() == genesis.identity(), "by value, not by spelling"
    others = [
        change(genesis, name="bank2"),
        change(genesis, protocol="other"),
        change(genesis, epoch=1),
        change(genesis, machine="m:M"),
        change(genesis, clients=()),
        change(genesis, replicas=genesis.replicas[::-1]),
        change(genesis, parameters=Parameters(pipeline=3)),
        change(genesis, clients=(change(genesis.clients[0], name="x"), genesis.clients[1])),
    ]
    assert len({other.identity() for other in others} | {genesis.identity()}) == len(others) + 1


def broken(genesis: Genesis, **changes: object) -> str:
    return genesis_to_toml(msgspec.structs.replace(genesis, **changes))


def test_wrong_contents_give_one_sentence_each(made: tuple[Path, Genesis]) -> None:
    _, genesis = made
    text = genesis_to_toml(genesis)
    replicas, clients = genesis.replicas, genesis.clients
    change = msgspec.structs.replace
    cases = [
        (text.replace('name = "bank"', 'name = "bank', 1), r"not TOML: .*\(at line 3"),
        (text + "surprise = 1\n", "unknown field `surprise`"),
        (text.replace("port = 7001", 'port = "x"'), r"at replicas\[1\]\.port: Expected `int`, got `str`"),
        (text.replace("port = 7001", "port = 70010"), "the port of replica 1 must be between"),
        (text.replace("port = 7001", "port = 7000"), r"the address 127\.0\.0\.1:7000 appears twice"),
        (text.replace('protocol = "pbft"\n', ""), "missing required field `protocol`"),
        (text.replace('host = "127.0.0.1"', 'host = "a b"', 1), "neither a name nor an address"),
        ("", "missing required field"),
        ("a = " + "[" * 5000, "not TOML"),
        (broken(genesis, epoch=-1), "epoch must be between 0"),
        (broken(genesis, replicas=()), "1 to 100 replicas, not 0"),
        (broken(genesis, replicas=replicas[1:]), "must have the ids 0 to 2 in this order, not 1, 2, 3"),
        (broken(genesis, replicas=(*replicas, replicas[0])), "ids 0 to 4 in this order"),
        (broken(genesis, clients=(clients[0], clients[0])), f"client id {FIRST_CLIENT} appears twice"),
        (broken(genesis, clients=(change(clients[0], id=7),)), "the id of a client must be between 65536"),
        (
            broken(genesis, replicas=(change(replicas[0], public_key="ab"), *replicas[1:])),
            "the public key of replica 0 has 1 bytes",
        ),
        (
            broken(genesis, replicas=(change(replicas[0], public_key="xy"), *replicas[1:])),
            "the public key of replica 0 is not hexadecimal",
        ),
        (
            broken(genesis, replicas=(change(replicas[0], public_key=ORDER_8), *replicas[1:])),
            "replica 0 is not a usable Ed25519 key",
        ),
        (
            broken(genesis, replicas=(change(replicas[0], public_key=replicas[1].public_key), *replicas[1:])),
            "public key .* appears twice",
        ),
        (
            broken(
                genesis, replicas=(change(replicas[0], certificate=replicas[1].certificate), *replicas[1:])
            ),
            "certificate .* appears twice",
        ),
        (
            broken(genesis, clients=(change(clients[0], certificate="AAAA"),)),
            "the certificate of client default is not a certificate",
        ),
    ]
    for wrong, sentence in cases:
        with pytest.raises(Mistake, match=sentence) as caught:
            genesis_from_toml(wrong)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("cluster.toml")


def test_missing_and_unreadable_files(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"nowhere/cluster\.toml is missing: create the cluster first"):
        load_genesis(tmp_path / "nowhere")
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "cluster.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Mistake, match="byte 0 is not UTF-8"):
        load_genesis(tmp_path / "binary")
    (copy / "replica-1" / "tls.crt").unlink()
    with pytest.raises(Mistake, match=r"tls\.crt is missing: copy the directory replica-1 to the host"):
        load_replica_keys(copy, 1)
    shutil.rmtree(copy / "replica-2")
    with pytest.raises(Mistake, match=r"replica-2/signing\.key is missing"):
        load_replica_keys(copy, 2)
    with pytest.raises(Mistake, match="there is no replica 4"):
        load_replica_keys(copy, 4)
    (copy / "replica-3" / "signing.key").unlink()
    (copy / "replica-3" / "signing.key").mkdir()
    with pytest.raises(Mistake, match=r"signing\.key cannot be read"):
        load_replica_keys(copy, 3)


@pytest.mark.parametrize("file", ["signing.key", "tls.key"])
def test_a_key_that_others_can_read_is_refused(copy: Path, file: str) -> None:
    (copy / "replica-0" / file).chmod(0o640)
    with pytest.raises(Mistake, match=rf"{file} can be read by others: run chmod 600"):
        load_replica_keys(copy, 0)


def test_keys_of_somebody_else_are_refused(copy: Path) -> None:
    mine, other = copy / "replica-0", copy / "replica-1"
    for file, sentence in (
        ("signing.key", r"replica-0/signing\.key is not the key that cluster\.toml names for replica 0"),
        ("tls.crt", r"replica-0/tls\.crt is not the certificate that cluster\.toml names for replica 0"),
        ("tls.key", r"replica-0/tls\.key is not the key of the certificate beside it"),
    ):
        original = (mine / file).read_bytes()
        (mine / file).write_bytes((other / file).read_bytes())
        with pytest.raises(Mistake, match=sentence):
            load_replica_keys(copy, 0)
        (mine / file).write_bytes(b"nonsense")
        with pytest.raises(Mistake, match=f"{file} is not "):
            load_replica_keys(copy, 0)
        (mine / file).write_bytes(original)
    assert load_replica_keys(copy, 0).party == 0


def test_threshold_keys_are_dealt_written_and_read_back(tmp_path: Path) -> None:
    pytest.importorskip("py_arkworks_bls12381")
    made = create_cluster(
        tmp_path / "c", name="c", machine="m:M", replicas=4, protocol="honeybadger", threshold_keys="dealt"
    )
    genesis = load_genesis(tmp_path / "c")
    assert genesis == made
    assert genesis.threshold is not None
    assert made.identity() != msgspec.structs.replace(made, threshold=None).identity()
    shares = [load_replica_keys(tmp_path / "c", replica).threshold for replica in range(4)]
    assert len({share.secret for share in shares if share is not None}) == 4
    assert all(share is not None and share.secret.hex() not in repr(share) for share in shares)
    path = tmp_path / "c" / "replica-2" / "threshold.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for content in (b"nonsense", path.read_bytes().replace(b"OUTVOTE", b"ANOTHER"), path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(Mistake, match=r"replica-2/threshold\.key is not a threshold key of outvote"):
            load_replica_keys(tmp_path / "c", 2)
    path.chmod(0o644)
    with pytest.raises(Mistake, match="can be read by others"):
        load_replica_keys(tmp_path / "c", 2)
    path.unlink()
    with pytest.raises(Mistake, match=r"threshold\.key is missing: copy the directory replica-2"):
        load_replica_keys(tmp_path / "c", 2)
    text = (tmp_path / "c" / "cluster.toml").read_text()
    for changed, sentence in (
        (text.replace(genesis.threshold.public_key, "ab"), "threshold.public_key is no key: it has 96 digits"),
        (text.replace(genesis.threshold.verification[1], "x" * 192), "of replica 1 is no key"),
        (text.replace(f'    "{genesis.threshold.verification[3]}",\n', ""), "needs a key a replica, 4, not 3"),
    ):
        with pytest.raises(Mistake, match=sentence):
            genesis_from_toml(changed)


def test_a_client_without_a_name_is_the_only_one_present(copy: Path) -> None:
    with pytest.raises(Mistake, match="holds those of default, auditor: say which"):
        load_client_keys(copy)
    shutil.rmtree(copy / "client-default")
    assert load_client_keys(copy).party == FIRST_CLIENT + 1
    shutil.rmtree(copy / "client-auditor")
    with pytest.raises(Mistake, match="but holds none"):
        load_client_keys(copy)
    with pytest.raises(Mistake, match="names no client 'nobody': it has default, auditor"):
        load_client_keys(copy, "nobody")


def test_a_long_name_is_cut_and_bad_certificate_text_refused() -> None:
    _, pem = mint_certificate("x" * 200)
    assert pem.startswith(b"-----BEGIN CERTIFICATE-----")
    with pytest.raises(Mistake, match="not a certificate in base64"):
        certificate_from_text("%%%")
