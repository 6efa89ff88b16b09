"""A seed's run as a page to look at."""

from pathlib import Path

from outvote.diagram.page import page
from outvote.diagram.story import Story
from outvote.simulator.runs import run_seed

chronicle = run_seed("pbft", 17, chronicle=True).chronicle
if chronicle is not None:
    Path("run.html").write_text(page(Story(chronicle, hidden=("Status",))), encoding="utf-8")
