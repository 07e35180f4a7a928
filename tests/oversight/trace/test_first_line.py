"""The first line, by facts that were written down with it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from tallystick.oversight.trace.facts import Effects, Facts
from tallystick.oversight.trace.first_line import first_line, money

#: A payment of 12.00 EUR, taken at the first call.
TAKEN: Final = Facts(
    state="captured",
    code=None,
    asked=1,
    replays=0,
    sent=1,
    time_outs=0,
    unanswered=0,
    effects=Effects(authorize=1),
    currency="EUR",
    requested=1_200,
    amount=1_200,
    refunded=0,
    withdrawn=0,
    late=0,
    held=0,
    in_doubt=0,
)

NOTHING_TAKEN: Final = {"amount": 0, "effects": Effects()}

LINES: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({}, "Captured 12.00 EUR: the provider was asked once and charged once"),
    (
        {"sent": 2, "time_outs": 1, "unanswered": 1},
        "Captured 12.00 EUR after one time-out: the provider was asked twice and charged once",
    ),
    (
        {"sent": 3, "time_outs": 1, "unanswered": 2},
        "Captured 12.00 EUR after 2 calls without an answer: the provider was asked 3 times and charged once",
    ),
    (
        {"refunded": 400, "replays": 2},
        "Captured 12.00 EUR: the provider was asked once and charged once; 4.00 EUR went back; the merchant repeated"
        " requests twice",
    ),
    (
        {"withdrawn": 1_200, "late": -1_200},
        "Captured 12.00 EUR: the provider was asked once and charged once; 12.00 EUR withdrawn for disputes; -12.00 EUR"
        " of late money in suspense",
    ),
    (
        {"state": "declined", "code": "card_declined", **NOTHING_TAKEN},
        "Declined (card_declined), nothing taken of 12.00 EUR: the provider was asked once and charged nothing",
    ),
    (
        {"state": "failed", "code": "provider_unreachable", "sent": 0, **NOTHING_TAKEN},
        "Failed (provider_unreachable), nothing taken of 12.00 EUR: the provider was not asked",
    ),
    (
        {"state": "authorized", "amount": 0, "held": 1_200},
        "Holding 12.00 EUR: the provider was asked once and holds it once",
    ),
    (
        {"state": "canceled", "amount": 0, "sent": 2, "effects": Effects(authorize=1, cancel=1)},
        "Canceled, nothing taken of 12.00 EUR: the provider was asked twice and held it once",
    ),
    (
        {"state": "authorizing", "in_doubt": 1_200, "time_outs": 1, "unanswered": 1, **NOTHING_TAKEN},
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
        {"amount": 0},
        "Captured 12.00 EUR, which never came: the provider was asked once and charged once",
    ),
    (
        {"effects": Effects(authorize=2), "sent": 2},
        "Captured 12.00 EUR: the provider was asked twice and charged twice",
    ),
)


@pytest.mark.parametrize(("facts", "said"), LINES, ids=lambda each: str(each)[:40])
def test_the_first_line_says_what_the_facts_are(facts: dict[str, Any], said: str) -> None:
    assert first_line(replace(TAKEN, **facts)) == said


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (1_200, "EUR", "12.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (1_200, "JPY", "1200 JPY"),
        (1_200, "KWD", "1.200 KWD"),
    ],
)
def test_amounts_have_their_decimals(amount: int, currency: str, said: str) -> None:
    assert money(amount, currency) == said
