"""Rules of HoneyBadger and of its components turned off, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from outvote.broadcast.asynchronous_subset import AsynchronousSubset
from outvote.broadcast.binary_agreement import Aux, BinaryAgreement, CoinShare, Conf, Round
from outvote.broadcast.coin import coin_name, toss
from outvote.broadcast.component import Body
from outvote.broadcast.reliable import ReliableBroadcast
from outvote.broadcast.stand_in import StandInEncryption
from outvote.broadcast.threshold_encryption import ThresholdDecryption
from outvote.core.contract import Record, Request
from outvote.core.tally import Tally
from outvote.crypto import erasure
from outvote.errors import Lie
from outvote.protocols.honeybadger import catch_up, checkpoint, epoch, membership, ordering, restore, turnover
from outvote.protocols.honeybadger.epoch import Epoch, Words
from outvote.protocols.honeybadger.handing import Handover
from outvote.protocols.honeybadger.membership import Handed, Members, Roster
from outvote.protocols.honeybadger.messages import Batch, Certificate, Contribution, Decided, StableProof
from outvote.protocols.honeybadger.records import Said
from outvote.protocols.honeybadger.shares import Outcome, StandInCeremony, StandInShares
from outvote.protocols.honeybadger.state import State
from outvote.protocols.honeybadger.votes import CheckpointVotes
from outvote.types import Digest, Position, ReplicaId


def made_with(patch: pytest.MonkeyPatch, kind: type[Any], threshold: str, less: int) -> None:
    """Every component of this kind is made with a threshold that is too low."""
    make = kind.__init__

    def lowered(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        setattr(self, threshold, getattr(self, threshold) - less)

    patch.setattr(kind, "__init__", lowered)


# ---------------------------------------------------------------- reliable broadcast


def ready_on_f_readies(patch: pytest.MonkeyPatch) -> None:
    made_with(patch, ReliableBroadcast, "_amplify_at", 1)


def delivers_with_2f_readies(patch: pytest.MonkeyPatch) -> None:
    made_with(patch, ReliableBroadcast, "_deliver_at", 1)


def shards_not_coded_again(patch: pytest.MonkeyPatch) -> None:
    def decoded(self: ReliableBroadcast, root: Digest) -> bytes | None:
        try:
            return erasure.decode(self._shards(root), self._data, self._committee.n)
        except Lie:
            return None

    patch.setattr(ReliableBroadcast, "_decoded", decoded)


# ---------------------------------------------------------------- binary agreement


def _backed(self: BinaryAgreement, votes: Round) -> list[int] | None:
    backed = [bits for bits in votes.aux.values() if not bits & ~votes.bin_values]
    return backed if len(backed) >= self._committee.n - self._committee.faults else None


def values_fixed_by_aux(patch: pytest.MonkeyPatch) -> None:
    """No CONF: as in the paper of 2014."""
    patch.setattr(BinaryAgreement, "_fixed", _backed)


def coin_released_before_conf(patch: pytest.MonkeyPatch) -> None:
    """The values wait for CONF, the share does not."""
    collect = BinaryAgreement._collect

    def collecting(self: BinaryAgreement, votes: Round) -> None:
        collect(self, votes)
        if votes.said_conf and not votes.said_share:
            votes.said_share = True
            share = self._coin.share(self._name_of(self.number))
            assert share is not None
            self._lines.say(-1, CoinShare(self.number, share))

    patch.setattr(BinaryAgreement, "_collect", collecting)


def a_sender_counts_more_than_once(patch: pytest.MonkeyPatch) -> None:
    """Of AUX and CONF: each value of one sender counts."""
    receive = BinaryAgreement.receive

    def counting(self: BinaryAgreement, sender: ReplicaId, body: Body) -> None:
        if isinstance(body, Aux | Conf) and self.decided is None and self.number == body.number:
            votes = self._round(body.number)
            held, bits = (votes.aux, 1 << body.bit) if isinstance(body, Aux) else (votes.confs, body.bits)
            if sender in held and held[sender] != bits and 1 <= bits <= 3:
                held[-1 - 4 * sender - bits] = bits  # as if of somebody else
        receive(self, sender, body)

    patch.setattr(BinaryAgreement, "receive", counting)


def a_bit_in_with_f_plus_1_bvals(patch: pytest.MonkeyPatch) -> None:
    """No correct replica's majority stands behind a bit that enters bin_values."""
    collect = BinaryAgreement._collect

    def collecting(self: BinaryAgreement, votes: Round) -> None:
        for bit in (False, True):
            if votes.bvals[bit]:
                votes.bin_values |= 1 << bit
        collect(self, votes)

    patch.setattr(BinaryAgreement, "_collect", collecting)


