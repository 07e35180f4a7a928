"""The payment methods that the test acquirer knows.

The connector keeps a list of its own: production imports nothing of the acquirer. A test holds both lists equal.
"""

from __future__ import annotations

from typing import Final

METHODS: Final = frozenset(
    {
        "sim_action_required",
        "sim_cancel_declined",
        "sim_cancel_error_charged",
        "sim_cancel_error_not_charged",
        "sim_cancel_pending",
        "sim_cancel_reset_charged",
        "sim_cancel_slow",
        "sim_cancel_timeout_charged",
        "sim_cancel_timeout_not_charged",
        "sim_capture_declined",
        "sim_capture_error_charged",
        "sim_capture_error_not_charged",
        "sim_capture_fails_late",
        "sim_capture_pending",
        "sim_capture_reset_charged",
        "sim_capture_slow",
        "sim_capture_timeout_charged",
        "sim_capture_timeout_not_charged",
        "sim_dashboard_capture",
        "sim_dashboard_refund",
        "sim_declined",
        "sim_dispute_lost",
        "sim_dispute_second",
        "sim_dispute_third",
        "sim_dispute_won",
        "sim_error_charged",
        "sim_error_not_charged",
        "sim_expires",
        "sim_insufficient_funds",
        "sim_late_capture",
        "sim_ok",
        "sim_pending",
        "sim_refund_declined",
        "sim_refund_error_charged",
        "sim_refund_error_not_charged",
        "sim_refund_fails_late",
        "sim_refund_pending",
        "sim_refund_reset_charged",
        "sim_refund_slow",
        "sim_refund_timeout_charged",
        "sim_refund_timeout_not_charged",
        "sim_reset_charged",
        "sim_slow",
        "sim_timeout_charged",
        "sim_timeout_not_charged",
        "sim_webhook_delayed",
        "sim_webhook_duplicate",
        "sim_webhook_early",
        "sim_webhook_forged",
        "sim_webhook_lost",
        "sim_webhook_only",
        "sim_webhook_reordered",
    }
)
