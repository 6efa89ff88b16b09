"""The options of `outvote bench`; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure a cluster on this machine.")


@app.callback()
def _bench() -> None:
    """Measure a cluster on this machine."""


@app.command("pbft-paper", epilog="Example: outvote bench pbft-paper --form authenticators --json paper.json")
def pbft_paper(
    form: Annotated[
        str | None, typer.Option("--form", metavar="FORM", help="signatures or authenticators. Default: both.")
    ] = None,
    channel: Annotated[str, typer.Option(metavar="KIND", help="plain, as the paper has it, or tls.")] = "plain",
    operations: Annotated[int, typer.Option(metavar="N", help="Of each kind and size, one at a time.")] = 200,
    seconds: Annotated[float, typer.Option(metavar="S", help="Of each measurement of throughput.")] = 2.0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
) -> int:
    """Castro and Liskov's micro-benchmarks, as ratios beside theirs, and beside an analytic model."""
    from outvote.cli.bench_paper import run_benchmark

    return run_benchmark(form, channel, operations, seconds, json_file)
