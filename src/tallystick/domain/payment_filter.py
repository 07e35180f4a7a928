"""Which of a merchant's payments a list shows, and which filters go together. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tallystick.domain.created_range import CreatedRange
from tallystick.domain.errors import ProblemField

#: Filters without an index may read every payment of their range.
LONGEST_UNINDEXED_RANGE: Final = timedelta(days=31)

#: What a range beside such a filter lacks.
RANGE_NEEDED: Final = "is required beside amounts, currency and metadata, which are looked for in at most 31 days"
RANGE_TOO_LONG: Final = "must be at most 31 days after created_gte, for amounts, currency and metadata"


class PaymentFilter(CreatedRange, frozen=True, kw_only=True):
    """All that is given must hold. Amounts are in the minor unit of ``currency``, and the bounds belong to the range;
    ``metadata`` is a key and a value."""

    state: str | None = None
    provider_reference: str | None = None
    idempotency_key: str | None = None
    amount_gte: int | None = None
    amount_lte: int | None = None
    currency: str | None = None
    metadata: tuple[str, str] | None = None

    @property
    def unindexed(self) -> bool:
        """Whether it asks for what no index finds."""
        asked = (self.amount_gte, self.amount_lte, self.currency, self.metadata)
        return any(each is not None for each in asked)

    def faults(self) -> list[ProblemField]:
        """Everything about it that does not go together; empty for a filter that can be looked for."""
        found = super().faults()
        if self.currency is None and (self.amount_gte is not None or self.amount_lte is not None):
            found.append(ProblemField("currency", "required", "is required beside an amount"))
        if self.amount_gte is not None and self.amount_lte is not None and self.amount_gte > self.amount_lte:
            found.append(ProblemField("amount_lte", "invalid_value", "must be amount_gte or more"))
        return found + self._unindexed_faults() if self.unindexed else found

    def _unindexed_faults(self) -> list[ProblemField]:
        found = [
            ProblemField(name, "invalid_value", "finds its payments without amounts, currency and metadata")
            for name in ("idempotency_key", "provider_reference")
            if getattr(self, name) is not None
        ]
        return found + self.range_faults(LONGEST_UNINDEXED_RANGE, RANGE_NEEDED, RANGE_TOO_LONG)
