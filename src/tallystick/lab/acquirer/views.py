"""The books as answers and events show them."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from tallystick.lab.acquirer.rules import effect_of
from tallystick.lab.acquirer.scripts import DECLINE_MESSAGES

_SUMMARY: Final = ("id", "payment_id", "merchant_id", "amount", "currency", "authorized", "captured", "refunded")


def operation_view(row: sqlite3.Row, charge: sqlite3.Row, address: str) -> dict[str, Any]:
    """An operation as its caller, the lookup and events show it. ``address``: the acquirer's own, where the customer's
    page is."""
    waits = row["status"] == "requires_action"
    return {
        "attempt_id": row["attempt_id"],
        "operation": row["operation"],
        "status": row["status"],
        "effect": effect_of(row, charge),
        "amount": row["amount"],
        "currency": charge["currency"],
        "charge_id": row["charge_id"],
        "reference": row["reference"],
        "decline_code": row["decline_code"],
        "decline_message": DECLINE_MESSAGES.get(row["decline_code"]) if row["decline_code"] else None,
        "next_action": {"type": "redirect", "url": address + customer_path(row["charge_id"])} if waits else None,
        "occurred_at": row["occurred_at"],
    }


def customer_path(charge_id: str) -> str:
    """Where the customer's page of a charge is. A POST to the same path is the call that completes the payment."""
    return f"/sim/charges/{charge_id}/complete"


def still_pending(view: dict[str, Any]) -> dict[str, Any]:
    """An operation whose outcome only its webhook reports."""
    return view | {"status": "pending", "effect": None, "decline_code": None, "decline_message": None}


def summary(db: sqlite3.Connection, charge: sqlite3.Row) -> dict[str, Any]:
    """A charge as in the list that the platform's books are compared with. ``disputed`` is what disputes are about, and
    ``disputed_withdrawn`` what the acquirer has taken for them by now."""
    attempts = db.execute(
        "SELECT DISTINCT attempt_id FROM operation WHERE charge_id = ? ORDER BY number", (charge["id"],)
    )
    disputed = db.execute(
        "SELECT coalesce(sum(amount), 0), coalesce(sum(withdrawn), 0) FROM dispute WHERE charge_id = ?", (charge["id"],)
    ).fetchone()
    return {name: charge[name] for name in _SUMMARY} | {
        "attempt_ids": [row[0] for row in attempts],
        "disputed": disputed[0],
        "disputed_withdrawn": disputed[1],
    }


def dispute_view(dispute: sqlite3.Row, charge: sqlite3.Row) -> dict[str, Any]:
    """A dispute as its steps answer it, and as events show it."""
    return {
        "dispute_id": dispute["id"],
        "charge_id": charge["id"],
        "status": dispute["status"],
        "amount": dispute["amount"],
        "withdrawn": dispute["withdrawn"],
        "currency": charge["currency"],
        "reason": dispute["reason"],
    }
