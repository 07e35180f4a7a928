"""The lives whose messages are recorded: every script of the test acquirer with the instructions that make sense of it,
in the orders of answer and webhook that make a difference; then what other providers may say. What the words mean is
in ``lives.py``.

The name before the colon is the payment method: ``test_table.py`` holds these lives to what the acquirer really does.
What stands in parentheses happens at the acquirer, and nobody hears of it by that alone. Lives of ``any`` provider are
beyond what the acquirer can do.
"""

from __future__ import annotations

from typing import Final

#: How most lives begin: a hold, or a payment that is captured at once, each with its webhook.
HELD: Final = "create manual; answer authorize authorized; webhook authorize authorized -> duplicate_effect"
CAPTURED: Final = "create automatic; answer authorize captured; webhook authorize captured -> duplicate_effect"

#: Declined, and captured all the same.
LATE: Final = "create automatic; answer authorize declined; webhook charge captured -> ask captured -> applied"

LIVES: Final[dict[str, str]] = {
    # No faults.
    "sim_ok: automatic": CAPTURED,
    "sim_ok: automatic, webhook first": (
        "create automatic; webhook authorize captured -> applied; answer authorize captured"
    ),
    "sim_ok: captured in full": (
        f"{HELD}; capture; answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_ok: captured in full, webhooks first": (
        "create manual; webhook authorize authorized -> applied; answer authorize authorized; capture; "
        "webhook capture captured -> applied; answer capture captured"
    ),
    "sim_ok: captured in part": (
        f"{HELD}; capture 600; answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_ok: captured before its hold is told": (
        "create manual; answer authorize authorized; capture 600; answer capture captured; "
        "webhook capture captured -> duplicate_effect; webhook authorize authorized -> duplicate_effect"
    ),
    "sim_ok: canceled": f"{HELD}; cancel; answer cancel voided; webhook cancel voided -> duplicate_effect",
    "sim_ok: canceled, webhooks first": (
        "create manual; webhook authorize authorized -> applied; answer authorize authorized; cancel; "
        "webhook cancel voided -> applied; answer cancel voided"
    ),
    "sim_ok: refunded in full": (
        f"{CAPTURED}; refund; answer refund refunded; webhook refund refunded -> duplicate_effect"
    ),
    "sim_ok: refunded in parts": (
        f"{CAPTURED}; refund 300; answer refund refunded; refund 200; "
        "webhook refund#1 refunded -> duplicate_effect; answer refund refunded; "
        "webhook refund#2 refunded -> duplicate_effect; refund; answer refund refunded; "
        "webhook refund#3 refunded -> duplicate_effect"
    ),
    "sim_ok: two refunds at once, the later one first": (
        f"{CAPTURED}; refund 300; refund 200; webhook refund#2 refunded -> applied; answer refund#1 refunded; "
        "answer refund#2 refunded; webhook refund#1 refunded -> duplicate_effect"
    ),
    "sim_ok: part captured, part of it refunded": (
        f"{HELD}; capture 600; answer capture captured; webhook capture captured -> duplicate_effect; "
        "refund 250; webhook refund refunded -> applied; answer refund refunded"
    ),
    "sim_ok: nobody captures it": (
        f"{HELD}; lookup hold authorized; expire; answer cancel voided; webhook cancel voided -> duplicate_effect"
    ),
    "sim_ok: instructions that are refused": (
        f"{HELD}; refund 100; capture 1001; capture 600; cancel; answer capture captured; "
        "webhook capture captured -> duplicate_effect; capture; cancel; refund 601"
    ),
    "sim_ok: captured in the dashboard, found at its deadline": (
        f"{HELD}; (dashboard_capture); lookup hold captured; webhook charge captured -> duplicate_effect"
    ),
    "sim_ok: captured in the dashboard, and then canceled": (
        f"{HELD}; (dashboard_capture); cancel; answer cancel captured_already; "
        "webhook cancel captured_already -> duplicate_effect; webhook charge captured -> applied; "
        "lookup hold captured"
    ),
    "sim_ok: captured in the dashboard while a cancel is under way": (
        f"{HELD}; (dashboard_capture); cancel; webhook charge captured -> later; "
        "answer cancel captured_already; webhook cancel captured_already -> duplicate_effect; "
        "webhook charge captured -> applied"
    ),
    "sim_ok: captured in the dashboard and by us": (
        f"{HELD}; (dashboard_capture); capture; answer capture captured_already; "
        "webhook capture captured_already -> duplicate_effect; lookup hold captured; "
        "webhook charge captured -> duplicate_effect"
    ),
    "sim_ok: released in the dashboard while a capture is under way": (
        f"{HELD}; (expire); capture 600; webhook charge expired -> later; answer capture canceled_already; "
        "webhook capture canceled_already -> duplicate_effect; webhook charge expired -> applied"
    ),
    "sim_ok: refunded by us and in the dashboard": (
        f"{CAPTURED}; refund 300; (dashboard_refund 200); webhook dashboard refunded 200 -> applied; "
        "answer refund refunded; webhook refund refunded -> duplicate_effect"
    ),
    "sim_ok: a dispute over a part": (
        f"{CAPTURED}; (dispute 400); webhook dispute opened =400 -> applied; (withdraw); "
        "webhook dispute opened =400 withdrawn:1 -> applied; (win); "
        "webhook dispute won =400 returned:2 -> applied"
    ),
    "sim_ok: two disputes": (
        f"{CAPTURED}; (dispute 400); webhook dispute#1 opened =400 -> applied; (dispute 300); "
        "webhook dispute#2 opened =300 -> applied; (lose); webhook dispute#2 lost =300 withdrawn:1 -> applied"
    ),
    "sim_ok: money comes back after a dispute was lost": (
        f"{CAPTURED}; (dispute); webhook dispute opened -> applied; (lose); "
        "webhook dispute lost withdrawn:1 -> applied; (return); webhook dispute lost returned:2 -> applied"
    ),
    "sim_ok: refused a refund while it is disputed, refunded after it was won": (
        f"{CAPTURED}; (dispute); webhook dispute opened -> applied; refund; (win); webhook dispute won -> applied; "
        "refund; answer refund refunded; webhook refund refunded -> duplicate_effect"
    ),
    "sim_ok: the capture fails while it is disputed": (
        f"{CAPTURED}; (dispute); webhook dispute opened -> applied; (fail authorize); "
        "webhook authorize failed -> applied; (withdraw); webhook dispute opened withdrawn:1 -> applied"
    ),
    # Authorizations that go wrong.
    "sim_declined: automatic": (
        "create automatic; answer authorize declined; webhook authorize declined -> duplicate_effect"
    ),
    "sim_declined: manual, webhook first": (
        "create manual; webhook authorize declined -> applied; answer authorize declined"
    ),
    "sim_insufficient_funds: automatic": (
        "create automatic; answer authorize no_funds; webhook authorize no_funds -> duplicate_effect"
    ),
    "sim_insufficient_funds: manual, webhook first": (
        "create manual; webhook authorize no_funds -> applied; answer authorize no_funds"
    ),
    "sim_slow: automatic": ("create automatic; webhook authorize captured -> applied; answer authorize captured"),
    "sim_slow: manual": (
        "create manual; webhook authorize authorized -> applied; capture; answer authorize authorized; "
        "answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_timeout_charged: automatic, found": (
        "create automatic; answer authorize unknown; lookup authorize captured; "
        "webhook authorize captured -> duplicate_effect"
    ),
    "sim_timeout_charged: automatic, told before the time-out": (
        "create automatic; webhook authorize captured -> applied; answer authorize unknown"
    ),
    "sim_timeout_charged: automatic, told before it is found": (
        "create automatic; answer authorize unknown; webhook authorize captured -> applied; lookup authorize captured"
    ),
    "sim_timeout_charged: manual, found, and captured in part": (
        "create manual; answer authorize unknown; lookup authorize authorized; "
        "webhook authorize authorized -> duplicate_effect; capture 600; answer capture captured; "
        "webhook capture captured -> duplicate_effect"
    ),
    "sim_timeout_charged: automatic, by an operator": (
        "create automatic; answer authorize unknown; park authorize; operator authorize captured; "
        "webhook authorize captured -> duplicate_effect"
    ),
    "sim_timeout_not_charged: automatic": (
        "create automatic; answer authorize unknown; lookup authorize not_found; resubmit authorize; "
        "answer authorize unknown; lookup authorize not_found; resubmit authorize; answer authorize unknown; "
        "lookup authorize not_found; give up authorize"
    ),
    "sim_timeout_not_charged: manual, by an operator": (
        "create manual; answer authorize unknown; park authorize; operator authorize not_executed"
    ),
    "sim_error_charged: automatic, found": (
        "create automatic; answer authorize unknown; lookup authorize captured; "
        "webhook authorize captured -> duplicate_effect"
    ),
    "sim_error_charged: manual, told, and canceled": (
        "create manual; answer authorize unknown; webhook authorize authorized -> applied; "
        "lookup authorize authorized; cancel; answer cancel voided; webhook cancel voided -> duplicate_effect"
    ),
    "sim_error_not_charged: automatic": (
        "create automatic; answer authorize unknown; lookup authorize not_found; resubmit authorize; "
        "answer authorize unknown; lookup authorize not_found; give up authorize"
    ),
    "sim_error_not_charged: manual": (
        "create manual; answer authorize unknown; lookup authorize not_found; give up authorize"
    ),
    "sim_reset_charged: automatic, found": (
        "create automatic; answer authorize unknown; lookup authorize captured; "
        "webhook authorize captured -> duplicate_effect"
    ),
    "sim_reset_charged: manual, told first": (
        "create manual; webhook authorize authorized -> applied; answer authorize unknown; capture; "
        "answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_reset_charged: automatic, asked in vain": (
        "create automatic; answer authorize unknown; lookup authorize unknown; "
        "webhook authorize captured -> applied; refund 100; answer refund refunded; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_pending: automatic, told": (
        "create automatic; answer authorize pending; (late); webhook authorize captured -> applied; "
        "lookup authorize captured"
    ),
    "sim_pending: automatic, found": (
        "create automatic; answer authorize pending; lookup authorize pending; (late); "
        "lookup authorize captured; webhook authorize captured -> duplicate_effect"
    ),
    "sim_pending: manual, and captured": (
        "create manual; answer authorize pending; (late); webhook authorize authorized -> applied; capture; "
        "answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_action_required: completed": (
        "create automatic; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; (complete); "
        "webhook authorize captured -> applied; lookup authorize captured"
    ),
    "sim_action_required: webhook first, completed, found": (
        "create automatic; webhook authorize requires_action -> applied; answer authorize requires_action; "
        "lookup authorize requires_action; (complete); lookup authorize captured; "
        "webhook authorize captured -> duplicate_effect"
    ),
    "sim_action_required: completed, and told before it was asked": (
        "create manual; answer authorize requires_action; (complete); "
        "webhook authorize authorized -> applied; webhook authorize requires_action -> stale; capture 600; "
        "answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_action_required: abandoned": (
        "create automatic; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; (abandon); "
        "webhook authorize abandoned -> applied; lookup authorize abandoned; resubmit cancel; "
        "answer cancel not_authorized; webhook cancel not_authorized -> duplicate_effect"
    ),
    "sim_action_required: abandoned, found": (
        "create manual; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; (abandon); lookup authorize abandoned; "
        "webhook authorize abandoned -> duplicate_effect; resubmit cancel; "
        "webhook cancel not_authorized -> applied; answer cancel not_authorized"
    ),
    "sim_action_required: canceled": (
        "create automatic; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; cancel; webhook authorize dropped -> later; "
        "answer cancel voided; webhook authorize dropped -> duplicate_effect; "
        "webhook cancel voided -> duplicate_effect"
    ),
    "sim_action_required: canceled, webhook first": (
        "create manual; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; cancel; webhook cancel voided -> applied; "
        "webhook authorize dropped -> duplicate_effect; answer cancel voided"
    ),
    "sim_action_required: completed while a cancel is under way": (
        "create automatic; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; (complete); cancel; "
        "webhook authorize captured -> applied; answer cancel captured_already; "
        "webhook cancel captured_already -> duplicate_effect"
    ),
    "sim_action_required: no customer comes": (
        "create automatic; answer authorize requires_action; "
        "webhook authorize requires_action -> duplicate_effect; expire; answer cancel voided; "
        "webhook cancel voided -> duplicate_effect; webhook authorize dropped -> duplicate_effect"
    ),
    "sim_late_capture: automatic": (
        "create automatic; answer authorize declined; webhook authorize declined -> duplicate_effect; (late); "
        "webhook authorize captured -> ask captured -> applied"
    ),
    "sim_late_capture: manual, told twice": (
        "create manual; answer authorize declined; webhook authorize declined -> duplicate_effect; (late); "
        "webhook authorize captured -> ask captured -> applied; "
        "webhook authorize captured -> duplicate_effect"
    ),
    # Captures that go wrong.
    "sim_capture_declined: in full": (
        f"{HELD}; capture; answer capture declined; webhook capture declined -> duplicate_effect; "
        "lookup hold authorized; cancel; answer cancel voided; webhook cancel voided -> duplicate_effect"
    ),
    "sim_capture_declined: in part, webhook first, then again": (
        f"{HELD}; capture 600; webhook capture declined -> applied; answer capture declined; capture 500; "
        "answer capture declined; webhook capture declined -> duplicate_effect"
    ),
    "sim_capture_declined: automatic, never asked": CAPTURED,
    "sim_capture_slow: in full": (f"{HELD}; capture; webhook capture captured -> applied; answer capture captured"),
    "sim_capture_timeout_charged: in full, found": (
        f"{HELD}; capture; answer capture unknown; lookup capture captured; "
        "webhook capture captured -> duplicate_effect"
    ),
    "sim_capture_timeout_charged: in part, told": (
        f"{HELD}; capture 600; webhook capture captured -> applied; answer capture unknown"
    ),
    "sim_capture_timeout_not_charged: in full": (
        f"{HELD}; capture; answer capture unknown; lookup capture not_found; resubmit capture; "
        "answer capture unknown; lookup capture not_found; give up capture; lookup hold authorized"
    ),
    "sim_capture_error_charged: in full": (
        f"{HELD}; capture; answer capture unknown; webhook capture captured -> applied; "
        "lookup capture captured; refund 100; answer refund refunded; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_capture_error_not_charged: in part, then canceled": (
        f"{HELD}; capture 600; answer capture unknown; lookup capture not_found; give up capture; cancel; "
        "answer cancel voided; webhook cancel voided -> duplicate_effect"
    ),
    "sim_capture_reset_charged: in part": (
        f"{HELD}; capture 600; answer capture unknown; lookup capture captured; "
        "webhook capture captured -> duplicate_effect"
    ),
    "sim_capture_pending: in full, told": (
        f"{HELD}; capture; answer capture pending; (late); webhook capture captured -> applied; lookup capture captured"
    ),
    "sim_capture_pending: in part, found": (
        f"{HELD}; capture 600; answer capture pending; lookup capture pending; (late); "
        "lookup capture captured; webhook capture captured -> duplicate_effect"
    ),
    # Cancels that go wrong.
    "sim_cancel_declined: then captured": (
        f"{HELD}; cancel; answer cancel declined; webhook cancel declined -> duplicate_effect; "
        "lookup hold authorized; capture; answer capture captured; "
        "webhook capture captured -> duplicate_effect"
    ),
    "sim_cancel_declined: webhook first": (
        f"{HELD}; cancel; webhook cancel declined -> applied; answer cancel declined"
    ),
    "sim_cancel_slow: told first": f"{HELD}; cancel; webhook cancel voided -> applied; answer cancel voided",
    "sim_cancel_timeout_charged: found": (
        f"{HELD}; cancel; answer cancel unknown; lookup cancel voided; webhook cancel voided -> duplicate_effect"
    ),
    "sim_cancel_timeout_not_charged: given up": (
        f"{HELD}; cancel; answer cancel unknown; lookup cancel not_found; resubmit cancel; "
        "answer cancel unknown; lookup cancel not_found; give up cancel"
    ),
    "sim_cancel_error_charged: told": (
        f"{HELD}; cancel; answer cancel unknown; webhook cancel voided -> applied; lookup cancel voided"
    ),
    "sim_cancel_error_not_charged: given up, then captured": (
        f"{HELD}; cancel; answer cancel unknown; lookup cancel not_found; give up cancel; capture 600; "
        "answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_cancel_reset_charged: found": (
        f"{HELD}; cancel; answer cancel unknown; lookup cancel voided; webhook cancel voided -> duplicate_effect"
    ),
    "sim_cancel_pending: told": (
        f"{HELD}; cancel; answer cancel pending; (late); webhook cancel voided -> applied; lookup cancel voided"
    ),
    "sim_cancel_pending: found": (
        f"{HELD}; cancel; answer cancel pending; lookup cancel pending; (late); lookup cancel voided; "
        "webhook cancel voided -> duplicate_effect"
    ),
    "sim_cancel_pending: nobody captured it": (
        f"{HELD}; expire; answer cancel pending; (late); webhook cancel voided -> applied"
    ),
    # Refunds that go wrong.
    "sim_refund_declined: in part, then again": (
        f"{CAPTURED}; refund 400; answer refund declined; webhook refund declined -> duplicate_effect; refund; "
        "webhook refund declined -> applied; answer refund declined"
    ),
    "sim_refund_slow: in full": (f"{CAPTURED}; refund; webhook refund refunded -> applied; answer refund refunded"),
    "sim_refund_timeout_charged: in part, found": (
        f"{CAPTURED}; refund 400; answer refund unknown; lookup refund refunded; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_refund_timeout_charged: in full, told": (
        f"{CAPTURED}; refund; webhook refund refunded -> applied; answer refund unknown"
    ),
    "sim_refund_timeout_not_charged: given up": (
        f"{CAPTURED}; refund 400; answer refund unknown; lookup refund not_found; resubmit refund; "
        "answer refund unknown; lookup refund not_found; give up refund"
    ),
    "sim_refund_error_charged: in part": (
        f"{CAPTURED}; refund 400; answer refund unknown; webhook refund refunded -> applied; lookup refund refunded"
    ),
    "sim_refund_error_not_charged: by an operator": (
        f"{CAPTURED}; refund 400; answer refund unknown; park refund; operator refund not_executed"
    ),
    "sim_refund_reset_charged: by an operator": (
        f"{CAPTURED}; refund 400; answer refund unknown; park refund; operator refund refunded; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_refund_pending: in part, told": (
        f"{CAPTURED}; refund 400; answer refund pending; (late); webhook refund refunded -> applied; "
        "lookup refund refunded"
    ),
    "sim_refund_pending: in full, found": (
        f"{CAPTURED}; refund; answer refund pending; lookup refund pending; (late); lookup refund refunded; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_refund_pending: two of them, one of which no longer fits": (
        f"{CAPTURED}; refund 400; answer refund pending; (dashboard_refund 700); "
        "webhook dashboard refunded 700 -> later; (late); webhook refund too_large -> applied; "
        "webhook dashboard refunded 700 -> applied"
    ),
    # Webhooks before and instead of answers.
    "sim_webhook_early: automatic, refunded": (
        "create automatic; webhook authorize captured -> applied; answer authorize captured; refund 400; "
        "webhook refund refunded -> applied; answer refund refunded"
    ),
    "sim_webhook_early: captured in part": (
        "create manual; webhook authorize authorized -> applied; answer authorize authorized; capture 600; "
        "webhook capture captured -> applied; answer capture captured"
    ),
    "sim_webhook_early: canceled": (
        "create manual; webhook authorize authorized -> applied; answer authorize authorized; cancel; "
        "webhook cancel voided -> applied; answer cancel voided"
    ),
    "sim_webhook_only: automatic, refunded": (
        "create automatic; answer authorize pending; lookup authorize pending; (late); "
        "webhook authorize captured -> applied; refund 400; answer refund pending; (late); "
        "webhook refund refunded -> applied; lookup refund refunded"
    ),
    "sim_webhook_only: captured in full": (
        "create manual; answer authorize pending; (late); webhook authorize authorized -> applied; capture; "
        "answer capture pending; lookup capture pending; (late); webhook capture captured -> applied"
    ),
    "sim_webhook_only: canceled": (
        "create manual; answer authorize pending; (late); webhook authorize authorized -> applied; cancel; "
        "answer cancel pending; (late); webhook cancel voided -> applied"
    ),
    "sim_webhook_only: canceled before it was held": (
        "create manual; answer authorize pending; cancel; (late); webhook authorize authorized -> applied"
    ),
    # Afterwards, by themselves.
    "sim_refund_fails_late: in part, then again": (
        f"{CAPTURED}; refund 400; answer refund refunded; webhook refund refunded -> duplicate_effect; (late); "
        "webhook refund failed -> applied; refund 400; answer refund refunded; "
        "webhook refund refunded -> duplicate_effect; (late); webhook refund failed -> applied"
    ),
    "sim_refund_fails_late: in full, and told in the wrong order": (
        f"{CAPTURED}; refund; (late); webhook refund failed -> later; webhook refund refunded -> applied; "
        "answer refund refunded; webhook refund failed -> applied"
    ),
    "sim_refund_fails_late: of a part that was captured": (
        f"{HELD}; capture 600; answer capture captured; webhook capture captured -> duplicate_effect; "
        "refund 250; answer refund refunded; (late); webhook refund failed -> applied; "
        "webhook refund refunded -> stale"
    ),
    "sim_capture_fails_late: automatic": (f"{CAPTURED}; (late); webhook authorize failed -> applied; refund 100"),
    "sim_capture_fails_late: in part": (
        f"{HELD}; capture 600; answer capture captured; webhook capture captured -> duplicate_effect; (late); "
        "webhook capture failed -> applied"
    ),
    "sim_capture_fails_late: told before the answer": (
        f"{HELD}; capture; (late); webhook capture failed -> later; answer capture captured; "
        "webhook capture failed -> applied; webhook capture captured -> stale"
    ),
    "sim_capture_fails_late: after a refund": (
        f"{CAPTURED}; refund 100; answer refund refunded; webhook refund refunded -> duplicate_effect; (late); "
        "webhook authorize failed -> applied"
    ),
    "sim_dispute_won: automatic": (
        f"{CAPTURED}; (late); webhook dispute opened -> applied; (late); "
        "webhook dispute opened withdrawn:1 -> applied; (late); webhook dispute under_review -> applied; "
        "(late); webhook dispute won returned:2 -> applied"
    ),
    "sim_dispute_won: of a part, told in the wrong order": (
        f"{HELD}; capture 600; answer capture captured; webhook capture captured -> duplicate_effect; (late); "
        "(late); (late); (late); webhook dispute won =600 returned:2 -> later; "
        "webhook dispute under_review =600 -> applied; webhook dispute opened =600 withdrawn:1 -> applied; "
        "webhook dispute won =600 returned:2 -> applied; webhook dispute opened =600 -> stale"
    ),
    "sim_dispute_lost: automatic": (
        f"{CAPTURED}; (late); webhook dispute opened -> applied; (late); "
        "webhook dispute opened withdrawn:1 -> applied; (late); webhook dispute under_review -> applied; "
        "(late); webhook dispute lost -> applied"
    ),
    "sim_dispute_lost: the verdict is told first": (
        f"{CAPTURED}; (late); (late); (late); (late); webhook dispute lost -> applied; "
        "webhook dispute opened -> stale; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute under_review -> stale"
    ),
    "sim_dispute_lost: all of it before the capture is answered": (
        "create automatic; (late); (late); (late); (late); webhook dispute opened -> later; "
        "webhook dispute opened withdrawn:1 -> later; answer authorize captured; "
        "webhook authorize captured -> duplicate_effect; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute opened -> duplicate_effect; webhook dispute lost -> applied; "
        "webhook dispute under_review -> stale"
    ),
    "sim_dispute_second: automatic": (
        f"{CAPTURED}; (late); webhook dispute opened -> applied; (late); "
        "webhook dispute opened withdrawn:1 -> applied; (late); webhook dispute under_review -> applied; "
        "(late); webhook dispute won returned:2 -> applied; (late); "
        "webhook dispute won withdrawn:3 -> applied"
    ),
    "sim_dispute_second: the second withdrawal is told first": (
        f"{CAPTURED}; (late); (late); (late); (late); (late); webhook dispute won withdrawn:3 -> applied; "
        "webhook dispute opened withdrawn:1 -> applied; webhook dispute won returned:2 -> applied; "
        "webhook dispute opened -> stale; webhook dispute under_review -> stale"
    ),
    "sim_dispute_third: automatic": (
        f"{CAPTURED}; (late); webhook dispute opened -> applied; (late); "
        "webhook dispute opened withdrawn:1 -> applied; (late); webhook dispute under_review -> applied; "
        "(late); webhook dispute won returned:2 -> applied; (late); "
        "webhook dispute won withdrawn:3 -> applied; (late); webhook dispute won returned:4 -> applied"
    ),
    "sim_dispute_third: the returns are told before the withdrawals": (
        f"{CAPTURED}; (late); webhook dispute opened -> applied; (late); (late); (late); (late); (late); "
        "webhook dispute won returned:4 -> later; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute won returned:4 -> applied; webhook dispute won withdrawn:3 -> applied; "
        "webhook dispute won returned:2 -> applied; webhook dispute under_review -> stale"
    ),
    "sim_expires: told": f"{HELD}; (late); webhook charge expired -> applied",
    "sim_expires: found at its deadline": (
        f"{HELD}; (late); lookup hold voided; webhook charge expired -> duplicate_effect"
    ),
    "sim_expires: before it is captured": (
        f"{HELD}; (late); capture; answer capture canceled_already; "
        "webhook capture canceled_already -> duplicate_effect; lookup hold voided; "
        "webhook charge expired -> duplicate_effect"
    ),
    "sim_expires: told before it was held": (
        "create manual; (late); webhook charge expired -> later; answer authorize authorized; "
        "webhook charge expired -> applied; webhook authorize authorized -> duplicate_effect"
    ),
    "sim_expires: captured in time": (
        f"{HELD}; capture; answer capture captured; webhook capture captured -> duplicate_effect"
    ),
    "sim_expires: automatic, nothing to expire": CAPTURED,
    "sim_dashboard_capture: told": f"{HELD}; (late); webhook charge captured -> applied",
    "sim_dashboard_capture: found, and refunded": (
        f"{HELD}; (late); lookup hold captured; webhook charge captured -> duplicate_effect; refund 100; "
        "answer refund refunded; webhook refund refunded -> duplicate_effect"
    ),
    "sim_dashboard_capture: told before the hold is": (
        "create manual; (late); webhook charge captured -> applied; answer authorize authorized; "
        "webhook authorize authorized -> duplicate_effect"
    ),
    "sim_dashboard_refund: automatic": (
        f"{CAPTURED}; (late); webhook dashboard refunded 500 -> applied; "
        "webhook dashboard refunded 500 -> duplicate_effect"
    ),
    "sim_dashboard_refund: of a part, and the rest by us": (
        f"{HELD}; capture 600; answer capture captured; webhook capture captured -> duplicate_effect; (late); "
        "webhook dashboard refunded 300 -> applied; refund; answer refund refunded; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_dashboard_refund: told before the capture is": (
        "create automatic; (late); webhook dashboard refunded 500 -> later; "
        "webhook authorize captured -> applied; webhook dashboard refunded 500 -> applied; "
        "answer authorize captured"
    ),
    # How events leave.
    "sim_webhook_duplicate: automatic, refunded": (
        "create automatic; webhook authorize captured -> applied; "
        "webhook authorize captured -> duplicate_effect; answer authorize captured; "
        "webhook authorize captured -> duplicate_effect; refund 400; answer refund refunded; "
        "webhook refund refunded -> duplicate_effect; webhook refund refunded -> duplicate_effect; "
        "webhook refund refunded -> duplicate_effect"
    ),
    "sim_webhook_duplicate: captured in full": (
        f"{HELD}; webhook authorize authorized -> duplicate_effect; capture; "
        "webhook capture captured -> applied; webhook authorize authorized -> duplicate_effect; "
        "webhook capture captured -> duplicate_effect; answer capture captured; "
        "webhook capture captured -> duplicate_effect"
    ),
    "sim_webhook_reordered: captured in part, and refunded": (
        "create manual; answer authorize authorized; capture 600; answer capture captured; refund 250; "
        "answer refund refunded; webhook refund refunded -> duplicate_effect; "
        "webhook capture captured -> duplicate_effect; webhook authorize authorized -> duplicate_effect"
    ),
    "sim_webhook_reordered: told before the answer": (
        "create manual; answer authorize authorized; capture 600; webhook capture captured -> applied; "
        "webhook authorize authorized -> duplicate_effect; answer capture captured"
    ),
    "sim_webhook_delayed: canceled": (
        "create manual; answer authorize authorized; cancel; answer cancel voided; "
        "webhook authorize authorized -> duplicate_effect; webhook cancel voided -> duplicate_effect"
    ),
    "sim_webhook_delayed: automatic": CAPTURED,
    "sim_webhook_lost: automatic, refunded": (
        "create automatic; answer authorize captured; refund 400; answer refund refunded"
    ),
    "sim_webhook_lost: captured in full": (
        "create manual; answer authorize authorized; capture; answer capture captured"
    ),
    "sim_webhook_forged: automatic": CAPTURED,
    "sim_webhook_forged: canceled": f"{HELD}; cancel; webhook cancel voided -> applied; answer cancel voided",
}

#: What the acquirer cannot do, and other providers may.
OTHERS: Final[dict[str, str]] = {
    # Authorizations.
    "any: not sent, then sent": (
        "create automatic; answer authorize not_sent; resubmit authorize; answer authorize captured"
    ),
    "any: never sent": "create manual; answer authorize not_sent; give up authorize",
    "any: released before it was held": "create manual; answer authorize voided",
    "any: approved for another amount": (
        "create automatic; answer authorize captured:900; lookup authorize captured:900; lookup authorize captured"
    ),
    "any: in the customer's hands, then in the provider's": (
        "create automatic; answer authorize requires_action; webhook authorize pending -> applied; "
        "webhook authorize captured -> applied"
    ),
    "any: two actions": (
        "create automatic; answer authorize pending; webhook authorize requires_action -> applied; "
        "webhook authorize pending -> applied; webhook authorize requires_action -> applied; "
        "lookup authorize abandoned; resubmit cancel; answer cancel voided"
    ),
    "any: a cancel is refused while the customer is asked": (
        "create manual; answer authorize requires_action; cancel; answer cancel declined; "
        "webhook authorize authorized -> applied; capture; answer capture captured"
    ),
    "any: a cancel of a customer who is asked is given up": (
        "create manual; answer authorize requires_action; cancel; answer cancel not_sent; give up cancel; "
        "expire; answer cancel voided"
    ),
    "any: by an operator, who found it declined": (
        "create automatic; answer authorize unknown; park authorize; operator authorize by_operator"
    ),
    # Holds.
    "any: released at the provider, not by time": f"{HELD}; webhook charge voided -> applied",
    "any: captured in part at the provider": f"{HELD}; webhook charge captured:600 -> applied",
    "any: captured beyond the hold": f"{HELD}; webhook charge captured:1100 -> ask captured:1100 -> conflict",
    "any: a capture is never sent": f"{HELD}; capture; answer capture not_sent; give up capture",
    "any: a capture is told by the charge": (
        f"{HELD}; capture 600; webhook charge captured:600 -> applied; answer capture captured"
    ),
    "any: a cancel is told by the charge": f"{HELD}; cancel; webhook charge voided -> applied; answer cancel voided",
    "any: a deadline, and the provider released it first": (
        f"{HELD}; expire; webhook charge expired -> applied; answer cancel canceled_already"
    ),
    "any: a hold that lapsed during a cancel that is declined": (
        f"{HELD}; cancel; answer cancel canceled_already; lookup hold voided"
    ),
    # What had been given up.
    "any: held after it was declined": (
        "create manual; answer authorize declined; webhook charge authorized -> ask authorized -> applied"
    ),
    "any: held after it was declined, and released": (
        "create manual; answer authorize declined; webhook charge authorized -> ask authorized -> applied; "
        "webhook charge expired -> applied"
    ),
    "any: held after it was declined, and captured": (
        "create manual; answer authorize declined; webhook charge authorized -> ask authorized -> applied; "
        "webhook charge captured -> ask captured -> applied"
    ),
    "any: captured after it had failed": (
        "create automatic; answer authorize unknown; lookup authorize not_found; give up authorize; "
        "webhook authorize captured -> ask captured -> applied"
    ),
    "any: captured after it was canceled": (
        f"{HELD}; cancel; answer cancel voided; webhook charge captured -> ask captured -> applied"
    ),
    "any: captured after it had expired": (
        f"{HELD}; webhook charge expired -> applied; webhook charge captured:600 -> ask captured:600 -> applied"
    ),
    "any: a capture that was given up is executed": (
        f"{HELD}; capture 600; answer capture unknown; lookup capture not_found; give up capture; "
        "webhook capture captured -> ask captured -> applied"
    ),
    "any: a capture that was given up is executed, and is found": (
        f"{HELD}; capture; answer capture declined; lookup capture captured"
    ),
    "any: a capture that was given up is executed after a cancel": (
        f"{HELD}; capture 600; answer capture declined; cancel; answer cancel voided; "
        "webhook capture captured -> ask captured -> applied"
    ),
    "any: a cancel that was given up is executed": (
        f"{HELD}; cancel; answer cancel unknown; lookup cancel not_found; give up cancel; "
        "webhook cancel voided -> ask voided -> applied"
    ),
    "any: a refund that was given up is executed": (
        f"{CAPTURED}; refund 400; answer refund unknown; lookup refund not_found; give up refund; "
        "webhook refund refunded -> ask refunded -> applied; refund 100; answer refund refunded"
    ),
    # Refunds.
    "any: a refund is never sent": f"{CAPTURED}; refund 400; answer refund not_sent; give up refund",
    "any: a refund came back, and is called declined": (
        f"{CAPTURED}; refund 400; answer refund refunded; webhook refund declined -> applied"
    ),
    "any: a dashboard's refund comes back": (
        f"{CAPTURED}; webhook dashboard refunded 300 -> applied; webhook dashboard failed 300 -> applied; refund; "
        "answer refund refunded"
    ),
    "any: a refund of more than was captured": f"{CAPTURED}; webhook dashboard refunded 1001 -> conflict",
    # Disputes of a provider that names what it moves.
    "any: a dispute is first heard of under review, with its withdrawal": (
        f"{CAPTURED}; webhook dispute under_review withdrawn:1 -> applied; webhook dispute lost -> applied"
    ),
    "any: withdrawn, returned and withdrawn again before it is lost": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute under_review withdrawn:1 returned:2 -> applied; "
        "webhook dispute under_review returned:2 withdrawn:3 -> applied; webhook dispute lost withdrawn:3 -> applied"
    ),
    "any: opened, withdrawn and returned at once": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 returned:2 -> applied; webhook dispute won -> applied"
    ),
    "any: won, and then lost": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 -> applied; webhook dispute won returned:2 -> applied; "
        "webhook dispute lost -> applied"
    ),
    "any: captured and ended there": (
        f"{CAPTURED}; webhook dashboard ended 1 1000 -> applied; webhook dashboard ended 1 1000 -> duplicate_effect"
    ),
    "any: a hold ended there, and its capture is told later": (
        f"{HELD}; webhook dashboard ended 1 1000 -> applied; webhook dashboard captured 1 1000 -> applied; "
        "webhook dashboard captured 1 1000 -> duplicate_effect"
    ),
    "any: captured there in equal parts, and one comes back": (
        f"{HELD}; webhook dashboard captured 1 500 -> applied; webhook dashboard captured 2 500 -> applied; "
        "webhook dashboard captured 2 500 -> duplicate_effect; webhook dashboard came_back 1 -> applied; "
        "webhook dashboard came_back 1 -> duplicate_effect"
    ),
    "any: captured by us, there, and there beyond the hold": (
        f"{HELD}; capture 500; answer capture captured; webhook dashboard captured 1 300 -> applied; "
        "webhook dashboard captured 2 300 -> conflict; webhook dashboard captured 2 300 -> duplicate_effect"
    ),
    "any: lost, and a part of it comes back": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 -> applied; webhook dispute lost -> applied; "
        "webhook dispute lost =50 returned:2 -> applied"
    ),
    "any: a part comes back in two, before it is won": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute under_review =400 returned:2 -> applied; webhook dispute won =600 returned:3 -> applied"
    ),
    "any: a dispute over more than twice the payment": f"{CAPTURED}; webhook dispute opened =2001 -> conflict",
    # Inquiries, and what is left to refund.
    "any: an inquiry is answered with a refund": (
        f"{CAPTURED}; webhook dispute opened inquiry -> applied; refund; answer refund refunded; "
        "webhook dispute won inquiry -> applied"
    ),
    "any: an inquiry becomes a chargeback": (
        f"{CAPTURED}; webhook dispute opened inquiry -> applied; webhook dispute under_review inquiry -> applied; "
        "webhook dispute opened -> applied; webhook dispute opened withdrawn:1 -> applied; refund; "
        "webhook dispute lost -> applied"
    ),
    "any: a dispute after a refund": (
        f"{CAPTURED}; refund; answer refund refunded; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute lost -> applied"
    ),
    # A charge that the payer could still pay is closed, and nobody is told.
    "any: declined after an action, and closed": (
        "create automatic; answer authorize requires_action; webhook authorize declined -> applied; resubmit cancel; "
        "answer cancel voided; webhook charge voided -> duplicate_effect"
    ),
    "any: declined after an action, and paid before it was closed": (
        "create automatic; answer authorize requires_action; webhook authorize declined -> applied; resubmit cancel; "
        "webhook charge captured -> ask captured -> applied; answer cancel declined"
    ),
    # Late money, and its ways out.
    "any: late money is accepted, refunded in part, and disputed": (
        f"{LATE}; late accepted; refund 400; answer refund refunded; "
        "webhook dispute opened =600 withdrawn:1 -> applied; webhook dispute lost =600 -> applied"
    ),
    "any: late money is returned": f"{LATE}; late returned; answer refund refunded",
    "any: late money is returned in the dashboard": f"{LATE}; webhook dashboard refunded 1000 -> applied",
    "any: late money is charged back": f"{LATE}; webhook dispute opened withdrawn:1 -> applied",
    # Disputes of a provider that names no movements.
    "any: unnamed, won": (
        f"{CAPTURED}; webhook dispute opened unnamed -> applied; webhook dispute opened withdrawn -> applied; "
        "webhook dispute under_review unnamed -> applied; webhook dispute won returned -> applied; "
        "webhook dispute won withdrawn -> applied"
    ),
    "any: unnamed, lost": (
        f"{CAPTURED}; webhook dispute opened withdrawn -> applied; webhook dispute lost unnamed -> applied; "
        "webhook dispute lost returned -> applied"
    ),
    "any: unnamed, lost in one word": f"{CAPTURED}; webhook dispute lost withdrawn -> applied",
    "any: unnamed, and then it begins to name": (
        f"{CAPTURED}; webhook dispute opened withdrawn -> applied; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute won returned:2 -> applied"
    ),
}

#: A change once told of a subject's last step alone. Where that step is one that is not told, the steps before it in
#: the same change were lost: here in each life, and in none above.
ONCE_LOST: Final[dict[str, str]] = {
    # dispute.opened and dispute.funds_withdrawn, before a second withdrawal that goes to suspense
    "any: opened, and withdrawn twice at once": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 withdrawn:2 -> applied; "
        "webhook dispute under_review returned:3 -> applied; webhook dispute won returned:4 -> applied"
    ),
    # dispute.opened: a return is listed before its withdrawal, and both of them are beside the course
    "any: opened, and returned before it was withdrawn": (
        f"{CAPTURED}; webhook dispute opened returned:2 withdrawn:1 -> applied; webhook dispute lost -> applied"
    ),
    # dispute.opened and dispute.funds_withdrawn
    "any: opened, withdrawn twice and returned once": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 withdrawn:2 returned:3 -> applied; "
        "webhook dispute lost -> applied"
    ),
    # dispute.funds_withdrawn, of a dispute whose opening was told
    "any: withdrawn twice at once": (
        f"{CAPTURED}; webhook dispute opened -> applied; "
        "webhook dispute opened withdrawn:1 withdrawn:2 -> applied; "
        "webhook dispute won returned:3 returned:4 -> applied"
    ),
    # dispute.funds_returned and dispute.funds_withdrawn
    "any: returned, and withdrawn twice at once": (
        f"{CAPTURED}; webhook dispute opened withdrawn:1 -> applied; "
        "webhook dispute under_review -> applied; "
        "webhook dispute under_review returned:2 withdrawn:3 withdrawn:4 -> applied; webhook dispute lost -> applied"
    ),
    # dispute.funds_returned, where the provider begins to name what it moved
    "any: unnamed, and then named in another order": (
        f"{CAPTURED}; webhook dispute opened withdrawn -> applied; "
        "webhook dispute opened returned:2 withdrawn:1 -> applied; webhook dispute won -> applied"
    ),
}
