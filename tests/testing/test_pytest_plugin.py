"""The plugin as pytest runs it: an inner session for every test."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from textwrap import dedent

import pytest

from outvote.simulator.adversaries.catalogue import names_for

BANK = """
    import pytest
    from outvote import StateMachine, command, query

    class Bank(StateMachine):
        total: int = 0

        @command
        def deposit(self, amount: int) -> int:
            self.total += amount
            return self.total

        @query
        def read(self) -> int:
            return self.total
"""
CHANCE = """
    import random
    from outvote import StateMachine, command

    class Chance(StateMachine):
        last: int = 0

        @command
        def draw(self) -> None:
            self.last = random.getrandbits(62)
"""


def write(pytester: pytest.Pytester, *parts: str) -> None:
    pytester.makepyfile(test_users="\n".join(map(dedent, parts)))


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


def replay(result: pytest.RunResult) -> list[str]:
    """The arguments of the last line that says how to run a case again."""
    lines = [line for line in result.outlines if line.startswith("pytest ") and "--byzantine" in line]
    return shlex.split(lines[-1])[1:]


PASSES = """
    def test_bank(byzantine):
        cluster = byzantine(Bank)
        client = cluster.client()
        assert client.deposit(5) == 5
        assert cluster.call("read") == 5
"""


def test_a_good_class_passes_under_every_behaviour(pytester: pytest.Pytester) -> None:
    write(pytester, BANK, PASSES)
    result = run(pytester, "--byzantine=all", "-v")
    result.assert_outcomes(passed=len(names_for("pbft")))
    result.stdout.fnmatch_lines(["*byzantine: --byzantine=all", "*test_bank?equivocate-0? PASSED*"])


def test_one_run_without_options(pytester: pytest.Pytester) -> None:
    write(pytester, BANK, PASSES, "def test_other():\n    pass")
    result = run(pytester, "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_bank?equivocate-0? PASSED*", "*test_other PASSED*"])
    assert "byzantine:" not in result.stdout.str()


def test_a_failure_ends_with_the_line_that_repeats_it(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK, PASSES,
        """
    def test_luck(byzantine):
        cluster = byzantine(Bank)
        print("noise")
        assert 2 not in cluster.liars
        """,
    )  # fmt: skip
    result = run(pytester, "--byzantine=equivocate,silent", "--byzantine-seeds=4")
    result.assert_outcomes(passed=14, failed=2)
    result.stdout.fnmatch_lines(["noise", "*- byzantine -*", "seed 2: pbft on 4 replicas, replica 2 lies (silent)"])
    line = replay(result)
    assert line == [
        "test_users.py::test_luck", "--byzantine=silent", "--byzantine-seeds=1", "--byzantine-first-seed=2"
    ]  # fmt: skip
    again = run(pytester, *line)
    again.assert_outcomes(failed=1)
    assert replay(again) == line


def test_the_line_repeats_everything_that_was_chosen(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    @pytest.mark.parametrize("amount", [1, 2])
    @pytest.mark.byzantine(seeds=3, protocol="pbft")
    def test_luck(byzantine, amount):
        cluster = byzantine(Bank)
        assert cluster.call("deposit", amount) == amount
        assert (cluster.replicas, amount, cluster.case.seed) != (7, 2, 11)
        """,
    )  # fmt: skip
    options = ("--byzantine-replicas=7", "--byzantine-faults=loss,clocks", "--byzantine-first-seed=10")
    result = run(pytester, *options)
    result.assert_outcomes(passed=5, failed=1)
    line = replay(result)
    assert line[0] == "test_users.py::test_luck[equivocate-11-2]"
    assert line[-2:] == ["--byzantine-replicas=7", "--byzantine-faults=loss,clocks"]
    run(pytester, *line).assert_outcomes(failed=1)


def test_what_the_last_check_finds_fails_the_test(pytester: pytest.Pytester) -> None:
    write(pytester, CHANCE, "def test_chance(byzantine):\n    byzantine(Chance).submit('draw')")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [r"NotDeterministic: Chance is not deterministic: at position 1, replica \d executed draw\(\) and has self"]
    )
    assert "outvote/" not in result.stdout.str(), "no inside of the simulator in a user's report"
    run(pytester, *replay(result)).assert_outcomes(failed=1)


def test_what_a_call_finds_points_at_the_call(pytester: pytest.Pytester) -> None:
    write(pytester, CHANCE, "def test_chance(byzantine):\n    byzantine(Chance).call('draw')")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    # The first answers may agree before the third replica differs, so either place is right.
    result.stdout.re_match_lines([r".*NotDeterministic: Chance is not deterministic: at position 1"])
    assert "outvote/" not in result.stdout.str()


