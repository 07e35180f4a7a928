"""Which rows of a settlement file are news, and what they say: tables, written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.decisions.provider_fees import FeeCheck
from tallystick.decisions.settlement_match import Match
from tallystick.decisions.settlement_news import NEWS_FORMATS, news_in
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import AttemptNotice, CaptureNotice, ChargeNotice, DisputeNotice, RefundNotice
from tallystick.domain.settlement_evidence import Candidate, Reason
from tallystick.domain.settlement_news import News, is_news
from tallystick.domain.settlement_row import RowKind, SettlementRow
from tallystick.domain.subjects import DisputeState
from tallystick.domain.verdicts import Approved, Reversed
from tallystick.flows.reconciliation.registry import FORMAT_NAMES


def row(kind: RowKind, amount: int, **fields: Any) -> SettlementRow:
    given: dict[str, Any] = {
        "position": 1,
        "line": 2,
        "batch": "b",
        "row_key": "txn_a",
        "kind": kind,
        "raw_type": kind,
        "currency": "EUR",
        "gross": amount,
        "fee": 0,
        "net": amount,
        "reference": "re_a",
        "payment_reference": "pi_a",
    }
    return SettlementRow(**{**given, **fields})


def candidate(**fields: Any) -> Candidate:
    given: dict[str, Any] = {
        "found_by": "payment_reference",
        "merchant_id": "m",
        "payment_id": "pay_a",
        "subject_id": "pay_a",
        "state": "captured",
    }
    return Candidate(**{**given, **fields})


def match(of: SettlementRow, reason: Reason) -> Match:
    fee = FeeCheck(charged=0, expected=None)
    return Match(row=of, fee=fee, status="unexplained", reason=reason, stage="none", part="unexplained")


def told(
    *rows: SettlementRow,
    reason: Reason = "not_in_record",
    found: tuple[Candidate, ...] = (candidate(),),
    format_name: str = "stripe",
    provider: str = "stripe",
) -> list[News]:
    gathers = news_in(format_name, provider)
    assert gathers is not None
    for each in rows:
        gathers.add(each, match(each, reason), found)
    return gathers.news()


@pytest.mark.fast
def test_two_formats_make_news_of_their_own_providers() -> None:
    """Neither the generic format, bank statements, the test acquirer's and a report that is only compared; nor the
    provider's format for the files of another one."""
    made = {
        (name, provider)
        for name in FORMAT_NAMES
        for provider in ("stripe", "adyen", "paypal", "simulator", "bank")
        if news_in(name, provider) is not None
    }
    assert made == {("stripe", "stripe"), ("adyen_settlement_details", "adyen")}
    assert {name for name, _ in made} == set(NEWS_FORMATS)


def adyens(
    raw_type: str, code: str, state: DisputeState, funds: Funds, *, early: bool
) -> tuple[str, SettlementRow, tuple[str, ...], Any]:
    """A row of a dispute at Adyen, and what the webhook of this code says."""
    is_out = funds == "withdrawn"
    kind: RowKind = "dispute" if is_out else "dispute_reversal"
    notice = DisputeNotice(
        reference="dp_a",
        state=state,
        amount=1_000,
        currency="EUR",
        funds=funds,
        movements=(Movement(reference=code, funds=funds, amount=1_000, before_verdict=early),),
    )
    one = row(kind, -1_000 if is_out else 1_000, raw_type=raw_type, reference="dp_a")
    return "adyen_settlement_details", one, ("dp_a", code), notice


#: Format, row, and what a provider's notice says of it, with the movement's names.
SAID: list[tuple[str, SettlementRow, tuple[str, ...], Any]] = [
    (
        "stripe",
        row("charge", 1_000, reference="ch_a"),
        ("pi_a",),
        ChargeNotice(verdict=Approved(amount=1_000, currency="EUR", effect="captured", reference="pi_a")),
    ),
    ("stripe", row("refund", -400), ("re_a",), RefundNotice(reference="re_a", amount=400, currency="EUR")),
    (
        "stripe",
        row("refund", -400, payer_amount=-500, payer_currency="USD"),
        ("re_a",),
        RefundNotice(reference="re_a", amount=500, currency="USD"),
    ),
    (
        "stripe",
        row("refund_reversal", 400),
        ("re_a",),
        AttemptNotice(
            operation="refund",
            reference="re_a",
            verdict=Reversed(
                code="refund_failed", message="The refund came back, by a settlement file.", reference="re_a"
            ),
        ),
    ),
    (
        "stripe",
        row("dispute", -1_000, reference="du_a"),
        ("du_a", "txn_a"),
        DisputeNotice(
            reference="du_a",
            state="opened",
            amount=1_000,
            currency="EUR",
            movements=(Movement(reference="txn_a", funds="withdrawn", amount=1_000, before_verdict=True),),
        ),
    ),
    (
        "stripe",
        row("dispute_reversal", 1_000, reference="du_a"),
        ("du_a", "txn_a"),
        DisputeNotice(
            reference="du_a",
            state="opened",
            amount=1_000,
            currency="EUR",
            opens=False,
            movements=(Movement(reference="txn_a", funds="returned", amount=1_000, before_verdict=False),),
        ),
    ),
    (
        "adyen_settlement_details",
        row("charge", 1_000, reference="mod_a"),
        ("mod_a",),
        CaptureNotice(reference="mod_a", amount=1_000, currency="EUR"),
    ),
    adyens("Chargeback", "CHARGEBACK", "opened", "withdrawn", early=True),
    adyens("ChargebackReversed", "CHARGEBACK_REVERSED", "under_review", "returned", early=True),
    adyens("SecondChargeback", "SECOND_CHARGEBACK", "lost", "withdrawn", early=False),
]


