"""A second opinion on the books: lifecycles and ledger, read from the published contract and from nothing of the code.

It is given the exported history, one JSON object a line, and computes from that alone: whether each step is an edge of
its subject's lifecycle, the state and the amounts of every subject, each transfer that the step must have posted, and
the balance of every account. It imports nothing of the product, and its tables are written by hand.

A line has ``merchant_id``, ``stream_id``, ``subject`` (the kind), ``subject_id``, ``version``, ``change_id``,
``from_state``, ``event``, ``to_state`` and ``change``: the fields that the step set. The lines of one subject come in
the order of their versions. What is wrong in the history itself is an objection, and reading goes on.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Fields = Mapping[str, Any]


def _edges(text: str) -> dict[tuple[str, str], str]:
    """``states: event > state, event`` a line, for several states at once; an event without a state keeps it."""
    edges = {}
    for line in text.strip().splitlines():
        states, _, events = line.partition(":")
        for state in states.split():
            for event in events.split(","):
                name, _, to = event.partition(">")
                edges[state, name.strip()] = to.strip() or state
    return edges


LIFECYCLES = {
    "payment": _edges("""
        new: create > authorizing
        authorizing: authorized > authorized, captured > captured, declined > declined, failed > failed
        authorizing: action_required > requires_action
        requires_action: processing > authorizing, authorized > authorized, captured > captured, declined > declined
        requires_action: failed > failed, cancel > canceling, canceled > canceled, expired > expired
        authorized: capture > capturing, cancel > canceling, captured > captured, canceled > canceled
        authorized: expired > expired, late_capture
        capturing: captured > captured, capture_refused > authorized, expired > expired
        canceling: canceled > canceled, cancel_refused > authorized, action_still_required > requires_action
        canceling: captured > captured, expired > expired
        captured: capture_added, capture_reversed
        canceled: captured_and_refunded
        captured declined failed canceled expired: refund_opened, refund_succeeded, refund_failed, refund_resubmitted
        captured declined failed canceled expired: settled, settlement_withdrawn
        captured declined failed canceled expired: dispute_opened, dispute_updated, late_money_accepted
        captured declined failed canceled expired: late_return_opened, late_return_failed, late_money_returned
        captured declined failed canceled expired: late_money_came_back, late_capture, late_hold, late_release
        """),
    "attempt": _edges("""
        new: submit > submitted
        submitted: approved > approved, declined > declined, pending > pending, requires_action > requires_action
        submitted: unknown > unknown, key_taken > unknown, not_sent > not_sent, not_found > not_found
        pending: approved > approved, declined > declined, requires_action > requires_action, not_found > not_found
        pending: parked
        requires_action: approved > approved, declined > declined, pending > pending, not_found > not_found, parked
        unknown: resubmit > submitted, approved > approved, declined > declined, pending > pending
        unknown: requires_action > requires_action, not_found > not_found, key_taken, parked
        not_found not_sent: resubmit > submitted, give_up > failed, approved > approved, declined > declined
        not_found not_sent: pending > pending, requires_action > requires_action, key_taken > unknown
        not_found not_sent: parked
        approved: reversed > reversed, late_capture
        declined failed: late_capture, late_hold, late_release, late_refund
        """),
    "refund": _edges("""
        new: create > submitting
        submitting: pending > pending
        submitting pending: succeeded > succeeded, failed > failed
        succeeded: failed > failed
        failed: late_refund
        """),
    "dispute": _edges("""
        new: open > opened
        opened: under_review > under_review
        opened under_review: funds_withdrawn, funds_returned, funds_reported, late_movement, escalated
        opened under_review: won > won, lost > lost
        won lost: funds_reported, late_movement, contested
        """),
    "alert": _edges("""
        new: open > open
        open acknowledged: acknowledge > acknowledged, hand_on > acknowledged, resolve > resolved, cleared > resolved
        acknowledged: give_back > open
        resolved: reopen > open
        """),
    "settled_batch": _edges("""
        new: counted > posting
        posting: supplemented, completed > posted, withdrawn > withdrawn
        posted withdrawn: supplemented > posting
        """),
    "settlement": _edges("new: posted > posted\nposted: supplemented"),
    "bank_statement": _edges("""
        new: posted > posted
        posted: compared_again
        """),
    "reconciliation": _edges("""
        new: settled > settled, exception > exception, withdrawn > withdrawn
        settled withdrawn: withdrawn > withdrawn
        withdrawn: settled > settled
        """),
    "rejected_case": _edges("""
        new: reject > open
        open acknowledged: acknowledge > acknowledged, escalate > acknowledged, rejected_again
        acknowledged: give_back > open
        open acknowledged: settled > resolved, reprocessed > resolved, ignore > resolved
        """),
}

#: What a subject has before version 1: a first step leaves out what it does not change.
DEFAULTS: dict[str, dict[str, Any]] = json.loads("""{
    "payment": {"amount_authorized": 0, "amount_captured": 0, "amount_refunded": 0, "amount_refund_pending": 0,
                "amount_reversed": 0, "amount_late": 0, "amount_late_accepted": 0, "amount_late_returning": 0,
                "amount_late_returned": 0, "late_movements": [], "provider_operations": [],
                "capture_method": "automatic", "exponent": null, "provider_exponent": null, "provider_reference": null,
                "next_action": null, "failure": null, "description": null, "metadata": {}},
    "refund": {"amount_late": 0, "provider_reference": null, "reason": null, "failure": null},
    "dispute": {"reason": null, "funds_withdrawn": false, "movements": [], "contested": false, "kind": "chargeback"},
    "settled_batch": {"rounding": 0, "written_off": 0}, "settlement": {},
    "bank_statement": {"written_off": 0},
    "reconciliation": {},
    "alert": {"openings": 1, "acknowledged_by": null, "resolved_by": null},
    "rejected_case": {"provider": null, "event_id": null, "owner": null, "escalations": 0, "reprocessings": 0,
                      "resolution": null, "closed_by": null},
    "attempt": {"purpose": "instruction", "refund_id": null, "idempotency_key": null, "capture": false,
                "account": "main", "provider_reference": null, "parent_reference": null, "submissions": 1,
                "late_effect": false, "key_taken": false, "api_version": null, "key_kind": null,
                "traceparent": null}}""")

#: Kinds with a time of their first step, which that step leaves out where it is its own.
DATED = frozenset(
    {"payment", "refund", "dispute", "rejected_case", "alert", "settled_batch", "settlement", "bank_statement"}
    | {"reconciliation"}
)

#: The ledger's table: edge, transfer, debit, credit, amount, and when, if not always. An account that ends in ``:`` is
#: the provider's. An amount is a field after the step; ``was:`` before it, ``+`` and ``-`` what it grows and falls by.
#: ``when``: the state before, or whether a dispute's money was ``withdrawn`` before, or ``kept``.
_POSTINGS = """
payment.authorized            hold                 authorized:        authorized_contra: amount_authorized
payment.captured              release              authorized_contra: authorized:        was:amount_authorized
payment.captured              capture              provider:          merchant           amount_captured
payment.canceled              release              authorized_contra: authorized:        was:amount_authorized
payment.expired               release              authorized_contra: authorized:        was:amount_authorized
payment.late_capture          late_capture         provider:          suspense:          +amount_late
payment.capture_added         capture              provider:          merchant           +amount_captured
payment.capture_reversed      capture_reversed     merchant           provider:          +amount_reversed
payment.late_money_accepted   late_money_accepted  suspense:          merchant           +amount_late_accepted
payment.late_money_returned   late_money_returned  suspense:          provider:          +amount_late_returned
payment.late_money_came_back  late_money_came_back provider:          suspense:          -amount_late_returned
payment.captured_and_refunded capture              provider:          merchant           given_back
payment.captured_and_refunded refund_sent          merchant           refunds_in_flight: given_back
payment.captured_and_refunded refund_succeeded     refunds_in_flight: provider:          given_back
refund.create                 refund_sent          merchant           refunds_in_flight: amount
refund.succeeded              refund_succeeded     refunds_in_flight: provider:          amount
refund.failed                 refund_failed        refunds_in_flight: merchant           amount submitting
refund.failed                 refund_failed        refunds_in_flight: merchant           amount pending
refund.failed                 refund_reversed      provider:          refunds_in_flight: amount succeeded
refund.failed                 refund_failed        refunds_in_flight: merchant           amount succeeded
refund.late_refund            late_refund          suspense:          provider:          +amount_late
dispute.open                  dispute_reserve      merchant           dispute_reserve    amount
dispute.funds_withdrawn       dispute_withdrawn    disputes:          provider:          amount
dispute.funds_returned        dispute_returned     provider:          disputes:          amount
dispute.won                   dispute_released     dispute_reserve    merchant           amount
dispute.won                   dispute_returned     provider:          disputes:          amount withdrawn
dispute.lost                  dispute_withdrawn    disputes:          provider:          amount kept
dispute.lost                  dispute_lost         dispute_reserve    disputes:          amount
dispute.contested             dispute_contested    merchant           suspense:          amount won
"""


class Posting(NamedTuple):
    """A row of the ledger's table."""

    transfer: str
    debit: str
    credit: str
    amount: str
    when: str = "always"

    def amount_of(self, before: Fields, after: Fields) -> int:
        """What it posts in a step."""
        if self.amount == "given_back":  # what was captured and refunded at the provider: named by this step
            known = before.get("provider_operations", ())
            new = [each for each in after.get("provider_operations", ()) if each not in known]
            return sum(each["amount"] for each in new if each["booked"] == "refunded")
        name = self.amount.removeprefix("was:").lstrip("+-")
        then, now = int(before.get(name, 0)), int(after.get(name, 0))
        return {"w": then, "+": now - then, "-": then - now}.get(self.amount[0], now)


