"""The in-doubt list: attempts that bounded recovery could not resolve, and how an operator resolves them.

An operator's finding goes through the same decisions and the same journal as a provider's verdict, with evidence, actor
and reason in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, assert_never

from msgspec import Struct

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.operator_acts import carrying
from tallystick.decisions.verdicts import give_up
from tallystick.domain.change import Change
from tallystick.domain.errors import TallystickError
from tallystick.domain.finding import Finding
from tallystick.domain.operator_act import AskedAct
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Approved, Declined, Effect, NotFound, Verdict
from tallystick.flows.compliance.amounts import require_second_person
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.journal import Stale
from tallystick.record.postgres.reads import SnapshotWithClocks, attempt_of
from tallystick.record.postgres.recovery_schedule import RecoverySchedule

_EFFECTS: Final[Mapping[str, Effect]] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


class NotInDoubt(TallystickError):
    """The attempt is not in the list: recovery still has it, or it is resolved."""


class Parked(Struct, frozen=True, kw_only=True):
    """One attempt in the list, with its age, the configured owner, and who looks at it."""

    attempt: Attempt
    owner: str
    parked_at: datetime
    parked_for_ms: int
    overdue: bool
    taken_by: str | None


async def parked_attempts(
    runtime: Runtime,
    book: RecoverySchedule,
    merchant_id: str | None,
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> Sequence[Parked]:
    """The in-doubt list, oldest first, after a position: when an attempt was parked, and its id."""
    alarm_ms = runtime.settings.in_doubt_alarm_age_ms
    records = await book.parked(merchant_id, limit, after)
    taken = await runtime.stores.work_owners.of("in_doubt", [each["attempt_id"] for each in records])
    return [
        Parked(
            attempt=attempt_of(record),
            owner=runtime.settings.in_doubt_owner,
            parked_at=record["parked_at"],
            parked_for_ms=record["parked_for_ms"],
            overdue=record["parked_for_ms"] > alarm_ms,
            taken_by=taken.get(record["attempt_id"]),
        )
        for record in records
    ]


async def find(runtime: Runtime, book: RecoverySchedule, attempt_id: str) -> SnapshotWithClocks:
    """The payment behind an attempt. Raises NotInDoubt when there is no such attempt."""
    record = await book.attempt(attempt_id)
    loaded = await runtime.reads.load(record["merchant_id"], record["payment_id"]) if record else None
    if loaded is None:
        raise NotInDoubt(f"there is no attempt {attempt_id}")
    return loaded


async def held_by_key(runtime: Runtime, attempt: Attempt) -> dict[str, Any] | None:
    """What the provider has under the attempt's key, where that was used for another request: for a person to look at.
    None where that is not so, or nobody can say."""
    if not attempt.key_taken:
        return None
    if not runtime.serves(attempt.provider, attempt.account):
        return {"error": f"{attempt.provider}/{attempt.account} is not configured here"}
    try:
        return await runtime.provider(attempt.provider).held_by_key(attempt.provider_key)
    except Exception as error:  # of the network or of an answer: the rest of what is known is shown all the same
        return {"error": type(error).__name__}


async def resolve(
    runtime: Runtime,
    book: RecoverySchedule,
    attempt_id: str,
    outcome: Finding,
    asked: AskedAct | None = None,
    /,
    *,
    evidence: str,
    actor: str,
    reason: str,
    reference: str | None = None,
) -> Change:
    """Resolve a parked attempt by an operator's finding. If its key was taken, the operator names what the provider has
    under that key. A charge that the record cannot name yet is named too. ``asked`` is recorded with the last change of
    it: where a process dies between two, the same finding goes on from there. Raises NotInDoubt and
    NeedsSecondPerson."""
    loaded = await find(runtime, book, attempt_id)
    clock = loaded.clocks[attempt_id]
    if not clock.parked and not _is_half_done(clock.attempt, outcome):
        raise NotInDoubt(f"attempt {attempt_id} is {clock.attempt.state} and not in the in-doubt list")
    if clock.attempt.key_taken and reference is None:
        raise NotInDoubt(
            f"the key of attempt {attempt_id} was used for another request: name what the provider has under it"
            " (--reference)"
        )
    if outcome == "executed" and _needs_name(clock.attempt) and reference is None:
        raise NotInDoubt(
            f"attempt {attempt_id} has no reference of the provider, and without one its payment could not be captured,"
            " canceled or refunded: name the provider's charge (--reference)"
        )
    if reference is not None:
        reference = runtime.words.given_name(reference, clock.attempt.provider)
    await require_second_person(runtime, asked, attempt_id, clock.attempt.currency, clock.attempt.amount)
    words = {"evidence": evidence, "reason": reason, "outcome": outcome}
    if clock.attempt.key_taken:
        words["reference"] = str(reference)
    verdict = _verdict(clock.attempt, outcome, words, reference)
    change = None
    if clock.attempt.state != "not_found" or outcome != "not_executed":
        last = asked if outcome != "not_executed" else None
        change = await settle_verdict(
            runtime, loaded.stored, attempt_id, verdict, cause="operator", actor=actor, asked=last
        )
    if outcome == "not_executed":
        loaded = await find(runtime, book, attempt_id)
        step = Cause(
            change_id=new_id("chg"),
            at=runtime.clock.now(),
            trigger="operator",
            actor=actor,
            evidence={"operator": words},
        )
        change = carrying(asked, give_up(loaded.stored, attempt_id, step), step.at)
        if isinstance(await runtime.journal.commit(change), Stale):
            raise NotInDoubt(f"attempt {attempt_id} was resolved by another change meanwhile")
    if change is None:
        raise NotInDoubt(f"attempt {attempt_id} was resolved by another change meanwhile")
    return change


def _is_half_done(attempt: Attempt, outcome: Finding) -> bool:
    """Whether the first half of the finding is recorded: that nothing happened. Recovery may be about to look at it,
    and whoever is first decides."""
    return outcome == "not_executed" and attempt.state == "not_found"


def _needs_name(attempt: Attempt) -> bool:
    """Whether later calls need a name that no answer has brought: captures, cancels and refunds name the charge."""
    return attempt.operation == "authorize" and attempt.provider_reference is None


def _verdict(attempt: Attempt, outcome: Finding, words: dict[str, Any], reference: str | None) -> Verdict:
    match outcome:
        case "executed":
            effect = _EFFECTS.get(attempt.operation) or ("captured" if attempt.capture else "authorized")
            return Approved(
                amount=attempt.amount, currency=attempt.currency, effect=effect, reference=reference, raw=words
            )
        case "declined":
            return Declined(code="declined_by_operator", message="Resolved by an operator.", raw=words)
        case "not_executed":
            return NotFound(raw=words)
        case _:
            assert_never(outcome)
