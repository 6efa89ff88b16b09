"""Who notices a mutant: tests that run its lines, the quickest first, then some simulated runs.

Each mutant lives in a forked process of its own, under limits of processor time and memory. A mutant inside a function
is planted by giving that function other code, in a process that has the program and the tests loaded already; one that
runs at import (a constant, a default, a table) is planted under an import hook, in a process that has loaded neither.
Invariant: the process that forks never runs a test and never imports a mutant.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import coverage
import pytest
from hypothesis import HealthCheck, settings
from mutants import ROOT, Mutant, mutated, path_of

FAST_TESTS: Final = (
    "tests/core", "tests/machines", "tests/wire", "tests/papers", "tests/protocols", "tests/attacks", "tests/scripts",
    "tests/conformance/test_every_protocol.py", "tests/client/test_session.py", "tests/client/test_receipts.py",
    "tests/host/test_turn.py", "tests/host/test_inline.py", "tests/docs/test_message_table.py",
)
RAFT_TESTS: Final = (
    "tests/protocols/test_raft_replication.py", "tests/protocols/test_raft_repair.py",
    "tests/protocols/test_raft_details.py",
    "tests/protocols/test_raft_stale_reads.py", "tests/protocols/test_raft_witnesses.py",
    "tests/attacks/test_raft_conf_crash.py", "tests/attacks/test_raft_fig8.py",
    "tests/attacks/test_raft_lease_clockjump.py", "tests/attacks/test_raft_membership_ongaro.py",
    "tests/attacks/test_raft_par_truncate.py", "tests/attacks/test_raft_prevote_lowterm.py",
    "tests/attacks/test_raft_readindex_dup.py", "tests/docs/test_message_table.py", "tests/docs/test_protocols_page.py",
)
# Simulated runs, because mutants that survive get through more of them anyway; and processes of their own, in which no
# mutant is.
LEFT_OUT: Final = "not short_swarm and not test_determinism_check"
SIMULATED_SEEDS: Final = range(40)
MEASURED_SEEDS: Final = range(6)  # tell which lines simulated runs reach at all
SIMULATED: Final = "simulation"  # stands among the tests of a line that they reach
LIMIT_SECONDS: Final = 3.0  # of processor time for a test, besides five times what it takes without a fault
RUN_LIMIT_SECONDS: Final = 10.0  # for one simulated run; one without a fault takes a tenth of a second
FIRST_FILES: Final = 3  # of tests, imported before all others, where a mutant has to be imported anew
SILENCE_SECONDS_MAX: Final = 300  # of the clock on the wall, for all of one mutant: a deadlock uses no processor
MEMORY_BYTES_MAX: Final = 3 * 1024**3

TESTS, TIME, SIMULATION, SURVIVED = "tests", "time", "simulation", "survived"


class Verdict(NamedTuple):
    """What became of a mutant. `by`: the test or the violation; of a survivor, how many runs took another course."""

    outcome: str
    by: str


class Coverage(NamedTuple):
    """Which tests run which line, and how long each test takes; `imported` are the lines that importing runs."""

    tests: dict[str, float]  # node id -> seconds, all fast tests
    lines: dict[str, dict[int, list[str]]]  # module -> line -> node ids
    imported: dict[str, list[int]]

    def killers(self, mutant: Mutant) -> list[str]:
        """Those that run its lines, the quickest first (of a constant: those that run a line which names it, or name it
        themselves); then the others of its package, for what an earlier test made and a class keeps."""
        found = self.running(mutant.module, mutant.lines) if mutant.outermost else self.concerned(mutant.names)
        package = f"tests/{mutant.module.partition('.')[0]}/"
        own = [test for test in self.tests if test.startswith(package)]
        return list(dict.fromkeys([*self.quickest(found), *self.quickest(own)]))

    def quickest(self, tests: Iterable[str]) -> list[str]:
        return sorted(dict.fromkeys(tests), key=lambda test: (self.tests[test], test))

    def runs_at_import(self, mutant: Mutant) -> bool:
        """Then it has to be planted before that."""
        imported = self.imported.get(mutant.module, ())
        return not mutant.outermost or any(line in imported for line in mutant.lines)

    def running(self, module: str, lines: Iterable[int]) -> list[str]:
        by_line = self.lines.get(module, {})
        return [test for line in lines for test in by_line.get(line, ()) if test and test != SIMULATED]

    def simulated(self, mutant: Mutant) -> bool:
        """Whether simulated runs reach it."""
        by_line = self.lines.get(mutant.module, {})
        return not mutant.outermost or any(SIMULATED in by_line.get(line, ()) for line in mutant.lines)

    def concerned(self, names: Sequence[str]) -> list[str]:
        word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
        found: list[str] = []
        for module in self.lines:
            text = path_of(module).read_text().split("\n") if path_of(module).exists() else []
            found += self.running(module, [number for number, line in enumerate(text, 1) if word.search(line)])
        for file in dict.fromkeys(test.partition("::")[0] for test in self.tests):
            if word.search((ROOT / file).read_text()):
                found += [test for test in self.tests if test.startswith(f"{file}::")]
        return found


Job = Callable[[dict[str, pytest.Item]], None]


class _Loop:
    """A pytest plugin that does something else with the collected tests than to run them all."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.failed = ""
        self.report = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self.job({item.nodeid: item for item in session.items})
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed, self.report = f"import of {report.nodeid}", report.longreprtext

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed, self.report = report.nodeid, report.longreprtext


