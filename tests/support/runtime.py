"""The core on a real database with a provider in the same process that keeps books of its own."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tallystick.decisions.instructions import Instruction
from tallystick.domain.money import Exponents
from tallystick.domain.requests.commands import CancelPayment, CapturePayment, CreatePayment, CreateRefund
from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION, canonical, fingerprint
from tallystick.domain.subjects import Payment
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Effect, NotFound, NotSent, Unknown, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.providers.port import Provider, ProviderCall
from tallystick.settings.load import Settings

#: Short enough for tests; a sender has long enough to send on a busy machine.
SETTINGS = Settings(
    provider_request_timeout_ms=300,
    send_window_ms=3_000,
    settling_time_ms=100,
    max_delivery_delay_ms=100,
    recovery_backoff_base_ms=20,
    recovery_backoff_cap_ms=100,
    recovery_lease_ms=2_000,
    pending_poll_ms=20,
    resubmit_limit=1,
    recovery_checks_limit=4,
    sealing_keys=base64.b64encode(b"not a secret: for the tests only").decode(),
)

Hook = Callable[[ProviderCall], Coroutine[Any, Any, Verdict | None]]

#: For tests that wait until a sender's time is over.
HURRIED = replace(SETTINGS, send_window_ms=300)

_EFFECTS: Mapping[str, Effect] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


class BookedProvider(Provider):
    """Approves everything, at most once for a key unless forgetful. ``before`` and ``after`` run around the effect."""

    name = "simulator"
    account = "main"

    def __init__(self, *, forgetful: bool = False) -> None:
        self.traits = Traits(
            deduplicates=not forgetful,
            lookup_is_consistent=True,
            key_lifetime_ms=None,
            settling_time_ms=100,
            max_delivery_delay_ms=100,
            request_timeout_ms=300,
        )
        self.forgetful = forgetful
        self.effects: list[ProviderCall] = []
        self.calls: list[ProviderCall] = []
        self.before: Hook | None = None
        self.after: Hook | None = None

    def supports(self, payment_method: str) -> bool:
        return True

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        return True

    async def authorize(self, call: ProviderCall) -> Verdict:
        return await self._do(call)

    async def capture(self, call: ProviderCall) -> Verdict:
        return await self._do(call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        return await self._do(call)

    async def refund(self, call: ProviderCall) -> Verdict:
        return await self._do(call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        done = [effect for effect in self.effects if effect.attempt_id == call.attempt_id]
        return self._approved(done[0]) if done else NotFound()

    async def close(self) -> None:
        pass

    def effects_for(self, merchant_id: str) -> list[ProviderCall]:
        """What was executed for one merchant: recovery works for all of them, also for those of other tests."""
        return [call for call in self.effects if call.merchant_id == merchant_id]

    async def _do(self, call: ProviderCall) -> Verdict:
        self.calls.append(call)
        if self.before and (verdict := await self.before(call)) is not None:
            return verdict
        if monotonic_ms() > call.send_by_ms:
            return NotSent(reason="too late to send")
        if self.forgetful or all(effect.key != call.key for effect in self.effects):
            self.effects.append(call)
        if self.after and (verdict := await self.after(call)) is not None:
            return verdict
        return self._approved(call)

    def _approved(self, call: ProviderCall) -> Approved:
        effect = _EFFECTS.get(call.operation) or ("captured" if call.capture else "authorized")
        return Approved(amount=call.amount, currency=call.currency, effect=effect, reference=f"ref_{call.attempt_id}")


async def timed_out(_: ProviderCall) -> Unknown:
    """No answer came."""
    return Unknown(reason="time-out")


class Client:
    """Sends instructions to the runtime as the HTTP face does."""

    def __init__(self, runtime: Runtime, merchant_id: str) -> None:
        self.runtime = runtime
        self.merchant_id = merchant_id

    def instruction(self, key: str, operation: str, path: str, body: dict[str, Any]) -> Instruction:
        request = canonical(body)
        return Instruction(
            merchant_id=self.merchant_id,
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

    async def create(self, key: str, amount: int = 1_000, *, manual: bool = False, **other: Any) -> Reply:
        command = CreatePayment(
            amount=amount,
            currency=other.get("currency", "EUR"),
            payment_method=other.get("payment_method", "sim_ok"),
            capture_method="manual" if manual else "automatic",
            provider=None,
            description=other.get("description"),
            metadata={},
        )
        body = {"amount": amount, "manual": manual} | other
        instruction = self.instruction(key, "POST /v1/payments", "/v1/payments", body)
        return await instructions.create_payment(self.runtime, instruction, command, other.get("provider", "simulator"))

    async def capture(self, key: str, payment_id: str, amount: int | None = None) -> Reply:
        instruction = self._follow_up(key, payment_id, "capture", amount)
        return await instructions.capture_payment(self.runtime, instruction, payment_id, CapturePayment(amount=amount))

    async def cancel(self, key: str, payment_id: str) -> Reply:
        instruction = self._follow_up(key, payment_id, "cancel", None)
        return await instructions.cancel_payment(self.runtime, instruction, payment_id, CancelPayment())

    async def refund(self, key: str, payment_id: str, amount: int | None = None) -> Reply:
        instruction = self._follow_up(key, payment_id, "refunds", amount)
        command = CreateRefund(amount=amount, reason=None)
        return await instructions.create_refund(self.runtime, instruction, payment_id, command)

    def _follow_up(self, key: str, payment_id: str, what: str, amount: int | None) -> Instruction:
        body = {} if amount is None else {"amount": amount}
        return self.instruction(key, f"POST /v1/payments/{{id}}/{what}", f"/v1/payments/{payment_id}/{what}", body)


def is_final(reply: Reply) -> bool:
    """Whether asking again would change nothing: neither in doubt nor in flight."""
    return reply.status not in (202, 409) or b"transition_rejected" in reply.body


def read(reply: Reply) -> dict[str, Any]:
    """The JSON of an answer."""
    body: dict[str, Any] = json.loads(reply.body)
    return body


async def stored(runtime: Runtime, merchant_id: str, payment_id: str) -> Payment:
    """The payment as the record has it."""
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    return loaded.stored.payment


@asynccontextmanager
async def runtime_of(
    app_url: str, provider: BookedProvider, *, shift_ms: int = 0, settings: Settings = SETTINGS
) -> AsyncIterator[Runtime]:
    """A runtime whose clock (and so everybody's deadlines, as it sees them) is shifted."""
    shifted = replace(settings, clock_shift_ms=shift_ms)
    async with open_runtime(shifted, app_url, providers={"simulator": provider}) as runtime:
        yield runtime


async def recover(runtime: Runtime, rounds: int = 200) -> None:
    """Run recovery until it finds nothing for a while."""
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)
    quiet = 0
    for _ in range(rounds):
        quiet = quiet + 1 if await recovery.round() == 0 else 0
        if quiet == 10:
            return
        await asyncio.sleep(0.02)  # what is not due yet becomes due: the shortest back-off of SETTINGS
