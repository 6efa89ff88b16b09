"""Help, versions, mistakes in use: what needs no cluster that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from real_cluster import outvote

from outvote.cli import failing
from outvote.cli.main import run_command

COMMANDS = (
    "demo", "init", "run", "up", "get", "put", "delete", "cas", "list", "call", "verify", "status", "quorum",
    "check", "simulate", "replay", "generals", "advise", "keys",
)  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands find and make their files where they are started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OUTVOTE_CLUSTER", raising=False)
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one sentence that a command ends with."""
    assert run_command(list(arguments)) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("outvote: ")
    assert shown.err.count("\n") == 1
    return shown.err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in shown
        assert run_command([command, "--help"]) == 0
        assert f"outvote {command}" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    """The package's front door loads the clients; what only replicas, simulations and displays need waits."""
    probe = (
        "import sys\nfrom outvote.cli.main import run_command\nrun_command(['--help'])\n"
        "print([m for m in sys.modules if m.startswith(('uvloop', 'outvote.simulator', 'outvote.protocols', "
        "'outvote.storage', 'outvote.host.node'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["help", "cas"]) == 0
    assert "outvote cas" in capsys.readouterr().out


def test_a_module_that_exits_is_told(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "leaver.py").write_text("raise SystemExit(0)\n")
    assert "called sys.exit" in complaint(capsys, "check", "leaver:Thing")


def test_a_defect_is_one_sentence_and_a_file(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(n: int) -> None:
        raise RuntimeError(f"no {n}")

    monkeypatch.setattr("outvote.core.quorums.explain", explain)
    monkeypatch.setattr("tempfile.tempdir", str(place))
    said = complaint(capsys, "quorum", "4", code=70)
    assert "a defect of outvote, please report it: RuntimeError: no 4" in said
    (details,) = place.glob("outvote-defect-*.txt")
    assert str(details) in said
    assert "Traceback" in details.read_text()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out.startswith("outvote ")


@pytest.mark.parametrize("buffering", ["", "-u"])
def test_a_reader_who_has_seen_enough_is_no_error(buffering: str) -> None:
    command = f"{sys.executable} {buffering} -m outvote quorum 7 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pu",), "pu"),
        (("get", "k", "--nothing"), "--nothing"),
        (("quorum", "0"), "a cluster has 1 to 100 replicas, not 0"),
        (("quorum", "many"), "N"),
        (("get", "k"), "outvote-cluster/cluster.toml is missing: create the cluster first"),
        (("status",), "outvote-cluster/cluster.toml is missing"),
        (("run", "--replica", "0"), "outvote-cluster/cluster.toml is missing"),
        (("run",), "--replica"),
        (("init", "--hosts", "a,b", "--replicas", "3"), "3 replicas need 3 hosts, but 2 are given"),
        (("init", "--hosts", "a,b:x"), "'b:x' should be a name, an address or host:port"),
        (("init", "--machine", "nosuch:Thing"), "there is no module 'nosuch'"),
        (("init", "--machine", "nosuch"), "write the class as module:Class"),
        (("init", "--protocol", "paxos"), "there is no protocol 'paxos'"),
        (("init", "--set", "speed=9"), "there is no parameter 'speed'"),
        (("init", "--set", "window=x"), "write it as window=NUMBER"),
        (("init", "--set", "window=1"), "window must be between 512 and 65536"),
        (("init", "--client", "a/b"), "the name of client 65536, 'a/b', must be"),
        (("init", "--client", "a", "--client", "a"), "appears twice"),
        (("init", "--base-port", "65535"), "the port of replica 1 must be between 1 and 65535"),
        (("up", "--replicas", "0"), "a cluster has 1 to 100 replicas, not 0"),
        (("up", "--machine", "nosuch:Thing"), "there is no module 'nosuch'"),
        (("check", "nosuch:Thing"), "there is no module 'nosuch'"),
        (("check", "outvote:KeyValueStore", "--operations", "0"), "run at least 1"),
        (("simulate", "--protocol", "paxos"), "there is no protocol 'paxos'"),
        (("verify", "proof.json"), "outvote-cluster/cluster.toml is missing"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], place: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in complaint(capsys, *arguments)
    assert not (place / "outvote-cluster").exists()