class Collected(NamedTuple):
    """What a run of pytest found: the first failure, if there was one, and its text."""

    failed: str
    report: str


def collect(tests: Sequence[str], job: Callable[[_Loop, dict[str, pytest.Item]], None], folder: str) -> Collected:
    """Collect the tests in this process and hand them to `job`."""
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    settings.load_profile("mutants")

    def started(items: dict[str, pytest.Item]) -> None:
        job(loop, items)

    loop = _Loop(started)
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-o", "timeout=0", "-s", "-k", LEFT_OUT]
    profile = ["--hypothesis-profile=mutants", f"--basetemp={folder}/tests"]
    status = pytest.main([*options, *profile, *tests], plugins=[loop])
    if status and not loop.failed:
        loop.failed = "collecting the tests"
    return Collected(loop.failed, loop.report)


def _run(loop: _Loop, items: Sequence[pytest.Item], before: Callable[[str], None]) -> None:
    """Until one fails."""
    for index, item in enumerate(items):
        before(item.nodeid)
        following = items[index + 1] if index + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if loop.failed:
            return


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked process, as JSON carries it; None if that process was ended by its limits.
    Raises RuntimeError with the traceback if `work` raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _quiet()
        try:
            told = json.dumps([work(), ""]).encode()
        except BaseException:  # nothing of the parent's may go on in here
            told = json.dumps([None, traceback.format_exc()]).encode()
        while told:
            told = told[os.write(writer, told) :]
        os._exit(0)
    os.close(writer)
    chunks: list[bytes] = []
    end = time.monotonic() + SILENCE_SECONDS_MAX
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            break
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            break
        chunks.append(chunk)
    os.close(reader)
    os.waitpid(child, 0)
    if not chunks:
        return None
    returned, error = json.loads(b"".join(chunks))
    if error:
        raise RuntimeError(error)
    return returned


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)


