"""The pytest plugin: the fixture `byzantine`, its options, its marker, and the line that repeats a failing case.

It stands outside of the package so that pytest, which loads it in every session, does not import outvote: that happens
when the first test asks for the fixture. Nothing below imports outvote at the top, and nothing may.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from outvote.testing.case import Case
    from outvote.testing.cluster import M, SimulatedCluster

FIXTURE: Final = "byzantine"
CASE: Final = "byzantine_case"  # the parameter that every test of the fixture gets

# Setting -> (option, default, help). An ini file has the same with _ for -.
SETTINGS: Final[Mapping[str, tuple[str, str, str]]] = {
    "behaviours": (
        "--byzantine", "equivocate",
        "how replicas lie: names with commas between them, a run each (a+b: both at once); all, random, none",
    ),
    "seeds": ("--byzantine-seeds", "1", "run each test with so many seeds"),
    "first_seed": ("--byzantine-first-seed", "0", "the first of them; which replicas lie goes round with the seed"),
    "protocol": ("--byzantine-protocol", "pbft", "what the replicas run"),
    "replicas": ("--byzantine-replicas", "4", "how many there are; (n - 1) // 3 of them lie"),
    "faults": (
        "--byzantine-faults", "none",
        "what else goes wrong, with commas between: loss, duplication, delays, clocks, crashes, partitions; all, "
        "random, none",
    ),
}
DETERMINISM: Final = "--byzantine-determinism"
NUMBERS: Final = ("seeds", "first_seed", "replicas")

_clusters = pytest.StashKey[list["SimulatedCluster[Any]"]]()
_running = pytest.StashKey[pytest.Item]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("byzantine", "lying replicas (outvote)")
    for setting, (option, default, text) in SETTINGS.items():
        group.addoption(option, metavar="N" if setting in NUMBERS else "NAMES", help=f"{text} [{default}]")
        parser.addini(_ini_name(option), f"as {option}", default=None)
    group.addoption(
        DETERMINISM, action="store_true", default=False,
        help="run `outvote check` on each class first: hash seeds, clocks, time zones, in processes of their own",
    )
    parser.addini(_ini_name(DETERMINISM), f"as {DETERMINISM}", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "byzantine(behaviours=..., seeds=..., first_seed=..., protocol=..., replicas=..., faults=...): how the fixture "
        "`byzantine` runs this test. Options choose among its behaviours, and their seeds come first",
    )
    if any(config.getoption(option) is not None for option, _, _ in SETTINGS.values()):
        # Said now, and not once a test: a wrong option is wrong for all of them.
        try:
            _cases(config, {})
        except _mistake() as error:
            raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str | None:
    given = [
        f"{option}={config.getoption(option)}" for option, _, _ in SETTINGS.values() if config.getoption(option)
    ]
    return f"byzantine: {' '.join(given)}" if given else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if FIXTURE not in metafunc.fixturenames:
        return
    marked = _marked(metafunc.definition)
    try:
        cases = _cases(metafunc.config, marked)
    except _mistake() as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None
    metafunc.fixturenames.append(CASE)
    metafunc.parametrize(CASE, cases, ids=[f"{case.behaviours}-{case.seed}" for case in cases], indirect=True)


@pytest.fixture
def byzantine_case(request: pytest.FixtureRequest) -> Case:
    """The case of this run of the test."""
    case: Case = request.param
    return case


@pytest.fixture(scope="session")
def byzantine(pytestconfig: pytest.Config) -> Byzantine:
    """`byzantine(MyClass)` makes a simulated cluster of your state machine in which up to f replicas lie.

    Everything that must hold is checked when the test ends, or when the block of a `with` does."""
    # For the whole session, so that Hypothesis does not take it for something that examples share: each call makes a
    # cluster of its own.
    return Byzantine(pytestconfig)


class Byzantine:
    """Makes clusters for the test that is running."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __repr__(self) -> str:
        return f"<{FIXTURE}: {self.case.describe()}>" if _running in self._config.stash else f"<{FIXTURE}>"

    @property
    def case(self) -> Case:
        """What this run of the test is about: behaviours, seed, replicas, protocol, faults."""
        return _case(self._config.stash[_running])

    def __call__(
        self,
        machine: type[M],
        *,
        behaviours: str | None = None,
        seed: int | None = None,
        replicas: int | None = None,
        protocol: str | None = None,
        faults: str | None = None,
        liars: Mapping[int, str] | None = None,
        parameters: Mapping[str, int] | None = None,
        check_determinism: bool | None = None,
    ) -> SimulatedCluster[M]:
        """A cluster; what is given here goes before options and marker. See outvote.testing.simulated_cluster."""
        import msgspec  # noqa: PLC0415 - see the top of this file

        from outvote.testing.cluster import SimulatedCluster  # noqa: PLC0415

        named = {
            "behaviours": behaviours, "seed": seed, "replicas": replicas, "protocol": protocol, "faults": faults,
        }  # fmt: skip
        given = {name: value for name, value in named.items() if value is not None}
        case: Case = msgspec.structs.replace(self.case, **given)
        checked = check_determinism
        if checked is None:
            checked = self._config.getoption(DETERMINISM) or self._config.getini(_ini_name(DETERMINISM))
        cluster = SimulatedCluster(
            machine, case, liars=liars, parameters=parameters, check_determinism=bool(checked)
        )
        self._config.stash[_running].stash.setdefault(_clusters, []).append(cluster)
        return cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    if not _uses_fixture(item):
        return (yield)
    item.config.stash[_running] = item
    try:
        return (yield)
    finally:
        del item.config.stash[_running]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The last check belongs to the test, not to its teardown: what it finds is a failure and no error."""
    result = yield
    for cluster in item.stash.get(_clusters, []):
        if not cluster.finished:
            _finish(item, cluster)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    if call.excinfo is not None and "outvote.testing" in sys.modules and not item.config.getoption("fulltrace"):
        _cut_traceback(call.excinfo.value)
    report = yield
    if report.failed and _uses_fixture(item):
        clusters = item.stash.get(_clusters, [])
        told = dict.fromkeys(cluster.case.describe() for cluster in clusters[-1:])
        report.sections.append((FIXTURE, "\n".join([*told, replay_line(item)])))
    if report.when == "teardown":
        item.stash.get(_clusters, []).clear()
    return report


def replay_line(item: pytest.Item) -> str:
    """What to type to run just this case of this test again, in the directory where pytest was started."""
    assert isinstance(item, pytest.Function)
    case = _case(item)
    where = "::".join((os.path.relpath(item.path, item.config.invocation_params.dir), *item.nodeid.split("::")[1:]))
    if list(item.callspec.params) == [CASE]:
        where = where.removesuffix(f"[{item.callspec.id}]")
    words = ["pytest", where, f"--byzantine={case.behaviours}", "--byzantine-seeds=1"]
    words.append(f"--byzantine-first-seed={case.seed}")
    marked = _marked(item)
    for setting in ("protocol", "replicas", "faults"):
        option = SETTINGS[setting][0]
        given = item.config.getoption(option)
        if given is not None and setting not in marked:
            words.append(f"{option}={given}")
    if item.config.getoption(DETERMINISM):
        words.append(DETERMINISM)
    return shlex.join(words)


def _finish(item: pytest.Item, cluster: SimulatedCluster[Any]) -> None:
    from outvote.errors import NotDeterministic  # noqa: PLC0415 - see the top of this file
    from outvote.simulator.checkers.violation import Violation  # noqa: PLC0415

    try:
        cluster.finish()
    except (Violation, NotDeterministic) as error:
        failure = f"{type(error).__name__}: {error}"
    else:
        return
    if getattr(item.obj, "is_hypothesis_test", False):  # type: ignore[attr-defined]
        failure += f"\nInside of @given write `with {FIXTURE}(...) as cluster:`, so that Hypothesis can shrink it."
    pytest.fail(failure, pytrace=False)


def _cut_traceback(error: BaseException) -> None:
    """What outvote raises on purpose is said in its text: the report ends at the user's own line."""
    import outvote  # noqa: PLC0415 - see the top of this file
    from outvote.errors import OutvoteError  # noqa: PLC0415
    from outvote.simulator.checkers.violation import Violation  # noqa: PLC0415

    if not isinstance(error, OutvoteError | Violation):
        return
    inside = tuple(file.removesuffix("__init__.py") for file in (str(outvote.__file__), __file__))
    last = None
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(inside):
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None


