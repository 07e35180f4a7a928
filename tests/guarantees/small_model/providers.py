"""The providers of the small world: their books, their rules for keys, and what they answer to a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tallystick.decisions.lookups import Asked, asked_between
from tallystick.domain.notices import AttemptNotice, ChargeNotice, Notice
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Approved, Declined, Effect, KeyTaken, NotFound, Unknown, Verdict
from tallystick.flows.payments.attempts import provider_call
from tallystick.kit.clock_skew import Skew
from tallystick.providers.stripe.lists import window_of
from tests.guarantees.small_model.decided import AMOUNT, CURRENCY, NOW, REFUND, TERMS
from tests.guarantees.small_model.rules import ProviderRules, Rules
from tests.guarantees.small_model.states import Clocks, Event, Operation, Outcome, Request, Sent, State

#: As the request that was first sent under the key, or one that is another's.
_DONE: dict[str, Outcome] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


def outcomes_of(state: State, request: Request, capture: bool) -> list[Outcome]:
    """What the provider can do with a request that it has not seen: what it is asked, or nothing."""
    if request.operation == "authorize":
        return ["captured" if capture else "authorized", "declined"]
    charge = charge_of(state.books, request.charge)
    refunded = sum(REFUND for each in state.books if (each.charge, each.outcome) == (request.charge, "refunded"))
    if request.operation == "refund":
        possible = charge is not None and charge.outcome == "captured" and refunded + REFUND <= AMOUNT
    else:
        possible = charge is not None and charge.outcome == "authorized"
    return [_DONE[request.operation], "declined"] if possible else ["declined"]


def under_key(state: State, request: Request, provider: ProviderRules) -> Operation | None:
    """What the provider has under the request's key, where it keeps keys."""
    if not provider.traits.deduplicates:
        return None
    return next((each for each in state.books if each.key == request.key), None)


def executed(state: State, request: Request, outcome: Outcome) -> tuple[Operation, State]:
    """The request is in the books, and its charge is as it leaves it."""
    number = sum(each.operation == request.operation for each in state.books) + 1
    entry = Operation(
        provider=request.provider,
        instruction=request.instruction,
        operation=request.operation,
        attempt=request.attempt,
        payment=request.payment,
        charge=request.charge or f"ch_{number}",
        key=request.key,
        outcome=outcome,
        stamped=state.clocks.provider,
    )
    books = state.books
    if outcome in ("captured", "voided") and entry.operation != "authorize":
        books = tuple(each._replace(outcome=outcome) if _is_charge(each, entry.charge) else each for each in books)
    return entry, state._replace(books=tuple(sorted((*books, entry))))


def first_answer(state: State, entry: Operation, provider: ProviderRules) -> Verdict:
    """The answer to a request that was executed just now, or to its repetition."""
    if provider.lists and entry.operation in ("capture", "cancel"):
        return _of_charge(state, entry.operation, entry.charge)
    return verdict_of(entry)


def answer_under_key(
    state: State, request: Request, found: Operation, provider: ProviderRules, rules: Rules
) -> Verdict:
    """The answer to a key that was used before. A capture or cancel of a provider that lists names no attempt."""
    if found.attempt == request.attempt or (provider.lists and request.operation in ("capture", "cancel")):
        return first_answer(state, found, provider)
    if rules.reads_key_taken:
        return KeyTaken(reason="its key stands for another attempt")
    return Unknown(reason="an answer about another request")


def looked_up(state: State, attempt: Attempt, sent: Sent, provider: ProviderRules, rules: Rules) -> Verdict:
    """What the provider's books show of one attempt, if it can be asked."""
    if not provider.traits.can_fetch:
        return Unknown(reason="it cannot be asked")
    if provider.lists and attempt.operation in ("capture", "cancel"):
        return _of_charge(state, attempt.operation, attempt.parent_reference)
    entries = [each for each in state.books if each.attempt == attempt.attempt_id]
    if provider.lists and attempt.operation == "authorize":
        if attempt.provider_reference is not None:
            entries = [each for each in entries if each.charge == attempt.provider_reference]
        else:
            entries = [each for each in entries if _is_listed(each, attempt, sent, provider, state.clocks, rules)]
    effects = [each for each in entries if each.outcome != "declined"]
    if len(effects) > 1:
        return Unknown(reason="the attempt has several effects")
    return verdict_of([*effects, *entries][0]) if entries else NotFound()


