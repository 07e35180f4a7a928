"""Which provider a payment goes to, and the order of the checks: the first that fails is named."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.domain.money import Exponents
from tallystick.domain.requests.commands import CreatePayment, InvalidFields
from tallystick.flows.routing.route import DefaultProviderMissing, choose_provider
from tests.support.runtime import BookedProvider


class Choosy(BookedProvider):
    """Knows one payment method, and currencies with a whole number of hundreds."""

    def supports(self, payment_method: str) -> bool:
        return payment_method == "known"

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        return amount % 100 == 0


PROVIDERS = {
    "named": BookedProvider(),
    "merchants": BookedProvider(),
    "platforms": BookedProvider(),
    "choosy": Choosy(),
}


def choose(
    provider: str | None = None,
    *,
    merchant_default: str | None = None,
    platform_default: str = "platforms",
    payment_method: str = "known",
    amount: int = 100,
) -> str:
    command = CreatePayment(amount=amount, currency="EUR", payment_method=payment_method, provider=provider)
    return choose_provider(PROVIDERS, command, merchant_default=merchant_default, platform_default=platform_default)


def refusal(**given: object) -> tuple[str, str]:
    """The field that is named, and the code."""
    with pytest.raises(InvalidFields) as invalid:
        choose(**given)  # type: ignore[arg-type]  # as each case gives them
    (error,) = invalid.value.errors
    return error.field, error.code


def test_the_command_goes_before_the_merchant_and_the_merchant_before_the_platform() -> None:
    assert choose("named", merchant_default="merchants") == "named"
    assert choose(merchant_default="merchants") == "merchants"
    assert choose() == "platforms"


def test_a_provider_that_is_not_configured() -> None:
    assert refusal(provider="nobody", merchant_default="merchants") == ("provider", "unknown_provider")
    with pytest.raises(DefaultProviderMissing):
        choose(merchant_default="nobody")
    with pytest.raises(DefaultProviderMissing):
        choose(platform_default="nobody")
    assert choose("named", merchant_default="nobody", platform_default="nobody") == "named"


def test_method_and_amount_are_checked_with_the_chosen_provider() -> None:
    assert choose("choosy") == "choosy"
    assert refusal(provider="choosy", payment_method="other") == ("payment_method", "unknown_payment_method")
    assert refusal(provider="choosy", amount=150) == ("amount", "not_representable")
    assert refusal(merchant_default="choosy", amount=150) == ("amount", "not_representable")


def test_the_first_fault_is_named_alone() -> None:
    assert refusal(provider="nobody", payment_method="other", amount=150) == ("provider", "unknown_provider")
    assert refusal(provider="choosy", payment_method="other", amount=150)[0] == "payment_method"


def test_what_is_switched_off_and_what_the_merchant_may_not_use() -> None:
    def named(provider: str | None, **given: object) -> tuple[str, str]:
        command = CreatePayment(amount=100, currency="EUR", payment_method="known", provider=provider)
        asked: dict[str, Any] = {"merchant_default": None, "platform_default": None} | given
        with pytest.raises(InvalidFields) as invalid:
            choose_provider(PROVIDERS, command, **asked)
        (error,) = invalid.value.errors
        return error.field, error.detail

    off: dict[str, Any] = {"switched_off": frozenset({"named"})}
    assert named("named", **off) == ("provider", "takes no new payments")
    assert named(None, merchant_default="named", **off) == ("provider", "takes no new payments")
    assert named(None) == ("provider", "is required: there is no default provider")
    allowed: dict[str, Any] = {"allowed": frozenset({"merchants", "choosy"})}
    assert named("named", **allowed) == ("provider", "is not among the providers of this merchant")
    assert named(None, platform_default="platforms", **allowed)[1] == "is not among the providers of this merchant"
    command = CreatePayment(amount=100, currency="EUR", payment_method="known", provider="merchants")
    chosen = choose_provider(PROVIDERS, command, merchant_default=None, platform_default=None, **off, **allowed)
    assert chosen == "merchants"
