"""The options of `outvote generals`; what it needs is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The Byzantine generals, message by message.",
    invoke_without_command=True,
    epilog="A traitor commands: outvote generals --n 4 --m 1 --traitors 0 --strategy split\n\n"
    "With signatures three are enough: outvote generals --algorithm signed --n 3 --m 1 --traitors A\n\n"
    "Exit code 1: agreement or validity is violated.",
)

Algorithm = Annotated[str, typer.Option(metavar="NAME", help="oral: OM(m); signed: SM(m), with Ed25519.")]
Generals = Annotated[int, typer.Option("--n", "-n", metavar="N", help="Generals, the commander among them; up to 13.")]
Rounds = Annotated[int, typer.Option("--m", "-m", metavar="M", help="Traitors to bear: m + 1 rounds.")]
Seed = Annotated[int, typer.Option(metavar="SEED", help="Another seed, other keys and other random lies.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@app.callback(invoke_without_command=True)
def generals(
    context: typer.Context,
    algorithm: Algorithm = "oral",
    n: Generals = 4,
    m: Rounds = 1,
    traitors: Annotated[
        str, typer.Option(metavar="0,3", help="Who they are: numbers from 0, or letters from A.")
    ] = "",
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="What they say: obey, silent, contrary, split, halves, random, whisper, chains, or a file with a "
            "table of lies, a line each, as 0 3 -> 1: retreat.",
        ),
    ] = "split",
    seed: Seed = 0,
    order: Annotated[str, typer.Option(metavar="ORDER", help="What the commander orders.")] = "attack",
    commander: Annotated[str, typer.Option(metavar="GENERAL", help="Who commands.")] = "0",
    late: Annotated[
        list[str] | None,
        typer.Option(metavar="ROUND:A>B", help="What A says to B in that round comes a round late; repeatable."),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="All propose: a battle each, and the majority of the outcomes.")
    ] = False,
    orders: Annotated[str, typer.Option(metavar="O,O,...", help="What each proposes, with --interactive.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the verdict.")] = False,
    as_json: AsJson = False,
    diagram: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the battle: a page (.html) or a picture (.svg).")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save a commander's two signed orders.")
    ] = None,
) -> int:
    """Play OM(m) or SM(m) with traitors; print every message, each loyal decision and the verdict."""
    if context.invoked_subcommand is not None:
        return 0
    from outvote.cli.generals import Options, run_battle

    return run_battle(
        Options(
            algorithm, n, m, traitors, strategy, seed, order, commander, tuple(late or ()), interactive, orders, quiet,
            as_json, diagram, evidence,
        )
    )


@app.command()
def three(as_json: AsJson = False) -> int:
    """Three generals and one traitor: why no rule helps, by trying them all."""
    from outvote.cli.generals import show_three_generals

    return show_three_generals(as_json)


@app.command(epilog="Six generals do not bear two traitors: outvote generals search --n 6 --m 2 --count 2")
def search(
    algorithm: Algorithm = "oral",
    n: Generals = 6,
    m: Rounds = 2,
    count: Annotated[int, typer.Option(metavar="F", help="How many traitors.")] = 2,
    tries: Annotated[int, typer.Option(metavar="N", help="How many adversaries to draw.")] = 1000,
    seed: Seed = 0,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep its lies for --strategy FILE.")] = None,
) -> int:
    """Draw adversaries until one makes loyal lieutenants disagree; exit code 1 if one does."""
    from outvote.cli.generals import Options, search_traitors

    return search_traitors(Options(algorithm=algorithm, n=n, m=m, seed=seed), count, tries, save)


@app.command()
def costs(as_json: AsJson = False) -> int:
    """Oral beside signed messages: how many, by the formula and by the bound, and what they cost here."""
    from outvote.cli.generals import show_costs

    return show_costs(as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What --evidence saved.")],
    key: Annotated[str, typer.Option(metavar="HEX", help="The commander's public key, from whom you trust.")],
) -> int:
    """Check offline that a commander signed two different orders."""
    from outvote.cli.generals import verify_evidence

    return verify_evidence(file, key)