POSTINGS: dict[str, list[Posting]] = defaultdict(list)
for _row in _POSTINGS.strip().splitlines():
    _edge, *_rest = _row.split()
    POSTINGS[_edge].append(Posting(*_rest))

#: Edges of settlements that post. Sums grow from one version to the next; one that shrinks, or is below zero, is posted
#: in reverse. Their story begins with a file: tests/flows/reconciliation/test_matching.py.
SETTLEMENT_EDGES = {
    "settled_batch": ("counted", "supplemented"),
    "settlement": ("posted", "supplemented"),
    "bank_statement": ("posted", "compared_again"),
}
_PAYABLE = ("charges", "charge_reversals", "refunds", "refund_reversals", "disputes", "dispute_reversals")
_BALANCE = "provider_balance:"
_OF_SETTLEMENTS = {
    "settled_batch": [
        Posting("batch_merchants", _BALANCE, "settled:", "+merchants"),
        Posting("batch_fees", "fees:provider", _BALANCE, "+fees"),
        Posting("batch_tax", "tax:", _BALANCE, "+tax"),
        *(
            Posting(f"batch_{name}", _BALANCE, f"{name}:", f"+{name}")
            for name in ("reserve", "unexplained", "rounding")
        ),
        Posting("batch_written_off", _BALANCE, "write_off", "+written_off"),
        Posting("batch_paid_out", _BALANCE, "bank_in_transit:", "+paid_out"),
    ],
    "bank_statement": [],  # between accounts of a bank: ``Opinion.bank``
    "settlement": [
        *(Posting(f"settled_{name}", "settled:", "provider:", f"+{name}") for name in (*_PAYABLE, "late")),
        *(Posting(f"payable_{name}", "merchant", "merchant_available", f"+{name}") for name in _PAYABLE),
    ],
}
for _kind, _events in SETTLEMENT_EDGES.items():
    for _event in _events:
        POSTINGS[f"{_kind}.{_event}"] += _OF_SETTLEMENTS[_kind]

