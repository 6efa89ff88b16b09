"""Every checker; a run has one of each."""

from __future__ import annotations

from typing import Final

from outvote.simulator.checkers.accusations import Accusations
from outvote.simulator.checkers.bounds import Bounds
from outvote.simulator.checkers.certificates import Certificates
from outvote.simulator.checkers.checker import Checker
from outvote.simulator.checkers.decisions import Decisions
from outvote.simulator.checkers.digests import Digests
from outvote.simulator.checkers.double_sign import DoubleSign
from outvote.simulator.checkers.durability import Durability
from outvote.simulator.checkers.eras import Eras
from outvote.simulator.checkers.exactly_once import ExactlyOnce
from outvote.simulator.checkers.false_lies import FalseLies
from outvote.simulator.checkers.logs import Logs
from outvote.simulator.checkers.memory import Memory
from outvote.simulator.checkers.monotonic import Monotonic
from outvote.simulator.checkers.order import Order
from outvote.simulator.checkers.pace import Pace
from outvote.simulator.checkers.promises import Promises
from outvote.simulator.checkers.real_time import RealTime
from outvote.simulator.checkers.reference import Reference
from outvote.simulator.checkers.reply_table import ReplyTable
from outvote.simulator.checkers.secrecy import Secrecy
from outvote.simulator.checkers.snapshots import Snapshots
from outvote.simulator.checkers.stable_states import StableStates
from outvote.simulator.checkers.staleness import Staleness
from outvote.simulator.checkers.storms import Storms
from outvote.simulator.checkers.validity import Validity

CHECKERS: Final[tuple[type[Checker], ...]] = (
    Order, Validity, ExactlyOnce, ReplyTable, Digests, Snapshots, Reference, Certificates, Decisions, StableStates,
    DoubleSign, Promises, Memory, Monotonic, FalseLies, Accusations, Bounds, Durability, Logs, RealTime, Staleness,
    Storms, Pace, Secrecy, Eras,
)
