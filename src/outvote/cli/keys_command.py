"""`outvote keys`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outvote.cli.options import DIRECTORY, AsJson, Cluster, Directory, ProtocolName

app = typer.Typer(
    help="Keys that are made where they are used.",
    no_args_is_help=True,
    epilog="On each replica's machine: outvote keys offer bank --replica 2 --host c.example\n\n"
    "Then, with all the offers: outvote init bank --offer replica-0.offer.toml --offer replica-1.offer.toml ...",
)


@app.command(epilog="Example: outvote keys offer bank --replica 2 --host c.example:7001 --protocol honeybadger")
def offer(
    directory: Directory = DIRECTORY,
    *,
    replica: Annotated[int, typer.Option("--replica", "-r", metavar="N", help="Which replica this is, from 0.")],
    host: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="Where it will listen. Default port: 7000 + N.")],
    protocol: ProtocolName = "pbft",
) -> int:
    """Make one replica's keys here, and a public file of them for whoever makes the cluster."""
    from outvote.cli.keys import offer as make_offer

    return make_offer(directory, replica, host, protocol)


@app.command(epilog="Exit code 1: it is not what the replicas of this cluster agreed on.")
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A replica's threshold.transcript. Default: the first in the cluster's."),
    ] = None,
    cluster: Cluster = DIRECTORY,
    as_json: AsJson = False,
) -> int:
    """Check, offline, how a cluster's threshold keys were made: only cluster.toml is needed."""
    from outvote.cli.keys import verify as verify_transcript

    return verify_transcript(file, cluster, as_json)