def test_a_broken_configuration_is_told(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert run_command(["init", "c"]) == 0
    capsys.readouterr()
    assert "exists already, and keys are never overwritten" in complaint(capsys, "init", "c")
    assert "names the replicas 0 to 3, so there is no replica 9" in complaint(capsys, "run", "c", "-r", "9")
    assert "nobody" in complaint(capsys, "get", "k", "-C", "c/cluster.toml", "--client", "nobody")
    (place / "c" / "client-default" / "signing.key").chmod(0o644)
    assert "can be read by others: run chmod 600" in complaint(capsys, "get", "k", "-C", "c")
    genesis = place / "c" / "cluster.toml"
    whole = genesis.read_text()
    genesis.write_text(whole.replace("port = 7000", 'port = "seven"'))
    assert "replicas[0].port: Expected `int`, got `str`" in complaint(capsys, "status", "-C", "c")
    genesis.write_text(whole[: len(whole) // 2])
    assert "c/cluster.toml" in complaint(capsys, "up", "c")
    genesis.write_text(whole.replace("outvote.machines.key_value", "gone"))
    assert "there is no module 'gone'" in complaint(capsys, "call", "-C", "c")


def test_the_directory_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTVOTE_CLUSTER", "elsewhere")
    assert run_command(["init"]) == 0
    assert (place / "elsewhere" / "cluster.toml").exists()
    capsys.readouterr()
    assert run_command(["call", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["commands"]] == ["put", "delete", "cas", "get", "list"]


def test_init_says_what_goes_where(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = "a.example,b.example:7001,c.example,a.example"
    assert run_command(["init", "far", "--hosts", hosts, "--client", "alice", "--client", "bob"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "a.example: copy cluster.toml and replica-0/, replica-3/ into one directory, then there:" in lines
    assert "b.example: copy cluster.toml and replica-1/ into one directory, then there:" in lines
    assert [line.split()[-1] for line in lines if "outvote run" in line] == ["0", "3", "1", "2"]
    assert any("client-alice/, client-bob/" in line for line in lines)
    assert "alice, bob: choose one with --client" in complaint(capsys, "get", "k", "-C", "far")


def test_quorum_explains_and_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quorum", "5"]) == 0
    assert capsys.readouterr().out.startswith("n = 5   f = 1   quorum = 4")
    assert run_command(["quorum", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["faults"], told["quorum"], told["weak"], told["absent"]) == (1, 4, 2, 1)


UNFIT = """
import random
from outvote import StateMachine, command

class Dice(StateMachine):
    last: int = 0

    @command
    def roll(self) -> int:
        self.last = random.randrange(1_000_000)
        return self.last

class Sum(StateMachine):
    total: int = 0

    @command
    def add(self, amount: int) -> int:
        self.total += amount
        return self.total
"""


def test_check_tells_fit_from_unfit(place: Path) -> None:
    (place / "games.py").write_text(UNFIT)
    unfit = outvote("check", "games:Dice", cwd=place, code=1)
    assert "games:Dice: not fit to be replicated" in unfit.stdout
    assert "roll" in unfit.stdout
    told = json.loads(outvote("check", "games:Dice", "--json", cwd=place, code=1).stdout)
    assert (told["passed"], len(told["problems"])) == (False, 1)
    fit = outvote("check", "games:Sum", "--operations", "50", cwd=place)
    assert "no difference found in 50 operations" in fit.stdout


def test_replay_and_simulate_run(place: Path) -> None:
    told = json.loads(outvote("simulate", "--seeds", "2", "--first", "7", "--json", cwd=place).stdout)
    assert (told["runs"], told["ok"]) == (2, True)
    once = outvote("replay", "7", "--tail", "3", cwd=place).stdout
    assert once == outvote("replay", "7", "--tail", "3", cwd=place).stdout
    assert "every invariant held" in once


def test_the_version_names_no_commit_of_a_repository_that_outvote_is_only_installed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], check=True)
    installed = tmp_path / "venv" / "lib"
    installed.mkdir(parents=True)
    monkeypatch.setattr(failing, "CHECKOUT", installed)
    failing.version_told.cache_clear()
    assert failing.version_told() == metadata.version("outvote")
    failing.version_told.cache_clear()
