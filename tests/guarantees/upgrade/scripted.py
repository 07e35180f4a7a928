"""Providers whose answers a test writes by hand, payment by payment: what they had booked when an upgrade came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tallystick.domain.money import Exponents, exponents_at
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Effect, NotFound, NotSent, Unknown, Verdict
from tallystick.providers.adyen.codes import EXPONENTS as ADYEN_EXPONENTS
from tallystick.providers.port import Provider, ProviderCall

Answer = Callable[[ProviderCall], Verdict]

_EFFECTS: Final[Mapping[str, Effect]] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


class ScriptedProvider(Provider):
    """``answers`` and ``found`` by ``<payment method> <operation>``. What has no script is approved; a look-up finds
    nothing."""

    account = "main"

    def __init__(
        self, name: str, *, can_fetch: bool = True, keeps: bool = False, key_lifetime_ms: int | None = None
    ) -> None:
        self.name = name
        self.traits = Traits(
            deduplicates=True,
            lookup_is_consistent=can_fetch,
            key_lifetime_ms=key_lifetime_ms,
            settling_time_ms=10,
            max_delivery_delay_ms=10,
            request_timeout_ms=1_000,
            can_fetch=can_fetch,
            keeps_references=keeps,
        )
        self.answers: dict[str, Answer] = {}
        self.found: dict[str, Answer] = {}
        self.calls: list[ProviderCall] = []

    def supports(self, payment_method: str) -> bool:
        return True

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        return (exponents or self.exponents(currency)).expresses(amount)

    def exponents(self, currency: str) -> Exponents:
        return exponents_at(currency, ADYEN_EXPONENTS if self.name == "adyen" else {})

    async def authorize(self, call: ProviderCall) -> Verdict:
        return self._answer(call)

    async def capture(self, call: ProviderCall) -> Verdict:
        return self._answer(call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        return self._answer(call)

    async def refund(self, call: ProviderCall) -> Verdict:
        return self._answer(call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        if not self.traits.can_fetch:
            return Unknown(reason="no lookup")
        script = self.found.get(_name(call))
        return NotFound() if script is None else script(call)

    async def held_by_key(self, key: str) -> dict[str, Any] | None:
        return None

    async def close(self) -> None:
        pass

    def sent(self, payment_method: str, operation: str) -> int:
        """How many requests were written."""
        return sum((each.payment_method, each.operation) == (payment_method, operation) for each in self.calls)

    def _answer(self, call: ProviderCall) -> Verdict:
        if call.operation != "cancel" and not self.representable(call.amount, call.currency, call.exponents):
            return NotSent(reason="the amount cannot be expressed")  # as the connectors say it before they write
        self.calls.append(call)
        script = self.answers.get(_name(call))
        return approved(call) if script is None else script(call)


def approved(call: ProviderCall, effect: Effect | None = None, reference: str | None = None) -> Approved:
    """It happened, under the name that the provider gave it when the old rows were written."""
    effect = effect or _EFFECTS.get(call.operation) or ("captured" if call.capture else "authorized")
    named = reference or f"{call.operation}_{call.payment_method}"
    return Approved(amount=call.amount, currency=call.currency, effect=effect, reference=named)


def _name(call: ProviderCall) -> str:
    return f"{call.payment_method} {call.operation}"
