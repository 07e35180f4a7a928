"""The first line of a trace in plain words, from the facts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.oversight.trace.facts import DisputeFact, Facts, Operations

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


#: Operations after the first one: what the provider is asked to do, and what it then did.
_THEN: Final = (
    ("capture", "capture", "captured", ""),
    ("cancel", "release it", "released", "it "),
    ("refund", "refund", "refunded", ""),
)


def first_line(facts: Facts) -> str:
    """Such as ``Captured 12.00 EUR after one time-out: the provider was asked twice and charged once``."""
    sentence = f"{_head(facts)}{_after(facts)}: {_asked(facts)}"
    return "; ".join([sentence, *_moreover(facts)])


def money(amount: int, currency: str) -> str:
    """An amount for people: ``1,200.00 EUR``."""
    digits = EXPONENTS.get(currency, 0)
    whole, part = divmod(abs(amount), 10**digits)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}.{part:0{digits}d} {currency}" if digits else f"{sign}{whole:,} {currency}"


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
        return f"{said} {money(facts.requested, facts.currency)}, which the provider took back"
    why = "" if facts.code is None else f" ({facts.code})"
    return f"{said}{why}, nothing taken of {money(facts.requested, facts.currency)}"


def _after(facts: Facts) -> str:
    if facts.unanswered == 0:
        return ""
    what = "time-out" if facts.time_outs == facts.unanswered else "call without an answer"
    plural = what.replace("call", "calls") if what.startswith("call") else f"{what}s"
    return f" after one {what}" if facts.unanswered == 1 else f" after {facts.unanswered} {plural}"


def _asked(facts: Facts) -> str:
    """What the provider was asked of each operation, and what it did. What it did unasked is in the amounts."""
    if facts.sent == 0 and facts.effects == Operations():
        return "the provider was not asked"
    said = [f"asked {_times(facts.calls.authorize)} and {_charged(facts)}"]
    for operation, wanted, did, what in _THEN:
        calls, effects = getattr(facts.calls, operation), getattr(facts.effects, operation)
        if calls or effects:
            number = _times(effects) if effects else _none(facts, operation)
            outcome = f"{did} {what}{number}{_failed(facts, operation)}"
            said.append(f"asked {_times(calls)} to {wanted} and {outcome}")
    return f"the provider was {', '.join(said)}"


def _charged(facts: Facts) -> str:
    """What the first operation did to the payer's money: a hold, or a charge at once."""
    effects = facts.effects.authorize
    if effects == 0:
        return f"charged {_none(facts, 'authorize')}"
    captured_apart = facts.calls.capture or facts.effects.capture
    took = not captured_apart and (facts.amount or facts.state == "captured")
    did = "charged" if took else "holds it" if facts.held else "held it"
    return f"{did} {_times(effects)}{_failed(facts, 'authorize')}"


def _none(facts: Facts, operation: str) -> str:
    return "nothing that is known" if getattr(facts.unknown, operation) else "nothing"


def _failed(facts: Facts, operation: str) -> str:
    """What it did and took back."""
    effects, failed = getattr(facts.effects, operation), getattr(facts.failed_later, operation)
    if failed == 0:
        return ""
    return ", which failed later" if failed == effects else f", of which {_times(failed)} failed later"


def _moreover(facts: Facts) -> Iterator[str]:
    if facts.refunded:
        yield f"{money(facts.refunded, facts.currency)} went back to the payer"
    if facts.refunds_failed_later:
        yield f"{money(facts.refunds_failed_later, facts.currency)} of refunds failed later and is the merchant's again"
    for each in facts.disputes:
        claimed = money(each.amount, facts.currency)
        yield f"a dispute over {claimed} {_verdict(each)}, {_its_money(each, facts.currency)}"
    if unnamed := facts.withdrawn - sum(each.withdrawn for each in facts.disputes):
        yield f"{money(unnamed, facts.currency)} withdrawn for disputes"
    if facts.late:
        yield f"{money(facts.late, facts.currency)} of late money in suspense"
    if facts.replays:
        yield f"the merchant repeated requests {_times(facts.replays)}"


def _verdict(dispute: DisputeFact) -> str:
    if dispute.contested:
        return "was reported both won and lost"
    return {"opened": "is open", "under_review": "is under review"}.get(dispute.state, f"was {dispute.state}")


def _its_money(dispute: DisputeFact, currency: str) -> str:
    if dispute.withdrawn:
        return f"{money(dispute.withdrawn, currency)} went to the payer's bank"
    return "what was withdrawn came back" if dispute.was_withdrawn else "no money was withdrawn"


def where_money_is(facts: Facts) -> str:
    """Where the money of a payment is, in words: ``moved: 12.00 EUR from the payer, 4.00 EUR back to the payer; 8.00
    EUR is left``."""

    def amount(of: int) -> str:
        return money(of, facts.currency)

    parts = [f"in doubt: {amount(facts.in_doubt)}"] if facts.in_doubt else []
    if facts.amount:
        gone = [f"{amount(facts.refunded)} back to the payer"] if facts.refunded else []
        if facts.withdrawn:
            gone.append(f"{amount(facts.withdrawn)} to the payer's bank for {_for_what(facts.disputes)}")
        parts.append(f"moved: {', '.join([f'{amount(facts.amount)} from the payer', *gone])}")
        if gone:
            parts.append(f"{amount(facts.amount - facts.refunded - facts.withdrawn)} is left")
        if facts.late:
            parts.append(f"{amount(facts.late)} waits in suspense for a person")
    elif facts.held:
        parts.append(f"held: {amount(facts.held)}")
    return "; ".join(parts) or "none"


def _for_what(disputes: Sequence[DisputeFact]) -> str:
    took = [each for each in disputes if each.withdrawn]
    if len(took) != 1:
        return "disputes"
    if took[0].contested:
        return "a dispute that was reported both won and lost"
    return {"lost": "a lost dispute", "won": "a won dispute"}.get(took[0].state, "an open dispute")


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
