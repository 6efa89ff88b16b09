"""Raft's rules turned off one by one: each is missed by the swarm, within a few seeds from where a survey found it, or
by a script.

Numbers are the test plan's. The survey went through seeds 0 to 39 with each bug planted; what no seed there missed is
left to scripts, which play the scenario that the rule is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import test_raft_conf_crash
import test_raft_fig8
import test_raft_lease_clockjump
import test_raft_membership_ongaro
import test_raft_prevote_lowterm
import test_raft_readindex_dup
import test_raft_repair
import test_raft_replication
import test_raft_witnesses
from planted import raft_rules
from planted.turned_off import TurnedOff

BUDGET_RUNS: Final = 30

# By name: the first seed that missed the rule.
SWARM: Final[dict[str, int]] = {
    "vote_without_a_look_at_the_log": 14,  # 61
    "second_vote_in_a_term": 7,
    "vote_not_recorded": 2,  # 62
    "term_not_in_the_summary": 0,
    "entries_not_in_the_summary": 4,
    "majority_of_one_less": 0,
    "elected_by_one_less": 6,
    "stale_vote_counted": 6,
    "previous_term_not_compared": 3,
    "truncates_without_conflict": 1,  # 63
    "acknowledged_before_it_is_durable": 0,  # 64
    "commits_beyond_what_was_compared": 8,
    "leader_counts_what_is_not_durable": 4,
    "snapshot_without_its_term": 24,
    "refusal_of_a_pre_vote_without_its_term": 29,  # 67
    "age_counted_from_the_answer": 0,
    "truncates_at_the_damage": 38,  # 71
    "acknowledges_what_it_cannot_read": 38,  # 71
    "witness_leads": 108,  # 66
    "witness_forgets_what_it_acknowledged": 9,  # 66
}


def ongaro() -> None:
    for case in test_raft_membership_ongaro.CASES:
        test_raft_membership_ongaro.test_no_two_configurations_elect_leaders_of_their_own(case)


SCRIPTS: Final[dict[str, Callable[[], None]]] = {
    "commit_of_an_older_term_by_counting":  # 60
        test_raft_fig8.test_an_entry_of_an_earlier_term_is_not_committed_by_counting,
    "vote_for_the_longer_log": test_raft_replication.test_a_longer_log_of_an_earlier_term_wins_no_vote,
    "acknowledges_its_whole_log": test_raft_replication.test_it_acknowledges_no_more_than_was_compared,
    "snapshot_before_it_is_durable":
        test_raft_replication.test_a_follower_far_behind_is_offered_a_state_and_acknowledges_it_when_it_is_durable,
    "change_before_the_term_has_begun": ongaro,  # 65
    "learner_counted": test_raft_replication.test_a_learner_counts_for_nothing_and_has_everything,  # 66
    "handing_over_waits_for_pre_votes":
        test_raft_prevote_lowterm.test_handing_over_bypasses_pre_vote_and_the_live_leader,
    "read_before_the_term_has_begun":  # 68
        test_raft_readindex_dup.test_a_leader_answers_nothing_of_former_terms_before_its_own_has_begun,
    "read_confirmed_by_an_earlier_round": test_raft_readindex_dup.test_a_leader_that_was_deposed_confirms_nothing,
    "read_without_confirmation": test_raft_readindex_dup.test_a_leader_that_was_deposed_confirms_nothing,
    "context_used_again": test_raft_readindex_dup.test_an_answer_held_back_confirms_no_later_attempt,  # 68
    "lease_as_long_as_it_leads": test_raft_lease_clockjump.test_it_ends_unless_a_majority_answers,  # 69
    "lease_kept_while_handing_over": test_raft_lease_clockjump.test_it_ends_when_it_is_handed_over,  # 69
    "discards_what_one_does_not_have": test_raft_repair.test_one_that_does_not_have_it_is_not_enough,  # 71
    "nobody_leads_but_voters":
        test_raft_membership_ongaro.test_who_votes_no_longer_leads_on_until_that_is_certain,
    "witness_told_at_once": test_raft_witnesses.test_a_leader_that_fails_can_be_replaced_by_whoever_was_up,  # 66
    "configuration_not_in_the_snapshot":  # 70
        test_raft_conf_crash.test_a_configuration_survives_the_compaction_of_the_log_that_held_it,
}


RULES: Final = TurnedOff("raft", raft_rules, SWARM, SCRIPTS, BUDGET_RUNS, pieces=("handle",))


@pytest.mark.parametrize("name", SWARM)
def test_the_swarm_finds_it(name: str) -> None:
    RULES.is_found_by_the_swarm(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_finds_it(name: str) -> None:
    RULES.is_found_by_its_script(name)


def test_every_rule_that_is_turned_off_is_looked_for() -> None:
    RULES.leaves_nothing_out()
