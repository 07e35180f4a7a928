"""The test acquirer's codes and ours, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.providers.shared import AUTHENTICATION_FAILED, CARD_DECLINED, INSUFFICIENT_FUNDS, DeclineReason

#: The acquirer's decline codes -> our decline reason.
DECLINES: Final[Mapping[str, DeclineReason]] = {
    "card_declined": CARD_DECLINED,
    "insufficient_funds": INSUFFICIENT_FUNDS,
    "authentication_abandoned": AUTHENTICATION_FAILED,
    "authentication_canceled": AUTHENTICATION_FAILED,
    "refund_failed": DeclineReason("refund_failed", True),
}

#: Its other decline codes: they are ours as they are, and nothing is retried after them.
PLAIN_DECLINES: Final = frozenset(
    {
        "amount_too_large",
        "capture_failed",
        "charge_already_canceled",
        "charge_already_captured",
        "charge_not_authorized",
        "charge_not_captured",
    }
)
