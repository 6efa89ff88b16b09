"""Every planted bug; those without a script are left to the swarm. `listed` is the test plan's number for it."""

from __future__ import annotations

from typing import Final

import test_every_protocol
import test_executor
import test_frames
import test_key_exchange
import test_liars_in_turn
import test_merkle_map
import test_pbft
import test_pbft_large_requests
import test_pbft_nv_bad_o
import test_pbft_performance
import test_pbft_reads
import test_pbft_restart
import test_pbft_ro_dark_replicas
import test_pbft_slow_primary
import test_pbft_st_lies
import test_pbft_tentative_rollback
import test_pbft_vc_lie_p
import test_pbft_vc_lie_p_without_signatures
import test_pbft_vc_old_certs
import test_reads_and_digests
import test_rejuvenation
import test_seals
import test_state_machine
import test_state_transfer
import test_stored_dict
import test_turn
import test_vault

from outvote.core.node_store import MemoryNodes
from planted import (
    answers,
    checkpoints,
    durability,
    host_and_client,
    normal_case,
    rejuvenations,
    slowness,
    stores,
    view_changes,
    wire_and_crypto,
)
from planted.bug import PlantedBug


def summaries_bind() -> None:
    test_every_protocol.lives_of.cache_clear()
    try:
        for seed in test_every_protocol.SEEDS:
            test_every_protocol.test_a_core_restored_from_its_summary_stands_where_it_stood("pbft", seed)
    finally:
        test_every_protocol.lives_of.cache_clear()


def bad_o() -> None:
    for lie in test_pbft_nv_bad_o.O_LIES:
        test_pbft_nv_bad_o.test_a_new_view_with_another_o_is_refused_and_the_next_view_keeps_what_was_decided(lie)


def bad_certificates() -> None:
    for lie in test_pbft_vc_lie_p.CERTIFICATE_LIES:
        test_pbft_vc_lie_p.test_a_view_change_with_an_unsound_certificate_counts_for_nothing(lie)


def old_certificates() -> None:
    for lie in test_pbft_vc_old_certs.UNBOUND:
        test_pbft_vc_old_certs.test_a_certificate_is_worth_nothing_where_it_was_not_given(lie)


def spoilt_states() -> None:
    for seed in range(3):
        for liar in (0, 1):
            test_pbft_st_lies.test_a_spoilt_state_is_noticed_and_fetched_from_somebody_else(liar, seed)


def stale_states() -> None:
    base, state = test_state_transfer.STATES[2:4]
    test_state_transfer.test_a_state_arrives_whole_whatever_was_there_before(state, base)


def forged_absences() -> None:
    test_merkle_map.test_a_forged_proof_is_a_lie(test_merkle_map.absent_by_no_bucket, 600)


def lost_pointers() -> None:
    test_vault.test_a_crash_before_the_pointer_is_on_the_disk_costs_nothing(MemoryNodes())


def forgotten_versions() -> None:
    test_vault.test_versions_after_the_pointer_are_forgotten(MemoryNodes())


def floods() -> None:
    test_turn.test_one_sender_cannot_fill_the_inbox()


def slow_primaries() -> None:
    """The whole world under its checkers: what fires is I21."""
    test_pbft_slow_primary.attack(900, 400)


def honest_primaries() -> None:
    test_pbft_performance.test_the_same_on_a_network_a_hundred_times_as_slow()


