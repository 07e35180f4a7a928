"""The postings of retired edges, written by hand, for old rows only.

``late_effect`` was one name for several edges of today. The amount is in the provider's answer, the evidence of the
attempt.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from tallystick.domain.dispute_position import suspended
from tallystick.domain.ledger.accounts import MERCHANT, provider_account, suspense_account
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund, Subject
from tallystick.record.postgres.stream_record import StreamRecord

#: The edge of migration 0013.
COUNTED: Final = "late_money_counted"


class _Verdict(Struct, frozen=True):
    amount: int = 0
    effect: str = ""


class _Evidence(Struct, frozen=True):
    verdict: _Verdict


_EVIDENCE: Final = msgspec.json.Decoder(_Evidence)


def due(record: StreamRecord, step: HistoryStep, before: Subject | None, after: Subject) -> list[Posting]:
    """The ledger rows that a step over a retired edge had. ``late_money_counted`` had none: it gives an amount to what
    ``late_effect`` posted."""
    if step.event == COUNTED:
        return []
    if isinstance(after, Payment):
        amount = _captured_late(record, step)
        return [_into_suspense(after.provider, amount)] if amount else []
    if isinstance(after, Refund):
        return [_out_of_suspense(after.provider, after.amount)]
    if isinstance(after, Dispute) and isinstance(before, Dispute):
        return _of_dispute(before, after)
    return []


def _of_dispute(before: Dispute, after: Dispute) -> list[Posting]:
    legs: list[Posting] = []
    more = suspended(after) - suspended(before)
    if after.contested and not before.contested and after.state == "won":
        legs.append(Posting("dispute_contested", MERCHANT, suspense_account(after.provider), after.amount))
        more -= after.amount
    if more > 0:
        legs.append(_into_suspense(after.provider, more))
    if more < 0:
        legs.append(_out_of_suspense(after.provider, -more))
    return legs


def _captured_late(record: StreamRecord, step: HistoryStep) -> int:
    """The captured amount in the evidence of the attempt in the same change; 0 for a hold or a release."""
    for subject_id, subject in record.subjects:
        if not isinstance(subject, Attempt):
            continue
        for other in record.histories.get(subject_id, ()):
            if other.event == "late_effect" and other.change_id == step.change_id:
                return _amount_in(other.evidence)
    return 0


def _amount_in(evidence: str | None) -> int:
    try:
        verdict = _EVIDENCE.decode(evidence or "{}").verdict
    except msgspec.MsgspecError:
        return 0
    return verdict.amount if verdict.effect == "captured" else 0


def _into_suspense(provider: str, amount: int) -> Posting:
    return Posting("late_effect", provider_account(provider), suspense_account(provider), amount)


def _out_of_suspense(provider: str, amount: int) -> Posting:
    return Posting("late_effect", suspense_account(provider), provider_account(provider), amount)
