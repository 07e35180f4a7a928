"""What settlements are decided against, and the words that their modules share."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.actions import public_part
from tallystick.model import Attempt, Dispute, Payment, Refund, Schedule
from tallystick.providers.base import Approved, RequiresAction, Verdict

#: The schedule of an attempt that nobody has to look at again.
CLOSED: Final = Schedule()

#: The effect that an approval of each operation must report; anything else is a conflict to be asked about.
EFFECTS: Final = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


class Stored(Struct, frozen=True, kw_only=True):
    """A payment as loaded, with its attempts, refunds and disputes: what a settlement is decided against."""

    payment: Payment
    attempts: tuple[Attempt, ...]
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()

    def attempt(self, attempt_id: str) -> Attempt:
        """One attempt by id; KeyError when it is not this payment's."""
        for attempt in self.attempts:
            if attempt.attempt_id == attempt_id:
                return attempt
        raise KeyError(attempt_id)

    def refund(self, refund_id: str | None) -> Refund:
        """One refund by id; KeyError when it is not this payment's."""
        for refund in self.refunds:
            if refund.refund_id == refund_id:
                return refund
        raise KeyError(refund_id)


class Checks(Struct, frozen=True, kw_only=True):
    """When recovery next looks, by what the attempt became; and whether the provider's references are kept."""

    unknown_in_ms: int
    pending_in_ms: int
    not_sent_in_ms: int
    authorization_deadline_ms: int
    keeps_references: bool = False


def verdict_name(verdict: Verdict) -> str:
    """The verdict's name in the published matrix."""
    return str(type(verdict).__struct_config__.tag)


def evidence_of(verdict: Verdict) -> Any:
    """The verdict for the history, which needs no more of the payer's next action than its type."""
    if isinstance(verdict, RequiresAction):
        verdict = replace(verdict, next_action=public_part(verdict.next_action))
    return msgspec.to_builtins(verdict)


def payment_event(attempt: Attempt, verdict: Approved) -> str:
    """The event that an approval of the attempt is to its payment."""
    match attempt.operation:
        case "authorize" | "capture":
            return verdict.effect
        case "cancel":
            return "expired" if attempt.purpose == "expiry" else "canceled"
    return "refund_succeeded"
