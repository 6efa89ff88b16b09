"""The process beside a replica that does its jobs: `python -m outvote.cli.worker DIRECTORY REPLICA`.

Started by the replica, and ends with it: when its standard input does.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outvote.cli.keys import LOOK_EVERY_S, TRANSCRIPT_FILE, transcript_from_file, transcript_of
from outvote.cli.serve import core_of, entry_of
from outvote.configuration.files import load_genesis, load_replica_keys, replica_directory
from outvote.core.contract import Core, Job
from outvote.errors import Mistake
from outvote.host.jobs import work
from outvote.protocols.catalogue import protocol
from outvote.protocols.honeybadger.foundation import Foundation

TRANSCRIPT_WITHIN_S: Final = 10.0


def main(arguments: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the replica
    directory, replica = Path(arguments[0]), int(arguments[1])
    genesis = load_genesis(directory)
    entry = entry_of(genesis)
    core = core_of(genesis, entry, load_replica_keys(directory, replica, genesis))
    if entry is protocol(genesis.entry):
        work(core.compute, sys.stdin.fileno(), sys.stdout.fileno())
    else:
        made = KeysThatWereMade(core, replica_directory(directory, replica))
        work(made.compute, sys.stdin.fileno(), sys.stdout.fileno())


class KeysThatWereMade:
    """Of a cluster whose replicas made them: they follow from the transcript, which is there when there are jobs, or a
    moment later."""

    def __init__(self, core: Core, folder: Path) -> None:
        self._core = core
        self._folder = folder
        self._there = False

    def compute(self, job: Job) -> bytes:
        if not self._there:
            self._take_over()
        return self._core.compute(job)

    def _take_over(self) -> None:
        """Ends the process if our share does not follow from it: the replica then does its jobs itself."""
        deadline = time.monotonic() + TRANSCRIPT_WITHIN_S
        while not (self._folder / TRANSCRIPT_FILE).exists() and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S / 4)
        self._core.restore(0, b"", [Foundation(transcript_from_file(self._folder / TRANSCRIPT_FILE))])
        self._there = transcript_of(self._core) is not None
        if not self._there:
            raise Mistake("the share of the threshold keys does not follow from their transcript")


if __name__ == "__main__":
    main(sys.argv[1:])
