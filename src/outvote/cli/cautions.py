"""What is said loudly wherever such a cluster is made, started or looked at."""

from __future__ import annotations

from typing import Final

CRASHES_ONLY: Final = "WARNING: this protocol tolerates crashes only. ONE LYING OR BROKEN MACHINE BREAKS IT"
PLAIN_WARNING: Final = (
    'WARNING: channel = "plain": whoever sees the network reads every request and every answer. Nobody can change '
    "them, since each record carries a MAC; but nothing is secret. Use it on a network of your own, or leave TLS on."
)
