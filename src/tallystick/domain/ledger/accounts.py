"""The accounts of a merchant's ledger. Pure.

Clearing accounts (``provider:``, ``authorized:``, ``refunds_in_flight:``, ``disputes:``, ``suspense:``) return to zero
when the provider's books and ours agree.
"""

from __future__ import annotations

MERCHANT = "merchant"  # what we owe the merchant

DISPUTE_RESERVE = "dispute_reserve"  # the merchant's money that an open dispute may cost


def provider_account(provider: str) -> str:
    """What the provider owes us."""
    return f"provider:{provider}"


def authorized_account(provider: str) -> str:
    """Money held at the provider and not moved."""
    return f"authorized:{provider}"


def contra_account(provider: str) -> str:
    """The other side of every hold."""
    return f"authorized_contra:{provider}"


def refunds_account(provider: str) -> str:
    """Refunds we promised and the provider has not confirmed."""
    return f"refunds_in_flight:{provider}"


def disputes_account(provider: str) -> str:
    """Disputed money that the provider withdrew, until the dispute is decided."""
    return f"disputes:{provider}"


def suspense_account(provider: str) -> str:
    """Money that moved at the provider after the subject was closed here; a person decides what it is."""
    return f"suspense:{provider}"
