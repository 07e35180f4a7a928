"""Which provider a new payment goes to, and whether that provider can carry it out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tallystick.domain.errors import ProblemField, TallystickError
from tallystick.domain.requests.commands import CreatePayment, InvalidFields
from tallystick.providers.port import Provider


class DefaultProviderMissing(TallystickError):
    """The command names no provider, and the default one is not configured in this process."""


def choose_provider(
    providers: Mapping[str, Provider],
    command: CreatePayment,
    *,
    merchant_default: str | None,
    platform_default: str | None,
    allowed: Collection[str] | None = None,
    switched_off: Collection[str] = (),
) -> str:
    """The name of the provider: the command's, else the merchant's default, else the platform's.

    ``allowed``: the merchant's own list; None allows all. ``switched_off``: what takes no new payments. The provider
    must know the payment method and must be able to express the amount in its unit of the currency. Raises
    InvalidFields naming the first of ``provider``, ``payment_method`` and ``amount`` that does not fit, and
    DefaultProviderMissing.
    """
    name = command.provider or merchant_default or platform_default
    if name is None:
        raise _invalid("provider", "unknown_provider", "is required: there is no default provider")
    unavailable = why_unavailable(name, allowed=allowed, switched_off=switched_off)
    if unavailable is not None:
        raise _invalid("provider", "unknown_provider", unavailable)
    provider = providers.get(name)
    if provider is None:
        if command.provider is None:
            raise DefaultProviderMissing(f"the default provider {name} is not configured")
        raise _invalid("provider", "unknown_provider", "is not a configured provider")
    if not provider.supports(command.payment_method):
        detail = "is not a payment method that the provider knows"
        raise _invalid("payment_method", "unknown_payment_method", detail)
    if not provider.representable(command.amount, command.currency):
        detail = "cannot be expressed in the provider's unit of this currency"
        raise _invalid("amount", "not_representable", detail)
    return name


def why_unavailable(name: str, *, allowed: Collection[str] | None, switched_off: Collection[str]) -> str | None:
    """Why a provider takes no new payments of a merchant; None where it takes them."""
    if name in switched_off:
        return "takes no new payments"
    if allowed is not None and name not in allowed:
        return "is not among the providers of this merchant"
    return None


def _invalid(field: str, code: str, detail: str) -> InvalidFields:
    return InvalidFields([ProblemField(field, code, detail)])
