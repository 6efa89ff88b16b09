"""A primary that is slow but not silent, or serves everybody but one client, is found out by its backups.

A backup knows of some requests before they are proposed: clients show every 16th to all, and whatever waits too long.
It measures for how long the primary keeps the oldest of them waiting while nothing stands in between: no proposal is
under way, or proposals go by that had room for it. What it allows is measured as well: about the time that the replicas
take to agree, which the primary alone cannot stretch. What goes beyond is a debt, and good service pays it back; over
one view timeout of debt, the backup complains, and who finds f + 1 complaints, its own among them, leaves the view.

After Aardvark (Clement et al., NSDI 2009): a view must do at least 90 % as well as the best of the last n, and the
demand is raised step by step while it lasts, but only by what is measured under demand. After Prime (Amir et al., DSN
2008): what a primary owes is measured against what the network does, so a slow network deposes nobody. Each rotation
doubles the debt that is borne, up to the limit of the view timer's own growth, and calm halves it again: so a cluster
settles on a primary that serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from outvote.core.contract import ALL, Request
from outvote.core.request_pool import REQUESTS_MAX
from outvote.protocols.pbft.config import PbftConfig
from outvote.protocols.pbft.messages import Complaint, Forward, PrePrepare
from outvote.types import NEVER, ClientId, Nanos, Position, ReplicaId, Seal, Size, View

if TYPE_CHECKING:
    from outvote.protocols.pbft.state import State

EVERYBODY: Final = 0  # no client's number: the debt for keeping all waiting
EIGHTHS: Final = 8  # tolerance is counted in eighths of the time that agreement takes
TOLERANCE_FIRST: Final = 2 * EIGHTHS  # when a view begins
TOLERANCE_LAST: Final = EIGHTHS  # once the demand is raised in full, where all other views did no better
TOLERANCE_MIN: Final = 3 * EIGHTHS // 4  # where there is no other view, or however well it did: honest ones take half
FLOOR_PERCENT: Final = 90  # of the throughput of the best of the last n views
ROUNDS_MIN: Final = 16  # measured in a view, before it counts as an example
STEP_TIMEOUTS: Final = 1  # view timeouts between two steps of the demand
SLACK_SHARE: Final = 500  # of the view timeout, 2 ms of 1 s, are always allowed: schedulers, collectors of garbage
HICCUP_SHARE: Final = 2  # one wait counts half a budget at most: a single one is the view timer's affair
CALM_BUDGETS: Final = 16  # so many budgets without a complaint, and rotations count for half
DEBTORS_MAX: Final = 256  # clients to whom this primary owes; for more there is the view timer


class Performance:
    """What one backup has measured. All times are its own clock's."""

    __slots__ = (
        "agreed_ns", "agreement_ns", "awaits", "calm_at", "complained", "complaints", "debts", "forward_at",
        "full_passes", "kept_ns", "passes", "past", "proposed_at", "rotations", "rounds", "said_at", "stepped_at",
        "tolerance", "view", "waits", "waits_since",
    )

    def __init__(self) -> None:
        self.agreement_ns: Nanos = 0  # from a proposal's arrival to its answers, smoothed; 0: not measured yet
        self.past: list[int] = []  # of the last n views: a mean wait, in eighths of a mean agreement
        self.rotations = 0  # views left for slowness, less what calm has halved
        self.calm_at: Nanos = NEVER
        self.complaints: dict[ReplicaId, View] = {}  # the last of each
        self.proposed_at: dict[Position, Nanos] = {}
        self.begin_view(-1, 0)

    def begin_view(self, view: View, now: Nanos) -> None:
        self.view = view
        self.tolerance = TOLERANCE_FIRST
        self.stepped_at: Nanos = now
        self.debts: dict[ClientId, Nanos] = {}
        self.awaits: tuple[ClientId, int] | None = None  # the request that is watched
        self.waits_since: Nanos = NEVER  # the primary keeps it waiting, and this is from when on
        self.passes = 0  # proposals that had room for it and left it out
        self.full_passes = 0  # proposals that had none
        self.forward_at: Nanos = 0  # when the primary may be told of it again
        self.complained = False
        self.said_at: Nanos = 0
        self.kept_ns: Nanos = 0  # waiting, in so many
        self.waits = 0
        self.agreed_ns: Nanos = 0  # between proposal and answers, in so many
        self.rounds = 0
        self.proposed_at.clear()

    def end_view(self, views_max: int) -> None:
        """Remember how well it did, if it was long enough to tell."""
        if min(self.rounds, self.waits) >= ROUNDS_MIN and self.agreed_ns:
            self.past.append(EIGHTHS * self.kept_ns * self.rounds // (self.agreed_ns * self.waits))
            del self.past[:-views_max]

    def sizes(self, n: int, window: int) -> Iterator[Size]:
        """What is held, and its limits."""
        yield "complaints", len(self.complaints), n
        yield "proposals measured", len(self.proposed_at), window
        yield "clients to whom the primary owes", len(self.debts), DEBTORS_MAX + 1
        yield "past views measured", len(self.past), n


def budget_ns(performance: Performance, config: PbftConfig) -> Nanos:
    """The debt that is borne: grows with rotations, and no further than the view timer does."""
    return min(config.view_timeout_ns << performance.rotations, config.view_timeout_ns * config.view_timeout_growth_max)


def allowance_ns(performance: Performance, config: PbftConfig) -> Nanos:
    """How long the primary may keep a request waiting before it counts."""
    slack = config.view_timeout_ns // SLACK_SHARE
    if not performance.agreement_ns:
        return config.view_timeout_ns // 4
    tolerance = performance.tolerance * (1 + performance.rotations)
    return min(max(performance.agreement_ns * tolerance // EIGHTHS, slack), config.view_timeout_ns)


def tolerance_floor(performance: Performance) -> int:
    """With k waiting and a agreeing, throughput is 1 / (a + k): 90 % of the best view allows (a + k_best) / 0.9 - a."""
    if not performance.past:
        return TOLERANCE_MIN
    allowed = -(-(EIGHTHS + min(performance.past)) * 100 // FLOOR_PERCENT) - EIGHTHS
    return max(TOLERANCE_MIN, min(allowed, TOLERANCE_LAST))


def full(message: PrePrepare, config: PbftConfig) -> bool:
    """Whether the batch may have had no room for another request: the largest is a quarter of its bytes."""
    requests = message.batch.requests
    return (
        len(requests) >= config.batch_requests_max
        or 2 * sum(request.size_bytes() for request in requests) >= config.batch_bytes_max
    )


def passed_over(performance: Performance, config: PbftConfig) -> bool:
    """Proposals may have been on their way already; and a whole pool may stand before it in full ones."""
    return (
        performance.passes > 1 + config.pipeline
        or performance.full_passes > 1 + REQUESTS_MAX // config.batch_requests_max
    )


def proposed(state: State, message: PrePrepare) -> None:
    """A proposal was accepted; told before its requests are marked as proposed."""
    performance = state.performance
    position = message.position
    if len(performance.proposed_at) >= state.config.window:  # some were never delivered: a state was fetched over them
        gone = max(state.delivered, state.low)
        performance.proposed_at = {at: when for at, when in performance.proposed_at.items() if at > gone}
    performance.proposed_at.setdefault(position, state.now)
    if performance.awaits is None or position <= state.required_end:
        return
    if any(request.key == performance.awaits for request in message.batch.requests):
        settle_wait(state)
        performance.awaits = None
    elif any(request.client == performance.awaits[0] for request in message.batch.requests):
        return  # its client is served, and has its share: a flood may wait for itself
    elif full(message, state.config):
        performance.full_passes += 1
    else:
        performance.passes += 1


def answered(state: State, position: Position) -> None:
    """Delivered, or executed tentatively: how long agreement took is what the primary's own part is compared with."""
    performance = state.performance
    began = performance.proposed_at.pop(position, None)
    if began is None:
        return
    took = min(state.now - began, state.config.view_timeout_ns)
    if performance.agreement_ns:
        performance.agreement_ns += (took - performance.agreement_ns) // 8
    else:
        performance.agreement_ns = took
    performance.agreed_ns += took
    performance.rounds += 1


def settle_wait(state: State) -> None:
    """The request that was watched is proposed, or something excuses the primary: what it owes for the wait."""
    performance = state.performance
    assert performance.awaits is not None
    client = performance.awaits[0]
    waited = 0 if performance.waits_since == NEVER else state.now - performance.waits_since
    performance.waits_since = NEVER
    performance.kept_ns += waited
    performance.waits += 1
    excess = waited - allowance_ns(performance, state.config)
    excess = min(excess, budget_ns(performance, state.config) // HICCUP_SHARE)
    if passed_over(performance, state.config):
        owe(performance, client, excess)
        return
    owe(performance, EVERYBODY, excess)
    if excess < 0:
        owe(performance, client, excess)


def owe(performance: Performance, whom: ClientId, excess: Nanos) -> None:
    """Above nothing; so good service in the past is no leave to be slow."""
    debts = performance.debts
    debt = debts.get(whom, 0) + excess
    if debt <= 0:
        debts.pop(whom, None)
    elif whom in debts or whom == EVERYBODY or len(debts) < DEBTORS_MAX:
        debts[whom] = debt


def observe(state: State) -> bool:
    """After every turn of the core. True: f + 1 have complained of this primary, this replica among them."""
    performance = state.performance
    if performance.view != state.view:
        performance.end_view(state.committee.n)
        performance.begin_view(state.view, state.now)
        performance.calm_at = state.now + CALM_BUDGETS * budget_ns(performance, state.config)
    if not state.active or state.leads() or state.fetching is not None:
        performance.awaits = None
        performance.waits_since = NEVER
        return False
    watch(state)
    raise_demand(state)
    return complain(state)


def watch(state: State) -> None:
    performance = state.performance
    oldest = state.pool.oldest_unproposed()
    if oldest is None or oldest.key != performance.awaits:
        # Executed by another way than a proposal of this view, or pushed out: nobody is to blame for a wait that ends.
        performance.waits_since = NEVER
        performance.awaits = None if oldest is None else oldest.key
        performance.passes = performance.full_passes = 0
    if oldest is None:
        return
    if excused(state):
        if performance.waits_since != NEVER:
            settle_wait(state)
        return
    performance.waits_since = min(performance.waits_since, state.now)
    if passed_over(performance, state.config):
        forward_again(state, oldest)


def excused(state: State) -> bool:
    """Whether the primary has a reason not to propose just now: it is bound by O, the window is full, or a proposal is
    under way and whatever waits goes into the next one."""
    if state.delivered < state.required_end or max(state.accepted_end, state.delivered) >= state.high:
        return True
    return state.accepted_end > state.answered and not passed_over(state.performance, state.config)


def forward_again(state: State, request: Request) -> None:
    """It may never have heard of it: hints are lost, and clients may lie to it."""
    performance = state.performance
    if state.now < performance.forward_at:
        return
    performance.forward_at = state.now + state.config.status_interval_ns
    state.out.hints.append((state.leader(), Forward(request)))


def raise_demand(state: State) -> None:
    """Step by step down to what the best view allows; and back to patience a calm time after a rotation."""
    performance, config = state.performance, state.config
    if performance.rounds and state.now - performance.stepped_at >= STEP_TIMEOUTS * config.view_timeout_ns:
        performance.stepped_at = state.now
        performance.tolerance = max(performance.tolerance - 1, tolerance_floor(performance))
    if performance.rotations and state.now >= performance.calm_at:
        performance.rotations //= 2
        performance.calm_at = state.now + CALM_BUDGETS * budget_ns(performance, config)


def complain(state: State) -> bool:
    performance = state.performance
    if not performance.complained:
        if max(performance.debts.values(), default=0) <= budget_ns(performance, state.config):
            return False
        performance.complained = True
        performance.said_at = -NEVER
    if state.now - performance.said_at >= state.config.status_interval_ns:
        performance.said_at = state.now
        state.out.hints.append((ALL, Complaint(state.view)))
    others = sum(1 for view in performance.complaints.values() if view == state.view)
    if 1 + others < state.committee.weak:
        return False
    performance.rotations = min(performance.rotations + 1, state.config.view_timeout_growth_max.bit_length())
    return True


def on_complaint(state: State, sender: ReplicaId, message: Complaint, _seal: Seal) -> None:
    """Counted by `observe`; who has nothing to complain of goes along only when f + 1 have left the view."""
    state.performance.complaints[sender] = message.view


def admits_complaint(state: State, sender: ReplicaId, message: Complaint) -> bool:
    """Of the current view, and not of a primary over itself."""
    return message.view == state.view and state.active and sender not in (state.me, state.leader())
