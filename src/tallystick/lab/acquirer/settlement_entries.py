"""What moved the balance that the acquirer keeps for us: entries, each from one event of the books. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

#: What the acquirer takes for a charge: so many millionths of it, and so many minor units.
CHARGE_FEE_MILLIONTHS: Final = 14_000
CHARGE_FEE_FIXED: Final = 25

#: What it takes each time that a payer's bank takes money back, in minor units. It keeps it when the money returns.
DISPUTE_FEE: Final = 1_500

_MILLION: Final = 1_000_000

#: Event type -> the kind of its entry, and whether the money is owed to us or by us.
_KINDS: Final[Mapping[str, tuple[str, int]]] = {
    "charge.captured": ("charge", 1),
    "dashboard.captured": ("charge", 1),
    "capture.failed": ("charge_reversal", -1),
    "refund.succeeded": ("refund", -1),
    "dashboard.refunded": ("refund", -1),
    "refund.failed": ("refund_reversal", 1),
}

#: What an event about a dispute says of its money -> the same.
_FUNDS: Final[Mapping[str, tuple[str, int]]] = {"withdrawn": ("dispute", -1), "returned": ("dispute_reversal", 1)}


class Entry(Struct, frozen=True, kw_only=True):
    """One entry. ``gross`` is more than 0 where money is owed to us; ``fee`` is more than 0 where it is charged; both
    in minor units of ``currency``. ``charge``: the charge that it belongs to; ``effect``: the acquirer's name of what
    moved; ``attempt``: the caller's name of it, "" where it was nobody's operation."""

    entry_id: str
    kind: str
    currency: str
    gross: int
    fee: int = 0
    charge: str = ""
    effect: str = ""
    attempt: str = ""
    payment_id: str = ""
    method: str = ""
    occurred_at: str = ""

    @property
    def net(self) -> int:
        """What the balance moved by."""
        return self.gross - self.fee


def charge_fee(amount: int) -> int:
    """The fee on a charge, a half rounded up."""
    return (amount * CHARGE_FEE_MILLIONTHS + _MILLION // 2) // _MILLION + CHARGE_FEE_FIXED


def entry_of(sequence: int, kind: str, data: Mapping[str, Any], method: str) -> Entry | None:
    """The entry of an event (``data``: as it was sent); None where it moved no money."""
    known = _KINDS.get(kind) or _FUNDS.get(data.get("funds") or "")
    if known is None:
        return None
    name, sign = known
    amount: int = data["amount"]
    fee = charge_fee(amount) if name == "charge" else DISPUTE_FEE if name == "dispute" else 0
    return Entry(
        entry_id=f"en_{sequence}",
        kind=name,
        currency=data["currency"],
        gross=sign * amount,
        fee=fee,
        charge=data["charge_id"],
        effect=data["reference"],
        attempt=data.get("attempt_id") or "",
        payment_id=data["payment_id"],
        method=method,
        occurred_at=data["occurred_at"],
    )
