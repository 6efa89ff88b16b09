"""The `outvote` command: its options and help. What a command needs is imported when it runs, so help is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from outvote.cli import advise_command, bench_command, endings, generals_command, keys_command, orders_command
from outvote.cli.options import (
    DIRECTORY,
    AsJson,
    Channel,
    Client,
    Cluster,
    DaskAddress,
    Directory,
    Form,
    Key,
    Machine,
    ProtocolName,
    ReceiptFile,
    Replicas,
    ThresholdKeys,
    Timeout,
    Value,
    Workers,
)
from outvote.errors import OutvoteError

_EPILOG: Final = (
    "Begin with: outvote demo (watch a cluster under attack), or outvote up (run one here), then outvote put k v.\n\n"
    "Exit codes: 0 done, 1 negative answer, 2 mistake in use or configuration, 3 broken storage, "
    "4 no answer from the cluster."
)

app = typer.Typer(
    name="outvote",
    help="Replicate a plain Python class on n machines: right while fewer than a third of them lie.",
    epilog=_EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_TRY: Final = "Try the cluster"
_USE: Final = "Use a cluster"
_RUN: Final = "Set up and run a cluster"
_TEST: Final = "Test"
_DECIDE: Final = "Understand and decide"


def _version(wanted: bool) -> None:
    if wanted:
        from outvote import __version__
        from outvote.observe.surroundings import is_compiled

        print(f"outvote {__version__}{', compiled' if is_compiled() else ''}")
        raise typer.Exit


@app.callback()
def _outvote(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command(
    rich_help_panel=_RUN,
    epilog="Four replicas of the key-value store on this machine: outvote init\n\n"
    "Your class on four hosts: outvote init bank-cluster --hosts a,b,c,d:7001 --machine bank:Ledger "
    "--client alice --client bob",
)
def init(
    directory: Directory = DIRECTORY,
    replicas: Replicas = None,
    hosts: Annotated[
        str | None,
        typer.Option(
            metavar="A,B:PORT,...", help="A host a replica, or host:port. Default: all on 127.0.0.1."
        ),
    ] = None,
    machine: Machine = None,
    client: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A client; may be repeated. Default: default.")
    ] = None,
    base_port: Annotated[int, typer.Option(metavar="PORT", help="Replica i listens on PORT + i.")] = 7000,
    name: Annotated[str | None, typer.Option(help="The cluster's name. Default: its directory's.")] = None,
    protocol: ProtocolName = "pbft",
    form: Form = None,
    channel: Channel = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=NUMBER", help="A parameter, as view_timeout_ms=500; may be repeated."
        ),
    ] = None,
    threshold_keys: ThresholdKeys = None,
    offer: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Of a replica that made its own keys: outvote keys offer. Repeated."),
    ] = None,
) -> int:
    """Make the keys and the configuration of a new cluster."""
    from outvote.cli.cluster import DEFAULT_MACHINE, init_cluster

    return init_cluster(
        directory,
        replicas=replicas,
        hosts=hosts,
        machine=machine or DEFAULT_MACHINE,
        clients=client or ("default",),
        base_port=base_port,
        name=name,
        protocol=protocol,
        settings=settings or (),
        form=form or "signatures",
        channel=channel or "tls",
        threshold_keys=threshold_keys,
        offers=offer or (),
    )


@app.command(rich_help_panel=_RUN, epilog="Example: outvote run ./outvote-cluster --replica 2")
def run(
    directory: Directory = DIRECTORY,
    *,
    replica: Annotated[
        int, typer.Option("--replica", "-r", metavar="N", help="Which replica this is, from 0.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its log and snapshots. Default: data, beside its keys."),
    ] = None,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
) -> int:
    """Run one replica until SIGTERM or Ctrl-C."""
    from outvote.cli.serve import run_one

    return run_one(directory, replica, data, supervised)


@app.command(rich_help_panel=_TRY, epilog="As text, quickly: outvote demo --plain --fast")
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="A fifth of the pauses.")] = False,
    act: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N", min=1, max=7, help="Play only this act; may be repeated. Default: all seven."
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live display.")] = False,
    report: Annotated[Path, typer.Option(metavar="FILE", help="Where the report goes.")] = Path(
        "demo-report.json"
    ),
    form: Form = None,
    channel: Channel = None,
    contrast: Annotated[
        bool, typer.Option("--contrast", help="Only this: one traitor in PBFT, and the same in Raft.")
    ] = False,
    asynchrony: Annotated[
        bool,
        typer.Option("--asynchrony", help="Only this, simulated: PBFT and HoneyBadger under a hostile schedule."),
    ] = False,
) -> int:
    """Watch a cluster on this machine under attack, and the proof that it stayed right."""
    from outvote.cli.demo import PLAY, run_demo
    from outvote.cli.demo_asynchrony import run_asynchrony
    from outvote.cli.demo_contrast import run_contrast

    if contrast:
        return run_contrast()
    if asynchrony:
        return run_asynchrony()

    return run_demo(
        report, pace="fast" if fast else "normal", plain=plain, acts=tuple(act) if act else tuple(PLAY),
        form=form or "signatures", channel=channel or "tls",
    )


@app.command(rich_help_panel=_TRY, epilog="Your own class: outvote up bank-cluster --machine bank:Ledger")
def up(
    directory: Directory = DIRECTORY,
    replicas: Replicas = None,
    machine: Machine = None,
    form: Form = None,
    channel: Channel = None,
    rejuvenate: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Restart each replica once in so long, one at a time.")
    ] = None,
    recovery_bound: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="A restart that takes longer is an alert. Default: 60.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="pbft, honeybadger, or raft: crashes, no lies.")
    ] = None,
    threshold_keys: ThresholdKeys = None,
) -> int:
    """Run a whole cluster on this machine; made if DIR does not exist, continued if it does."""
    from outvote.cli.supervise import up as run_all
    return run_all(directory, replicas, machine, form, channel, rejuvenate, recovery_bound, protocol, threshold_keys)


@app.command(rich_help_panel=_USE, epilog="Example: outvote get greeting --json")
def get(
    key: Key,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, for cas, and not the value.")
    ] = False,
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
    receipt: ReceiptFile = None,
    stale: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Raft: one replica's word, at most so old; learners first. Says how old."),
    ] = None,
    replica: Annotated[
        int | None, typer.Option("--replica", "-r", metavar="N", help="With --stale: ask this one and no other.")
    ] = None,
) -> int:
    """Key-value store: print the value of KEY."""
    from outvote.cli import calls

    settings = calls.Settings(cluster, client, timeout, as_json, receipt)
    if stale is not None or replica is not None:
        return calls.get_stale(settings, key, stale, replica, version)
    return (calls.version_of if version else calls.get)(settings, key)


@app.command(rich_help_panel=_USE, epilog="Example: outvote put greeting 'hello world'")
def put(
    key: Key,
    value: Value,
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
    receipt: ReceiptFile = None,
) -> int:
    """Key-value store: write VALUE to KEY."""
    from outvote.cli import calls

    return calls.put(calls.Settings(cluster, client, timeout, as_json, receipt), key, value)


@app.command(rich_help_panel=_USE)
def delete(
    key: Key,
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
    receipt: ReceiptFile = None,
) -> int:
    """Key-value store: forget KEY."""
    from outvote.cli import calls

    return calls.delete(calls.Settings(cluster, client, timeout, as_json, receipt), key)


@app.command(
    rich_help_panel=_USE,
    epilog="Only if nobody wrote in between: outvote cas greeting hi $(outvote get greeting --version)\n\n"
    "Only if the key is new: outvote cas greeting hi 0",
)
def cas(
    key: Key,
    value: Value,
    version: Annotated[
        int, typer.Argument(metavar="VERSION", help="As get --version prints it; 0: no such key.")
    ],
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
    receipt: ReceiptFile = None,
) -> int:
    """Key-value store: write VALUE to KEY if its version is still VERSION."""
    from outvote.cli import calls

    settings = calls.Settings(cluster, client, timeout, as_json, receipt)
    return calls.compare_and_set(settings, key, value, version)


@app.command("list", rich_help_panel=_USE, epilog="Example: outvote list users/ --limit 20")
def list_keys(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only keys that begin so.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many keys, 1 to 199.")] = 100,
    after: Annotated[str, typer.Option(metavar="KEY", help="Go on behind this key.")] = "",
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
    receipt: ReceiptFile = None,
) -> int:
    """Key-value store: print the keys, sorted."""
    from outvote.cli import calls

    settings = calls.Settings(cluster, client, timeout, as_json, receipt)
    return calls.list_keys(settings, prefix, limit, after)


@app.command(
    rich_help_panel=_USE,
    context_settings={"ignore_unknown_options": True},  # arguments may be negative numbers
    epilog="What there is to call: outvote call\n\nExample: outvote call transfer alice bob 5",
)
def call(
    command: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="A command or query; none: list them.")
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENTS]...", help="Texts as they are, everything else as JSON."),
    ] = None,
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
    receipt: ReceiptFile = None,
) -> int:
    """Call a command of the replicated class, whichever it is."""
    from outvote.cli import calls

    settings = calls.Settings(cluster, client, timeout, as_json, receipt)
    return (
        calls.list_commands(settings) if command is None else calls.call(settings, command, arguments or [])
    )


@app.command(rich_help_panel=_USE, epilog="outvote put k v --receipt proof.json; outvote verify proof.json")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What --receipt saved.")],
    cluster: Cluster = DIRECTORY,
    as_json: AsJson = False,
) -> int:
    """Check a receipt, offline: only cluster.toml is needed."""
    from outvote.cli import calls

    return calls.verify(file, cluster, as_json)


@app.command(
    rich_help_panel=_USE,
    epilog="Exit code 1: replicas disagree, or a rejuvenated one is overdue; 4: too few answer to order anything.",
)
def status(
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for the last replica.")
    ] = 2.0,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every second, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> int:
    """Ask every replica how it stands; compare their histories; say how many more may fail."""
    from outvote.cli.status import show_status

    return show_status(cluster, client, timeout, as_json, watch)


@app.command(
    rich_help_panel=_RUN, epilog="Exit code 1: one fault domain holds more than f replicas. See also: outvote status."
)
def doctor(
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for the last replica.")
    ] = 2.0,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="A kind of fault domain to live with, as outvote or python. Repeatable."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Only read cluster.toml; ask no replica.")] = False,
    as_json: AsJson = False,
) -> int:
    """List what replicas share, and how many faults the cluster really bears."""
    from outvote.cli.doctor import show_diagnosis

    return show_diagnosis(cluster, client, timeout, as_json, accept or (), offline)


@app.command(rich_help_panel=_TEST, epilog="Example: outvote quorum 7")
def quorum(
    n: Annotated[int, typer.Argument(metavar="N", help="How many replicas.")], as_json: AsJson = False
) -> int:
    """What n replicas tolerate, how large a quorum is, and why."""
    import json

    from outvote.core.quorums import explain

    explanation = explain(n)
    print(json.dumps(explanation._asdict()) if as_json else explanation)
    return endings.DONE


@app.command(rich_help_panel=_TEST, epilog="Example: outvote check bank:Ledger --operations 2000")
def check(
    machine: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="The class, for example bank:Ledger.")
    ],
    operations: Annotated[int, typer.Option(help="How many random operations.")] = 500,
    seed: Annotated[int, typer.Option(help="Another seed, other operations.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Find out whether a class is deterministic, and if not, where it parts."""
    import msgspec

    from outvote.cli.check import check_machine
    from outvote.errors import Mistake

    if operations < 1:
        raise Mistake(f"--operations is {operations}: run at least 1")
    report = check_machine(machine, operations, seed)
    if as_json:
        print(msgspec.json.encode({"passed": report.passed, **msgspec.structs.asdict(report)}).decode())
    else:
        print(report.text())
    return endings.DONE if report.passed else endings.NEGATIVE


