"""`outvote advise`: which answers lead to which advice, what it costs, and how it asks."""

from __future__ import annotations

import io
import json
import sys
from itertools import product
from pathlib import Path

import pytest

from outvote.cli.advice import BFT, CHECKSUMS, RAFT, Answers, advise, choices, over_budget
from outvote.cli.advise import QUESTIONS
from outvote.cli.advise_clusters import run_clusters
from outvote.cli.main import run_command
from outvote.errors import Mistake
from outvote.protocols.catalogue import FACTS
from outvote.protocols.pbft.performance_model import Costs

CALM = Answers(False, False, False, False, False, True)
COSTS = Costs(
    signature_s=30e-6, verification_s=70e-6, mac_s=1e-6, mac_byte_s=1e-9, digest_s=1e-6, digest_byte_s=1e-9,
    message_s=50e-6, message_byte_s=1e-9, sync_s=100e-6,
)
SAID = (
    "--no-several-owners", "--no-adversary", "--no-regulation", "--no-accidents", "--no-trusted-hardware",
    "--same-code",
)


@pytest.mark.parametrize(
    ("told", "answer", "because"),
    [
        (CALM, RAFT, "nobody is expected to lie"),
        (CALM._replace(several_owners=True), BFT, "different owners"),
        (CALM._replace(adversary=True), BFT, "taken over"),
        (CALM._replace(regulation=True), BFT, "regulation"),
        (CALM._replace(accidents=True), CHECKSUMS, "accidents are not adversaries"),
        (CALM._replace(accidents=True, adversary=True), BFT, "taken over"),
        (CALM._replace(adversary=True, trusted_hardware=True), RAFT, "attests which program"),
        (CALM._replace(several_owners=True, trusted_hardware=True), BFT, "different owners"),
        (CALM._replace(regulation=True, trusted_hardware=True), BFT, "regulation"),
    ],
)
def test_the_chapters_cases(told: Answers, answer: str, because: str) -> None:
    advice = advise(told)
    assert advice.answer == answer
    assert because in " ".join(advice.reasons)


def test_one_program_everywhere_is_always_told() -> None:
    """Nobody is sold replicas against a bug that all of them have."""
    either = (False, True)
    for owners, adversary, regulation, accidents, hardware in product(either, either, either, either, either):
        told = Answers(owners, adversary, regulation, accidents, hardware, same_code=True)
        if not (told.trusted_hardware and advise(told).answer == RAFT and told.adversary):
            assert "same program" in " ".join((*advise(told).reasons, *advise(told).cautions)), told
        parted = told._replace(same_code=False)
        assert "same program" not in " ".join((*advise(parted).reasons, *advise(parted).cautions))


def test_numbers_are_the_protocols() -> None:
    for faults in (1, 2, 3):
        bft, raft, alone = choices(CALM._replace(faults=faults), COSTS)
        facts = FACTS["pbft"]
        assert (bft.replicas, bft.messages) == (facts.replicas.of(faults), facts.messages.of(bft.replicas))
        assert (raft.replicas, raft.quorum, raft.messages) == (2 * faults + 1, faults + 1, 4 * faults)
        assert alone.replicas == 1
        assert bft.latency_ms > raft.latency_ms > alone.latency_ms
        assert bft.operations_per_s < raft.operations_per_s < alone.operations_per_s


def test_distance_costs_as_many_delays_as_the_table_says() -> None:
    near, far = choices(CALM, COSTS), choices(CALM._replace(round_trip_ms=10), COSTS)
    assert [round(b.latency_ms - a.latency_ms, 6) for a, b in zip(near, far, strict=True)] == [20, 20, 10]


def test_a_budget_is_kept_or_not() -> None:
    bft = choices(CALM, COSTS)[0]
    kept = CALM._replace(latency_ms=bft.latency_ms + 0.1, operations=int(bft.operations_per_s) - 1)
    assert over_budget(kept, bft) == over_budget(CALM, bft) == []
    assert len(over_budget(CALM._replace(latency_ms=bft.latency_ms / 2, operations=10**9), bft)) == 2


WRONG = [
    CALM._replace(faults=0), CALM._replace(faults=34), CALM._replace(latency_ms=-1.0), CALM._replace(operations=-1),
]


@pytest.mark.parametrize("told", WRONG)
def test_numbers_that_make_no_sense(told: Answers) -> None:
    with pytest.raises(Mistake):
        advise(told)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_asks_what_was_not_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\nperhaps\nyes\nn\nn\n\nn\ny\n0\n"))
    assert run_command(["advise", "--no-measure", "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert (told["answer"], told["adversary"], told["same_code"]) == (BFT, True, True)
    assert all(question.text in shown.err for question in QUESTIONS)
    monkeypatch.setattr(sys, "stdin", Terminal("0\n"))
    assert run_command(["advise", "--no-measure", *SAID]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Answer: Raft\n")
    assert "begin with: outvote up --protocol raft --replicas 3\n" in shown.out
    assert shown.err.count("?") == 1


def test_clusters_are_run_only_to_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["advise", *SAID, "--latency-ms", "0", "--no-measure", "--clusters"]) == 2
    assert "--clusters measures" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["", "perhaps\n" * 3])
def test_no_answer_is_a_mistake(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert run_command(["advise", "--no-measure"]) == 2
    assert "no answer to --several-owners" in capsys.readouterr().err


def test_without_a_terminal_options_are_demanded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert run_command(["advise", *SAID[1:]]) == 2
    error = capsys.readouterr().err
    assert "--several-owners or --no-several-owners, --latency-ms N" in error
    assert "--adversary" not in error


@pytest.mark.processes
def test_it_measures_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["advise", *SAID, "--adversary", "--latency-ms", "0.0001", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert all(told["costs_s"][name] > 0 for name in ("signature_s", "verification_s", "message_s", "sync_s"))
    assert [one["replicas"] for one in told["choices"]] == [4, 3, 1]
    assert told["over_budget"][0].startswith("BFT takes")


@pytest.mark.processes
def test_it_runs_a_cluster_to_measure_it(tmp_path: Path) -> None:
    """Three, the cheapest; the others differ in protocol and size."""
    measured = run_clusters(tmp_path, {RAFT: ("raft", 3)})[RAFT]
    assert measured.latency_ms > 0
    assert measured.operations_per_s > 0