SWARM: Final[tuple[PlantedBug, ...]] = (
    PlantedBug(normal_case.prepared_with_one_less, 1),
    PlantedBug(normal_case.committed_with_one_less, 2),
    PlantedBug(normal_case.committed_when_prepared),
    PlantedBug(normal_case.prepares_counted_without_digest, 3),
    PlantedBug(normal_case.commits_counted_without_digest),
    PlantedBug(normal_case.primary_prepare_counted, 4),
    PlantedBug(normal_case.second_proposal_overwrites, 5),
    PlantedBug(normal_case.proposals_from_anybody),
    PlantedBug(normal_case.one_word_decides),
    PlantedBug(normal_case.told_counted_without_digest),
    PlantedBug(normal_case.time_checked_again, 24),
    PlantedBug(checkpoints.checkpoint_stable_with_weak_quorum, 14),
    PlantedBug(checkpoints.own_checkpoint_is_stable),
    PlantedBug(checkpoints.high_watermark_ignored, 15),
    PlantedBug(checkpoints.nodes_unverified, 16),
    PlantedBug(checkpoints.touched_items_forgotten),
    PlantedBug(view_changes.new_view_from_one_less, 7),
    PlantedBug(view_changes.new_view_for_any_view_change),
    PlantedBug(view_changes.proposals_of_new_view_believed, 6),
    PlantedBug(view_changes.view_change_without_prepared, 8),
    PlantedBug(view_changes.prepared_forgotten_in_new_view, 8),
    PlantedBug(view_changes.old_view_goes_on, 11),
    PlantedBug(view_changes.no_view_timer, 12),
    PlantedBug(view_changes.no_timer_while_changing),
    PlantedBug(view_changes.no_status),
    PlantedBug(durability.sent_before_synced),
    PlantedBug(durability.accepted_not_recorded),
    PlantedBug(durability.prepared_not_recorded),
    PlantedBug(durability.left_not_recorded),
    PlantedBug(durability.entered_not_recorded),
    PlantedBug(durability.announced_not_recorded),
    PlantedBug(durability.summary_without_accepted),
    PlantedBug(durability.summary_without_entered),
    PlantedBug(host_and_client.seals_unchecked, 9),
    PlantedBug(host_and_client.executed_again, 22),
    PlantedBug(host_and_client.client_table_not_in_state, 22),
    PlantedBug(host_and_client.history_not_in_state),
    PlantedBug(host_and_client.client_believes_one, 20),
    PlantedBug(answers.tentative_counts_as_final, 17),
    PlantedBug(answers.tentative_never_undone, 18),
    PlantedBug(host_and_client.executed_in_reverse_at_odd_replicas, 23),
)

