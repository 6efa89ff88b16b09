"""An honest replica of `outvote demo`: what `outvote run` runs, and no more, in a process that ends with the demo.

Started as `python -m outvote.cli.demo_replica DIRECTORY REPLICA`. Standard input is a pipe that nobody writes to: its
end says that the demo is gone, however it went, so no replica outlives it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from outvote.cli.serve import run_replica
from outvote.cli.traitor import read_orders, sentence_or_silence
from outvote.types import ReplicaId


def run_honest(directory: Path, replica: ReplicaId) -> None:
    """Raises what `run_replica` raises."""
    read_orders(lambda _: None, lambda: os._exit(0))
    run_replica(directory, replica)


if __name__ == "__main__":
    sys.exit(sentence_or_silence(run_honest))
