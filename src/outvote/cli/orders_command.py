"""`outvote hand-over` and `outvote change-voters`: their options and help."""

from __future__ import annotations

from typing import Annotated

import typer

from outvote.cli.options import DIRECTORY, AsJson, Client, Cluster, Timeout


def hand_over(
    successor: Annotated[int, typer.Argument(metavar="REPLICA", help="Who shall lead.")],
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
) -> int:
    """Raft: have another replica lead, at once and without an election timeout."""
    from outvote.cli import orders

    return orders.hand_over(cluster, client, successor, timeout, as_json)


def change_voters(
    voters: Annotated[str, typer.Argument(metavar="A,B,...", help="Which replicas vote; the others learn.")],
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
) -> int:
    """Raft: change which replicas vote, by joint consensus, while the cluster works."""
    from outvote.cli import orders

    return orders.change_voters(cluster, client, voters, timeout, as_json)


def add_to(app: typer.Typer, panel: str) -> None:
    handing, changing = "Before a machine is serviced: outvote hand-over 2", "Example: outvote change-voters 0,1,2"
    app.command("hand-over", rich_help_panel=panel, epilog=handing)(hand_over)
    app.command("change-voters", rich_help_panel=panel, epilog=changing)(change_voters)