def test_mistakes_end_at_the_users_line(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    def test_no_class(byzantine):
        byzantine(StateMachine)

    def test_no_command(byzantine):
        byzantine(Bank).client().deposits(5)
        """,
    )  # fmt: skip
    result = run(pytester)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E *Mistake: StateMachine has no command*", "E *NoSuchCommand: * did you mean 'dep*"])
    assert "outvote/" not in result.stdout.str()
    assert "outvote_pytest/" not in result.stdout.str()


def test_a_failed_test_is_not_checked_again(pytester: pytest.Pytester) -> None:
    write(
        pytester, CHANCE, "def test_chance(byzantine):\n    byzantine(Chance).submit('draw')\n    assert 1 == 2"
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert "NotDeterministic" not in result.stdout.str()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--byzantine=equivocate,lie", "*there is no behaviour 'lie' against pbft: choose from *equivocate, *"),
        ("--byzantine-faults=rain", "*there is no fault 'rain': choose from loss, *"),
        ("--byzantine-protocol=paxos", "*there is no protocol 'paxos': choose one of *"),
        ("--byzantine-replicas=3", "*3 replicas tolerate no liar: take at least 4*"),
        ("--byzantine-seeds=0", "*0 seeds: run each test with at least 1"),
        ("--byzantine-seeds=many", "*--byzantine-seeds=many: write a number"),
        ("--byzantine-first-seed=-1", "*the seed is -1: seeds are counted from 0"),
    ],
)
def test_wrong_options_are_refused_with_a_sentence(pytester: pytest.Pytester, option: str, sentence: str) -> None:
    write(pytester, BANK, PASSES)
    result = run(pytester, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([sentence])
    assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ("behaviours='lie'", "*test_users.py::test_bank: there is no behaviour 'lie' against pbft: *"),
        ("'silent'", "*the marker byzantine takes behaviours, seeds, *each by name*"),
        ("seed=3", "*the marker byzantine takes behaviours, seeds, *"),
        ("seeds=0", "*0 seeds: run each test with at least 1"),
    ],
)
def test_wrong_markers_are_refused_with_a_sentence(pytester: pytest.Pytester, marker: str, sentence: str) -> None:
    write(pytester, BANK, f"@pytest.mark.byzantine({marker})", PASSES)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([sentence])
    assert "Traceback" not in result.stdout.str()


def test_the_nearest_marker_counts_and_options_choose_among_it(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    pytestmark = pytest.mark.byzantine(seeds=2, behaviours="silent", protocol="pbft")

    @pytest.mark.byzantine(seeds=3)
    def test_bank(byzantine):
        assert byzantine(Bank).call("deposit", 1) == 1
        """,
    )  # fmt: skip
    result = run(pytester, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test_bank?silent-2? PASSED*"])
    run(pytester, "--byzantine=none,replay", "--byzantine-seeds=1").assert_outcomes(passed=1)


def test_what_a_marker_asks_for_stays(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    @pytest.mark.byzantine(behaviours="none", replicas=5, faults="clocks")
    def test_honest(byzantine):
        assert byzantine(Bank).liars == {}
        assert (byzantine.case.replicas, byzantine.case.faults) == (5, "clocks")

    @pytest.mark.byzantine(behaviours="silent,replay,omit")
    def test_lies(byzantine):
        assert byzantine.case.behaviours != "omit"
        """,
    )  # fmt: skip
    run(pytester, "--byzantine=all").assert_outcomes(passed=3, failed=1)  # of the three, and no more
    run(pytester, "--byzantine=replay,silent", "--byzantine-replicas=7").assert_outcomes(passed=3)
    result = run(pytester, "--byzantine-faults=loss")
    result.assert_outcomes(passed=3, failed=1)
    assert replay(result)[1:] == [
        "--byzantine=omit", "--byzantine-seeds=1", "--byzantine-first-seed=0", "--byzantine-faults=loss"
    ]  # fmt: skip
    run(pytester, *replay(result)).assert_outcomes(failed=1)


def test_the_ini_file_comes_last(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nbyzantine = silent,replay\nbyzantine_seeds = 2\nbyzantine_replicas = 7\n")
    write(
        pytester, BANK,
        """
    def test_bank(byzantine):
        assert len(byzantine(Bank).liars) == 2

    @pytest.mark.byzantine(replicas=4, seeds=1)
    def test_marked(byzantine):
        assert len(byzantine(Bank).liars) == 1
        """,
    )  # fmt: skip
    run(pytester).assert_outcomes(passed=6)
    run(pytester, "--byzantine-replicas=4", "--byzantine-seeds=1").assert_outcomes(passed=2, failed=2)
    run(pytester, "--byzantine=replay", "--byzantine-seeds=1").assert_outcomes(passed=2)


def test_arguments_go_before_everything(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    def test_bank(byzantine):
        cluster = byzantine(Bank, behaviours="replay", seed=2, replicas=5, faults="loss")
        assert cluster.liars == {2: "replay"}
        assert cluster.replicas == 5
        assert cluster.case.faults == "loss"
        assert byzantine(Bank, liars={3: "silent"}).liars == {3: "silent"}
        assert byzantine.case.behaviours == "omit"

    def test_too_many(byzantine):
        byzantine(Bank, liars={0: "silent", 1: "silent"})
        """,
    )  # fmt: skip
    result = run(pytester, "--byzantine=omit")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *Mistake: 2 of 4 replicas would lie (0, 1), and 4 replicas tolerate 1: *"])
    assert "outvote/" not in result.stdout.str()
    assert "outvote/" in run(pytester, "--byzantine=omit", "--full-trace").stdout.str()


def test_classes_and_several_fixtures(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    @pytest.fixture
    def bank(byzantine):
        return byzantine(Bank)

    @pytest.mark.byzantine(behaviours="silent")
    class TestBank:
        def test_bank(self, bank):
            assert bank.call("deposit", 1) == 1
            assert bank.liars == {0: "silent"}
        """,
    )  # fmt: skip
    run(pytester, "--byzantine-seeds=1").assert_outcomes(passed=1)


def test_workers_of_xdist(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK, PASSES,
        "def test_luck(byzantine):\n    assert byzantine(Bank).case.seed != 3",
    )  # fmt: skip
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2", "--byzantine-seeds=4")
    result.assert_outcomes(passed=7, failed=1)
    line = replay(result)
    assert line[-1] == "--byzantine-first-seed=3"
    run(pytester, *line).assert_outcomes(failed=1)


def test_the_line_is_for_the_directory_that_pytest_was_started_in(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    inner = pytester.mkdir("inner")
    write(pytester, CHANCE, "def test_chance(byzantine):\n    byzantine(Chance).submit('draw')")
    (pytester.path / "test_users.py").rename(inner / "test_users.py")
    assert replay(run(pytester))[0] == str((inner / "test_users.py").relative_to(pytester.path)) + "::test_chance"
    pytester.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inner)
        result = run(pytester)
        assert replay(result)[0] == "test_users.py::test_chance"
        run(pytester, *replay(result)).assert_outcomes(failed=1)


def test_hypothesis_drives_a_cluster_of_the_fixture(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK, CHANCE,
        """
    from hypothesis import given, settings
    from outvote.testing import operations, run_sequence

    FEW = settings(max_examples=5, deadline=None, database=None, derandomize=True)

    @given(steps=operations(Bank, faults=["crash", "corrupt"]))
    @FEW
    def test_bank(byzantine, steps):
        with byzantine(Bank) as cluster:
            run_sequence(cluster, steps)

    @given(steps=operations(Chance, max_size=2))
    @FEW
    def test_chance(byzantine, steps):
        with byzantine(Chance) as cluster:
            run_sequence(cluster, steps)

    @given(steps=operations(Chance, max_size=2))
    @FEW
    def test_forgotten(byzantine, steps):
        cluster = byzantine(Chance)
        for step in steps:
            cluster.submit(step.name)
        """,
    )  # fmt: skip
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*Call(*", "*Inside of @given write `with byzantine(...) as cluster:`*"])


def test_determinism_in_fresh_processes_by_option(pytester: pytest.Pytester) -> None:
    write(
        pytester, BANK,
        """
    class Hashes(StateMachine):
        last: int = 0

        @command
        def add(self, name: str) -> None:
            self.last = hash(name)

    def test_hashes(byzantine):
        byzantine(Hashes).call("add", "ann")
        """,
    )  # fmt: skip
    run(pytester).assert_outcomes(passed=1)
    result = run(pytester, "--byzantine-determinism")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *Hashes is not deterministic: *use hashlib*"])
    assert replay(result)[-1] == "--byzantine-determinism"


def test_help_shows_the_options_and_the_marker(pytester: pytest.Pytester) -> None:
    text = re.sub(r"\s+", " ", run(pytester, "--help").stdout.str())
    assert "lying replicas (outvote): --byzantine=NAMES how replicas lie" in text
    assert "byzantine_seeds (string): as --byzantine-seeds" in text
    assert "@pytest.mark.byzantine(behaviours=..., seeds=..." in run(pytester, "--markers").stdout.str()


def test_who_does_not_use_it_does_not_load_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_outvote():
            assert "outvote_pytest" in sys.modules
            assert "outvote" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    program = "import sys, outvote_pytest; print([name for name in sys.modules if name.split('.')[0] == 'outvote'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
