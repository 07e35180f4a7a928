"""Two movements of one payment may be equal, and the record may know one of them: by hand, for each kind of movement,
each format that makes news, and each order of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
from msgspec import Struct

from tallystick.decisions.provider_fees import FeeCheck
from tallystick.decisions.settlement_match import Match
from tallystick.decisions.settlement_matching import FileMatcher
from tallystick.decisions.settlement_names import RowNames, names_of
from tallystick.decisions.settlement_news import news_in
from tallystick.domain.settlement_evidence import Candidate
from tallystick.domain.settlement_row import RowKind, SettlementRow

pytestmark = pytest.mark.fast

STRIPE: Final = "stripe"
ADYEN: Final = "adyen_settlement_details"


class Moved(Struct, frozen=True):
    """A movement at the provider. ``reference``: of what moved; ``own``: of the movement alone, where that is another
    name: a dispute has several."""

    reference: str
    own: str


def row(format_name: str, moved: Moved, kind: RowKind, amount: int, position: int) -> SettlementRow:
    is_stripe = format_name == STRIPE
    return SettlementRow(
        position=position,
        line=position + 1,
        batch="b",
        row_key=moved.own if is_stripe else f"{kind}:{moved.reference}:{moved.own}",
        kind=kind,
        raw_type=kind if is_stripe else moved.own,
        currency="EUR",
        gross=amount,
        fee=0,
        net=amount,
        reference=moved.reference,
        payment_reference="charge",
    )


def posted(kind: RowKind, amount: int, name: str | None, version: int = 3, **fields: Any) -> Candidate:
    """What the record has of a payment: the row names the payment."""
    subject = {"charge": "pay_1", "charge_reversal": "pay_1"}.get(kind, f"subject of {name}")
    given: dict[str, Any] = {
        "found_by": "payment_reference",
        "merchant_id": "m",
        "payment_id": "pay_1",
        "subject_id": subject,
        "state": "captured",
        "kind": kind,
        "version": version,
        "amount": amount,
        "currency": "EUR",
        "name": name,
        "provider_reference": "charge",
    }
    return Candidate(**{**given, **fields})


def by_name(each: Candidate, reference: str, *movements: str) -> Candidate:
    """The same, where the row names it."""
    given = {name: getattr(each, name) for name in each.__struct_fields__}
    changed = {"found_by": "provider_reference", "provider_reference": reference, "name": None, "movements": movements}
    return Candidate(**{**given, **changed})


#: Kind, amount, what the record knows, and another movement that is equal to it.
EQUAL: Final[list[tuple[str, RowKind, int, Moved, Moved]]] = [
    (ADYEN, "charge", 500, Moved("mod_known", "Settled"), Moved("mod_other", "Settled")),
    (ADYEN, "refund", -300, Moved("mod_known", "Refunded"), Moved("mod_other", "Refunded")),
    (ADYEN, "refund_reversal", 300, Moved("mod_known", "RefundedReversed"), Moved("mod_other", "RefundedReversed")),
    (ADYEN, "dispute", -900, Moved("dp_known", "Chargeback"), Moved("dp_other", "Chargeback")),
    (ADYEN, "dispute", -900, Moved("dp_known", "Chargeback"), Moved("dp_known", "SecondChargeback")),
    (ADYEN, "dispute_reversal", 900, Moved("dp_known", "ChargebackReversed"), Moved("dp_other", "ChargebackReversed")),
    (STRIPE, "refund", -300, Moved("re_known", "txn_1"), Moved("re_other", "txn_2")),
    (STRIPE, "refund_reversal", 300, Moved("re_known", "txn_1"), Moved("re_other", "txn_2")),
    (STRIPE, "dispute", -900, Moved("du_known", "txn_1"), Moved("du_other", "txn_2")),
    (STRIPE, "dispute", -900, Moved("du_known", "txn_1"), Moved("du_known", "txn_2")),
    (STRIPE, "dispute_reversal", 900, Moved("du_known", "txn_1"), Moved("du_other", "txn_2")),
    (STRIPE, "dispute_reversal", 900, Moved("du_known", "txn_1"), Moved("du_known", "txn_2")),
]


def known_of(kind: RowKind, amount: int, known: Moved, moved: Moved) -> list[Candidate]:
    """What the row of ``moved`` may be about, where the record has ``known`` alone."""
    of_payment = posted(kind, amount, known.reference)
    if moved.reference != known.reference:
        return [of_payment]
    codes = {"Chargeback": "CHARGEBACK", "ChargebackReversed": "CHARGEBACK_REVERSED"}
    movements = (codes.get(known.own, known.own),) if kind in ("dispute", "dispute_reversal") else ()
    named = by_name(of_payment, known.reference, *movements)
    if kind == "charge":  # a capture is found by its attempt, which finds all captures of the payment
        named = posted(kind, amount, known.reference, found_by="provider_reference")
    return [named, of_payment]


def unchecked(_: int) -> FeeCheck:
    return FeeCheck(charged=0, expected=None)


def compared(
    format_name: str, *rows: tuple[SettlementRow, Sequence[Candidate]], taken: set[Any] | None = None
) -> dict[int, Match]:
    matcher, done = FileMatcher(taken), []
    for each, found in rows:
        match = matcher.add(each, found, unchecked, names_of(format_name, format_name.split("_")[0]))
        done += [] if match is None else [match]
    return {match.row.position: match for match in [*done, *matcher.rest()]}


@pytest.mark.parametrize("files", ["one", "two"])
@pytest.mark.parametrize("first", ["known", "other"])
@pytest.mark.parametrize(("format_name", "kind", "amount", "known", "other"), EQUAL)
def test_of_two_equal_movements_each_row_is_its_own(
    format_name: str, kind: RowKind, amount: int, known: Moved, other: Moved, first: str, files: str
) -> None:
    """The known one's row has its posting, and the other one's is news, in whatever order and however many files."""
    order = (known, other) if first == "known" else (other, known)
    rows = [
        (row(format_name, each, kind, amount, number), known_of(kind, amount, known, each))
        for number, each in enumerate(order, 1)
    ]
    taken: set[Any] = set()
    done = compared(format_name, *rows, taken=taken) if files == "one" else {}
    for each in rows if files == "two" else ():
        done |= compared(format_name, each, taken=taken)
    of_known, of_other = 1 + order.index(known), 1 + order.index(other)
    assert (done[of_known].status, done[of_known].reason) == ("matched", "same")
    assert done[of_other].reason in ("not_in_record", "state") and done[of_other].covers == 0
    found_for_other = done[of_other].of
    assert found_for_other is None or found_for_other.amount is None
    gathers = news_in(format_name, format_name.split("_")[0])
    assert gathers is not None
    told = [each for each, found in rows if gathers.add(each, done[each.position], found)]
    assert [each.position for each in told] == [of_other]
    assert [news.positions for news in gathers.news()] == [(of_other,)]


@pytest.mark.parametrize("first", [0, 1])
def test_two_equal_captures_that_are_known_have_a_row_each(first: int) -> None:
    names = ("mod_a", "mod_b")
    found = [posted("charge", 500, name, version) for version, name in enumerate(names, 3)]
    order = (names[first], names[1 - first])
    rows = [(row(ADYEN, Moved(name, "Settled"), "charge", 500, number), found) for number, name in enumerate(order, 1)]
    done = compared(ADYEN, *rows)
    assert [each.of and each.of.name for each in done.values()] == list(order)


def test_a_capture_of_another_amount_does_not_take_the_equal_one() -> None:
    """The row names one capture, and has the amount of the other: what it names has another amount."""
    for found_by in ("payment_reference", "provider_reference"):
        equal = posted("charge", 500, "mod_a", 3, found_by=found_by)
        named = posted("charge", 200, "mod_b", 4, found_by=found_by)
        [match] = compared(ADYEN, (row(ADYEN, Moved("mod_b", "Settled"), "charge", 500, 1), [equal, named])).values()
        assert (match.reason, match.covers) == ("amount", 200)
        assert match.of is not None and match.of.name == "mod_b"


def test_a_row_with_a_name_is_no_part_of_others_and_none_of_several() -> None:
    """Two refunds of 300 and 200 are not one row of 500 with a name of its own, nor two rows one refund of 500; where a
    format may give several together one name, they are."""
    both = [posted("refund", -300, "re_a"), posted("refund", -200, "re_b")]
    one = row(STRIPE, Moved("re_c", "txn_1"), "refund", -500, 1)
    [match] = compared(STRIPE, (one, both)).values()
    assert match.reason == "not_in_record"
    [match] = compared("simulator", (one, both)).values()
    assert (match.reason, match.stage, match.covers) == ("same", "batch_group", -500)
    whole = [posted("refund", -500, "re_a")]
    parts = [
        (row(STRIPE, Moved(name, name), "refund", amount, number), whole)
        for number, (name, amount) in enumerate((("re_b", -300), ("re_c", -200)), 1)
    ]
    for format_name in (STRIPE, "simulator"):
        assert {each.reason for each in compared(format_name, *parts).values()} == {"not_in_record"}


@pytest.mark.parametrize("format_name", [STRIPE, ADYEN, "simulator", "generic_csv"])
def test_what_nobody_named_goes_to_the_first_row_and_is_then_a_duplicate(format_name: str) -> None:
    """A person said that a refund was executed, and not under which name: a second row of it waits, for it may be that
    one."""
    found = [posted("refund", -300, None)]
    rows = [(row(format_name, Moved(name, name), "refund", -300, at), found) for at, name in enumerate(("x", "y"), 1)]
    done = compared(format_name, *rows)
    assert [(each.status, each.reason) for each in done.values()] == [("matched", "same"), ("mismatched", "duplicate")]


def test_what_our_mark_names_has_no_other_name() -> None:
    """Our own mark names a refund, and the row is of another name: the refund was executed twice, and this row is the
    other one."""
    ours = posted("refund", -300, "re_a", found_by="alternative_reference")
    [match] = compared(STRIPE, (row(STRIPE, Moved("re_b", "txn_1"), "refund", -300, 1), [ours])).values()
    assert (match.status, match.reason, match.covers) == ("mismatched", "reference", 0)
    [match] = compared(STRIPE, (row(STRIPE, Moved("re_a", "txn_1"), "refund", -300, 1), [ours])).values()
    assert (match.status, match.reason) == ("matched", "same")


def test_a_dispute_without_named_movements_is_compared_as_before() -> None:
    """Its money went out before the provider named movements, or the provider names none."""
    moved = row(STRIPE, Moved("du_a", "txn_1"), "dispute", -900, 1)
    for movements in ((), ("",), ("", "txn_9")):
        found = [by_name(posted("dispute", -900, None), "du_a", *movements)]
        [match] = compared(STRIPE, (moved, found)).values()
        assert match.reason == "same", movements


def test_charges_of_stripe_have_their_charges_name() -> None:
    """So what was captured, and what was taken back at once, are one; other formats' rows are named each by itself."""
    names = names_of(STRIPE, "stripe")
    assert names.own_name(row(STRIPE, Moved("ch_1", "txn_1"), "charge", 500, 1)) is None
    assert names.own_name(row(STRIPE, Moved("re_1", "txn_1"), "refund", -500, 1)) == "re_1"
    assert names.in_doubt == {"dispute", "dispute_reversal"}
    assert names_of("generic_csv", "stripe") == RowNames() and not RowNames().in_doubt
    of_another = names_of(STRIPE, "simulator")
    assert of_another.of_their_charge == names.of_their_charge and not of_another.in_doubt, "it has other names"
