"""Around every connector: a limit of concurrent calls, and no calls while the provider does not answer or has asked to
wait.

Merchants share the connections (``kit.fair_shares``): none of them can hold all. A call that finds no free connection
within a bounded wait, which ends with its ``send_by_ms`` at the latest, an open circuit or a provider that asked to
wait, is ``NotSent``: nothing happened, and it is no decline. A look-up that finds no free connection, or such a
provider, is ``Unknown``.

The circuit opens when too large a part of the newest calls ended without an answer: unknown outcomes (time-outs,
resets, 5xx, answers that cannot be read) and connections that could not be made. A decline is an answer, and so are a
rejection before processing (401, 403, 429) and a key that is in use. Calls that we did not make (too late to send) say
nothing about the provider. After a wait single probes go through: they close the circuit, or open it again, each time
for longer.

Look-ups do not count while the circuit is closed: a look-up may be many pages long, and payments must go on while only
lists are down. While the circuit is not closed they serve as probes, and they are sent even if no probe is due. They
move no money, they are rare, and money in doubt cannot wait: a process that only recovers sees mostly failing calls,
and its circuit is the first to open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final

from interlock import (
    CircuitBreaker,
    CircuitOpenError,
    Clock,
    Config,
    CoreEventListener,
    State,
    WindowType,
)
from msgspec import Struct

from tallystick.domain.marks import ChargeMark
from tallystick.domain.money import Exponents
from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.verdicts import KeyInUse, NotSent, Unknown, Verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.clock_skew import Skew
from tallystick.kit.logs import get_logger
from tallystick.providers.contract_drift import DriftTally
from tallystick.providers.fair_slots import FairSlots
from tallystick.providers.http import UNREACHABLE
from tallystick.providers.pause import Pause
from tallystick.providers.port import CircuitState, Provider, ProviderCall, ProviderEffect

log = get_logger("tallystick.providers.circuit")

#: Each round of probes that fails doubles the wait, up to the limit: an outage is not shortened by asking.
BACKOFF: Final = 2.0

#: The library can count slow calls as failures too. Here the request time-out does, so that none is ever "slow".
NEVER_SLOW_S: Final = float("inf")

#: Probes under way at once: a second caller is refused.
PROBES_AT_ONCE: Final = 1

_STATES: Final[Mapping[State, CircuitState]] = {
    State.CLOSED: "closed",
    State.OPEN: "open",
    State.HALF_OPEN: "half_open",
}

Operation = Callable[[ProviderCall], Awaitable[Verdict]]


#: Who has the connection of a question that is no merchant's.
NO_MERCHANT: Final = ""


class Limits(Struct, frozen=True, kw_only=True):
    """``calls_at_once``: as many as there are connections, of all merchants. A call waits for one for ``wait_ms``. The
    circuit opens when ``failure_percent`` of the calls of the last ``window_ms`` (whole seconds, and ``calls`` of them
    at least) failed; after ``open_ms``, later up to ``open_limit_ms``, it takes ``probes`` calls to close it."""

    calls_at_once: int
    wait_ms: int
    failure_percent: int
    calls: int
    window_ms: int
    open_ms: int
    open_limit_ms: int
    probes: int


class BoundedProvider(Provider):
    """A provider behind its limits, with a circuit of its own. Make it inside a running event loop. ``clock`` is for
    tests."""

    def __init__(self, provider: Provider, limits: Limits, clock: Clock | None = None) -> None:
        self.name = provider.name
        self.account = provider.account
        self.traits = provider.traits
        self._provider = provider
        self._clock = clock or _Monotonic()
        self._probe_due_s = 0.0  # as the circuit said when it last refused a call
        self._probes = 0  # under way
        self._slots = FairSlots(limits.calls_at_once)
        self._wait_ms = limits.wait_ms
        self._circuit = CircuitBreaker(
            name=provider.name,
            config=Config(
                failure_rate_threshold=limits.failure_percent / 100,
                minimum_number_of_calls=limits.calls,
                window_type=WindowType.TIME_BASED,
                window_size=limits.window_ms // 1000,
                wait_duration_in_open=limits.open_ms / 1000,
                wait_duration_backoff_multiplier=BACKOFF,
                wait_duration_in_open_max=limits.open_limit_ms / 1000,
                permitted_calls_in_half_open=limits.probes,
                max_concurrent_probes=PROBES_AT_ONCE,
                slow_call_duration_threshold=NEVER_SLOW_S,
            ),
            clock=self._clock,
            classifier=_Failures(),
            listener=_StateLog(),
            unreachable_exceptions=(_NothingAsked,),
        )

    @property
    def circuit(self) -> CircuitState:
        """The library's states that an operator could force besides are not used."""
        return _STATES[self._circuit.state]

    @property
    def rests(self) -> bool:
        """Whether the circuit is known to refuse whatever is sent now: no probe is due yet, or one is under way."""
        state = self._circuit.state
        if state is State.OPEN:
            return self._clock.monotonic() < self._probe_due_s
        return state is State.HALF_OPEN and self._probes >= PROBES_AT_ONCE

    @property
    def tokens(self) -> Sequence[PaymentTokens]:
        """As the provider says."""
        return self._provider.tokens

    def kind_of_token(self, payment_method: str) -> PaymentTokens | None:
        """As the provider says."""
        return self._provider.kind_of_token(payment_method)

    @property
    def pause(self) -> Pause | None:
        """As the provider says."""
        return self._provider.pause

    @property
    def clock_skew(self) -> Skew | None:
        """As the provider's answers say."""
        return self._provider.clock_skew

    @property
    def drift(self) -> DriftTally | None:
        """As its connector counts it."""
        return self._provider.drift

    def supports(self, payment_method: str) -> bool:
        """As the provider says."""
        return self._provider.supports(payment_method)

    def exponents(self, currency: str) -> Exponents:
        """As the provider says."""
        return self._provider.exponents(currency)

    def amount_step(self, currency: str, exponents: Exponents | None = None) -> int:
        """As the provider says."""
        return self._provider.amount_step(currency, exponents)

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        """As the provider says."""
        return self._provider.representable(amount, currency, exponents)

    async def authorize(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, or NotSent."""
        return await self._send(self._provider.authorize, call)

    async def capture(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, or NotSent."""
        return await self._send(self._provider.capture, call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, or NotSent."""
        return await self._send(self._provider.cancel, call)

    async def refund(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, or NotSent."""
        return await self._send(self._provider.refund, call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, or Unknown; an open circuit refuses no look-up. Without a look-up nothing is called
        or counted."""
        if not self.traits.can_fetch:
            return await self._provider.fetch(call)
        counted = self._circuit.state is not State.CLOSED
        try:
            try:
                verdict = await self._through(self._provider.fetch, call, counted=counted)
            except _CircuitOpen:
                verdict = await self._through(self._provider.fetch, call, counted=False)
        except _Refused as error:
            return Unknown(reason=f"lookup: {error}")
        if isinstance(verdict, NotSent):  # the question was not; of the attempt that proves nothing
            return Unknown(reason=f"lookup: {verdict.reason}", raw=verdict.raw)
        return verdict

    async def held_by_key(self, key: str) -> dict[str, Any] | None:
        """As the provider's books say; a question of a person's, so no limit counts it."""
        return await self._provider.held_by_key(key)

    async def charge_mark(self, charge: str) -> ChargeMark:
        """As the provider says. Nobody is asked while the circuit is known to refuse calls, the provider has asked to
        wait, or no connection is free; the answers are not counted."""
        if self.rests:
            return "unanswered"
        try:
            self._require_no_pause()
            async with self._slot(NO_MERCHANT, self._wait_ms):
                return await self._provider.charge_mark(charge)
        except _Refused:
            return "unanswered"

    def effects_since(self, since: datetime) -> AsyncIterator[ProviderEffect] | None:
        """As the provider lists them; a question of a person's, so no limit counts it."""
        return self._provider.effects_since(since)

    async def close(self) -> None:
        """Let go of connections."""
        await self._provider.close()

    async def _send(self, operation: Operation, call: ProviderCall) -> Verdict:
        try:
            return await self._through(operation, call, within_ms=max(call.send_by_ms - monotonic_ms(), 0))
        except _Refused as error:
            return NotSent(reason=str(error))

    async def _through(
        self, operation: Operation, call: ProviderCall, *, counted: bool = True, within_ms: int | None = None
    ) -> Verdict:
        """A slot first, ``within_ms`` where that is sooner than the limit, and the circuit then, which may have opened
        meanwhile. While the provider has asked to wait there is neither. Raises _Refused."""
        self._require_no_pause()
        wait_ms = self._wait_ms if within_ms is None else min(within_ms, self._wait_ms)
        try:
            async with self._slot(call.merchant_id, wait_ms):
                self._require_no_pause()
                if not counted:
                    return await self._ask(operation, call)
                if self._circuit.state is State.CLOSED:
                    return await self._counted(operation, call)
                return await self._circuit.call_async(self._admitted, operation, call)
        except _NothingAsked as ours:
            return ours.verdict
        except CircuitOpenError as error:
            self._probe_due_s = self._clock.monotonic() + (error.retry_after or 0)
            raise _CircuitOpen("the provider does not answer: its circuit is open") from None

    @asynccontextmanager
    async def _slot(self, merchant_id: str, wait_ms: int) -> AsyncIterator[None]:
        """A connection, within so long: the wait for it alone is bounded, and never what is done with it. Raises
        _Refused."""
        waiting = asyncio.timeout(wait_ms / 1000)
        try:
            async with waiting, self._slots.slot(merchant_id):
                waiting.reschedule(None)
                yield
        except TimeoutError:
            if not waiting.expired():
                raise  # a connector's own, of a call that was made
            raise _Refused("no free connection") from None

    def _require_no_pause(self) -> None:
        if self.pause is not None and self.pause.left_ms:
            raise _Refused(self.pause.why)

    async def _counted(self, operation: Operation, call: ProviderCall) -> Verdict:
        """Under a closed circuit. The library counts every call that it lets through, as a success where it is no
        failure: so it is told of a call that was made, and of no other."""
        try:
            verdict = await self._ask(operation, call)
        except _NothingAsked:
            raise
        except Exception as error:
            await self._count(error)
            raise
        await self._count(verdict)
        return verdict

    async def _count(self, outcome: Verdict | Exception) -> None:
        async def said() -> Verdict:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        if self._circuit.state is State.CLOSED:  # else it opened meanwhile, and this is no probe
            with suppress(Exception):
                await self._circuit.call_async(said)

    async def _admitted(self, operation: Operation, call: ProviderCall) -> Verdict:
        """The circuit let this call through, to the provider or as a probe."""
        probing = self._circuit.state is State.HALF_OPEN
        self._probes += probing
        try:
            return await self._ask(operation, call)
        finally:
            self._probes -= probing

    async def _ask(self, operation: Operation, call: ProviderCall) -> Verdict:
        verdict = await operation(call)
        if isinstance(verdict, NotSent) and verdict.raw is None and not _unreachable(verdict):
            raise _NothingAsked(verdict)
        return verdict


class _Monotonic:
    """The circuit's clock where there is no other: the library's own is not public."""

    def monotonic(self) -> float:
        return time.monotonic()


class _Refused(Exception):
    """The provider was not asked."""


class _CircuitOpen(_Refused):
    """The circuit is open."""


class _NothingAsked(Exception):
    """The connector did not ask, for a reason of ours. It proves nothing about the provider, not even to a probe."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


class _Failures:
    """What counts against a provider. A connector's own defect does: its calls end in the unknown as well."""

    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        """Whether no answer came."""
        if exception is not None:
            return not isinstance(exception, _NothingAsked)
        no_answer = isinstance(result, Unknown) and not isinstance(result, KeyInUse)
        return no_answer or _unreachable(result)


class _StateLog(CoreEventListener):
    """Logs changes of the circuit."""

    def on_state_change(self, *, name: str, old: State, new: State) -> None:
        """Alerts once for each opening; the rest is for the record."""
        if new is State.OPEN:
            log.error("circuit opened", alert=True, provider=name, was=old.value, next="tallystick status")
        else:
            log.warning("circuit changed", provider=name, was=old.value, now=new.value)


def _unreachable(verdict: object) -> bool:
    return isinstance(verdict, NotSent) and verdict.reason.startswith(UNREACHABLE)
