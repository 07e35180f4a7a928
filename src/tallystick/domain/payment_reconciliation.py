"""How far a payment is reconciled: its postings beside what settlement files say of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, get_args

from msgspec import Struct

from tallystick.domain.business_days import DueRule
from tallystick.domain.json_types import Time, described

#: expected: no file has it yet. overdue: it is due, and no file has it. The others are what comparing came to.
ReconciliationState = Literal["expected", "overdue", "matched", "mismatched", "unexplained", "explained"]
RECONCILIATION_STATES: Final[tuple[ReconciliationState, ...]] = get_args(ReconciliationState)


class ReconciledPart(Struct, frozen=True, kw_only=True):
    """A posting of ours to the provider's account, or what a settlement row says of one. (``subject_id``,
    ``subject_version``, ``leg``) names the posting, also in a row. ``at``: when it was recorded. A posting has no
    ``status``."""

    subject_id: str | None
    subject_version: int | None
    leg: int | None
    at: datetime
    currency: str
    status: str | None = None
    batch: str | None = None
    fee: int = 0
    net: int = 0
    covers: int = 0

    @property
    def posting(self) -> tuple[str | None, int | None, int | None]:
        """Which posting it is, or is about."""
        return (self.subject_id, self.subject_version, self.leg)

    @property
    def accounts_for_it(self) -> bool:
        """Whether a row of it is there: it is expected no longer."""
        return self.status in ("matched", "explained") or self.covers != 0


class PaymentReconciliationView(Struct, frozen=True, kw_only=True):
    """What settlement files say of a payment, its refunds and disputes."""

    state: Annotated[
        str,
        described(
            "`expected`: no settlement file has all of it yet. `overdue`: it is due, and missing. `matched`,"
            " `mismatched`, `unexplained`, `explained`: what comparing came to, the worst of its rows.",
            "matched",
            enum=list(RECONCILIATION_STATES),
        ),
    ]
    due: Annotated[
        Time | None,
        described("When what is missing is overdue; null where nothing is, or its account has no calendar.", None),
    ]
    batch: Annotated[str | None, described("The provider's batch with its newest row; null without a row.", "po_1")]
    fee: Annotated[
        int | None, described("What the provider charged in its rows, in the minor unit; null without a row.", 30)
    ]
    net: Annotated[int | None, described("What its rows come to, less fees; null without a row.", 970)]
    currency: Annotated[str | None, described("The currency of `fee` and `net`: that of the newest row.", "EUR")]


def payment_reconciliation_view(
    postings: Sequence[ReconciledPart], rows: Sequence[ReconciledPart], rule: DueRule | None, now: datetime
) -> PaymentReconciliationView | None:
    """None where there is nothing that a provider could settle."""
    if not postings and not rows:
        return None
    there = {row.posting for row in rows if row.accounts_for_it}
    missing = [each for each in postings if each.posting not in there]
    due = None if rule is None or not missing else min(rule.due_at(each.at) for each in missing)
    newest = max(rows, key=lambda row: row.at) if rows else None
    currency = None if newest is None else newest.currency
    summed = [row for row in rows if row.currency == currency]
    return PaymentReconciliationView(
        state=_state({row.status for row in rows}, bool(missing), due is not None and due <= now),
        due=due,
        batch=None if newest is None else newest.batch,
        fee=sum(row.fee for row in summed) if summed else None,
        net=sum(row.net for row in summed) if summed else None,
        currency=currency,
    )


def _state(said: set[str | None], is_missing: bool, is_late: bool) -> ReconciliationState:
    """The worst first."""
    if "mismatched" in said:
        return "mismatched"
    if "unexplained" in said:
        return "unexplained"
    if is_missing:
        return "overdue" if is_late else "expected"
    return "matched" if "matched" in said else "explained"
