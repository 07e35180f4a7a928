"""The times that bound attempts, and what the decisions on verdicts share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.next_action import public_part
from tallystick.domain.subjects import Attempt, Schedule
from tallystick.domain.verdicts import Approved, Effect, RequiresAction, Verdict

#: The schedule of an attempt that recovery is done with.
CLOSED: Final = Schedule()

#: The effect that an approval of each operation must report; anything else is a conflict.
EFFECTS: Final[Mapping[str, Effect]] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


class Checks(Struct, frozen=True, kw_only=True):
    """When recovery next looks, by the attempt's state; and whether the provider's references are kept."""

    unknown_in_ms: int
    pending_in_ms: int
    not_sent_in_ms: int
    authorization_deadline_ms: int
    keeps_references: bool = False


def evidence_of(verdict: Verdict) -> Any:
    """The verdict for the history, with only the type of the payer's next action."""
    if isinstance(verdict, RequiresAction):
        verdict = replace(verdict, next_action=public_part(verdict.next_action))
    return msgspec.to_builtins(verdict)


def payment_event(attempt: Attempt, verdict: Approved) -> str:
    """The payment's event for an approval of the attempt."""
    match attempt.operation:
        case "authorize" | "capture":
            return verdict.effect
        case "cancel":
            return "expired" if attempt.purpose == "expiry" else "canceled"
        case "refund":
            return "refund_succeeded"
        case _:
            assert_never(attempt.operation)


class Terms(Struct, frozen=True, kw_only=True):
    """The terms of an attempt: the account at the provider, and how long it may take from its
    commit (the sender's window, then the request time-out, then the time until "no such charge" is evidence)."""

    account: str
    send_window_ms: int
    request_timeout_ms: int
    settling_ms: int

    def submitted(self) -> Schedule:
        """Recovery's schedule of an attempt that is being sent: the first look is at the deadline."""
        deadline_ms = self.send_window_ms + self.request_timeout_ms
        return Schedule(
            next_check_in_ms=deadline_ms,
            deadline_in_ms=deadline_ms,
            settled_in_ms=deadline_ms + self.settling_ms,
        )
