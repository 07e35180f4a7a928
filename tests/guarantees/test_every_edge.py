"""Where each edge of the lifecycles is put to the test: killed on the way, in a race, by the model, with SIGKILL.

The table is written by hand. An edge that is in none of its rows fails here: whoever adds one adds it to a suite, or
says why not. What a cell names must exist, and a story that says its steps must have the edge among them.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import pytest

from tallystick.domain.lifecycles.machines import MACHINES
from tests.flows.operations import test_alerts
from tests.flows.reconciliation import (
    test_bank,
    test_bank_deaths,
    test_deaths,
    test_matching,
    test_telling,
    test_telling_withdrawals,
    test_withdrawing,
)
from tests.flows.rejections import test_cases
from tests.guarantees.crash import (
    test_acts,
    test_instructions,
    test_killed_workers,
    test_late_stories,
    test_recovery,
    test_webhooks,
)
from tests.guarantees.model import test_late_stories as model_late
from tests.guarantees.model import test_stories as model_stories
from tests.guarantees.processes import test_kill_under_load
from tests.guarantees.races import (
    test_journal,
    test_late_edges,
    test_one_key,
    test_one_payment,
    test_refund_against_dispute,
)
from tests.support.crash.late_stories import STORIES as LATE

#: Where it is tested what merchants are told.
TELLING: Final = (test_telling, test_telling_withdrawals)

#: What a cell may name, by its first word.
CRASH: Final[dict[str, set[str]]] = {
    "instruction": {*test_instructions.POINTS},
    "recovery": {*test_recovery.STORIES},
    "webhook": {*test_webhooks.STORIES},
    "late": {*LATE},
    "act": {*test_acts.POINTS},
    "settlement": {name.removeprefix("test_") for name in vars(test_deaths)},
    "bank_statement": {name.removeprefix("test_") for name in vars(test_bank_deaths)},
    "told": {name.removeprefix("test_") for module in TELLING for name in vars(module)},
}
RACES: Final = {
    name.removeprefix("test_")
    for module in (
        test_journal,
        test_late_edges,
        test_one_key,
        test_one_payment,
        test_refund_against_dispute,
        test_cases,
        test_alerts,
        test_matching,
        test_bank,
        *TELLING,
        test_withdrawing,
    )
    for name in vars(module)
    if name.startswith("test_")
}
MODEL: Final = {story.__name__ for story in model_late.STORIES} | {
    name.removeprefix("test_") for name in vars(model_stories) if name.startswith("test_")
}
SIGKILL: Final = {*test_killed_workers.POINTS, *test_kill_under_load.METHODS}


class Row(NamedTuple):
    """One event with all states that have it, and where it is reached. ``-`` and a reason: nowhere."""

    states: str
    crash: str
    race: str
    model: str
    sigkill: str


OPEN: Final = "submitted pending requires_action unknown not_found not_sent"
CLOSED: Final = "captured declined failed canceled expired"

#: Reasons that several cells share.
SAME_CHANGE: Final = "- one change with its payment's step: whoever races for that races for this"
BY_TIME: Final = "- a deadline's cancel is the same attempt and the same commits as an instruction's cancel"
NO_EVENTS: Final = "- the model's bank has no such event: the golden lives and the paper record have it in every order"
ONE_JOURNAL: Final = "- the worker that is killed commits it like the stories that are named: by the same statements"
NO_SETTLEMENT: Final = "- a settlement is of a file, and nothing of a payment waits for it"
TOLD: Final = "told: a_process_that_tells_dies_anywhere"
TAKEN_BACK: Final = "told: a_process_that_takes_back_dies_anywhere"
DISPUTE: Final = "- a later step of a dispute is the same change as its first: a version of the dispute and its payment"

PAYMENT: Final = {
    "create": Row("new", "instruction: create", "fifty_clients_with_one_key", "create", "sim_ok"),
    "authorized": Row(
        "authorizing requires_action", "instruction: hold", "fifty_clients_over_two_journals", "create", ONE_JOURNAL
    ),
    "captured": Row(
        "authorizing requires_action authorized capturing canceling",
        "instruction: capture",
        "the_answer_to_our_capture_against_its_event",
        "follow_up",
        "a capture",
    ),
    "declined": Row(
        "authorizing requires_action",
        "late: a charge is closed",
        "- the answer that ends the one call under way, like captured",
        "closed_and_paid",
        "sim_declined",
    ),
    "failed": Row(
        "authorizing requires_action",
        "recovery: never charged",
        "money_on_a_closed_edge_goes_to_suspense",
        "create",
        ONE_JOURNAL,
    ),
    "action_required": Row(
        "authorizing",
        "late: a charge is closed",
        "the_customer_acts_while_a_cancel_is_under_way",
        "create",
        "a charge is closed",
    ),
    "processing": Row(
        "requires_action",
        "- one move inside the change of an attempt that waits, as action_required",
        "- as action_required",
        NO_EVENTS,
        ONE_JOURNAL,
    ),
    "cancel": Row(
        "requires_action authorized", "instruction: cancel", "capture_against_cancel", "follow_up", ONE_JOURNAL
    ),
    "canceled": Row(
        "requires_action authorized canceling",
        "instruction: cancel",
        "capture_against_cancel",
        "follow_up",
        ONE_JOURNAL,
    ),
    "expired": Row(
        "requires_action authorized capturing canceling",
        BY_TIME,
        "outcomes_without_a_key_survive_a_lost_commit",
        "- by the state machine's weeks alone",
        ONE_JOURNAL,
    ),
    "capture": Row(
        "authorized",
        "instruction: capture",
        "a_capture_of_ours_against_one_in_the_dashboard",
        "follow_up",
        "a capture",
    ),
    "capture_refused": Row(
        "capturing",
        "recovery: never charged",
        "- the answer that ends the one capture under way, like captured",
        "captured_by_hand_while_something_is_under_way",
        ONE_JOURNAL,
    ),
    "cancel_refused": Row(
        "canceling",
        "recovery: never charged",
        "the_customer_acts_while_a_cancel_is_under_way",
        "captured_by_hand_while_something_is_under_way",
        ONE_JOURNAL,
    ),
    "action_still_required": Row(
        "canceling",
        "- the same change as cancel_refused, of a payment without a hold",
        "the_customer_acts_while_a_cancel_is_under_way",
        "the_customer_acts_while_a_cancel_is_under_way",
        ONE_JOURNAL,
    ),
    "capture_added": Row(
        "captured",
        "late: a hold is captured in parts",
        "a_capture_of_ours_against_one_in_the_dashboard",
        "captured_in_parts",
        ONE_JOURNAL,
    ),
    "capture_reversed": Row(
        "captured",
        "late: a hold is captured in parts",
        "- decided on the payment's version and by its own name, as capture_added",
        NO_EVENTS,
        ONE_JOURNAL,
    ),
    "captured_and_refunded": Row(
        "canceled",
        "late: a hold is ended, and then its capture is told",
        "- decided on the payment's version and by its own name, as capture_added",
        NO_EVENTS,
        ONE_JOURNAL,
    ),
    "refund_opened": Row(
        CLOSED, "instruction: refund", "twenty_refunds_of_sixty_percent", "follow_up", "a refund that fails"
    ),
    "refund_succeeded": Row(
        CLOSED,
        "instruction: refund",
        "accept_against_a_refund_in_the_dashboard",
        "accepted_and_refunded",
        "a refund that fails",
    ),
    "refund_failed": Row(
        CLOSED,
        "webhook: a late failure",
        "a_dispute_right_before_a_refund_is_sent_again",
        "follow_up",
        "a refund that fails",
    ),
    "refund_resubmitted": Row(
        CLOSED,
        "recovery: not charged, then charged",
        "a_dispute_right_before_a_refund_is_sent_again",
        "follow_up",
        ONE_JOURNAL,
    ),
    "dispute_opened": Row(
        CLOSED, "webhook: a dispute", "a_refund_against_the_state_of_a_dispute", NO_EVENTS, "a dispute"
    ),
    "dispute_updated": Row(CLOSED, DISPUTE, DISPUTE, NO_EVENTS, "a dispute"),
    "settled": Row(CLOSED, TOLD, "several_processes_tell_once", NO_SETTLEMENT, NO_SETTLEMENT),
    "settlement_withdrawn": Row(
        CLOSED, TAKEN_BACK, "a_file_is_withdrawn_while_it_is_told", NO_SETTLEMENT, NO_SETTLEMENT
    ),
    "late_capture": Row(
        f"authorized {CLOSED}",
        "late: a declined charge is captured",
        "late_capture_by_a_look_up_against_its_event",
        "closed_and_paid",
        "late money",
    ),
    "late_hold": Row(
        CLOSED,
        "late: a declined hold is held and released",
        "- the same decision as late_capture, with another effect",
        NO_EVENTS,
        ONE_JOURNAL,
    ),
    "late_release": Row(
        CLOSED,
        "late: a declined hold is held and released",
        "- moves no money, and a second one finds no hold",
        NO_EVENTS,
        ONE_JOURNAL,
    ),
    "late_money_accepted": Row(
        CLOSED,
        "late: late money is accepted",
        "accept_against_a_refund_in_the_dashboard",
        "accepted_and_refunded",
        "- one commit of a command that an operator sees end",
    ),
    "late_return_opened": Row(
        CLOSED,
        "late: late money is returned",
        "accept_against_return",
        "given_back",
        "- one commit of a command that an operator sees end",
    ),
    "late_money_returned": Row(
        CLOSED,
        "late: late money is returned",
        "the_answer_to_a_return_against_its_event",
        "given_back",
        ONE_JOURNAL,
    ),
    "late_return_failed": Row(
        CLOSED,
        "late: the return is refused",
        "return_against_a_refund_in_the_dashboard",
        "given_back",
        ONE_JOURNAL,
    ),
    "late_money_came_back": Row(
        CLOSED,
        "late: what was returned came back",
        "- decided on the payment's version and by its own name, as late_money_returned",
        NO_EVENTS,
        ONE_JOURNAL,
    ),
}

ATTEMPT: Final = {
    "submit": Row("new", "instruction: create", "fifty_clients_with_one_key", "create", "sim_ok"),
    "approved": Row(OPEN, "instruction: create", "recovery_against_an_event", "create", "sim_ok"),
    "declined": Row(OPEN, "late: a charge that was paid is not closed", SAME_CHANGE, "create", "sim_declined"),
    "pending": Row(
        "submitted requires_action unknown not_found not_sent",
        "- an answer that closes nothing: its commit is that of unknown",
        SAME_CHANGE,
        "create",
        "a capture",
    ),
    "requires_action": Row(
        "submitted pending unknown not_found not_sent",
        "late: a charge is closed",
        SAME_CHANGE,
        "create",
        "a charge is closed",
    ),
    "unknown": Row("submitted", "recovery: charged", "recovery_against_an_event", "create", "sim_timeout_charged"),
    "key_taken": Row(
        "submitted unknown not_found not_sent",
        "late: a key was used before a restore",
        "a_key_that_was_taken_against_the_charge_itself",
        "keys_used_before",
        "- as unknown, with one more column",
    ),
    "not_sent": Row("submitted", "recovery: refused, then charged", SAME_CHANGE, "create", "a charge is closed"),
    "not_found": Row(
        "submitted pending requires_action unknown", "recovery: not charged", SAME_CHANGE, "create", ONE_JOURNAL
    ),
    "resubmit": Row(
        "unknown not_found not_sent",
        "late: a charge is closed",
        "closing_a_charge_against_its_capture",
        "closed_and_paid",
        "a charge is closed",
    ),
    "give_up": Row(
        "not_found not_sent",
        "recovery: never charged",
        "a_dispute_right_before_a_refund_is_sent_again",
        "keys_used_before",
        ONE_JOURNAL,
    ),
    "parked": Row(
        "pending requires_action unknown not_found not_sent",
        "late: a key was used before a restore",
        "two_recoveries_park_once",
        "keys_used_before",
        ONE_JOURNAL,
    ),
    "reversed": Row("approved", "webhook: a late failure", SAME_CHANGE, NO_EVENTS, "a refund that fails"),
    "late_capture": Row(
        "approved declined failed",
        "late: a declined charge is captured",
        "late_capture_by_a_look_up_against_its_event",
        "closed_and_paid",
        "late money",
    ),
    "late_hold": Row(
        "declined failed", "late: a declined hold is held and released", SAME_CHANGE, NO_EVENTS, ONE_JOURNAL
    ),
    "late_release": Row(
        "declined failed",
        "late: a cancel that was refused was executed",
        SAME_CHANGE,
        NO_EVENTS,
        ONE_JOURNAL,
    ),
    "late_refund": Row(
        "declined failed", "late: a refund that failed was executed", SAME_CHANGE, NO_EVENTS, ONE_JOURNAL
    ),
}

REFUND: Final = {
    "create": Row("new", "instruction: refund", "twenty_refunds_of_sixty_percent", "follow_up", "a refund that fails"),
    "pending": Row("submitting", "- an answer that closes nothing", SAME_CHANGE, "follow_up", ONE_JOURNAL),
    "succeeded": Row(
        "submitting pending",
        "instruction: refund",
        "twenty_refunds_of_sixty_percent",
        "follow_up",
        "a refund that fails",
    ),
    "failed": Row(
        "submitting pending succeeded",
        "webhook: a late failure",
        "a_dispute_right_before_a_refund_is_sent_again",
        "follow_up",
        "a refund that fails",
    ),
    "late_refund": Row("failed", "late: a refund that failed was executed", SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
}

UNDECIDED: Final = "opened under_review"

DISPUTES: Final = {
    "open": Row("new", "webhook: a dispute", "a_refund_against_the_state_of_a_dispute", NO_EVENTS, "a dispute"),
    "funds_withdrawn": Row(UNDECIDED, "webhook: a dispute", SAME_CHANGE, NO_EVENTS, "a dispute"),
    "funds_returned": Row(UNDECIDED, DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "funds_reported": Row(f"{UNDECIDED} won lost", DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "late_movement": Row(f"{UNDECIDED} won lost", DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "escalated": Row(UNDECIDED, DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "won": Row(UNDECIDED, DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "lost": Row(UNDECIDED, DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "under_review": Row("opened", DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
    "contested": Row("won lost", DISPUTE, SAME_CHANGE, NO_EVENTS, ONE_JOURNAL),
}

WAITING: Final = "open acknowledged"
NO_PEOPLE: Final = "- nobody works on cases there; they are opened with their rejections"
ALIKE: Final = "- the same statements as an act that is killed at each: a case is ignored"

CASES: Final = {
    "reject": Row(
        "new",
        "late: a declined charge is captured",
        "rejections_of_an_earlier_release_get_their_cases_once",
        NO_PEOPLE,
        NO_PEOPLE,
    ),
    "acknowledge": Row(WAITING, ALIKE, "operators_at_once_each_take_a_version", NO_PEOPLE, NO_PEOPLE),
    "escalate": Row(WAITING, ALIKE, "operators_at_once_each_take_a_version", NO_PEOPLE, NO_PEOPLE),
    "give_back": Row("acknowledged", ALIKE, "operators_at_once_each_take_a_version", NO_PEOPLE, NO_PEOPLE),
    "rejected_again": Row(WAITING, ALIKE, "operators_at_once_each_take_a_version", NO_PEOPLE, NO_PEOPLE),
    "ignore": Row(WAITING, "act: case.ignore", "operators_at_once_each_take_a_version", NO_PEOPLE, NO_PEOPLE),
    "reprocessed": Row(WAITING, ALIKE, "what_is_accepted_at_once_is_accepted_once", NO_PEOPLE, NO_PEOPLE),
    "settled": Row(WAITING, ALIKE, "a_decision_on_late_money_closes_its_case_by_rule", NO_PEOPLE, NO_PEOPLE),
}

NO_ALERTS: Final = "- an alert is about the platform, and nothing of a payment waits for it"
ONE_ROW: Final = "- the same statements as a case's acts: a change of one subject, with the act in it"

ALERTS: Final = {
    "open": Row("new", ONE_ROW, "a_condition_opens_one_alert_whoever_finds_it", NO_ALERTS, NO_ALERTS),
    "acknowledge": Row(WAITING, ONE_ROW, "people_and_the_watch_at_once_each_take_a_version", NO_ALERTS, NO_ALERTS),
    "hand_on": Row(WAITING, ONE_ROW, "people_and_the_watch_at_once_each_take_a_version", NO_ALERTS, NO_ALERTS),
    "give_back": Row("acknowledged", ONE_ROW, "people_and_the_watch_at_once_each_take_a_version", NO_ALERTS, NO_ALERTS),
    "resolve": Row(WAITING, ONE_ROW, "people_and_the_watch_at_once_each_take_a_version", NO_ALERTS, NO_ALERTS),
    "cleared": Row(WAITING, ONE_ROW, "people_and_the_watch_at_once_each_take_a_version", NO_ALERTS, NO_ALERTS),
    "reopen": Row("resolved", ONE_ROW, "people_and_the_watch_at_once_each_take_a_version", NO_ALERTS, NO_ALERTS),
}

STATEMENTS: Final = "bank_statement: a_process_that_compares_and_posts_a_statement_dies_anywhere"
PARTS: Final = "settlement: a_process_dies_anywhere"
WITHDRAWN: Final = "settlement: a_process_that_withdraws_dies_anywhere"

SETTLED_BATCHES: Final = {
    "counted": Row("new", PARTS, "the_same_again_posts_nothing", NO_SETTLEMENT, NO_SETTLEMENT),
    "supplemented": Row(
        "posting posted withdrawn", PARTS, "the_same_again_posts_nothing", NO_SETTLEMENT, NO_SETTLEMENT
    ),
    "withdrawn": Row("posting", WITHDRAWN, "at_once_with_everything_else", NO_SETTLEMENT, NO_SETTLEMENT),
    "completed": Row("posting", PARTS, "the_same_again_posts_nothing", NO_SETTLEMENT, NO_SETTLEMENT),
}

TOLD_ROWS: Final = {
    "settled": Row("new withdrawn", TOLD, "several_processes_tell_once", NO_SETTLEMENT, NO_SETTLEMENT),
    "exception": Row("new", TOLD, "several_processes_tell_once", NO_SETTLEMENT, NO_SETTLEMENT),
    "withdrawn": Row(
        "new settled withdrawn", TAKEN_BACK, "a_file_is_withdrawn_while_it_is_told", NO_SETTLEMENT, NO_SETTLEMENT
    ),
}

SETTLEMENTS: Final = {
    "posted": Row("new", PARTS, "the_same_again_posts_nothing", NO_SETTLEMENT, NO_SETTLEMENT),
    "supplemented": Row("posted", PARTS, "the_same_again_posts_nothing", NO_SETTLEMENT, NO_SETTLEMENT),
}

BANK_STATEMENTS: Final = {
    "posted": Row("new", STATEMENTS, "several_processes_post_once", NO_SETTLEMENT, NO_SETTLEMENT),
    "compared_again": Row("posted", STATEMENTS, "the_entry_comes_before_its_file", NO_SETTLEMENT, NO_SETTLEMENT),
}

TABLE: Final = {
    "payment": PAYMENT,
    "attempt": ATTEMPT,
    "refund": REFUND,
    "dispute": DISPUTES,
    "rejected_case": CASES,
    "alert": ALERTS,
    "settled_batch": SETTLED_BATCHES,
    "settlement": SETTLEMENTS,
    "bank_statement": BANK_STATEMENTS,
    "reconciliation": TOLD_ROWS,
}

CELLS: Final = [(machine, event) for machine, rows in TABLE.items() for event in rows]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_edge_is_named(machine: str) -> None:
    """State by state: an event that is new in a state is new."""
    edges = Counter((event, state) for state, event, _ in MACHINES[machine].live_edges())
    assert Counter((event, state) for event, row in TABLE[machine].items() for state in row.states.split()) == edges


@pytest.mark.parametrize(("machine", "event"), CELLS)
def test_what_a_row_names_is_there(machine: str, event: str) -> None:
    row = TABLE[machine][event]
    suite, _, story = row.crash.partition(": ")
    if not _is_a_reason(row.crash):
        assert story in CRASH[suite]
        if suite == "late" and machine == "payment":
            assert event in LATE[story].steps.split()
    assert _is_a_reason(row.race) or row.race in RACES
    assert _is_a_reason(row.model) or row.model in MODEL
    assert _is_a_reason(row.sigkill) or row.sigkill in SIGKILL


@pytest.mark.parametrize(("machine", "event"), CELLS)
def test_every_edge_is_reached_somewhere(machine: str, event: str) -> None:
    """An edge may be left out of a suite for a reason, and not out of all of them: what is only in the golden lives
    has a reason that says so."""
    row = TABLE[machine][event]
    reasons = [cell for cell in row[1:] if _is_a_reason(cell)]
    if len(reasons) == len(row[1:]):
        assert DISPUTE in reasons or (machine == "payment" and event == "processing")


def test_the_suites_that_are_named_run_their_stories() -> None:
    """Each story has a number of points that it must not fall below."""
    assert set(test_late_stories.POINTS) == set(LATE)


def _is_a_reason(cell: str) -> bool:
    return cell.startswith("- ")
