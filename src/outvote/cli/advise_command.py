"""The options of `outvote advise`; what it needs is imported when it runs."""

from __future__ import annotations

from typing import Annotated, Final

import typer

EPILOG: Final = (
    "Without a terminal, answer by options: outvote advise --no-several-owners --adversary --no-regulation "
    "--no-accidents --no-trusted-hardware --same-code --latency-ms 5\n\n"
    "Exit code 1: what is needed does not keep the budget."
)


def advise(
    several_owners: Annotated[
        bool | None, typer.Option(help="Machines are run by owners who do not have to trust each other.")
    ] = None,
    adversary: Annotated[
        bool | None, typer.Option(help="Somebody could take over some machines, or gain by a wrong answer.")
    ] = None,
    regulation: Annotated[
        bool | None, typer.Option(help="A rule or a safety case demands that a lying component is outvoted.")
    ] = None,
    accidents: Annotated[
        bool | None, typer.Option(help="Corruption by accident is a worry: bits, disks, firmware, mixed versions.")
    ] = None,
    trusted_hardware: Annotated[
        bool | None, typer.Option(help="All machines attest by trusted hardware what they run.")
    ] = None,
    same_code: Annotated[bool | None, typer.Option(help="All machines run the same program.")] = None,
    latency_ms: Annotated[
        float | None, typer.Option(metavar="MS", help="How long an operation may take; 0: no budget.")
    ] = None,
    operations: Annotated[int, typer.Option(metavar="N", help="Wanted a second; 0: no budget.")] = 0,
    faults: Annotated[int, typer.Option(metavar="F", help="How many machines may fail.")] = 1,
    round_trip_ms: Annotated[
        float, typer.Option(metavar="MS", help="From one machine to another and back.")
    ] = 0.0,
    measure: Annotated[bool, typer.Option(help="Measure this machine, for some seconds.")] = True,
    clusters: Annotated[
        bool, typer.Option("--clusters", help="Also run each choice on this machine, for half a minute in all.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Raft, BFT, or checksums: asks what matters, and answers with reasons and the price on this machine."""
    from outvote.cli.advice import Answers
    from outvote.cli.advise import run_advice

    given = {
        "several-owners": several_owners, "adversary": adversary, "regulation": regulation, "accidents": accidents,
        "trusted-hardware": trusted_hardware, "same-code": same_code, "latency-ms": latency_ms,
    }
    nothing = Answers(False, False, False, False, False, False)
    rest = nothing._replace(operations=operations, faults=faults, round_trip_ms=round_trip_ms)
    return run_advice(given, rest, measure, clusters, as_json)