@app.command(rich_help_panel=_TEST, epilog="Example: outvote simulate --campaign all --seeds 150")
def simulate(
    protocol: ProtocolName = "pbft",
    campaign: Annotated[
        str,
        typer.Option(metavar="NAME", help="swarm (faults at random), twins, byzzfuzz, crash-points, or all."),
    ] = "swarm",
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many. Default: 200 of the swarm; else a thorough search."),
    ] = None,
    first: Annotated[int, typer.Option(metavar="SEED", help="The first seed.")] = 0,
    form: Form = None,
    workers: Workers = None,
    dask: DaskAddress = "",
    as_json: AsJson = False,
) -> int:
    """Run simulated clusters under faults and lies, and check every invariant."""
    from outvote.cli.simulate import simulate as run_simulations
    from outvote.configuration.genesis import entry_name

    protocol = entry_name(protocol, form or "signatures")
    return run_simulations(protocol, seeds, first, _processes(workers), as_json, campaign, dask)


@app.command(rich_help_panel=_TEST, epilog="Example: outvote soak --hours 8")
def soak(
    hours: Annotated[float, typer.Option(metavar="H", help="How long; fractions are allowed.")],
    protocol: ProtocolName = "pbft",
    workers: Workers = None,
    first: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="The first seed. Default: behind those that the report tells of."),
    ] = None,
    report: Annotated[
        Path, typer.Option(metavar="FILE", help="What was run, a line a batch; is added to.")
    ] = Path("soak-report.jsonl"),
    failures: Annotated[
        Path, typer.Option(metavar="FILE", help="What failed, shrunk, as tests/simulations keep it; is added to.")
    ] = Path("soak-failures.toml"),
    dask: DaskAddress = "",
) -> int:
    """Run simulated clusters with fresh seeds until the time is over, and add to a report."""
    from outvote.cli.soak import soak as run_soak

    return run_soak(protocol, hours, _processes(workers), first, report, failures, dask)