#: Money of a dispute that its course does not account for, by the way that it went.
LATE_OUT = Posting("late_movement", "suspense:", "provider:", "")
LATE_BACK = Posting("late_movement", "provider:", "suspense:", "")

#: What a course's own posting withdraws, or returns.
_ON_COURSE = {"dispute_withdrawn": 1, "dispute_returned": -1}


class Transfer(NamedTuple):
    """One row of the ledger as it must be."""

    merchant_id: str
    stream_id: str
    subject_id: str
    version: int
    transfer: str
    debit: str
    credit: str
    amount: int
    currency: str


class Subject:
    """A subject as its history leaves it."""

    def __init__(self, merchant_id: str, stream_id: str, kind: str, subject_id: str) -> None:
        self.merchant_id, self.stream_id, self.kind, self.subject_id = merchant_id, stream_id, kind, subject_id
        self.version, self.state = 0, "new"
        self.fields: dict[str, Any] = dict(DEFAULTS.get(kind, {}))
        self.out = 0  # of a dispute's money: withdrawn, and not returned


class Opinion:
    """What the history says. ``balances``: (merchant, account, currency) -> [debits, credits]."""

    def __init__(self) -> None:
        self.subjects: dict[tuple[str, str, str], Subject] = {}
        self.transfers: list[Transfer] = []
        self.balances: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.objections: list[str] = []
        self.seen: Counter[tuple[str, str]] = Counter()  # (kind, event)

    def step(self, row: Mapping[str, Any]) -> None:
        """One line of the history."""
        kind, event, key = row["subject"], row["event"], (row["merchant_id"], row["subject"], row["subject_id"])
        if kind not in LIFECYCLES:
            return self.object(row, "the contract has no such kind")
        if key not in self.subjects:
            self.subjects[key] = Subject(row["merchant_id"], row["stream_id"], kind, row["subject_id"])
        subject = self.subjects[key]
        self.seen[kind, event] += 1
        if row["version"] != subject.version + 1:
            self.object(row, f"the version before it is {subject.version}")
        if row["from_state"] != subject.state:
            self.object(row, f"the subject is {subject.state}")
        if LIFECYCLES[kind].get((row["from_state"], event)) != row["to_state"]:
            self.object(row, "no such edge")
        opening = {"created_at": row["at"]} if row["version"] == 1 and kind in DATED and "at" in row else {}
        before, subject.fields = subject.fields, subject.fields | opening | row["change"]
        subject.version, subject.state = row["version"], row["to_state"]
        course, conditions = 0, {"always", row["from_state"], "withdrawn" if before.get("funds_withdrawn") else "kept"}
        for posting in [posting for posting in POSTINGS.get(f"{kind}.{event}", ()) if posting.when in conditions]:
            amount = posting.amount_of(before, subject.fields)
            course += _ON_COURSE.get(posting.transfer, 0) * amount
            self._post(subject, posting, amount)
        if kind == "bank_statement":
            self.bank(subject, before)
        if kind == "dispute":
            late = _out(subject.state, subject.fields) - subject.out - course
            subject.out += course + late
            self._post(subject, LATE_OUT if late > 0 else LATE_BACK, abs(late))

    def bank(self, subject: Subject, before: Fields) -> None:
        """What a statement's sums grew by: payouts that arrived, by provider; the bank's charges; and the rest."""
        after = subject.fields
        at = after["account"] if after["provider"] == "bank" else f"{after['provider']}/{after['account']}"
        arrived: Counter[str] = Counter()
        for fields, sign in ((before, -1), (after, 1)):
            for each in fields.get("arrivals", ()):
                arrived[each["provider"]] += sign * int(each["amount"])
        for provider in sorted(arrived):
            self._move(subject, "bank_arrived", f"bank:{at}", f"bank_in_transit:{provider}", arrived[provider])
        fees, rest, off = (
            int(after[name]) - int(before.get(name, 0)) for name in ("fees", "unexplained", "written_off")
        )
        self._move(subject, "bank_charged", "fees:bank", f"bank:{at}", fees)
        self._move(subject, "bank_unexplained", f"bank:{at}", f"unexplained:bank:{at}", rest)
        self._move(subject, "bank_written_off", f"bank:{at}", "write_off", off)

    def _post(self, subject: Subject, posting: Posting, amount: int) -> None:
        provider = subject.fields["provider"]
        debit, credit = (name + provider if name.endswith(":") else name for name in (posting.debit, posting.credit))
        self._move(subject, posting.transfer, debit, credit, amount)

    def _move(self, subject: Subject, transfer: str, debit: str, credit: str, amount: int) -> None:
        if amount == 0:
            return
        currency = subject.fields["currency"]
        if amount < 0 and subject.kind in SETTLEMENT_EDGES:
            debit, credit, amount = credit, debit, -amount
        where = (subject.merchant_id, subject.stream_id, subject.subject_id, subject.version)
        self.transfers.append(Transfer(*where, transfer, debit, credit, amount, currency))
        if amount < 0:
            self.objections.append(f"{subject.subject_id} version {subject.version}: posts {amount}")
        self.balances[subject.merchant_id, debit, currency][0] += amount
        self.balances[subject.merchant_id, credit, currency][1] += amount

    def compare_refunds(self) -> None:
        """A payment's refunded amounts are those of its refunds: two subjects, and one truth."""
        refunds: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for subject in self.subjects.values():
            if subject.kind == "refund":
                name = {"succeeded": "amount_refunded", "failed": ""}.get(subject.state, "amount_refund_pending")
                refunds[subject.merchant_id, subject.stream_id][name] += subject.fields["amount"]
        for subject in self.subjects.values():
            for name in ("amount_refunded", "amount_refund_pending") if subject.kind == "payment" else ():
                of_refunds = refunds[subject.merchant_id, subject.stream_id][name]
                if subject.fields[name] != of_refunds:
                    wrong = f"{name} is {subject.fields[name]}, of its refunds {of_refunds}"
                    self.objections.append(f"payment {subject.subject_id}: {wrong}")

    def object(self, row: Mapping[str, Any], why: str) -> None:
        """Keep what is wrong with a line."""
        step = f"{row['from_state']} -> {row['event']} -> {row['to_state']}"
        self.objections.append(f"{row['subject']} {row['subject_id']} version {row['version']}: {step}: {why}")


def _out(state: str, fields: Fields) -> int:
    """How much of a dispute's money is out: by named movements, and by those that a verdict presupposes."""
    amount, movements = int(fields["amount"]), fields["movements"]
    if not movements:
        return amount if fields["funds_withdrawn"] else 0
    told = [each for each in movements if each["amount"] is not None]
    out = sum(int(each["amount"]) * (1 if each["funds"] == "withdrawn" else -1) for each in told)
    times = Counter((each["funds"], each["before_verdict"]) for each in told)
    on_course = times["withdrawn", True] - times["returned", True]
    if fields["contested"] or state not in ("won", "lost"):
        return out
    if state == "won":
        return out - amount * max(0, on_course - times["returned", False])
    return out + amount * max(0, 1 - on_course - times["withdrawn", False])


def read(lines: Iterable[str]) -> Opinion:
    """The opinion on an exported history. Raises KeyError and ValueError for what is no line of a history."""
    opinion = Opinion()
    for line in lines:
        opinion.step(json.loads(line))
    opinion.compare_refunds()
    return opinion