def decides_on_one_term(patch: pytest.MonkeyPatch) -> None:
    on_term = BinaryAgreement._on_term

    def believing(self: BinaryAgreement, sender: ReplicaId, bit: bool) -> None:
        on_term(self, sender, bit)
        if self.decided is None:
            self._decide(bit)

    patch.setattr(BinaryAgreement, "_on_term", believing)


def decides_against_the_coin(patch: pytest.MonkeyPatch) -> None:
    """A single value is decided whatever the coin says."""
    toss_if_fixed = BinaryAgreement._toss_if_fixed

    def own_side(self: BinaryAgreement, votes: Round) -> tuple[int, bool] | None:
        coin = toss_if_fixed(self, votes)
        return coin if coin is None or coin[0] == 3 else (coin[0], coin[0] == 2)

    patch.setattr(BinaryAgreement, "_toss_if_fixed", own_side)


def carries_the_coin_over_a_single_value(patch: pytest.MonkeyPatch) -> None:
    def next_round(self: BinaryAgreement, _values: int, side: bool) -> None:
        self.estimate = side
        self._rounds.pop(self.number, None)
        self.number += 1
        self._say_bval(self.number, side)

    patch.setattr(BinaryAgreement, "_next_round", next_round)


def coin_shares_unverified(patch: pytest.MonkeyPatch) -> None:
    def credulous(self: BinaryAgreement, votes: Round, name: bytes) -> bool | None:
        if len(votes.shares) < self._committee.weak:
            return None
        first = dict(sorted(votes.shares.items())[: self._committee.weak])
        signature = self._coin.combine(name, first)
        return None if signature is None else toss(signature)

    patch.setattr(BinaryAgreement, "_toss", credulous)


def coins_named_without_the_epoch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(epoch, "coin_name", lambda cluster, _epoch, proposer, number: coin_name(cluster, 0, proposer, number))


# ---------------------------------------------------------------- common subset


def refuses_before_enough_are_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AsynchronousSubset, "_may_refuse", lambda self: any(one.decided for one in self.agreements))


def output_without_waiting_for_broadcasts(patch: pytest.MonkeyPatch) -> None:
    """What was accepted and has not come yet is left out."""

    def try_output(self: AsynchronousSubset) -> None:
        if self.output is None and all(one.decided is not None for one in self.agreements):
            come = [one for one, own in zip(self.broadcasts, self.agreements, strict=True) if own.decided]
            self.output = {one.proposer: one.delivered for one in come if one.delivered is not None}

    patch.setattr(AsynchronousSubset, "_try_output", try_output)


# ---------------------------------------------------------------- encryption


def decryption_shares_unverified(patch: pytest.MonkeyPatch) -> None:
    def verify(self: ThresholdDecryption, sender: ReplicaId, share: bytes, _ciphertext: bytes) -> bool:
        self._valid[sender] = share
        return False

    patch.setattr(ThresholdDecryption, "_verify", verify)


def ciphertext_unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StandInEncryption, "checks", lambda *_: True)


def invalid_ciphertext_waited_for(patch: pytest.MonkeyPatch) -> None:
    def end(self: ThresholdDecryption, plaintext: bytes | None, _fault: str) -> None:
        if plaintext is not None:
            self.done, self.plaintext = True, plaintext

    patch.setattr(ThresholdDecryption, "_end", end)


def opened_before_it_is_ordered(patch: pytest.MonkeyPatch) -> None:
    """Shares of the decryption are given as soon as a broadcast has come."""
    settle = Epoch._settle

    def eager(self: Epoch, lines: Any) -> list[Words]:
        for broadcast, decryption in zip(self.subset.broadcasts, self._decryptions, strict=True):
            if broadcast.delivered is not None:
                decryption.begin(broadcast.delivered)
        return settle(self, lines)

    patch.setattr(Epoch, "_settle", eager)


# ---------------------------------------------------------------- epochs