@pytest.mark.fast
@pytest.mark.parametrize(("format_name", "one", "movement", "notice"), SAID)
def test_a_row_says_what_its_webhook_says(
    format_name: str, one: SettlementRow, movement: tuple[str, ...], notice: Any
) -> None:
    found = told(one, format_name=format_name, provider=format_name.split("_")[0])
    assert [(each.movement, each.notice) for each in found] == [(movement, notice)]
    assert (found[0].merchant_id, found[0].payment_id, found[0].charge) == ("m", "pay_a", "pi_a")
    assert is_news(found[0].type, found[0].name)


#: No kind of row.
NONE: dict[RowKind, bool] = {
    "charge": False,
    "refund": False,
    "refund_reversal": False,
    "dispute": False,
    "dispute_reversal": False,
}

#: Of a row that came to ``reason`` by what it names: whether it may be news, by kind of row in Stripe's files.
REASONS: list[tuple[Reason, dict[RowKind, bool], tuple[Candidate, ...]]] = [
    ("not_in_record", {"charge": True, "refund": True, "refund_reversal": True, "dispute": True}, (candidate(),)),
    ("state", {"charge": True, "refund": True, "dispute": True}, (candidate(found_by="provider_reference"),)),
    (
        "reference",
        {"charge": False, "refund": False, "refund_reversal": True, "dispute_reversal": True},
        (candidate(),),
    ),
    ("duplicate", {"charge": False, "refund": True, "refund_reversal": False, "dispute": True}, (candidate(),)),
    ("duplicate", {"refund": False, "dispute": True}, (candidate(found_by="provider_reference"),)),
    ("same", NONE, (candidate(),)),
    ("amount", NONE, (candidate(),)),
    ("currency", NONE, (candidate(),)),
    ("ambiguous", NONE, (candidate(),)),
    ("no_reference", NONE, ()),
    ("not_in_record", NONE, ()),
    ("not_in_record", NONE, (candidate(), candidate(payment_id="pay_b"))),
    ("not_in_record", NONE, (candidate(amount=1_000, currency="USD"),)),
]


@pytest.mark.fast
@pytest.mark.parametrize(("reason", "by_kind", "found"), REASONS)
def test_what_may_be_news(reason: Reason, by_kind: dict[RowKind, bool], found: tuple[Candidate, ...]) -> None:
    comes_in = {"charge", "refund_reversal", "dispute_reversal"}
    made = {
        kind: bool(told(row(kind, 400 if kind in comes_in else -400), reason=reason, found=found)) for kind in by_kind
    }
    assert made == by_kind


@pytest.mark.fast
def test_rows_of_one_charge_are_one_capture() -> None:
    """What was taken back at once was never captured; a doubled row counts once, and what is left of nothing is no
    capture. A part that is taken back says nothing by itself."""
    taken = row("charge", 1_000, position=1, row_key="txn_a")
    back = row("charge_reversal", -400, position=3, row_key="txn_b", raw_type="partial_capture_reversal")
    doubled = row("charge", 1_000, position=4, row_key="txn_a")
    (only,) = told(taken, back, doubled)
    assert isinstance(only.notice, ChargeNotice) and isinstance(only.notice.verdict, Approved)
    assert (only.notice.verdict.amount, only.positions) == (600, (1, 3, 4))
    assert told(back) == []
    whole = row("charge_reversal", -1_000, position=3, row_key="txn_b", raw_type="partial_capture_reversal")
    assert told(taken, whole) == []


@pytest.mark.fast
def test_a_doubled_row_is_one_movement() -> None:
    (only,) = told(row("refund", -400, position=1), row("refund", -400, position=2))
    assert only.positions == (1, 2)
    assert isinstance(only.notice, RefundNotice) and only.notice.amount == 400


@pytest.mark.fast
def test_money_that_moves_the_wrong_way_is_no_news() -> None:
    assert told(row("refund", 400)) == [] == told(row("charge", -400)) == told(row("dispute", 0))


@pytest.mark.fast
def test_a_refund_of_ours_is_the_outcome_of_its_attempt() -> None:
    ours = candidate(found_by="alternative_reference", subject_id="re_x", attempt_id="att_x", state="submitting")
    (only,) = told(row("refund", -400), reason="state", found=(ours, candidate()))
    verdict = Approved(amount=400, currency="EUR", effect="refunded", reference="re_a")
    assert only.notice == AttemptNotice(operation="refund", attempt_id="att_x", reference="re_a", verdict=verdict)


@pytest.mark.fast
def test_rows_that_were_told_of_are_not_told_again() -> None:
    gathers = news_in("stripe", "stripe", told={1})
    assert gathers is not None
    one = row("refund", -400)
    assert not gathers.add(one, match(one, "not_in_record"), (candidate(),))
    assert gathers.news() == []
