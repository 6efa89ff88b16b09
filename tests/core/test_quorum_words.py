"""What `outvote explain` says of a size, for each case that has words of its own."""

from __future__ import annotations

import pytest

from outvote.core.quorums import explain


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (1, "A quorum of 0 would decide without anybody."),
        (1, "One replica alone tolerates nothing; the next step is 4."),
        (2, "1 would not do: two such sets need not share anybody, so each could decide alone."),
        (2, "2 replicas buy no more liars than 1: still 0, with a quorum of 2 instead of 1, and no more of them may"),
        (3, "with a quorum of 2 instead of 1, though 1 more may be silent; the next step is 4."),
        (4, "2 would not do: two such sets need not share anybody, so each could decide alone."),
        (4, "4 is the smallest size for f = 1: one replica less would tolerate fewer liars; the next step is 7."),
        (5, "with a quorum of 4 instead of 3, and no more of them may be silent; the next step is 7."),
        (6, "6 replicas buy no more liars than 4: still 1, with a quorum of 4 instead of 3, though 1 more may be"),
        (7, "4 would not do: two such sets share as few as 2 * 4 - 7 = 1, and if that one lies to each set"),
        (10, "6 would not do: two such sets share as few as 2 * 6 - 10 = 2, and if those 2 lie to each set"),
        (12, "12 replicas buy no more liars than 10: still 3, with a quorum of 8 instead of 7, though 1 more may be"),
    ],
)
def test_each_case_has_its_words(n: int, words: str) -> None:
    assert words in str(explain(n))
