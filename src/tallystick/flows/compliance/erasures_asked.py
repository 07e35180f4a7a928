"""Erasures as they were asked for: who asked, what others said, and how far each is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

from tallystick.flows.compliance.erasure import PAYMENT
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.approvals import ApprovalRequest, Decision, Outcome
from tallystick.record.postgres.erasures import Erasure, erasures_of

#: ``erasing``: it was approved, and workers are at it.
State = Literal["waiting", "rejected", "void", "expired", "erasing", "erased"]

STATES: Final[tuple[State, ...]] = get_args(State)


class AskedErasure(Struct, frozen=True, kw_only=True):
    """A request for an erasure. ``outcome`` is None while it waits for people, ``erasure`` until it was approved."""

    request: ApprovalRequest
    decisions: Sequence[Decision] = ()
    outcome: Outcome | None = None
    erasure: Erasure | None = None

    @property
    def merchant_id(self) -> str:
        """Whose data it is about."""
        found: str = self.request.shown["merchant"]
        return found

    @property
    def payment_id(self) -> str | None:
        """The payment; None for all that the merchant has."""
        return self.request.target if self.request.act == PAYMENT else None

    @property
    def approvers(self) -> list[str]:
        """Who approved it."""
        return [each.decided_by for each in self.decisions if each.approves]

    def state(self, now: datetime) -> State:
        """How far it is."""
        if self.outcome is None:
            return "waiting" if now < self.request.expires_at else "expired"
        if self.outcome.outcome != "approved":
            return self.outcome.outcome
        return "erasing" if self.erasure is None or self.erasure.finished_at is None else "erased"


async def asked_erasures(
    runtime: Runtime,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
    merchants: Collection[str] | None = None,
) -> list[AskedErasure]:
    """A page of requests before this time and id, the one that was asked for last first; ``merchants``: of these
    alone."""
    return await _whole(runtime, await runtime.stores.approvals.erasure_requests(before, limit, merchants))


async def asked_erasure(runtime: Runtime, request_id: str) -> AskedErasure | None:
    """One of them; None for a request for something else."""
    request = await runtime.stores.approvals.find(request_id)
    if request is None or not request.act.endswith(".erase"):
        return None
    [found] = await _whole(runtime, [request])
    return found


async def _whole(runtime: Runtime, requests: Sequence[ApprovalRequest]) -> list[AskedErasure]:
    book, ids = runtime.stores.approvals, [each.request_id for each in requests]
    outcomes, decisions = await book.outcomes_of(ids), await book.decisions_of(ids)
    begun = await erasures_of(runtime.pool, ids)
    return [
        AskedErasure(
            request=each,
            decisions=decisions.get(each.request_id, ()),
            outcome=outcomes.get(each.request_id),
            erasure=begun.get(each.request_id),
        )
        for each in requests
    ]
