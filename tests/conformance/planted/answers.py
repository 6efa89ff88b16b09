"""Rules of reads, digests and tentative answers, turned off."""

from __future__ import annotations

import pytest

from outvote.client import session, votes
from outvote.client.reads import Reads
from outvote.core.contract import Delivery
from outvote.host.tentative import Tentative
from outvote.host.turn import Turn
from outvote.protocols.pbft import reads as pbft_reads
from outvote.protocols.pbft.messages import BriefPrePrepare
from outvote.protocols.pbft.state import State
from outvote.types import ReplicaId, Seal
from planted.bug import handle


def briefs_without_timer(patch: pytest.MonkeyPatch) -> None:
    """A proposal whose bodies are missing is kept, and nothing waits for it."""

    def on_brief(state: State, sender: ReplicaId, message: BriefPrePrepare, seal: Seal) -> None:
        state.briefs.setdefault(message.position, (message, seal))

    handle(patch, BriefPrePrepare, on_brief)


def reads_of_f_plus_1(patch: pytest.MonkeyPatch) -> None:
    """A read is believed like an ordered answer: of replicas that may both be behind."""
    original = Reads.receive

    def receive(client: Reads, *arguments: object) -> object:
        client._enough = client._committee.weak
        return original(client, *arguments)  # type: ignore[arg-type]

    patch.setattr(Reads, "receive", receive)


def reads_of_any_position(patch: pytest.MonkeyPatch) -> None:
    """Equal results are enough, whatever state they are of."""
    original = votes.said_of
    patch.setattr(
        "outvote.client.reads.said_of", lambda position, results, digest: original(0, results, digest)
    )


def writes_of_f_plus_1(patch: pytest.MonkeyPatch) -> None:
    """Though clients read beside the order."""
    patch.setattr(session.Session, "needed", property(lambda client: client.committee.weak))


def nobody_pushes(patch: pytest.MonkeyPatch) -> None:
    """Whoever is asked again repeats its answer and tells no other replica."""
    patch.setattr(pbft_reads, "push", lambda state, position: None)


def read_after_restart_at_once(patch: pytest.MonkeyPatch) -> None:
    """A replica that comes back lets clients read what its disk remembers."""
    patch.setattr(pbft_reads, "begin_asking", lambda state: None)


def whole_results_unverified(patch: pytest.MonkeyPatch) -> None:
    """Results are believed beside the digests of others, whatever they hash to."""

    def said_of(position: int, results: votes.Results, digest: bytes) -> tuple[votes.Said, votes.Results | None]:
        return (position, b"large"), None if digest else results

    patch.setattr(session, "said_of", said_of)


def tentative_counts_as_final(patch: pytest.MonkeyPatch) -> None:
    """f + 1 tentative answers are believed."""
    original = votes.Votes.add

    def add(
        box: votes.Votes, replica: int, said: votes.Said, results: votes.Results | None, seal: bytes = b"",
        tentative: bool = False,
    ) -> votes.Group | None:
        return original(box, replica, said, results, seal, False)

    patch.setattr(votes.Votes, "add", add)


def tentative_never_undone(patch: pytest.MonkeyPatch) -> None:
    """What a view change takes back stays executed."""
    patch.setattr(Tentative, "undo", lambda tentative: setattr(tentative, "_ahead", None))


def tentative_said_before_durable(patch: pytest.MonkeyPatch) -> None:
    """Tentative answers do not wait for the certificate that they stand on."""
    original = Turn._execute_tentatively

    def execute(turn: Turn, delivery: Delivery) -> None:
        original(turn, delivery)
        while turn._unsaid:
            turn._say_tentatively(*turn._unsaid.popleft()[1:])

    patch.setattr(Turn, "_execute_tentatively", execute)