def verdict_of(entry: Operation) -> Verdict:
    """An operation as the provider states it."""
    name = entry.charge if entry.operation == "authorize" else f"{entry.operation}_of_{entry.charge}"
    if entry.outcome == "declined":
        return Declined(code="declined", message="The provider declined.", reference=name)
    return _approved(entry.outcome, name)


def told(state: State, entry: Operation, provider: ProviderRules) -> Verdict:
    """What an event about an operation says."""
    charge = charge_of(state.books, entry.charge)
    if provider.lists and entry.operation != "refund" and charge is not None:
        return verdict_of(charge)
    return verdict_of(entry)


def notice_of(event: Event, verdict: Verdict, provider: ProviderRules) -> Notice:
    """The event as its connector reads it."""
    if provider.lists and event.operation != "refund":
        return ChargeNotice(verdict=verdict)
    operation = event.operation
    assert operation in ("authorize", "capture", "cancel", "refund")
    return AttemptNotice(operation=operation, verdict=verdict, attempt_id=event.attempt)  # type: ignore[arg-type]  # one of the four


def skews_of(clocks: Clocks) -> tuple[Skew, Skew]:
    """The worker's clock beside the database's and the provider's, as it measures them when it asks."""
    database, provider = clocks.worker - clocks.database, clocks.worker - clocks.provider
    return (
        Skew(skew_ms=database, uncertainty_ms=500, measured_at_ms=0),
        Skew(skew_ms=provider, uncertainty_ms=1_000, measured_at_ms=0),
    )


def charge_of(books: Sequence[Operation], charge: str | None) -> Operation | None:
    """The authorization of a charge."""
    return next((each for each in books if _is_charge(each, charge)), None)


def _is_charge(entry: Operation, charge: str | None) -> bool:
    return entry.operation == "authorize" and entry.charge == charge


def _of_charge(state: State, operation: str, name: str | None) -> Verdict:
    charge = charge_of(state.books, name)
    if charge is None or charge.outcome == "authorized":
        return NotFound()
    if charge.outcome == _DONE[operation]:
        return _approved(charge.outcome, charge.charge)
    return Declined(code=charge.outcome, message="It is in another state.", reference=charge.charge)


def _approved(outcome: str, reference: str) -> Approved:
    effects: dict[str, Effect] = {
        "authorized": "authorized",
        "captured": "captured",
        "voided": "voided",
        "refunded": "refunded",
    }
    amount = REFUND if outcome == "refunded" else AMOUNT
    return Approved(amount=amount, currency=CURRENCY, effect=effects[outcome], reference=reference)


def _is_listed(
    entry: Operation, attempt: Attempt, sent: Sent, provider: ProviderRules, clocks: Clocks, rules: Rules
) -> bool:
    """Whether it is in the list that the connector asks for."""
    asked = _asked(sent, provider, clocks)
    call = provider_call(attempt, 0, None, asked.earliest, asked.latest)
    if not rules.bounded_by_database:
        call = provider_call(attempt, 0, None, _at(sent.minted), None)
    bounds = window_of(call)["created"]
    stamped = _at(entry.stamped).timestamp()
    return bool(bounds.get("gte", stamped) <= stamped <= bounds.get("lte", stamped))


def _asked(sent: Sent, provider: ProviderRules, clocks: Clocks) -> Asked:
    database, theirs = skews_of(clocks)
    submission = timedelta(milliseconds=TERMS.send_window_ms + TERMS.request_timeout_ms)
    return asked_between(_at(sent.opened), _at(sent.deadline) + submission, provider.traits, database, theirs)


def _at(offset_ms: int) -> datetime:
    """The true time on a clock that is so far off."""
    moment = NOW + timedelta(milliseconds=offset_ms)
    assert moment.tzinfo is UTC
    return moment