def _limit(seconds: float) -> None:
    """The processor time from now; SIGPROF ends the process."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


class _MutantFinder(MetaPathFinder):
    """Gives one module other code when it is imported."""

    def __init__(self, module: str, code: CodeType) -> None:
        self.module = f"outvote.{module}"
        self.path = str(path_of(module))
        self.code = code

    def find_spec(self, name: str, _path: Any, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        return spec_from_file_location(name, self.path, loader=_MutantLoader(name, self.path, self.code))


class _MutantLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, _fullname: str) -> CodeType:
        return self._code


def function_code(code: CodeType, qualified: str) -> CodeType | None:
    """The code of a function that stands in a module or in its classes."""
    pending = [code]
    while pending:
        for constant in pending.pop().co_consts:
            if isinstance(constant, CodeType):
                if constant.co_qualname == qualified:
                    return constant
                pending.append(constant)
    return None


def find_function(module: ModuleType, qualified: str) -> FunctionType | None:
    """The function object of that name, whatever a class wraps it in; None if it is not to be had."""
    found: Any = module
    for name in qualified.split("."):
        found = vars(found).get(name)
        if found is None:
            return None
    if isinstance(found, property):
        found = found.fget
    found = getattr(found, "__func__", found)
    return found if isinstance(found, FunctionType) else None


def plant(mutant: Mutant) -> None:
    """Give the mutant's function its code, in this process, where the module is loaded. ValueError if the code cannot
    take the other's place."""
    function = find_function(sys.modules[f"outvote.{mutant.module}"], mutant.outermost)
    code = function_code(mutated(mutant), mutant.outermost)
    if function is None or code is None:
        raise ValueError(f"{mutant.outermost} cannot be replaced")
    function.__code__ = code


def simulate(seeds: Sequence[int] = SIMULATED_SEEDS, protocol: str = "pbft") -> list[tuple[str, str]]:
    """Of each simulated run the digest of its trace, and the violation or ""."""
    from outvote.simulator.runs import run_seed

    told = []
    for seed in seeds:
        _limit(RUN_LIMIT_SECONDS)
        result = run_seed(protocol, seed)
        told.append((result.digest, result.violation))
        if result.violation:
            break
    return told