SCRIPTS: Final[tuple[PlantedBug, ...]] = (
    PlantedBug(normal_case.time_unbounded, 24, test_pbft.test_4_2_a_proposed_time_far_from_the_clock_is_refused),
    PlantedBug(
        test_pbft_vc_lie_p_without_signatures.a2_skipped, 10,
        test_pbft_vc_lie_p_without_signatures.test_a_claim_that_nobody_else_supports_is_not_chosen,
    ),
    PlantedBug(view_changes.lowest_view_chosen, 0, test_pbft.test_4_5_1_later_evidence_wins_over_earlier),
    PlantedBug(
        view_changes.no_joining, 13,
        test_pbft.test_4_5_2_f_plus_1_view_changes_for_higher_views_are_joined_at_the_smallest,
    ),
    PlantedBug(
        view_changes.view_timer_never_grows, 12,
        test_pbft.test_4_5_2_while_changing_the_timer_starts_with_a_quorum_and_doubles_up_to_a_limit,
    ),
    PlantedBug(
        view_changes.view_timer_grows_without_limit, 12,
        test_pbft.test_4_5_2_while_changing_the_timer_starts_with_a_quorum_and_doubles_up_to_a_limit,
    ),
    PlantedBug(
        view_changes.view_timer_not_restarted, 12,
        test_pbft.test_4_5_2_the_timer_is_set_anew_for_the_next_request,
    ),
    PlantedBug(
        view_changes.required_batches_not_fetched, 0,
        test_pbft.test_4_4_what_the_new_primary_lacks_it_fetches_and_then_proposes,
    ),
    PlantedBug(view_changes.proposals_of_new_view_believed, 6, bad_o),
    PlantedBug(view_changes.proposal_before_o, 6, test_pbft.test_4_4_a_backup_enters_and_is_bound_by_o),
    PlantedBug(view_changes.repeated_signers_accepted, 9, bad_certificates),
    PlantedBug(host_and_client.claims_unchecked, 9, bad_certificates),
    PlantedBug(wire_and_crypto.claims_open_for_any_view, 9, old_certificates),
    PlantedBug(checkpoints.nodes_unverified, 16, spoilt_states),
    PlantedBug(checkpoints.stale_subtree_reused, 0, stale_states),
    PlantedBug(checkpoints.absence_unverified, 0, forged_absences),
    PlantedBug(stores.garbage_collected_too_early, 0, lost_pointers),
    PlantedBug(stores.stored_nodes_believed, 0, test_vault.test_damage_is_found_where_it_is),
    PlantedBug(stores.later_versions_left_behind, 0, forgotten_versions),
    PlantedBug(stores.stored_changes_shown_first, 0, test_stored_dict.test_its_order_is_that_of_its_keys_digests),
    PlantedBug(durability.summary_without_accepted, 0, summaries_bind),
    PlantedBug(durability.summary_without_prepared, 0, summaries_bind),
    PlantedBug(durability.summary_without_entered, 0, summaries_bind),
    PlantedBug(durability.summary_without_certified, 0, summaries_bind),
    PlantedBug(
        durability.summary_forgets_open_proposals, 0,
        test_pbft_restart.test_a_proposal_not_yet_heard_back_is_in_the_summary,
    ),
    PlantedBug(
        durability.restart_without_the_batch, 0,
        test_pbft_restart.test_a_decision_without_its_batch_is_asked_for_again,
    ),
    PlantedBug(slowness.nobody_complains, 0, slow_primaries),
    PlantedBug(slowness.complaints_bear_no_relation_to_the_network, 0, honest_primaries),
    PlantedBug(
        slowness.debts_are_forgiven_to_who_starves_one, 0,
        test_pbft_performance.test_one_client_is_starved_while_the_others_are_served,
    ),
    PlantedBug(
        slowness.one_complaint_suffices, 0,
        test_pbft_performance.test_one_hiccup_a_second_time_is_complained_of_and_leaves_no_view,
    ),
    PlantedBug(
        answers.reads_of_f_plus_1, 19,
        test_reads_and_digests.test_a_read_goes_to_all_and_needs_a_quorum_of_one_position,
    ),
    PlantedBug(
        answers.reads_of_any_position, 19,
        test_reads_and_digests.test_a_read_goes_to_all_and_needs_a_quorum_of_one_position,
    ),
    PlantedBug(
        answers.writes_of_f_plus_1, 0,
        test_reads_and_digests.test_with_reads_a_write_needs_a_quorum_and_without_f_plus_one,
    ),
    PlantedBug(answers.nobody_pushes, 0, test_pbft_ro_dark_replicas.three_in_the_dark),
    PlantedBug(answers.reads_of_f_plus_1, 19, test_pbft_ro_dark_replicas.two_that_are_wrong),
    PlantedBug(answers.read_after_restart_at_once, 0, test_pbft_reads.a_restarted_one_waits),
    PlantedBug(
        answers.whole_results_unverified, 21,
        test_reads_and_digests.a_whole_result_that_is_not_what_the_digests_stand_for,
    ),
    PlantedBug(
        answers.tentative_counts_as_final, 17, test_reads_and_digests.tentative_answers_need_a_quorum
    ),
    PlantedBug(answers.tentative_never_undone, 18, test_pbft_tentative_rollback.undone_when_the_view_changes),
    PlantedBug(answers.briefs_without_timer, 0, test_pbft_large_requests.a_body_that_nobody_has),
    PlantedBug(answers.tentative_said_before_durable, 0, test_turn.tentative_answers_wait_for_the_disk),
    PlantedBug(rejuvenations.recovers_one_too_many, 25, test_rejuvenation.never_more_than_f),
    PlantedBug(rejuvenations.words_outlive_connections, 0, test_liars_in_turn.answers_do_not_add_up),
    PlantedBug(
        rejuvenations.counters_from_the_clock_alone, 0,
        test_key_exchange.test_counters_rise_across_restarts_though_the_clock_was_set_back,
    ),
    PlantedBug(
        rejuvenations.times_in_chance, 0,
        test_executor.test_the_primary_has_no_say_in_chance_by_the_times_that_it_proposes,
    ),
    PlantedBug(wire_and_crypto.seals_bind_no_cluster, 76, test_seals.test_other_clusters_and_epochs_do_not_open),
    PlantedBug(
        wire_and_crypto.seals_bind_no_kind, 76, test_seals.test_a_seal_opens_for_its_signer_and_statement_only
    ),
    PlantedBug(
        wire_and_crypto.sets_in_any_order, 77,
        test_state_machine.test_equal_sets_give_equal_bytes_however_they_were_filled,
    ),
    PlantedBug(wire_and_crypto.floats_allowed, 78, test_state_machine.test_floats_need_to_be_asked_for),
    PlantedBug(wire_and_crypto.inbox_unbounded, 79, floods),
    PlantedBug(
        wire_and_crypto.frame_length_unchecked, 80,
        test_frames.test_a_frame_too_large_is_refused_by_its_length_alone,
    ),
    PlantedBug(
        wire_and_crypto.nesting_unchecked, 80, test_state_machine.test_arguments_nested_too_deep_are_invalid
    ),
)

# Bugs of the list that change nothing that anybody could see, with the argument.
EQUIVALENT: Final[dict[str, str]] = {
    "a COMMIT counts without its digest": (
        "where the replica has prepared the position itself: its own prepared certificate has fixed the digest, and a"
        " second digest cannot be prepared in the same view. (Counting COMMITs before that is"
        " `commits_counted_without_digest`, and is killed.)"
    ),
    "a voter's second, different vote counts as well": (
        "a liar could have sent one of them to each of two replicas; every quorum argument allows it both."
    ),
}

# Bugs of the list that this protocol cannot have yet: what they would break is not built.
NOT_YET: Final[dict[int, str]] = {}
