"""Answers to an earlier attempt confirm a later one (etcd issue 20418, in the field from 2016 to 2026).

A follower asks twice; the first answer is held back until another leader has committed something. Passes if no read is
confirmed by it, by an earlier heartbeat, by one of a former term, or before the term has begun.
"""

from __future__ import annotations

from raft_steps import TIMEOUT, Steps

from outvote.protocols.raft.messages import Heard, ReadAnswer, ReadQuery


def elected(n: int = 3, **parameters: int) -> Steps:
    steps = Steps(n, **parameters)
    steps.elect(0)
    steps.settle()
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    steps.settle()
    return steps


def ask(steps: Steps, me: int) -> int:
    core = steps.cores[me]
    core.now = steps.now
    ticket = core.ask_to_read()
    steps.drain(me)
    return ticket


def test_an_answer_held_back_confirms_no_later_attempt() -> None:
    steps = elected()
    ticket = ask(steps, 2)
    steps.settle(hold=lambda letter: isinstance(letter[2], ReadAnswer))
    [held] = steps.take(ReadAnswer)
    steps.crash(2)  # and with it whatever it knew of its questions
    steps.elect(1, (1, 2))
    steps.submit(1, 1)
    steps.settle((1, 2))
    later = ask(steps, 2)
    steps.take(ReadQuery)
    steps.hear(held)
    assert steps.cores[2].reads_confirmed < later
    assert ticket == later == 1, "its tickets begin anew, its contexts do not"


def test_an_answered_attempt_is_confirmed_as_far_as_the_leader_was() -> None:
    steps = elected()
    steps.submit(0, 1)
    steps.settle((0, 1))
    ticket = ask(steps, 2)
    steps.settle()
    assert steps.cores[2].reads_confirmed == ticket
    assert (steps.cores[2].reads_at or 0) >= 2, "it must execute what was answered before it asked"


def test_a_leader_that_was_deposed_confirms_nothing() -> None:
    steps = elected(pre_vote=0, check_quorum=0)
    steps.pass_time(steps.state(0).config.heartbeat_ns, 0)
    sent = len(steps.letters)
    steps.settle(hold=lambda letter: isinstance(letter[2], Heard))
    answers = steps.take(Heard)
    assert sent == len(answers) == 2
    steps.elect(1, (1, 2))
    steps.submit(1, 1)
    steps.settle((1, 2))
    assert steps.executed(1) == [1]
    ticket = ask(steps, 0)  # it still believes that it leads
    assert steps.state(0).leads
    for letter in answers * 2:  # to heartbeats that were sent before the read began
        steps.hear(letter)
    assert steps.cores[0].reads_confirmed < ticket
    steps.settle()
    assert steps.cores[0].reads_confirmed < ticket or (steps.cores[0].reads_at or 0) >= 3


def test_a_leader_answers_nothing_of_former_terms_before_its_own_has_begun() -> None:
    steps = elected()
    steps.submit(0, 1)
    steps.settle((0, 1))  # committed and answered; replica 1 does not know that yet
    steps.elect(1, (1, 2))
    assert steps.state(1).commit < 2
    ask(steps, 1)
    for _ in range(3):
        steps.settle((1, 2), hold=lambda letter: not isinstance(letter[2], Heard) and letter[0] == 2)
        steps.pass_time(steps.state(1).config.heartbeat_ns, 1)
    assert steps.cores[1].reads_at is None or steps.cores[1].reads_at >= 2


def test_one_heartbeat_confirms_all_that_waited_for_it() -> None:
    steps = elected()
    rounds = steps.state(0).round
    tickets = [ask(steps, 0) for _ in range(3)]
    assert steps.state(0).round == rounds + 1, "the later two wait for the next round"
    steps.settle()
    assert steps.cores[0].reads_confirmed == tickets[-1]
    assert steps.state(0).round == rounds + 2


def test_without_a_leader_reads_are_turned_away() -> None:
    steps = elected()
    ask(steps, 2)
    steps.letters.clear()
    steps.pass_time(3 * TIMEOUT, 2)
    assert steps.cores[2].reads_at is None