class Hunt:
    """Tests, what they cover, and how simulated runs go without a fault."""

    def __init__(self, tests: Sequence[str], simulated: bool = True, protocol: str = "pbft") -> None:
        self.protocol = protocol
        self.folder = tempfile.mkdtemp(prefix="outvote-mutants-")
        self.tests = tests
        self.simulated = simulated
        self.coverage = self._measure()
        self.digests: list[str] = []
        if simulated:
            self.digests = [digest for digest, violation in in_child(self._simulate) if not violation]
            if len(self.digests) != len(SIMULATED_SEEDS):
                raise RuntimeError("the simulation fails without any mutant: mend that first")

    def _simulate(self) -> list[tuple[str, str]]:
        return simulate(SIMULATED_SEEDS, self.protocol)

    def _measure(self) -> Coverage:
        def measured() -> Any:
            seconds: dict[str, float] = {}
            recorder = coverage.Coverage(data_file=None, source_pkgs=["outvote"], messages=False)
            recorder.start()

            def job(loop: _Loop, items: dict[str, pytest.Item]) -> None:
                for item in items.values():
                    # A result that a test module keeps for all its tests would count for the first of them only.
                    for value in vars(getattr(item, "module", None)).values():
                        if callable(getattr(value, "cache_clear", None)):
                            value.cache_clear()
                    recorder.switch_context(item.nodeid)
                    started = time.process_time()
                    _run(loop, [item], lambda _test: None)
                    seconds[item.nodeid] = time.process_time() - started
                    recorder.switch_context("")

            ended = collect(self.tests, job, self.folder)
            if self.simulated:
                recorder.switch_context(SIMULATED)
                simulate(MEASURED_SEEDS, self.protocol)
            recorder.stop()
            return [ended.failed, ended.report, seconds, _lines_covered(recorder)]

        told = in_child(measured)
        if told is None or told[0]:
            raise RuntimeError(f"the tests fail without any mutant: {told[:2] if told else 'out of limits'}")
        lines = {name: {int(line): tests for line, tests in by_line.items()} for name, by_line in told[3].items()}
        imported = {name: [line for line, tests in by_line.items() if "" in tests] for name, by_line in lines.items()}
        return Coverage(told[2], lines, imported)

    def verdicts(self, mutants: Sequence[Mutant], heard: Callable[[Mutant, Verdict], None]) -> None:
        """Judge every mutant; those that run at import first, because then nothing may be loaded yet."""
        cold = [mutant for mutant in mutants if self.coverage.runs_at_import(mutant)]
        for mutant in cold:
            heard(mutant, self._cold(mutant))
        warm = [mutant for mutant in mutants if not self.coverage.runs_at_import(mutant)]
        if warm:
            self._warm(warm, heard)

    def _cold(self, mutant: Mutant) -> Verdict:
        """In a child that has loaded nothing of the program."""

        def work() -> Any:
            _limit(LIMIT_SECONDS + 10.0)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
            sys.meta_path.insert(0, _MutantFinder(mutant.module, mutated(mutant)))
            failed = ""
            for tests in self._waves(mutant):
                if not failed:
                    failed = collect(tests, lambda loop, items: self._kill(loop, items, mutant), self.folder).failed
            return self._judged(mutant, failed)

        return self._verdict(in_child(work))

    def _waves(self, mutant: Mutant) -> list[list[str]]:
        """Files of tests to import: first those few whose tests come first, then the rest."""
        files = list(dict.fromkeys(test.partition("::")[0] for test in self.coverage.killers(mutant)))
        return [wave for wave in (files[:FIRST_FILES], files[FIRST_FILES:]) if wave]

    def _warm(self, mutants: Sequence[Mutant], heard: Callable[[Mutant, Verdict], None]) -> None:
        """In children of this process, which loads the program and the tests for that."""

        def job(loop: _Loop, items: dict[str, pytest.Item]) -> None:
            import outvote.simulator.runs  # noqa: F401 - loaded once, for all children

            for mutant in mutants:

                def work(mutant: Mutant = mutant) -> Any:
                    _limit(LIMIT_SECONDS)
                    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
                    plant(mutant)
                    self._kill(loop, items, mutant)
                    return self._judged(mutant, loop.failed)

                heard(mutant, self._verdict(in_child(work)))

        ended = collect(self.tests, job, self.folder)
        if ended.failed:
            raise RuntimeError(f"{ended.failed}: {ended.report}")

    def _kill(self, loop: _Loop, items: dict[str, pytest.Item], mutant: Mutant) -> None:
        chosen = [items[test] for test in self.coverage.killers(mutant) if test in items]
        try:
            _run(loop, chosen, lambda test: _limit(LIMIT_SECONDS + 5 * self.coverage.tests[test]))
        except Exception as error:  # out of memory, say, in pytest's own code
            loop.failed = f"the run of the tests: {error!r}"

    def _judged(self, mutant: Mutant, failed: str) -> list[str]:
        if failed:
            return [TESTS, failed]
        if not self.simulated or not self.coverage.simulated(mutant):
            return [SURVIVED, "not simulated"]
        told = simulate(SIMULATED_SEEDS, self.protocol)
        for seed, (_, violation) in zip(SIMULATED_SEEDS, told, strict=False):
            if violation:
                return [SIMULATION, f"seed {seed}: {violation}"]
        others = sum(1 for (digest, _), usual in zip(told, self.digests, strict=True) if digest != usual)
        return [SURVIVED, f"{others} of {len(told)} runs took another course"]

    @staticmethod
    def _verdict(told: Any) -> Verdict:
        return Verdict(TIME, "") if told is None else Verdict(*told)


def _lines_covered(recorder: coverage.Coverage) -> dict[str, dict[int, list[str]]]:
    data = recorder.get_data()
    package = ROOT / "src" / "outvote"
    return {
        ".".join(Path(file).relative_to(package).with_suffix("").parts): data.contexts_by_lineno(file)
        for file in data.measured_files()
    }
