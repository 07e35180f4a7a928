"""What providers know and the record does not: after an older back-up was restored. It is listed, and changes nothing.

What is listed belongs to attempts that the record no longer has. The same instruction, sent again by its client, gets
an attempt of its own, whose key the provider knows; a person settles that one with the reference listed here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.flows.runtime import Runtime
from tallystick.providers.port import ProviderEffect

#: Effects compared in one statement.
BATCH: Final = 500


class Forgotten(Struct, frozen=True, kw_only=True):
    """One effect whose attempt is not in the record. ``payment_known``: whether its payment is."""

    provider: str
    effect: ProviderEffect
    payment_known: bool


class ProviderAsked(Struct, frozen=True, kw_only=True):
    """How one provider was asked. ``listed``: how many effects it has since then; None where it has no such list.
    ``failed``: why its list could not be read to the end; then more may be missing than was found."""

    provider: str
    listed: int | None
    failed: str | None
    forgotten: Sequence[Forgotten]


async def forgotten_effects(runtime: Runtime, since: datetime) -> list[ProviderAsked]:
    """Ask every configured provider for what it booked since then, and name what the record lacks."""
    return [await _asked(runtime, name, since) for name in runtime.providers]


async def _asked(runtime: Runtime, name: str, since: datetime) -> ProviderAsked:
    effects = runtime.provider(name).effects_since(since)
    if effects is None:
        return ProviderAsked(provider=name, listed=None, failed=None, forgotten=())
    found: list[Forgotten] = []
    listed, failed = 0, None
    try:
        async for batch in _batches(effects):
            listed += len(batch)
            found += await _missing(runtime, name, batch)
    except Exception as error:  # of the network, of an SDK, of an answer: what was found so far is shown beside it
        failed = type(error).__name__
    return ProviderAsked(provider=name, listed=listed, failed=failed, forgotten=found)


async def _batches(effects: AsyncIterator[ProviderEffect]) -> AsyncIterator[list[ProviderEffect]]:
    batch: list[ProviderEffect] = []
    async for effect in effects:
        batch.append(effect)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _missing(runtime: Runtime, name: str, batch: Sequence[ProviderEffect]) -> list[Forgotten]:
    known = await runtime.reads.known_attempts([(one.merchant_id, one.payment_id, one.attempt_id) for one in batch])
    lost = [one for one in batch if one.attempt_id not in known]
    payments = await runtime.reads.known_payments([(one.merchant_id, one.payment_id) for one in lost])
    return [Forgotten(provider=name, effect=one, payment_known=one.payment_id in payments) for one in lost]
