"""Adyen's event codes, and what each is about. Data alone.

Sources: Adyen's OpenAPI description of its standard webhooks (Webhooks, version 1) and the model of its SDK for Node.js
(``NotificationRequestItem``); the SDK for Python has no list of them. Codes beside these were seen in Adyen's pages on
webhook types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.providers.event_codes import EventMeaning, event_table

#: Each has a reader (``receiver.py``, ``disputes.py``).
READ: Final = frozenset(
    {
        "AUTHORISATION",
        "CANCELLATION",
        "CANCEL_OR_REFUND",
        "CAPTURE",
        "CAPTURE_FAILED",
        "CHARGEBACK",
        "CHARGEBACK_REVERSED",
        "DISPUTE_DEFENSE_PERIOD_ENDED",
        "EXPIRE",
        "ISSUER_RESPONSE_TIMEFRAME_EXPIRED",
        "NOTIFICATION_OF_CHARGEBACK",
        "PREARBITRATION_LOST",
        "PREARBITRATION_WON",
        "REFUND",
        "REFUNDED_REVERSED",
        "REFUND_FAILED",
        "REFUND_WITH_DATA",
        "SCHEME_ARBITRATION_LOST",
        "SCHEME_ARBITRATION_WON",
        "SECOND_CHARGEBACK",
        "TECHNICAL_CANCEL",
        "VOID_PENDING_REFUND",
    }
)

#: No call of ours causes them, and what they do to a payment is not read here: a person looks at each.
FOR_A_PERSON: Final = frozenset(
    {
        "AUTHORISATION_ADJUSTMENT",  # the hold has another amount
        "HANDLED_EXTERNALLY",  # settled outside Adyen
        "PREARBITRATION_ACCEPTED",  # the pages do not say in whose favour
        "PREARBITRATION_ISSUER_WITHDRAWN",
    }
)

INFORMS: Final = frozenset(
    {
        "AUTHENTICATION",
        "AUTORESCUE",  # what was rescued is told by AUTHORISATION
        "CANCEL_AUTORESCUE",
        "FRAUD_ONLY",
        "INFORMATION_SUPPLIED",
        "ISSUER_COMMENTS",
        "MANUAL_REVIEW_ACCEPT",
        "MANUAL_REVIEW_REJECT",
        "NOTIFICATION_OF_FRAUD",
        "OFFER_CLOSED",
        "ORDER_CLOSED",  # each part of an order is a payment with events of its own
        "ORDER_OPENED",
        "PENDING",
        "POSTPONED_REFUND",  # the refund comes after the capture, and is told by REFUND
        "PREARBITRATION_DECLINED",
        "PREARBITRATION_OPEN",
        "PROCESS_RETRY",
        "REQUEST_FOR_INFORMATION",
        "SCHEME_ARBITRATION",
    }
)

NOT_ABOUT_PAYMENTS: Final = frozenset(
    {
        "ACH_NOTIFICATION_OF_CHANGE",
        "DIRECT_DEBIT_NOTICE_OF_CHANGE_NOTIFICATION",
        "DONATION",  # of the shopper's money to somebody else
        "PAIDOUT_REVERSED",
        "PAYOUT_DECLINE",
        "PAYOUT_EXPIRE",
        "PAYOUT_THIRDPARTY",
        "RECURRING_CONTRACT",
        "REPORT_AVAILABLE",
    }
)

#: Event code -> what it is about.
EVENT_CODES: Final[Mapping[str, EventMeaning]] = event_table(
    moves_money=READ | FOR_A_PERSON, informs=INFORMS, not_about_payments=NOT_ABOUT_PAYMENTS
)
