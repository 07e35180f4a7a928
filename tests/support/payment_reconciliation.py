"""What a payment shows of its reconciliation."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tallystick.domain.payment_reconciliation import PaymentReconciliationView
from tallystick.flows.runtime import Runtime
from tallystick.oversight.payment_reconciliation import reconciliation_of
from tallystick.settings.load import Settings

#: The test acquirer settles two working days later.
DUE: Final = "simulator/main=weekdays-v1+2"


async def shown(
    runtime: Runtime, merchant_id: str, payment_id: str, days: int = 0, due: str | None = DUE
) -> PaymentReconciliationView:
    """So many days from now; ``due``: the calendars of settlements."""
    found = await runtime.reads.payment(merchant_id, payment_id)
    assert found is not None
    settings = Settings(settlement_due=due)
    at = runtime.clock.now() + timedelta(days=days)
    view = await reconciliation_of(runtime.stores.evidence, settings, found[0], at)
    assert view is not None
    return view
