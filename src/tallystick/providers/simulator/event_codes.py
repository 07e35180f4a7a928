"""The test acquirer's event types, and what each is about. A test compares them with what the acquirer writes.

It writes nothing that is not about payments. One such type is in its contract, as every provider has some, for
deliveries that are made by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.providers.event_codes import EventMeaning, event_table

#: Event type -> what it is about.
EVENT_CODES: Final[Mapping[str, EventMeaning]] = event_table(
    moves_money=(
        "cancel.declined",
        "capture.declined",
        "capture.failed",
        "charge.action_required",
        "charge.authorized",
        "charge.captured",
        "charge.declined",
        "charge.expired",
        "charge.voided",
        "dashboard.captured",
        "dashboard.refunded",
        "dispute.funds_returned",
        "dispute.funds_withdrawn",
        "dispute.lost",
        "dispute.opened",
        "dispute.under_review",
        "dispute.won",
        "refund.declined",
        "refund.failed",
        "refund.succeeded",
    ),
    informs=(),
    not_about_payments=("report.ready",),
)
