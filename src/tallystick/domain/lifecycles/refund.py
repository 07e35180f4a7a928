"""The lifecycle of a refund. A succeeded refund can still fail, weeks later."""

from __future__ import annotations

from typing import Final

from tallystick.domain.ledger import postings
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.table import NEW, Checkpoint, Edge, Machine
from tallystick.domain.subjects import Refund


def _sent(_: None, after: Refund) -> list[Posting]:
    return postings.refund_sent(after.provider, after.amount)


def _succeeded(_: Refund, after: Refund) -> list[Posting]:
    return postings.refund_succeeded(after.provider, after.amount)


def _failed(before: Refund, after: Refund) -> list[Posting]:
    return postings.refund_failed(after.provider, after.amount, had_succeeded=before.state == "succeeded")


def _late_refund(before: Refund, after: Refund) -> list[Posting]:
    return postings.late_refund(after.provider, after.amount_late - before.amount_late)


#: The provider has said it, in an answer or an event.
_SAID: Final[tuple[Checkpoint, ...]] = ("provider's word",)

_SUCCEEDED: Final = Edge("succeeded", posts=_succeeded, told="refund.succeeded", beside=_SAID)
_FAILED: Final = Edge("failed", posts=_failed, told="refund.failed")

REFUND: Final = Machine(
    "refund",
    {
        NEW: {"create": Edge("submitting", posts=_sent, told="refund.created")},
        "submitting": {"pending": Edge("pending", beside=_SAID), "succeeded": _SUCCEEDED, "failed": _FAILED},
        "pending": {"succeeded": _SUCCEEDED, "failed": _FAILED},
        "succeeded": {"failed": _FAILED},
        "failed": {
            "late_refund": Edge("failed", posts=_late_refund, beside=(*_SAID, "rejection")),
            "late_effect": Edge("failed", retired=True),
            "late_money_counted": Edge("failed", retired=True),  # by migration 0013 alone
        },
    },
    final=frozenset({"succeeded", "failed"}),
)
