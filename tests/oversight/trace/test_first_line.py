"""The first line, by facts that were written down with it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from tallystick.oversight.trace.facts import DisputeFact, Facts, Operations
from tallystick.oversight.trace.first_line import first_line, money, where_money_is

#: A payment of 12.00 EUR, taken at the first call.
TAKEN: Final = Facts(
    state="captured",
    code=None,
    asked=1,
    replays=0,
    sent=1,
    calls=Operations(authorize=1),
    time_outs=0,
    unanswered=0,
    effects=Operations(authorize=1),
    failed_later=Operations(),
    unknown=Operations(),
    currency="EUR",
    requested=1_200,
    amount=1_200,
    refunded=0,
    refunds_failed_later=0,
    withdrawn=0,
    disputes=[],
    late=0,
    held=0,
    in_doubt=0,
)

NOTHING_TAKEN: Final = {"amount": 0, "effects": Operations()}
REFUNDED: Final = {"calls": Operations(authorize=1, refund=1), "effects": Operations(authorize=1, refund=1), "sent": 2}
HELD: Final = {"state": "authorized", "amount": 0, "held": 1_200}


def disputed(state: Any, withdrawn: int, *, moved: bool = True, contested: bool = False) -> DisputeFact:
    return DisputeFact(
        dispute_id="dp_1", state=state, amount=1_200, withdrawn=withdrawn, was_withdrawn=moved, contested=contested
    )


LINES: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({}, "Captured 12.00 EUR: the provider was asked once and charged once"),
    (
        {"sent": 2, "calls": Operations(authorize=2), "time_outs": 1, "unanswered": 1},
        "Captured 12.00 EUR after one time-out: the provider was asked twice and charged once",
    ),
    (
        {"sent": 3, "calls": Operations(authorize=3), "time_outs": 1, "unanswered": 2},
        "Captured 12.00 EUR after 2 calls without an answer: the provider was asked 3 times and charged once",
    ),
    (
        REFUNDED | {"refunded": 400, "replays": 2},
        "Captured 12.00 EUR: the provider was asked once and charged once, asked once to refund and refunded once;"
        " 4.00 EUR went back to the payer; the merchant repeated requests twice",
    ),
    (
        REFUNDED
        | {"calls": Operations(authorize=1, refund=2), "sent": 3, "unanswered": 1, "time_outs": 1, "refunded": 400},
        "Captured 12.00 EUR after one time-out: the provider was asked once and charged once, asked twice to refund and"
        " refunded once; 4.00 EUR went back to the payer",
    ),
    (
        REFUNDED | {"effects": Operations(authorize=1)},
        "Captured 12.00 EUR: the provider was asked once and charged once, asked once to refund and refunded nothing",
    ),
    (
        REFUNDED
        | {"effects": Operations(authorize=1), "unknown": Operations(refund=1), "in_doubt": 400, "unanswered": 1},
        "In doubt over 4.00 EUR after one call without an answer: the provider was asked once and charged once, asked"
        " once to refund and refunded nothing that is known",
    ),
    (
        REFUNDED | {"failed_later": Operations(refund=1), "refunds_failed_later": 400},
        "Captured 12.00 EUR: the provider was asked once and charged once, asked once to refund and refunded once,"
        " which failed later; 4.00 EUR of refunds failed later and is the merchant's again",
    ),
    (
        {"withdrawn": 1_200, "late": -1_200},
        "Captured 12.00 EUR: the provider was asked once and charged once; 12.00 EUR withdrawn for disputes; -12.00 EUR"
        " of late money in suspense",
    ),
    (
        {"withdrawn": 1_200, "disputes": [disputed("lost", 1_200)]},
        "Captured 12.00 EUR: the provider was asked once and charged once; a dispute over 12.00 EUR was lost, 12.00 EUR"
        " went to the payer's bank",
    ),
    (
        {"withdrawn": 1_200, "disputes": [disputed("opened", 1_200)]},
        "Captured 12.00 EUR: the provider was asked once and charged once; a dispute over 12.00 EUR is open, 12.00 EUR"
        " went to the payer's bank",
    ),
    (
        {"disputes": [disputed("under_review", 0, moved=False)]},
        "Captured 12.00 EUR: the provider was asked once and charged once; a dispute over 12.00 EUR is under review, no"
        " money was withdrawn",
    ),
    (
        {"disputes": [disputed("won", 0), disputed("won", 0, moved=False)]},
        "Captured 12.00 EUR: the provider was asked once and charged once; a dispute over 12.00 EUR was won, what was"
        " withdrawn came back; a dispute over 12.00 EUR was won, no money was withdrawn",
    ),
    (
        {"disputes": [disputed("won", 0, contested=True)]},
        "Captured 12.00 EUR: the provider was asked once and charged once; a dispute over 12.00 EUR was reported both"
        " won and lost, what was withdrawn came back",
    ),
    (
        {"state": "declined", "code": "card_declined", **NOTHING_TAKEN},
        "Declined (card_declined), nothing taken of 12.00 EUR: the provider was asked once and charged nothing",
    ),
    (
        {"state": "failed", "code": "provider_unreachable", "sent": 0, "calls": Operations(), **NOTHING_TAKEN},
        "Failed (provider_unreachable), nothing taken of 12.00 EUR: the provider was not asked",
    ),
    (HELD, "Holding 12.00 EUR: the provider was asked once and holds it once"),
    (
        HELD | {"sent": 2, "calls": Operations(authorize=1, capture=1)},
        "Holding 12.00 EUR: the provider was asked once and holds it once, asked once to capture and captured nothing",
    ),
    (
        {"sent": 2, "calls": Operations(authorize=1, capture=1), "effects": Operations(authorize=1, capture=1)},
        "Captured 12.00 EUR: the provider was asked once and held it once, asked once to capture and captured once",
    ),
    (
        {"state": "canceled", "amount": 0, "sent": 2}
        | {"calls": Operations(authorize=1, cancel=1), "effects": Operations(authorize=1, cancel=1)},
        "Canceled, nothing taken of 12.00 EUR: the provider was asked once and held it once, asked once to release it"
        " and released it once",
    ),
    (
        {"state": "authorizing", "in_doubt": 1_200, "time_outs": 1, "unanswered": 1, "unknown": Operations(authorize=1)}
        | NOTHING_TAKEN,
        "In doubt over 12.00 EUR after one time-out: the provider was asked once and charged nothing that is known",
    ),
    (
        {"state": "requires_action", **NOTHING_TAKEN},
        "Waiting for the payer, nothing taken of 12.00 EUR: the provider was asked once and charged nothing",
    ),
    (
        {"state": "declined", "code": "card_declined", "late": 1_200},
        "Took 12.00 EUR, though it is declined here: the provider was asked once and charged once; 12.00 EUR of late"
        " money in suspense",
    ),
    (
        {"amount": 0, "failed_later": Operations(authorize=1)},
        "Captured 12.00 EUR, which the provider took back: the provider was asked once and charged once, which failed"
        " later",
    ),
    (
        {"amount": 0, "sent": 2, "calls": Operations(authorize=1, capture=1)}
        | {"effects": Operations(authorize=1, capture=1), "failed_later": Operations(capture=1)},
        "Captured 12.00 EUR, which the provider took back: the provider was asked once and held it once, asked once to"
        " capture and captured once, which failed later",
    ),
    (
        {"effects": Operations(authorize=2), "calls": Operations(authorize=2), "sent": 2},
        "Captured 12.00 EUR: the provider was asked twice and charged twice",
    ),
    (
        {"effects": Operations(authorize=2), "failed_later": Operations(authorize=1), "sent": 2}
        | {"calls": Operations(authorize=2)},
        "Captured 12.00 EUR: the provider was asked twice and charged twice, of which once failed later",
    ),
)

#: What stands beside `money`.
MONEY: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({}, "moved: 12.00 EUR from the payer"),
    (
        {"refunded": 400},
        "moved: 12.00 EUR from the payer, 4.00 EUR back to the payer; 8.00 EUR is left",
    ),
    (
        {"withdrawn": 1_200, "disputes": [disputed("lost", 1_200)]},
        "moved: 12.00 EUR from the payer, 12.00 EUR to the payer's bank for a lost dispute; 0.00 EUR is left",
    ),
    (
        {"withdrawn": 1_200, "disputes": [disputed("opened", 1_200)]},
        "moved: 12.00 EUR from the payer, 12.00 EUR to the payer's bank for an open dispute; 0.00 EUR is left",
    ),
    (
        {"refunded": 200, "withdrawn": 400},
        "moved: 12.00 EUR from the payer, 2.00 EUR back to the payer, 4.00 EUR to the payer's bank for disputes; 6.00"
        " EUR is left",
    ),
    ({"late": 1_200}, "moved: 12.00 EUR from the payer; 12.00 EUR waits in suspense for a person"),
    ({"amount": 0}, "none"),
    (HELD, "held: 12.00 EUR"),
    ({"in_doubt": 400}, "in doubt: 4.00 EUR; moved: 12.00 EUR from the payer"),
)


@pytest.mark.parametrize(("facts", "said"), LINES, ids=lambda each: str(each)[:40])
def test_the_first_line_says_what_the_facts_are(facts: dict[str, Any], said: str) -> None:
    assert first_line(replace(TAKEN, **facts)) == said


@pytest.mark.parametrize(("facts", "said"), MONEY, ids=lambda each: str(each)[:40])
def test_what_moved_is_said_with_where_it_went(facts: dict[str, Any], said: str) -> None:
    assert where_money_is(replace(TAKEN, **facts)) == said


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (1_200, "EUR", "12.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (1_200, "JPY", "1,200 JPY"),
        (1_200, "KWD", "1.200 KWD"),
    ],
)
def test_amounts_have_their_decimals(amount: int, currency: str, said: str) -> None:
    assert money(amount, currency) == said
