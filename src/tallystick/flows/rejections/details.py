"""One case with everything that is known of it: its steps, and what it was refused on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tallystick.domain.operator_views import RejectionDetail, RejectionStep, rejection_detail
from tallystick.flows.rejections.cases import find
from tallystick.flows.stores import Stores
from tallystick.record.postgres.reads import Reads


async def detail_of(stores: Stores, reads: Reads, now: datetime, case_id: str) -> RejectionDetail:
    """The case. Raises NoSuchCase."""
    case = await find(stores.cases, case_id)
    history = await reads.history(case.merchant_id, case_id)
    steps = [
        RejectionStep(
            event=row.event,
            from_state=row.from_state,
            to_state=row.to_state,
            actor=row.actor,
            at=row.at,
            evidence=_decoded(row.evidence),
        )
        for row in history
    ]
    rejection = await stores.cases.rejection(case)
    evidence = None if rejection is None else rejection.evidence
    return rejection_detail(case, now, steps, evidence)


def _decoded(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
