"""What suites make often: instructions as the HTTP face would hand them over, and a provider in the same process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tallystick.decisions.instructions import Instruction
from tallystick.domain.money import Exponents
from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION, canonical, fingerprint
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Declined, Effect, Pending, RequiresAction, Unknown, Verdict
from tallystick.kit.ids import new_id
from tallystick.providers.port import Provider, ProviderCall

Script = Callable[[ProviderCall], Verdict]

EFFECTS: dict[str, Effect] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


def make_instruction(
    merchant_id: str,
    key: str,
    body: dict[str, Any],
    operation: str = "POST /v1/payments",
    path: str = "/v1/payments",
) -> Instruction:
    """An instruction with every id minted. ``body`` decides the fingerprint, as the JSON that a client sent does."""
    request = canonical(body)
    return Instruction(
        merchant_id=merchant_id,
        idempotency_key=key,
        operation=operation,
        path=path,
        fingerprint=fingerprint("POST", path, request),
        fingerprint_version=FINGERPRINT_VERSION,
        request=request,
        actor="key:test",
        request_id=new_id("req"),
        instruction_id=new_id("ins"),
        change_id=new_id("chg"),
        attempt_id=new_id("att"),
        rejection_id=new_id("rej"),
        at=datetime.now(UTC),
    )


def approves(call: ProviderCall) -> Verdict:
    """The effect that was asked for."""
    effect: Effect = EFFECTS.get(call.operation) or ("captured" if call.capture else "authorized")
    reference = f"ch_{call.payment_id}" if call.operation == "authorize" else f"ref_{call.attempt_id}"
    return Approved(amount=call.amount, currency=call.currency, effect=effect, reference=reference)


def declines(_: ProviderCall) -> Verdict:
    """A plain no."""
    return Declined(code="card_declined", message="The provider declined.")


def keeps_waiting(call: ProviderCall) -> Verdict:
    """Accepted, and no outcome yet."""
    return Pending(reference=f"ref_{call.attempt_id}")


def asks_customer(call: ProviderCall) -> Verdict:
    """The customer must act first."""
    return RequiresAction(next_action={"type": "redirect", "url": "/act"}, reference=f"ch_{call.payment_id}")


def never_answers(_: ProviderCall) -> Verdict:
    """A time-out: it may or may not have happened."""
    return Unknown(reason="time-out")


class InstantProvider(Provider):
    """Approves at once whatever its scripts do not say otherwise. A script is named (payment method, operation);
    ``fetch`` answers by the same script, so that asking about an attempt repeats what was said of it."""

    name = "simulator"
    account = "main"

    def __init__(self, scripts: Mapping[tuple[str, str], Script] | None = None) -> None:
        self.scripts = dict(scripts or {})
        self.calls: list[ProviderCall] = []
        self.traits = Traits(
            deduplicates=True,
            lookup_is_consistent=True,
            key_lifetime_ms=None,
            settling_time_ms=100,
            max_delivery_delay_ms=100,
            request_timeout_ms=300,
        )

    def supports(self, payment_method: str) -> bool:
        """Any token will do."""
        return True

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        """Exponents are ISO 4217's."""
        return True

    async def authorize(self, call: ProviderCall) -> Verdict:
        """As scripted."""
        return self._called(call)

    async def capture(self, call: ProviderCall) -> Verdict:
        """As scripted."""
        return self._called(call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """As scripted."""
        return self._called(call)

    async def refund(self, call: ProviderCall) -> Verdict:
        """As scripted."""
        return self._called(call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """As scripted for the attempt's operation; asking moves nothing."""
        return self._verdict(call)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _called(self, call: ProviderCall) -> Verdict:
        self.calls.append(call)
        return self._verdict(call)

    def _verdict(self, call: ProviderCall) -> Verdict:
        return self.scripts.get((call.payment_method, call.operation), approves)(call)