def batches_in_an_order_of_one_s_own(patch: pytest.MonkeyPatch) -> None:
    batch_of = ordering.batch_of

    def turned(state: State, opened: dict[ReplicaId, bytes | None], genuine: ordering.Genuine) -> Batch:
        order = sorted(opened, key=lambda proposer: (proposer - state.me) % state.committee.n)
        return batch_of(state, {proposer: opened[proposer] for proposer in order}, genuine)

    patch.setattr(ordering, "batch_of", turned)


def time_of_the_first_proposer(patch: pytest.MonkeyPatch) -> None:
    """Which may lie: the median of all does not."""
    batch_of = ordering.batch_of

    def first(state: State, opened: dict[ReplicaId, bytes | None], genuine: ordering.Genuine) -> Batch:
        batch = batch_of(state, opened, genuine)
        times = [one.time for plain in opened.values() if plain and (one := ordering.contribution_of(plain))]
        return Batch(max(times, default=0), batch.requests)

    patch.setattr(ordering, "batch_of", first)


def seals_of_clients_unchecked(patch: pytest.MonkeyPatch) -> None:
    acceptable = ordering.acceptable

    def trusting(state: State, contribution: Contribution, _genuine: ordering.Genuine) -> bool:
        class Credulous(ordering.Genuine):
            def __call__(self, _request: Request) -> bool:
                return True

        return acceptable(state, contribution, Credulous(state, lambda _: True))

    patch.setattr(ordering, "acceptable", trusting)


def all_pick_the_first(patch: pytest.MonkeyPatch) -> None:
    """B / n of the queue's head, not at random: all propose the same."""

    def pick(state: State, _epoch: Position) -> tuple[Request, ...]:
        return tuple(state.pool.waiting()[: state.config.picks(state.committee.n)])

    patch.setattr(ordering, "pick", pick)


def epochs_taken_in_however_far(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "in_play", lambda self, number: number > self.low and number not in self.finished)


# ---------------------------------------------------------------- restarts and laggards


def words_not_recorded(patch: pytest.MonkeyPatch) -> None:
    say = ordering.say

    def unrecorded(state: State, one: Epoch, words: list[Words]) -> None:
        say(state, one, words)
        state.out.records[:] = [record for record in state.out.records if not isinstance(record, Said)]

    patch.setattr(ordering, "say", unrecorded)


def words_not_in_the_summary(patch: pytest.MonkeyPatch) -> None:
    summary = restore.summary

    def without(state: State) -> list[Record]:
        return [record for record in summary(state) if not isinstance(record, Said)]

    patch.setattr(restore, "summary", without)


def not_bound_after_a_restart(patch: pytest.MonkeyPatch) -> None:
    def forget(state: State, record: Said) -> None:
        state.said.setdefault(record.message.epoch, []).append(Words(record.receiver, record.message))

    patch.setattr(restore, "bind", forget)


def output_believed_from_one(patch: pytest.MonkeyPatch) -> None:
    def believe(state: State, _sender: ReplicaId, message: Decided) -> None:
        ordering.decide(state, message.epoch, message.batch)
        ordering.deliver_ready(state)

    patch.setattr(catch_up, "on_decided", believe)


def outputs_of_different_content_counted_together(patch: pytest.MonkeyPatch) -> None:
    def count(state: State, sender: ReplicaId, message: Decided) -> None:
        votes = state.told.setdefault(message.epoch, Tally())
        if votes.add(sender, b"", b"") and votes.count(b"") >= state.committee.weak:
            ordering.decide(state, message.epoch, message.batch)
            ordering.deliver_ready(state)

    patch.setattr(catch_up, "on_decided", count)


def stable_without_a_look_at_one_s_own_state(patch: pytest.MonkeyPatch) -> None:
    learn = checkpoint.learn

    def credulous(state: State, certificate: Any) -> None:
        if certificate.position in state.own_digests:
            state.own_digests[certificate.position] = certificate.digest
        learn(state, certificate)

    patch.setattr(checkpoint, "learn", credulous)


def stable_proof_without_a_quorum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Members, "sound", lambda *_: True)


def nothing_said_again(patch: pytest.MonkeyPatch) -> None:
    """Channels are taken for ones that lose nothing."""
    patch.setattr(catch_up, "EPOCHS_SAID_AGAIN", 0)




