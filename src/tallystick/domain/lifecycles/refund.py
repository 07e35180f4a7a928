"""The lifecycle of a refund."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tallystick.domain.lifecycles.table import NEW, Table


class RefundState(StrEnum):
    """Where a refund is. A succeeded refund can still fail, weeks later."""

    SUBMITTING = "submitting"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


REFUND: Final[Table] = {
    NEW: {"create": "submitting"},
    "submitting": {"pending": "pending", "succeeded": "succeeded", "failed": "failed"},
    "pending": {"succeeded": "succeeded", "failed": "failed"},
    "succeeded": {"failed": "failed"},
    "failed": {"late_effect": "failed"},
}
