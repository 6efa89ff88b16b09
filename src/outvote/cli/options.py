"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

_VARIABLE: Final = "OUTVOTE_CLUSTER"
DIRECTORY: Final = Path("outvote-cluster")  # unless the variable or an option says otherwise


def _without_file_name(path: Path) -> Path:
    """Who names cluster.toml itself means the directory that it lies in."""
    return path.parent if path.name == "cluster.toml" else path


Directory = Annotated[
    Path,
    typer.Argument(
        metavar="[DIR]", envvar=_VARIABLE, callback=_without_file_name, help="The cluster's directory."
    ),
]
Cluster = Annotated[
    Path,
    typer.Option(
        "--cluster",
        "-C",
        metavar="DIR",
        envvar=_VARIABLE,
        callback=_without_file_name,
        help="The cluster's directory.",
    ),
]
Client = Annotated[
    str | None,
    typer.Option(
        "--client", metavar="NAME", help="Whose keys to use, if the directory holds several clients'."
    ),
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for an answer.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
ReceiptFile = Annotated[
    Path | None,
    typer.Option(
        "--receipt", metavar="FILE", help="Save the replicas' proof of the answer; see outvote verify."
    ),
]
Machine = Annotated[
    str | None, typer.Option("--machine", metavar="MODULE:CLASS", help="The class to replicate.")
]
Replicas = Annotated[
    int | None, typer.Option("--replicas", "-n", metavar="N", help="How many replicas. Default: 4, on Raft 3.")
]
Key = Annotated[str, typer.Argument(metavar="KEY")]
Value = Annotated[str, typer.Argument(metavar="VALUE")]
ProtocolName = Annotated[str, typer.Option("--protocol", metavar="NAME", help="The consensus protocol.")]
Form = Annotated[
    str | None,
    typer.Option(
        "--form", metavar="FORM", help="signatures, or authenticators: MACs instead of them. Default: signatures."
    ),
]
Channel = Annotated[
    str | None,
    typer.Option("--channel", metavar="KIND", help="tls, or plain: TCP with MACs, readable by anybody. Default: tls."),
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes. Default: one a core.")]
DaskAddress = Annotated[
    str,
    typer.Option("--dask", metavar="ADDRESS", help="Use the workers of this Dask scheduler, as tcp://host:8786."),
]
