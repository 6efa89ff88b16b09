"""`outvote hand-over`, `outvote change-voters` and `outvote change-members`: their options and help."""

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


def change_members(
    members: Annotated[str, typer.Argument(metavar="A,B,...", help="Which replicas take part; the others learn.")],
    cluster: Cluster = DIRECTORY,
    client: Client = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> int:
    """HoneyBadger: change which replicas take part, as the owners of a quorum of them wish."""
    from outvote.cli import members as changing

    return changing.change_members(cluster, client, members, timeout, as_json)


def add_to(app: typer.Typer, panel: str) -> None:
    handing, changing = "Before a machine is serviced: outvote hand-over 2", "Example: outvote change-voters 0,1,2"
    app.command("hand-over", rich_help_panel=panel, epilog=handing)(hand_over)
    app.command("change-voters", rich_help_panel=panel, epilog=changing)(change_voters)
    wishing = "On every owner's host: outvote change-members 0,1,2,4"
    app.command("change-members", rich_help_panel=panel, epilog=wishing)(change_members)
