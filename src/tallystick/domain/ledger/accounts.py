"""The accounts of a merchant's ledger. Pure.

Clearing accounts (``provider:``, ``authorized:``, ``refunds_in_flight:``, ``disputes:``, ``suspense:``) return to zero
when the provider's books and ours agree. So do the platform's own: ``provider_balance:``, ``settled:`` over all books,
``reserve:``, ``bank_in_transit:`` and ``unexplained:``. ``rounding:`` and ``write_off`` are results, and stay.
"""

from __future__ import annotations

MERCHANT = "merchant"  # what we owe the merchant

DISPUTE_RESERVE = "dispute_reserve"  # the merchant's money that an open dispute may cost

MERCHANT_AVAILABLE = "merchant_available"  # what we owe the merchant, of money that was settled

PROVIDER_FEES = "fees:provider"  # what providers charged us

WRITE_OFF = "write_off"  # what people gave up looking for


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


def settled_account(provider: str) -> str:
    """Between a merchant's book and the platform's: over all books zero, once no batch is posting."""
    return f"settled:{provider}"


def provider_balance_account(provider: str) -> str:
    """What the provider says that it has for us: settled, and not paid out."""
    return f"provider_balance:{provider}"


def reserve_account(provider: str) -> str:
    """What the provider keeps back."""
    return f"reserve:{provider}"


def tax_account(provider: str) -> str:
    """Taxes that the provider charged."""
    return f"tax:{provider}"


def bank_in_transit_account(provider: str) -> str:
    """What the provider sent to our bank, until the bank says that it arrived."""
    return f"bank_in_transit:{provider}"


def unexplained_account(provider: str) -> str:
    """Money of rows that nobody has explained yet."""
    return f"unexplained:{provider}"


def rounding_account(provider: str) -> str:
    """What rows of one movement are more or less than it, by their rounding."""
    return f"rounding:{provider}"