def _processes(workers: int | None) -> int:
    return os.cpu_count() or 1 if workers is None else workers


@app.command(
    rich_help_panel=_TEST,
    epilog="Example: outvote replay 17 --tail 50\n\n"
    "As a picture: outvote replay 17 --diagram run.html --from 1.2s --until 2s --hide Status",
)
def replay(
    case: Annotated[
        str,
        typer.Argument(metavar="CASE", help="A seed, a campaign's case as twins:random:17, or a failure's file."),
    ],
    protocol: ProtocolName = "pbft",
    tail: Annotated[
        int | None,
        typer.Option(
            metavar="LINES", help="Only the last lines of the trace; 0: all. Default: all; none with --diagram."
        ),
    ] = None,
    as_json: AsJson = False,
    diagram: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the run: a page (.html) or a picture (.svg)."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Draw from here on, as 1.2s or 800ms.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Draw up to here.")] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Draw no messages of this kind, as Status; may be repeated."),
    ] = None,
) -> int:
    """Run one simulated cluster again, event by event as before, and print its trace or draw it."""
    from outvote.cli.drawing import drawing_of
    from outvote.cli.simulate import replay as run_again

    return run_again(protocol, case, tail, as_json, drawing_of(diagram, since, until, hide or ()))


app.add_typer(bench_command.app, name="bench", rich_help_panel=_TEST)
app.add_typer(keys_command.app, name="keys", rich_help_panel=_RUN)
app.add_typer(generals_command.app, name="generals", rich_help_panel=_DECIDE)
orders_command.add_to(app, _RUN)
app.command(rich_help_panel=_DECIDE, epilog=advise_command.EPILOG)(advise_command.advise)


def main() -> None:
    """Entry point; ends the process."""
    code = run_command(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `outvote list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


# Typer carries its own copy of Click or imports the real one, depending on its version.
_UsageError: Any = typer.BadParameter.__bases__[0]


def run_command(arguments: list[str]) -> int:
    """Run one command line in this process. Returns its exit code; never raises."""
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    try:
        code = app(args=arguments or ["--help"], prog_name="outvote", standalone_mode=False)
        return code if isinstance(code, int) else endings.DONE
    except OutvoteError as error:
        return endings.ended_by(error)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "outvote"
        endings.complain(f"{error.format_message().rstrip('.')} (see: {command} --help)")
        return endings.MISTAKE
    except (KeyboardInterrupt, typer.Abort):
        return endings.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return endings.DONE
    except SystemExit as ended:
        if isinstance(
            ended.__context__, BrokenPipeError
        ):  # Typer's way to end when the reader has seen enough
            return endings.DONE
        endings.complain("the replicated class's module called sys.exit: it must only define things")
        return endings.MISTAKE
    except Exception as error:
        return endings.ended_by_defect(error)
