"""The rounds of HoneyBadger: which step of which epoch a message belongs to, as campaigns of systematic faults count
them. Replicas do not import this file.

The steps of an agreement's later rounds count as those of its first: there is no telling how many the coin makes of it.
"""

from __future__ import annotations

from typing import Final

from outvote.broadcast.binary_agreement import Aux, BVal, CoinShare, Conf, Term
from outvote.broadcast.component import Body
from outvote.broadcast.reliable import Echo, Ready, Val
from outvote.broadcast.threshold_encryption import DecryptionShare
from outvote.core.contract import Message
from outvote.protocols.honeybadger.messages import Agreeing, Broadcasting, Decrypting

_PHASES: Final[dict[type[Body], int]] = {
    Val: 0, Echo: 1, Ready: 2, BVal: 3, Aux: 4, Conf: 5, CoinShare: 6, Term: 6, DecryptionShare: 7,
}
PHASES: Final = 8


def round_of(message: Message) -> int | None:
    """`(epoch - 1) * PHASES + phase`; None for what belongs to no epoch's work: questions, outputs, checkpoints."""
    if not isinstance(message, Broadcasting | Agreeing | Decrypting):
        return None
    return (message.epoch - 1) * PHASES + _PHASES[type(message.body)]
