"""The lifecycle tables: the whole state x event product of each machine, and the published matrix."""

from __future__ import annotations

from typing import get_args

import pytest

from tallystick.domain.alert import AlertState
from tallystick.domain.bank_statement import BankStatementState
from tallystick.domain.lifecycles.attempt import ATTEMPT, ATTEMPT_OPEN
from tallystick.domain.lifecycles.machines import MACHINES, events, next_state
from tallystick.domain.lifecycles.table import NEW
from tallystick.domain.lifecycles.verdict_matrix import VERDICTS, VerdictMeaning, meaning_of
from tallystick.domain.reconciliation import ReconciliationStep
from tallystick.domain.rejected_case import CaseState
from tallystick.domain.settlement import SettledBatchState, SettlementState
from tallystick.domain.subjects import AttemptState, DisputeState, PaymentState, RefundState

# Written out by hand, from the design's graph and not from the tables: state -> events that may happen there.
PAYMENT_MAY = {
    "new": "create",
    "authorizing": "authorized captured declined failed action_required",
    "requires_action": "processing authorized captured declined failed cancel canceled expired",
    "authorized": "capture cancel captured canceled expired late_capture",
    "capturing": "captured capture_refused expired",
    "canceling": "canceled cancel_refused action_still_required captured expired",
    "captured": "capture_added capture_reversed refund_opened refund_succeeded refund_failed refund_resubmitted"
    " dispute_opened dispute_updated late_capture late_hold late_release"
    " settled settlement_withdrawn"
    " late_money_accepted late_return_opened late_return_failed late_money_returned late_money_came_back",
    "declined": "refund_opened refund_succeeded refund_failed refund_resubmitted"
    " dispute_opened dispute_updated late_capture late_hold late_release"
    " settled settlement_withdrawn"
    " late_money_accepted late_return_opened late_return_failed late_money_returned late_money_came_back",
    "failed": "refund_opened refund_succeeded refund_failed refund_resubmitted"
    " dispute_opened dispute_updated late_capture late_hold late_release"
    " settled settlement_withdrawn"
    " late_money_accepted late_return_opened late_return_failed late_money_returned late_money_came_back",
    "canceled": "captured_and_refunded refund_opened refund_succeeded refund_failed refund_resubmitted"
    " dispute_opened dispute_updated late_capture late_hold late_release"
    " settled settlement_withdrawn"
    " late_money_accepted late_return_opened late_return_failed late_money_returned late_money_came_back",
    "expired": "refund_opened refund_succeeded refund_failed refund_resubmitted"
    " dispute_opened dispute_updated late_capture late_hold late_release"
    " settled settlement_withdrawn"
    " late_money_accepted late_return_opened late_return_failed late_money_returned late_money_came_back",
}
ATTEMPT_MAY = {
    "new": "submit",
    "submitted": "approved declined pending requires_action unknown not_sent not_found key_taken",
    "pending": "approved declined requires_action not_found parked",
    "requires_action": "approved declined pending not_found parked",
    "unknown": "resubmit approved declined pending requires_action not_found key_taken parked",
    "not_found": "resubmit give_up approved declined pending requires_action key_taken parked",
    "not_sent": "resubmit give_up approved declined pending requires_action key_taken parked",
    "approved": "reversed late_capture",
    "declined": "late_capture late_hold late_release late_refund",
    "failed": "late_capture late_hold late_release late_refund",
    "reversed": "",
}
REFUND_MAY = {
    "new": "create",
    "submitting": "pending succeeded failed",
    "pending": "succeeded failed",
    "succeeded": "failed",
    "failed": "late_refund",
}
DISPUTE_MAY = {
    "new": "open",
    "opened": "funds_withdrawn funds_returned funds_reported late_movement escalated under_review won lost",
    "under_review": "funds_withdrawn funds_returned funds_reported late_movement escalated won lost",
    "won": "funds_reported late_movement contested",
    "lost": "funds_reported late_movement contested",
}
CASE_MAY = {
    "new": "reject",
    "open": "acknowledge escalate rejected_again settled reprocessed ignore",
    "acknowledged": "acknowledge give_back escalate rejected_again settled reprocessed ignore",
    "resolved": "",
}
ALERT_MAY = {
    "new": "open",
    "open": "acknowledge hand_on resolve cleared",
    "acknowledged": "acknowledge hand_on give_back resolve cleared",
    "resolved": "reopen",
}
SETTLED_BATCH_MAY = {
    "new": "counted",
    "posting": "supplemented completed withdrawn",
    "posted": "supplemented",
    "withdrawn": "supplemented",
}
BANK_STATEMENT_MAY = {"new": "posted", "posted": "compared_again"}
RECONCILIATION_MAY = {
    "new": "settled exception withdrawn",
    "settled": "withdrawn",
    "withdrawn": "settled withdrawn",
    "exception": "",
}
SETTLEMENT_MAY = {"new": "posted", "posted": "supplemented"}
MAY = {
    "payment": PAYMENT_MAY,
    "attempt": ATTEMPT_MAY,
    "refund": REFUND_MAY,
    "dispute": DISPUTE_MAY,
    "rejected_case": CASE_MAY,
    "alert": ALERT_MAY,
    "settled_batch": SETTLED_BATCH_MAY,
    "settlement": SETTLEMENT_MAY,
    "bank_statement": BANK_STATEMENT_MAY,
    "reconciliation": RECONCILIATION_MAY,
}


