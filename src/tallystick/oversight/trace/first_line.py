"""The first line of a trace in plain words, from the facts alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.oversight.trace.facts import Facts

#: What a payment is, where no money moved or is held.
_SAID_OF: Final = {
    "authorizing": "Waiting for the provider",
    "requires_action": "Waiting for the payer",
    "capturing": "Waiting for the provider",
    "canceling": "Waiting for the provider",
    "captured": "Captured",
    "authorized": "Authorized",
    "declined": "Declined",
    "failed": "Failed",
    "canceled": "Canceled",
    "expired": "Expired",
}


def first_line(facts: Facts) -> str:
    """Such as ``Captured 12.00 EUR after one time-out: the provider was asked twice and charged once``."""
    sentence = f"{_head(facts)}{_after(facts)}: {_asked(facts)}"
    return "; ".join([sentence, *_moreover(facts)])


def money(amount: int, currency: str) -> str:
    """An amount for people: ``12.00 EUR``."""
    digits = EXPONENTS.get(currency, 0)
    whole, part = divmod(abs(amount), 10**digits)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{part:0{digits}d} {currency}" if digits else f"{sign}{whole} {currency}"


def _head(facts: Facts) -> str:
    if facts.in_doubt:
        return f"In doubt over {money(facts.in_doubt, facts.currency)}"
    if facts.amount:
        here = "" if facts.state == "captured" else f", though it is {facts.state} here"
        return f"{'Took' if here else 'Captured'} {money(facts.amount, facts.currency)}{here}"
    if facts.held:
        return f"Holding {money(facts.held, facts.currency)}"
    said = _SAID_OF.get(facts.state, facts.state)
    if facts.state == "captured":
        return f"{said} {money(facts.requested, facts.currency)}, which never came"
    why = "" if facts.code is None else f" ({facts.code})"
    return f"{said}{why}, nothing taken of {money(facts.requested, facts.currency)}"


def _after(facts: Facts) -> str:
    if facts.unanswered == 0:
        return ""
    what = "time-out" if facts.time_outs == facts.unanswered else "call without an answer"
    plural = what.replace("call", "calls") if what.startswith("call") else f"{what}s"
    return f" after one {what}" if facts.unanswered == 1 else f" after {facts.unanswered} {plural}"


def _asked(facts: Facts) -> str:
    if facts.sent == 0:
        return "the provider was not asked"
    return f"the provider was asked {_times(facts.sent)} and {_did(facts)}"


def _did(facts: Facts) -> str:
    """What the calls did to the payer's money."""
    charges = _times(facts.effects.authorize)
    if facts.effects.authorize == 0:
        return "charged nothing that is known" if facts.in_doubt else "charged nothing"
    if facts.amount or facts.state == "captured":
        return f"charged {charges}"
    return f"holds it {charges}" if facts.held else f"held it {charges}"


def _moreover(facts: Facts) -> Iterator[str]:
    if facts.refunded:
        yield f"{money(facts.refunded, facts.currency)} went back"
    if facts.withdrawn:
        yield f"{money(facts.withdrawn, facts.currency)} withdrawn for disputes"
    if facts.late:
        yield f"{money(facts.late, facts.currency)} of late money in suspense"
    if facts.replays:
        yield f"the merchant repeated requests {_times(facts.replays)}"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
