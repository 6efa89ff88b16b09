"""Rules of proactive recovery, turned off."""

from __future__ import annotations

import pytest

from outvote.core import quorums, rejuvenation


def recovers_one_too_many(patch: pytest.MonkeyPatch) -> None:
    """f + 1 replicas may be rejuvenated at once."""
    patch.setattr(rejuvenation, "faults", lambda n: quorums.faults(n) + 1)
