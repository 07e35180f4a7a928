"""Adyen's events about disputes, as notices. Pure.

By docs.adyen.com (risk-management: dispute webhooks, dispute flow; api-explorer, Webhooks v1), three events move money:
CHARGEBACK, CHARGEBACK_REVERSED and SECOND_CHARGEBACK. CHARGEBACK_REVERSED is no verdict ("This stage is not final"):
the issuer accepts or lets its time pass (ISSUER_RESPONSE_TIMEFRAME_EXPIRED, won), or charges back again (lost). A
chargeback that nobody defends, or that is accepted, ends with DISPUTE_DEFENSE_PERIOD_ENDED, lost. The verdict of an
arbitration moves nothing by itself.

A REQUEST_FOR_INFORMATION moves no money, may end in nothing, and is followed by a notification of its own where it
becomes a chargeback: like the events that only tell how a dispute goes on (INFORMATION_SUPPLIED, ISSUER_COMMENTS,
PREARBITRATION_OPEN, ...) it is kept, and has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import DisputeNotice, Notice
from tallystick.domain.subjects import DisputeState
from tallystick.providers.adyen.items import Item, amount_of
from tallystick.providers.adyen.reference import Reference
from tallystick.providers.shared import Told, shortened


def _dispute(
    state: DisputeState, funds: Funds | None = None, *, opens: bool = True
) -> Callable[[Item, Reference | None], Notice]:
    """All events of a dispute have its pspReference, and each event code comes once for it: so that code is the name
    of what moved. A verdict's own movement comes after the dispute's course."""

    def told(item: Item, _: Reference | None) -> Notice:
        amount = amount_of(item)
        moved = [] if funds is None else [_moved(item.event_code, funds, amount, early=state not in ("won", "lost"))]
        return DisputeNotice(
            reference=item.psp_reference,
            state=state,
            **amount._asdict(),
            funds=funds,
            movements=tuple(moved),
            opens=opens,
            reason=None if item.reason is None else shortened(item.reason),
            occurred_at=item.occurred_at,
        )

    return told


def _moved(reference: str, funds: Funds, told: Told, *, early: bool) -> Movement:
    return Movement(
        reference=reference,
        funds=funds,
        amount=told.amount,
        before_verdict=early,
        provider_amount=told.provider_amount,
    )


#: Event -> how it is read.
DISPUTES: Final[Mapping[str, Callable[[Item, Reference | None], Notice]]] = {
    "NOTIFICATION_OF_CHARGEBACK": _dispute("opened"),
    "CHARGEBACK": _dispute("opened", "withdrawn"),
    "CHARGEBACK_REVERSED": _dispute("under_review", "returned"),
    "SECOND_CHARGEBACK": _dispute("lost", "withdrawn"),
    "DISPUTE_DEFENSE_PERIOD_ENDED": _dispute("lost", opens=False),
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": _dispute("won", opens=False),
    "PREARBITRATION_LOST": _dispute("lost"),
    "PREARBITRATION_WON": _dispute("won"),
    "SCHEME_ARBITRATION_LOST": _dispute("lost"),
    "SCHEME_ARBITRATION_WON": _dispute("won"),
}
