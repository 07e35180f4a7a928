"""What a charge allows, and what an operation on it amounts to now. Pure: rows in, words out."""

from __future__ import annotations

import sqlite3


def refusal_of(operation: str, charge: sqlite3.Row, amount: int) -> str | None:
    """Why a charge does not allow an operation, as a decline code; None where it does."""
    status = charge["status"]
    if operation == "refund":
        if status != "captured":
            return "charge_not_captured"
        return "amount_too_large" if amount > charge["captured"] - charge["refunded"] else None
    if status == "captured":
        return "charge_already_captured"
    if status == "voided" or charge["closed_by"] == "cancel":
        return "charge_already_canceled"
    if operation == "cancel":
        return "charge_not_authorized" if status == "declined" else None
    if status != "authorized":
        return "charge_not_authorized"
    return "amount_too_large" if amount > charge["authorized"] else None


def effect_of(operation: sqlite3.Row, charge: sqlite3.Row) -> str | None:
    """What an operation has done to the money by now: authorized | captured | voided | refunded, or None.

    A waiting charge that was canceled answers voided beside its decline: nothing can become of it any more.
    """
    if operation["decline_code"] == "authentication_canceled":
        return "voided"
    if operation["status"] != "approved":
        return None
    match operation["operation"]:
        case "capture":
            return "captured"
        case "cancel":
            return "voided"
        case "refund":
            return "refunded"
    if charge["capture"] or charge["closed_by"] == "dashboard":
        return "captured"
    return "voided" if charge["status"] == "voided" else "authorized"