@pytest.mark.parametrize(("machine", "state"), [(name, state) for name in MACHINES for state in MACHINES[name].edges])
def test_every_pair_of_state_and_event(machine: str, state: str) -> None:
    after = {event: next_state(machine, state, event) for event in sorted(events(machine))}
    assert [event for event in after if after[event] is not None] == sorted(MAY[machine][state].split())
    assert {each for each in after.values() if each is not None} <= set(MACHINES[machine].states)


def test_tables_name_every_state_once() -> None:
    states_of = {
        "payment": PaymentState,
        "attempt": AttemptState,
        "refund": RefundState,
        "dispute": DisputeState,
        "rejected_case": CaseState,
        "alert": AlertState,
        "settled_batch": SettledBatchState,
        "settlement": SettlementState,
        "bank_statement": BankStatementState,
        "reconciliation": ReconciliationStep,
    }
    assert set(states_of) == set(MACHINES)
    for machine, states in states_of.items():
        assert MACHINES[machine].states == sorted(get_args(states), key=list(MACHINES[machine].edges).index)
        assert set(MAY[machine]) == set(MACHINES[machine].edges) == {NEW, *get_args(states)}


#: What old history has, written by hand: states whose subjects may carry the retired name, and where it leads.
RETIRED = {
    "payment": {"captured", "declined", "failed", "canceled", "expired"},
    "attempt": {"approved", "declined", "failed"},
    "refund": {"failed"},
    "dispute": {"opened", "under_review", "won", "lost"},
    "rejected_case": set[str](),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_retired_edge_is_read_and_never_taken(machine: str) -> None:
    for state in MACHINES[machine].edges:
        recorded = MACHINES[machine].recorded_edge(state, "late_effect")
        assert (recorded is not None) == (state in RETIRED.get(machine, set()))
        assert recorded is None or recorded.to == state
        assert next_state(machine, state, "late_effect") is None
    assert "late_effect" not in events(machine)


#: What migration 0013 gave an amount to, written by hand.
COUNTED = {"payment": RETIRED["payment"], "refund": RETIRED["refund"]}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_edge_of_the_migration_is_read_and_never_taken(machine: str) -> None:
    for state in MACHINES[machine].edges:
        recorded = MACHINES[machine].recorded_edge(state, "late_money_counted")
        assert (recorded is not None) == (state in COUNTED.get(machine, set()))
        assert recorded is None or recorded.to == state
        assert next_state(machine, state, "late_money_counted") is None


def test_final_states_lead_nowhere_else() -> None:
    # Two things come back weeks later, and are the only ways out of an end: a refund, and what an attempt had done.
    ways_out = {("refund", "succeeded"): {"failed"}, ("attempt", "approved"): {"reversed"}}
    for machine, table in MACHINES.items():
        for state in table.final:
            elsewhere = {edge.to for edge in table.edges[state].values()} - {state}
            assert elsewhere == ways_out.get((machine, state), set()), (machine, state)


# Where each event leads, where it does not lead back to the state it met and is not named like its next state.
LEADS_TO = {
    ("payment", "create"): {"authorizing"},
    ("payment", "action_required"): {"requires_action"},
    ("payment", "processing"): {"authorizing"},
    ("payment", "cancel"): {"canceling"},
    ("payment", "capture"): {"capturing"},
    ("payment", "capture_refused"): {"authorized"},
    ("payment", "cancel_refused"): {"authorized"},
    ("payment", "action_still_required"): {"requires_action"},
    ("attempt", "submit"): {"submitted"},
    ("attempt", "resubmit"): {"submitted"},
    ("attempt", "give_up"): {"failed"},
    ("attempt", "key_taken"): {"unknown"},
    ("refund", "create"): {"submitting"},
    ("dispute", "open"): {"opened"},
    ("rejected_case", "reject"): {"open"},
    ("rejected_case", "acknowledge"): {"acknowledged"},
    ("rejected_case", "give_back"): {"open"},
    ("rejected_case", "escalate"): {"acknowledged"},
    ("rejected_case", "settled"): {"resolved"},
    ("rejected_case", "reprocessed"): {"resolved"},
    ("rejected_case", "ignore"): {"resolved"},
    ("alert", "acknowledge"): {"acknowledged"},
    ("alert", "hand_on"): {"acknowledged"},
    ("alert", "give_back"): {"open"},
    ("alert", "resolve"): {"resolved"},
    ("alert", "cleared"): {"resolved"},
    ("alert", "reopen"): {"open"},
    ("settled_batch", "counted"): {"posting"},
    ("settled_batch", "supplemented"): {"posting"},
    ("settled_batch", "completed"): {"posted"},
    ("settled_batch", "withdrawn"): {"withdrawn"},
}
#: What adds a version and moves nothing.
IN_PLACE = {
    ("settlement", "supplemented"),
    ("bank_statement", "compared_again"),
    ("payment", "refund_opened"),
    ("payment", "refund_succeeded"),
    ("payment", "refund_failed"),
    ("payment", "refund_resubmitted"),
    ("payment", "capture_reversed"),
    ("payment", "capture_added"),
    ("payment", "captured_and_refunded"),
    ("payment", "dispute_opened"),
    ("payment", "dispute_updated"),
    ("payment", "settled"),
    ("payment", "settlement_withdrawn"),
    ("payment", "late_capture"),
    ("payment", "late_hold"),
    ("payment", "late_release"),
    ("payment", "late_money_accepted"),
    ("payment", "late_return_opened"),
    ("payment", "late_return_failed"),
    ("payment", "late_money_returned"),
    ("payment", "late_money_came_back"),
    ("attempt", "late_capture"),
    ("attempt", "late_hold"),
    ("attempt", "late_release"),
    ("attempt", "late_refund"),
    ("attempt", "parked"),
    ("refund", "late_refund"),
    ("dispute", "funds_withdrawn"),
    ("dispute", "funds_returned"),
    ("dispute", "funds_reported"),
    ("dispute", "late_movement"),
    ("dispute", "contested"),
    ("dispute", "escalated"),
    ("rejected_case", "rejected_again"),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_event_leads_where_it_says(machine: str) -> None:
    for state, event, edge in MACHINES[machine].live_edges():
        leads_to = {state} if (machine, event) in IN_PLACE else LEADS_TO.get((machine, event), {event})
        assert edge.to in leads_to, f"{machine}: {state} --{event}--> {edge.to}"


def test_every_attempt_state_is_open_or_final() -> None:
    assert ATTEMPT_OPEN | ATTEMPT.final == set(get_args(AttemptState))
    assert not ATTEMPT_OPEN & ATTEMPT.final


# The published matrix, by hand. A apply, = nothing new, ! conflict, $ money on a closed edge.
#                 approved declined pending requires_action unknown not_found not_sent reversed key_taken
MATRIX = {
    "submitted": "A A A A A A A A A",
    "pending": "A A = A = A = A =",
    "requires_action": "A A A = = A = A =",
    "unknown": "A A A A = A = A A",
    "not_found": "A A A A = = = A A",
    "not_sent": "A A A A = = = A A",
    "approved": "= ! = = = ! = A =",
    "declined": "$ = = = = ! = = =",
    "failed": "$ = = = = = = = !",
    "reversed": "= = = = = ! = = =",
}
SIGNS = {
    "A": VerdictMeaning.APPLY,
    "=": VerdictMeaning.SAME,
    "!": VerdictMeaning.CONFLICT,
    "$": VerdictMeaning.LATE_EFFECT,
}


@pytest.mark.parametrize("state", MATRIX)
def test_stored_attempt_against_verdict(state: str) -> None:
    for verdict, sign in zip(VERDICTS, MATRIX[state].split(), strict=True):
        assert meaning_of(state, verdict) is SIGNS[sign], f"{state} x {verdict}"


def test_the_matrix_is_whole() -> None:
    assert set(MATRIX) == set(ATTEMPT.states)


def test_unknown_and_pending_never_override() -> None:
    for state in ATTEMPT.final:
        assert meaning_of(state, "unknown") is VerdictMeaning.SAME
        assert meaning_of(state, "pending") is VerdictMeaning.SAME
