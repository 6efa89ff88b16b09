"""The lies of the form without signatures by name: its own, and those of the other form that quote nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outvote.core.occasion import Lie
from outvote.protocols.pbft.authenticators.lies.changed_choices import changed_choices
from outvote.protocols.pbft.authenticators.lies.false_acks import false_acks
from outvote.protocols.pbft.authenticators.lies.false_stable_words import false_stable_words
from outvote.protocols.pbft.authenticators.lies.forgotten_preparations import forgotten_preparations
from outvote.protocols.pbft.authenticators.lies.forgotten_proposals import forgotten_proposals
from outvote.protocols.pbft.authenticators.lies.hurried_changes import hurried_changes
from outvote.protocols.pbft.authenticators.lies.invented_checkpoints import invented_checkpoints
from outvote.protocols.pbft.authenticators.lies.invented_preparations import invented_preparations
from outvote.protocols.pbft.authenticators.lies.no_acks import no_acks
from outvote.protocols.pbft.authenticators.lies.own_new_views import own_new_views
from outvote.protocols.pbft.authenticators.lies.raised_logs import raised_logs
from outvote.protocols.pbft.authenticators.lies.renewed_preparations import renewed_preparations
from outvote.protocols.pbft.authenticators.lies.thin_new_view_names import thin_new_view_names
from outvote.protocols.pbft.authenticators.lies.unnamed_new_views import unnamed_new_views
from outvote.protocols.pbft.lies.catalogue import LIES as SIGNED_LIES

# Lies about what only the form with signatures says: certificates that are shown, and messages that quote them.
_ABOUT_SEALS: Final = frozenset({
    "hurried-views", "forgotten-certificates", "stale-certificates", "claimed-certificates", "changed-new-views",
    "cut-new-views", "null-new-views", "thin-new-views", "doubled-new-views", "mixed-new-views", "ancient-proofs",
})

LIES: Final[Mapping[str, Lie]] = {
    **{name: lie for name, lie in SIGNED_LIES.items() if name not in _ABOUT_SEALS},
    "invented-preparations": invented_preparations,
    "renewed-preparations": renewed_preparations,
    "forgotten-preparations": forgotten_preparations,
    "forgotten-proposals": forgotten_proposals,
    "invented-checkpoints": invented_checkpoints,
    "raised-logs": raised_logs,
    "false-acks": false_acks,
    "no-acks": no_acks,
    "unnamed-new-views": unnamed_new_views,
    "thin-new-view-names": thin_new_view_names,
    "changed-choices": changed_choices,
    "own-new-views": own_new_views,
    "false-stable-words": false_stable_words,
    "hurried-changes": hurried_changes,
}
