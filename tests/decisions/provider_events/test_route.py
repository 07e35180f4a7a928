"""What every event of a provider comes to in every situation: the whole table, by hand, with its postings."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tallystick.decisions.provider_events.dispositions import DISPOSITIONS, Ask, Decided, EventDecision, NotYet
from tallystick.domain.notices import AttemptNotice, RefundNotice
from tallystick.domain.verdicts import (
    Approved,
)
from tests.support.notices import (
    BOOKED_REFUND,
    NOTICES,
    SITUATIONS,
    _authorized,
    _authorizing_auto,
    _capturing,
    _of,
    taken,
    voided,
)
from tests.support.paper_record import CURRENCY, PROVIDER, PaperRecord

#: = says what we hold, < overtaken, A applied, ? contradicts and the provider is asked, . not yet, ! conflict at once.
SIGNS = {"=": "duplicate_effect", "<": "stale", "A": "applied", "!": "conflict", "?": "ask", ".": "later"}


# Settled cell by cell against the graphs. Columns as in NOTICES: 8 of the charge, 8 of our calls for it, 3 of our
# refund, 2 of the dashboard's, 7 of the dispute.
TABLE = {
    "authorizing": "A A . . . A A A   A A . . . . . .   . . .   . .   . . . . . . .",
    "authorizing, captures": "? A ? A A A A A   A A . . . . . .   . . .   . .   . . . . . . .",
    "requires action": "A A . A A A A =   A A . . . . . .   . . .   . .   . . . . . . .",
    "authorized": "= A A A A ? < <   = ? ! . . . . .   . . .   . .   . . . . . . .",
    "capturing": "< A . . . ? < <   = ? ! A A . . .   . . .   . .   . . . . . . .",
    "capture unknown": "< A . . . ? < <   = ? ! A A . . .   . . .   . .   . . . . . . .",
    "canceling": "< . . A A ? < <   = ? ! . . . A A   . . .   . .   . . . . . . .",
    "canceling, not held": ". . . A A . . =   . . . . . . A A   . . .   . .   . . . . . . .",
    "captured at once": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   A A A A A . .",
    "captured": "< = ? ? ? ? < <   = ? ! = ? A . .   . . .   A .   A A A A A . .",
    "captured 600": "< ? = ? ? ? < <   = ? ! = ? A . .   . . .   A .   A A A A A . .",
    "captured there": "< = ? ? ? ? < <   = ? ! . . . . .   . . .   A .   A A A A A . .",
    "declined": "? ? ? = = = < <   ? = = . . . . .   . . .   . .   . . . . . . .",
    "failed": "? ? ? = = = < <   ? = = . . . . .   . . .   . .   . . . . . . .",
    "canceled": "< ? ? = = ? < <   = ? ! . . . = ?   . . .   . .   . . . . . . .",
    "expired": "< ? ? = = ? < <   = ? ! . . . . .   . . .   . .   . . . . . . .",
    "reversed": "? = ? ? ? = < <   < = = . . . . .   . . .   A .   A A A A A . .",
    "refunding": "? = ? ? ? ? < <   = ? A . . . . .   A A .   A .   A A A A A . .",
    "refund pending": "? = ? ? ? ? < <   = ? A . . . . .   A A .   A .   A A A A A . .",
    "refunded": "? = ? ? ? ? < <   = ? A . . . . .   = A A   A .   A A A A A . .",
    "refund failed": "? = ? ? ? ? < <   = ? A . . . . .   ? = =   A .   A A A A A . .",
    "refund reversed": "? = ? ? ? ? < <   = ? A . . . . .   < = =   A .   A A A A A . .",
    "refunded there": "? = ? ? ? ? < <   = ? A . . . . .   . . .   = A   A A A A A . .",
    "dispute opened": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   = A A A A . .",
    "dispute withdrawn": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   = = A A A . .",
    "dispute in review": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   < A = A A . .",
    "dispute won": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   < < < = A A =",
    "dispute lost": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   < < < A = = A",
    "won, withdrawn": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   < < < = = = =",
    "lost, returned": "? = ? ? ? ? < <   = ? A . . . . .   . . .   A .   < < < = = = =",
}


# What "applied" is: steps of history and ledger rows, for each notice, where it is the same everywhere ("*")
# and where it is not.
EFFECTS: dict[str, dict[str, str]] = {
    "held": {
        "*": "attempt:approved payment:authorized | hold 1000",
    },
    "taken": {
        "*": "attempt:approved payment:captured | capture 1000",
        "authorized": "payment:captured | release 1000 capture 1000",
        "capturing": "attempt:approved payment:captured | release 1000 capture 1000",
        "capture unknown": "attempt:approved payment:captured | release 1000 capture 1000",
    },
    "taken 600": {
        "*": "payment:captured | release 1000 capture 600",
    },
    "voided": {
        "*": "attempt:declined payment:declined",
        "authorized": "payment:canceled | release 1000",
        "canceling": "attempt:approved payment:canceled | release 1000",
        "canceling, not held": "attempt:approved payment:canceled attempt:declined",
    },
    "expired": {
        "*": "attempt:declined payment:declined",
        "authorized": "payment:expired | release 1000",
        "canceling": "attempt:approved payment:canceled | release 1000",
        "canceling, not held": "attempt:approved payment:canceled attempt:declined",
    },
    "no": {
        "*": "attempt:declined payment:declined",
        "requires action": "attempt:declined payment:declined attempt:submit attempt:not_sent",
    },
    "waits": {
        "*": "attempt:pending",
        "requires action": "payment:processing attempt:pending",
    },
    "act": {
        "*": "payment:action_required attempt:requires_action",
    },
    "auth yes": {
        "*": "attempt:approved payment:authorized | hold 1000",
        "authorizing, captures": "attempt:approved payment:captured | capture 1000",
    },
    "auth no": {
        "*": "attempt:declined payment:declined",
        "requires action": "attempt:declined payment:declined attempt:submit attempt:not_sent",
    },
    "auth reversed": {
        "*": "attempt:reversed payment:capture_reversed | capture_reversed 1000",
    },
    "capture yes": {
        "*": "attempt:approved payment:captured | release 1000 capture 1000",
    },
    "capture no": {
        "*": "attempt:declined payment:capture_refused",
    },
    "capture reversed": {
        "*": "attempt:reversed payment:capture_reversed | capture_reversed 1000",
        "captured 600": "attempt:reversed payment:capture_reversed | capture_reversed 600",
    },
    "cancel yes": {
        "*": "attempt:approved payment:canceled | release 1000",
        "canceling, not held": "attempt:approved payment:canceled attempt:declined",
    },
    "cancel no": {
        "*": "attempt:declined payment:cancel_refused",
        "canceling, not held": "attempt:declined payment:action_still_required",
    },
    "refund yes": {
        "*": "attempt:approved refund:succeeded payment:refund_succeeded | refund_succeeded 300",
    },
    "refund no": {
        "*": "attempt:declined refund:failed payment:refund_failed | refund_failed 300",
        "refunded": "attempt:reversed refund:failed payment:refund_failed | refund_reversed 300 refund_failed 300",
    },
    "refund reversed": {
        "*": "attempt:reversed refund:failed payment:refund_failed | refund_reversed 300 refund_failed 300",
    },
    "dash refund": {
        "*": "payment:refund_opened refund:create refund:succeeded payment:refund_succeeded"
        " | refund_sent 200 refund_succeeded 200",
    },
    "dash failed": {
        "*": "refund:failed payment:refund_failed | refund_reversed 200 refund_failed 200",
    },
    "dp opened": {
        "*": "dispute:open payment:dispute_opened | dispute_reserve 1000",
    },
    "dp withdrawn": {
        "*": "dispute:open dispute:funds_withdrawn payment:dispute_opened"
        " | dispute_reserve 1000 dispute_withdrawn 1000",
        "dispute opened": "dispute:funds_withdrawn payment:dispute_updated | dispute_withdrawn 1000",
        "dispute in review": "dispute:funds_withdrawn payment:dispute_updated | dispute_withdrawn 1000",
    },
    "dp review": {
        "*": "dispute:open dispute:under_review payment:dispute_opened | dispute_reserve 1000",
        "dispute opened": "dispute:under_review payment:dispute_updated",
        "dispute withdrawn": "dispute:under_review payment:dispute_updated",
    },
    "dp won": {
        "*": "dispute:open dispute:won payment:dispute_opened | dispute_reserve 1000 dispute_released 1000",
        "dispute opened": "dispute:won payment:dispute_updated | dispute_released 1000",
        "dispute withdrawn": "dispute:won payment:dispute_updated | dispute_released 1000 dispute_returned 1000",
        "dispute in review": "dispute:won payment:dispute_updated | dispute_released 1000",
        "dispute lost": "dispute:late_movement payment:dispute_updated | late_movement 1000 ALERT",
    },
    "dp lost": {
        "*": "dispute:open dispute:lost payment:dispute_opened"
        " | dispute_reserve 1000 dispute_withdrawn 1000 dispute_lost 1000",
        "dispute opened": "dispute:lost payment:dispute_updated | dispute_withdrawn 1000 dispute_lost 1000",
        "dispute withdrawn": "dispute:lost payment:dispute_updated | dispute_lost 1000",
        "dispute in review": "dispute:lost payment:dispute_updated | dispute_withdrawn 1000 dispute_lost 1000",
        "dispute won": "dispute:late_movement payment:dispute_updated | late_movement 1000 ALERT",
    },
    "dp won, taken": {
        "*": "dispute:late_movement payment:dispute_updated | late_movement 1000 ALERT",
    },
    "dp lost, returned": {
        "*": "dispute:late_movement payment:dispute_updated | late_movement 1000 ALERT",
    },
}

#: Where refunds, reversals and disputes then pass the capture: applied all the same, with an alert. The payment is of
#: 1,000, its refund of 300, the dashboard's of 200, the dispute over 1,000; a dispute counts for no more than was
#: captured, and one that was won for nothing.
BEYOND: dict[str, set[str]] = {
    "reversed": {"dash refund", "dp opened", "dp withdrawn", "dp review", "dp lost"},
    "refunding": {"auth reversed", "dp opened", "dp withdrawn", "dp review", "dp lost"},
    "refund pending": {"auth reversed", "dp opened", "dp withdrawn", "dp review", "dp lost"},
    "refunded": {"auth reversed", "dp opened", "dp withdrawn", "dp review", "dp lost"},
    "refunded there": {"auth reversed", "dp opened", "dp withdrawn", "dp review", "dp lost"},
    "dispute opened": {"auth reversed", "dash refund"},
    "dispute withdrawn": {"auth reversed", "dash refund"},
    "dispute in review": {"auth reversed", "dash refund"},
    "dispute lost": {"auth reversed", "dash refund"},
    "lost, returned": {"auth reversed", "dash refund"},
}


def _said(outcome: EventDecision) -> str:
    match outcome:
        case Decided():
            return outcome.disposition
        case Ask():
            return "ask"
        case NotYet():
            return "later"


def _done(decided: Decided) -> str:
    change = decided.change
    assert change is not None
    steps = " ".join(f"{step.subject}:{step.event}" for step in change.transitions)
    legs = " ".join(f"{row.kind} {row.amount}" for row in change.transfers)
    return f"{steps} | {legs}".strip(" |") + (" ALERT" if any(each.alert for each in change.rejections) else "")


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(SITUATIONS)
    assert {len(row.replace(" ", "")) for row in TABLE.values()} == {len(NOTICES)}
    applied = {notice for row in TABLE.values() for notice, sign in _cells(row) if sign == "A"}
    assert applied == set(EFFECTS)
    assert set(SIGNS.values()) - {"ask", "later"} <= set(DISPOSITIONS)


def _cells(row: str) -> list[tuple[str, str]]:
    return list(zip(NOTICES, row.replace(" ", ""), strict=True))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_in_every_situation(situation: str) -> None:
    for name, sign in _cells(TABLE[situation]):
        record = SITUATIONS[situation]()
        outcome = record.decide(NOTICES[name](record))
        assert _said(outcome) == SIGNS[sign], f"{situation} x {name}"
        if sign == "A":
            assert isinstance(outcome, Decided)
            alert = " ALERT" if name in BEYOND.get(situation, ()) else ""
            effect = EFFECTS[name].get(situation, EFFECTS[name]["*"]) + alert
            assert _done(outcome) == effect, f"{situation} x {name}"
        if sign == "!":
            assert isinstance(outcome, Decided) and outcome.change is not None
            assert outcome.change.rejections[0].alert and not outcome.change.transfers


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_was_applied_is_news_no_more(situation: str) -> None:
    """The same event under another name, and the same event after a crash: never a second effect."""
    for name, sign in _cells(TABLE[situation]):
        if sign == "A":
            record = SITUATIONS[situation]()
            notice = NOTICES[name](record)
            assert record.take(notice) == "applied"
            sums, payment = record.sums(), record.payment
            assert record.take(notice) in ("duplicate_effect", "stale"), f"{situation} x {name}"
            assert (record.sums(), record.payment) == (sums, payment)


@pytest.mark.parametrize(("provider", "account"), [("other", "main"), (PROVIDER, "other")])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_another_account_says_nothing_of_our_money(situation: str, provider: str, account: str) -> None:
    for name in NOTICES:
        record = SITUATIONS[situation]()
        outcome = record.decide(NOTICES[name](record), provider=provider, account=account)
        assert isinstance(outcome, Decided) and outcome.disposition == "conflict", name
        assert outcome.change is not None and not outcome.change.transitions and not outcome.change.transfers
        assert [rejection.alert for rejection in outcome.change.rejections] == [True]


def test_a_type_that_says_nothing_of_money_is_kept() -> None:
    assert PaperRecord().decide(None) == Decided("unknown_type")


def test_our_own_refund_is_known_by_the_providers_name_for_it() -> None:
    record = SITUATIONS["refunded"]()
    attempt = record.attempt("refund")
    assert attempt is not None and attempt.provider_reference is not None
    notice = RefundNotice(reference=attempt.provider_reference, amount=300, currency=CURRENCY)
    assert record.take(notice) == "duplicate_effect"


def test_a_call_of_ours_is_found_by_the_providers_name_for_it() -> None:
    record = SITUATIONS["refund pending"]()
    named = AttemptNotice(operation="refund", reference="ref_pending", verdict=BOOKED_REFUND)
    assert record.take(AttemptNotice(operation="capture", reference="ref_pending", verdict=taken())) == "later"
    assert record.take(named) == "applied"
    assert record.stored.refunds[0].state == "succeeded"


@pytest.mark.parametrize(
    ("said", "state"), [(taken(), "captured"), (taken(600), "captured"), (voided(), "canceled")], ids=str
)
def test_word_on_our_call_that_goes_further_than_it_is_word_on_the_charge(said: Approved, state: str) -> None:
    """The provider names our authorization, and tells that it was captured or released since."""
    record = _authorized()
    assert record.take(_of("authorize", said)(record)) == "applied"
    assert record.payment.state == state
    assert record.payment.amount_captured == (said.amount if state == "captured" else 0)


def test_a_call_speaks_for_the_account_that_it_was_made_with() -> None:
    record = _capturing()
    capture, notice = record.attempt("capture"), _of("capture")(record)
    assert capture is not None
    moved = replace(capture, account="new")
    stored = replace(record.stored, attempts=(record.stored.attempts[0], moved))
    record._stored = stored
    assert isinstance(outcome := record.decide(notice), Decided) and outcome.disposition == "conflict"
    assert isinstance(outcome := record.decide(notice, account="new"), Decided) and outcome.disposition == "applied"


def test_a_notice_without_any_name_is_about_no_call() -> None:
    record = _authorizing_auto()
    assert record.take(AttemptNotice(operation="authorize", verdict=taken())) == "later"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_history_names_the_event(situation: str) -> None:
    """Also where no attempt of ours moves: whatever changed, its event and its word are found from the record."""
    for name, sign in _cells(TABLE[situation]):
        if sign != "A":
            continue
        record = SITUATIONS[situation]()
        outcome = record.decide(NOTICES[name](record))
        assert isinstance(outcome, Decided) and outcome.change is not None
        kept = [step.evidence for step in outcome.change.transitions if step.evidence is not None]
        assert kept and all("event_id" in each for each in kept), f"{situation} x {name}"
        of_attempts = [step for step in outcome.change.transitions if step.subject == "attempt"]
        assert all("verdict" in (step.evidence or {}) for step in of_attempts), f"{situation} x {name}"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_equal_lives_decide_equally(situation: str) -> None:
    """Pure: the same record and the same event give the same change, ids and all."""
    for name in NOTICES:
        one, other = SITUATIONS[situation](), SITUATIONS[situation]()
        assert one.decide(NOTICES[name](one)) == other.decide(NOTICES[name](other)), name
