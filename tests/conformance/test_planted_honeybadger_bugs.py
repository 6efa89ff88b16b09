"""HoneyBadger's rules turned off one by one: each is missed by the swarm, within a few seeds from where a survey found
it, or by a script.

Numbers are the test plan's. The survey went through seeds 0 to 39 with each bug planted; what no seed there missed is
left to scripts: an attack that the rule is for, or a property of one component.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
import test_asynchronous_subset
import test_binary_agreement
import test_hb_aba_macbrough
import test_hb_cca_maul
import test_hb_coin_reuse
import test_hb_invalid_ct_stall
import test_hb_rbc_bad_code
import test_honeybadger
import test_honeybadger_catch_up
import test_honeybadger_members
import test_honeybadger_statistics
import test_reliable
from honeybadger_cores import box
from planted import honeybadger_rules
from planted.turned_off import TurnedOff

from outvote.broadcast.stand_in import SPOILED

BUDGET_RUNS: Final = 10

# By name: the first seed that missed the rule.
SWARM: Final[dict[str, int]] = {
    "decides_on_one_term": 3,
    "coin_shares_unverified": 3,
    "output_without_waiting_for_broadcasts": 3,
    "decryption_shares_unverified": 3,  # 49
    "batches_in_an_order_of_one_s_own": 1,
    "epochs_taken_in_however_far": 17,
    "delivers_what_is_opened_first": 2,
    "words_not_recorded": 5,
    "opened_before_it_is_ordered": 0,
    "old_members_certify_after_the_switch": 682,
    "next_era_before_the_old_one_is_certified": 106,
    "roster_not_certified": 30,
}

SCRIPTS: Final[dict[str, Callable[[], None]]] = {
    "ready_on_f_readies": test_reliable.test_one_liar_s_ready_makes_nobody_ready,  # 44
    "a_bit_in_with_f_plus_1_bvals": partial(test_binary_agreement.test_what_all_put_in_is_decided, False),
    "carries_the_coin_over_a_single_value": partial(test_binary_agreement.test_what_all_put_in_is_decided, False),
    "delivers_with_2f_readies": test_reliable.test_half_a_broadcast_is_delivered_by_nobody,  # 44
    "shards_not_coded_again":  # 45
        partial(test_hb_rbc_bad_code.test_shards_that_are_no_code_word_are_delivered_by_nobody_and_recorded, 0),
    "values_fixed_by_aux": test_hb_aba_macbrough.test_one_liar_who_knows_the_coin_early_cannot_stall,  # 46
    "coin_released_before_conf": test_hb_aba_macbrough.test_a_share_of_the_coin_is_said_only_after_conf,  # 47
    "a_sender_counts_more_than_once": test_binary_agreement.test_a_sender_has_one_aux_and_one_conf_a_round,
    "seals_of_clients_unchecked":
        partial(test_hb_invalid_ct_stall.test_hb_invalid_ct_stall, test_hb_invalid_ct_stall.forged,
                "a batch that is none"),
    "all_pick_the_first":
        partial(test_honeybadger_statistics.test_an_epoch_has_as_many_different_requests_as_the_paper_says, 4),
    "begins_epochs_without_need":
        test_honeybadger.test_an_epoch_does_not_begin_for_less_than_a_batch_while_another_is_agreed_on,
    "own_proposals_picked_again": test_honeybadger.test_no_more_epochs_are_under_way_than_the_pipeline_holds,
    "words_not_in_the_summary": test_honeybadger.test_a_restarted_replica_says_the_same_again,
    "not_bound_after_a_restart": test_honeybadger.test_a_restarted_replica_says_the_same_again,
    "output_believed_from_one": test_honeybadger.test_an_output_is_believed_from_f_plus_1,
    "outputs_of_different_content_counted_together":
        test_honeybadger_catch_up.test_outputs_of_different_content_do_not_add_up,
    "stable_without_a_look_at_one_s_own_state":
        test_honeybadger_catch_up.test_a_certified_state_that_is_not_one_s_own_is_fetched,
    "stable_proof_without_a_quorum": test_honeybadger_catch_up.test_a_proof_without_a_quorum_is_a_lie,
    "nothing_said_again": test_honeybadger_catch_up.test_who_is_asked_says_its_own_words_again,
    "time_of_the_first_proposer": test_honeybadger.test_the_time_lies_between_those_of_correct_replicas,
    "decides_against_the_coin": test_binary_agreement.test_all_decide_the_same_bit_whatever_the_schedule,
    "coins_named_without_the_epoch": test_hb_coin_reuse.test_no_two_epochs_share_a_coin,
    "members_changed_by_one_wish": test_honeybadger_members.test_a_change_begins_when_a_quorum_of_members_wish_the_same,
    "switched_without_a_quorum":
        test_honeybadger_members.test_an_era_ends_when_a_quorum_of_its_members_say_the_same_new_keys,
    "wishes_of_those_who_left_counted":
        test_honeybadger_members.test_an_era_ends_when_a_quorum_of_its_members_say_the_same_new_keys,
    "proof_judged_without_its_links":
        test_honeybadger_members.test_a_state_certified_by_those_whom_no_link_leads_to_is_a_lie,
    "possession_of_new_shares_unproved":
        test_honeybadger_members.test_new_keys_are_known_when_enough_have_shown_that_they_hold_them,
    "one_new_member_believed":
        test_honeybadger_members.test_new_keys_are_known_when_enough_have_shown_that_they_hold_them,
    "old_share_kept": partial(test_honeybadger_members.test_one_leaves_and_another_comes, 0),
    "asks_only_where_nothing_is_heard":
        test_honeybadger_members.test_who_lacks_words_of_a_re_sharing_asks_though_epochs_go_on,
    "words_of_a_re_sharing_not_recorded": test_honeybadger_members.test_what_is_said_in_a_re_sharing_is_recorded,
    "shares_of_later_eras_let_go": test_honeybadger_members.test_all_lose_power_after_several_changes,
    "refuses_before_enough_are_in":  # 48
        partial(test_asynchronous_subset.test_enough_are_in_though_some_are_slow, 1),
    "ciphertext_unchecked": test_hb_cca_maul.test_hb_cca_maul,  # 50
    "invalid_ciphertext_waited_for": partial(  # 51
        test_hb_invalid_ct_stall.test_hb_invalid_ct_stall,
        lambda cluster: box(cluster, SPOILED), "a ciphertext whose payload does not open",
    ),
}


RULES: Final = TurnedOff("honeybadger", honeybadger_rules, SWARM, SCRIPTS, BUDGET_RUNS, pieces=("made_with",))


@pytest.mark.parametrize("name", SWARM)
def test_the_swarm_finds_it(name: str) -> None:
    RULES.is_found_by_the_swarm(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_finds_it(name: str) -> None:
    RULES.is_found_by_its_script(name)


def test_every_rule_that_is_turned_off_is_looked_for() -> None:
    RULES.leaves_nothing_out()