def begins_epochs_without_need(patch: pytest.MonkeyPatch) -> None:
    """Though nothing waits, and for less than a batch while another one is agreed on."""
    patch.setattr(ordering, "may_begin", lambda *_: True)


def delivers_what_is_opened_first(patch: pytest.MonkeyPatch) -> None:
    """Of epochs that are worked on together, the first that is opened."""

    def deliver_ready(state: State) -> None:
        for number in sorted(state.decided):
            if state.fetching is None and number > state.delivered:
                ordering.deliver(state, number)

    patch.setattr(ordering, "deliver_ready", deliver_ready)


def own_proposals_picked_again(patch: pytest.MonkeyPatch) -> None:
    """Though an epoch that they are proposed in is under way."""
    propose = ordering.propose

    def forgetting(state: State, one: Epoch) -> None:
        propose(state, one)
        state.proposed.clear()

    patch.setattr(ordering, "propose", forgetting)


# ---------------------------------------------------------------- members that change


def members_changed_by_one_wish(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(membership, "_wished", lambda wishes, _quorum: wishes[0] if wishes else None)


def switched_without_a_quorum(patch: pytest.MonkeyPatch) -> None:
    """One member's word is enough to believe that the new keys are made."""
    patch.setattr(membership, "_agreed", lambda said, _quorum: said[0] if said else None)


def wishes_of_those_who_left_counted(patch: pytest.MonkeyPatch) -> None:
    """What was wished in the era before still counts, whoever wished it."""

    def entered(roster: Roster) -> Roster:
        assert roster.next is not None
        return Roster(roster.next, roster.wishes)

    for module in (turnover, membership):
        patch.setattr(module, "entered", entered)


def old_members_certify_after_the_switch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CheckpointVotes, "of", lambda *_: None)


def proof_judged_without_its_links(patch: pytest.MonkeyPatch) -> None:
    """By the members that it names itself."""

    def follows(state: State, message: StableProof) -> bool:
        return Members(state.roster_of(message.certificate).era).sound(message.certificate.seals)

    patch.setattr(turnover, "follows", follows)


def next_era_before_the_old_one_is_certified(patch: pytest.MonkeyPatch) -> None:
    """Epochs go on beyond the era's last one, with its members."""
    patch.setattr(State, "high", property(lambda state: state.low + state.config.window))


def roster_not_certified(patch: pytest.MonkeyPatch) -> None:
    """A certificate covers the state alone, whoever the members are."""
    patch.setattr(checkpoint, "digest_of", lambda _roster: bytes(32))


def possession_of_new_shares_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StandInCeremony, "possesses", lambda *_: True)


def one_new_member_believed(patch: pytest.MonkeyPatch) -> None:
    """What it says that came of the re-sharing."""
    on_possessed = Handover.on_possessed

    def believing(self: Handover, sender: ReplicaId, message: Any) -> None:
        on_possessed(self, sender, message)
        handed: Handed = message.handed
        self.handed = handed

    patch.setattr(Handover, "on_possessed", believing)


def old_share_kept(patch: pytest.MonkeyPatch) -> None:
    def kept(self: StandInShares, outcome: Outcome | None) -> None:
        """Of whoever has no new one."""

    patch.setattr(StandInShares, "adopt", kept)


def words_of_a_re_sharing_not_recorded(patch: pytest.MonkeyPatch) -> None:
    """After a restart other words may be said than before."""
    say = Handover._say

    def saying(self: Handover, said: Sequence[Any]) -> None:
        before = list(self._part.out.records)
        say(self, said)
        self._part.out.records[:] = before

    patch.setattr(Handover, "_say", saying)


def asks_only_where_nothing_is_heard(patch: pytest.MonkeyPatch) -> None:
    """Though what is heard are epochs, and what is lacking are words of a re-sharing."""
    patch.setattr(turnover, "lacks", lambda _state: False)


def shares_of_later_eras_let_go(patch: pytest.MonkeyPatch) -> None:
    """While a replica that starts again goes through the links: with the second one its share is lost for ever."""
    enter = turnover.enter

    def entering(state: State, link: Certificate) -> None:
        enter(state, link)
        began = state.members.era.began
        state.reshared = {at: one for at, one in state.reshared.items() if at == began}

    patch.setattr(turnover, "enter", entering)
