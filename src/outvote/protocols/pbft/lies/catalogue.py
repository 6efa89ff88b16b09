"""What a lying PBFT replica could say instead of the truth, one lie a file. Used by adversaries only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outvote.core.occasion import Lie
from outvote.protocols.pbft.lies.ancient_proofs import ancient_proofs
from outvote.protocols.pbft.lies.both_votes import both_votes
from outvote.protocols.pbft.lies.changed_new_views import changed_new_views
from outvote.protocols.pbft.lies.claimed_certificates import claimed_certificates
from outvote.protocols.pbft.lies.claims_ahead import claims_ahead
from outvote.protocols.pbft.lies.claims_behind import claims_behind
from outvote.protocols.pbft.lies.cut_new_views import cut_new_views
from outvote.protocols.pbft.lies.doubled_new_views import doubled_new_views
from outvote.protocols.pbft.lies.empty_batches import empty_batches
from outvote.protocols.pbft.lies.false_decisions import false_decisions
from outvote.protocols.pbft.lies.far_numbers import far_numbers
from outvote.protocols.pbft.lies.forgotten_certificates import forgotten_certificates
from outvote.protocols.pbft.lies.gaps import gaps
from outvote.protocols.pbft.lies.hurried_views import hurried_views
from outvote.protocols.pbft.lies.invented_requests import invented_requests
from outvote.protocols.pbft.lies.mixed_new_views import mixed_new_views
from outvote.protocols.pbft.lies.null_new_views import null_new_views
from outvote.protocols.pbft.lies.other_votes import other_votes
from outvote.protocols.pbft.lies.repeated_requests import repeated_requests
from outvote.protocols.pbft.lies.shuffled_batches import shuffled_batches
from outvote.protocols.pbft.lies.skewed_times import skewed_times
from outvote.protocols.pbft.lies.spoiled_requests import spoiled_requests
from outvote.protocols.pbft.lies.stale_certificates import stale_certificates
from outvote.protocols.pbft.lies.starved_client import starved_client
from outvote.protocols.pbft.lies.thin_new_views import thin_new_views
from outvote.protocols.pbft.lies.wrong_checkpoints import wrong_checkpoints

LIES: Final[Mapping[str, Lie]] = {
    "skewed-times": skewed_times,
    "invented-requests": invented_requests,
    "spoiled-requests": spoiled_requests,
    "empty-batches": empty_batches,
    "shuffled-batches": shuffled_batches,
    "starved-client": starved_client,
    "repeated-requests": repeated_requests,
    "gaps": gaps,
    "far-numbers": far_numbers,
    "hurried-views": hurried_views,
    "forgotten-certificates": forgotten_certificates,
    "stale-certificates": stale_certificates,
    "claimed-certificates": claimed_certificates,
    "changed-new-views": changed_new_views,
    "cut-new-views": cut_new_views,
    "null-new-views": null_new_views,
    "thin-new-views": thin_new_views,
    "doubled-new-views": doubled_new_views,
    "mixed-new-views": mixed_new_views,
    "wrong-checkpoints": wrong_checkpoints,
    "ancient-proofs": ancient_proofs,
    "false-decisions": false_decisions,
    "claims-ahead": claims_ahead,
    "claims-behind": claims_behind,
    "other-votes": other_votes,
    "both-votes": both_votes,
}
