"""The process beside a replica that does its jobs: `python -m outvote.cli.worker DIRECTORY REPLICA`.

Started by the replica, and ends with it: when its standard input does.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from outvote.cli.serve import core_of
from outvote.configuration.files import load_genesis, load_replica_keys
from outvote.host.jobs import work
from outvote.protocols.catalogue import protocol


def main(arguments: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the replica
    directory, replica = Path(arguments[0]), int(arguments[1])
    genesis = load_genesis(directory)
    core = core_of(genesis, protocol(genesis.entry), load_replica_keys(directory, replica, genesis))
    work(core, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(sys.argv[1:])