def _uses_fixture(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and hasattr(item, "callspec") and CASE in item.callspec.params


def _case(item: pytest.Item) -> Case:
    assert isinstance(item, pytest.Function)
    return cast("Case", item.callspec.params[CASE])


def _marked(node: pytest.Item) -> dict[str, Any]:
    """The marker's settings; those of the nearest one count."""
    found: dict[str, Any] = {}
    for marker in node.iter_markers(FIXTURE):
        names = ", ".join(SETTINGS)
        if marker.args or any(name not in SETTINGS for name in marker.kwargs):
            raise pytest.Collector.CollectError(
                f"{node.nodeid}: the marker {FIXTURE} takes {names}, each by name, as in "
                '@pytest.mark.byzantine(seeds=20, behaviours="silent")'
            )
        found = {**marker.kwargs, **found}
    return found


def _cases(config: pytest.Config, marked: Mapping[str, Any]) -> list[Case]:
    """Raises Mistake."""
    from outvote.errors import Mistake  # noqa: PLC0415 - see the top of this file
    from outvote.testing.case import Case, check_case, split_behaviours  # noqa: PLC0415

    words: dict[str, Any] = {}
    for setting, (option, default, _) in SETTINGS.items():
        # A marker says what a test is made for; how many seeds it gets is for who starts it.
        chosen = config.getoption(option), marked.get(setting)
        first, second = chosen if setting in ("seeds", "first_seed") else reversed(chosen)
        values = (first, second, config.getini(_ini_name(option)), default)
        word = next(value for value in values if value not in (None, ""))
        if setting in NUMBERS:
            try:
                words[setting] = int(word)
            except ValueError as error:
                raise Mistake(f"{option}={word}: write a number") from error
        else:
            words[setting] = str(word)
    if words["seeds"] < 1:
        raise Mistake(f"{words['seeds']} seeds: run each test with at least 1")
    entries = split_behaviours(words["behaviours"], words["protocol"])
    option = config.getoption(SETTINGS["behaviours"][0])
    if option is not None:
        wanted = split_behaviours(option, words["protocol"])
        entries = tuple(entry for entry in entries if entry in wanted) or entries
    first = words["first_seed"]
    return [
        check_case(
            Case(
                behaviours=behaviours, seed=seed, replicas=words["replicas"], protocol=words["protocol"],
                faults=words["faults"],
            )
        )
        for behaviours in entries
        for seed in range(first, first + words["seeds"])
    ]


def _mistake() -> type[Exception]:
    from outvote.errors import Mistake  # noqa: PLC0415 - see the top of this file

    return Mistake


def _ini_name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")
