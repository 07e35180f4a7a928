"""The limit around a provider: who waits, for how long, and what an unsent call proves."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tallystick.domain.verdicts import NotSent, Unknown
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.port import send
from tests.support.circuit import (
    APPROVED,
    LIMITS,
    OPERATIONS,
    REFUSED_CONNECTION,
    TOO_LATE,
    TRAITS,
    TURNED_AWAY,
    Scripted,
    Time,
    call,
    circuit,
    fail,
)
from tests.support.polling import one_turn


async def test_more_calls_than_connections_wait_and_are_not_sent(provider: BoundedProvider, inner: Scripted) -> None:
    gate = asyncio.Event()
    inner.hold = gate.wait
    merchants = [f"m{number}" for number in range(LIMITS.calls_at_once)]
    under_way = [asyncio.create_task(provider.authorize(call(merchant_id=each))) for each in merchants]
    await one_turn()
    started_ms = monotonic_ms()
    for operation in OPERATIONS:
        verdict = await send(provider, call(operation))
        assert isinstance(verdict, NotSent)
        assert verdict.reason == "no free connection"
    assert isinstance(await provider.fetch(call()), Unknown)
    assert monotonic_ms() - started_ms >= 5 * LIMITS.wait_ms * 0.9
    assert len(inner.asked) == LIMITS.calls_at_once
    assert circuit(provider) == "closed", "our own crowd says nothing about the provider"
    waiting = asyncio.create_task(provider.authorize(call()))
    await one_turn()
    gate.set()
    assert await waiting is APPROVED, "one that became free in time"
    assert await asyncio.gather(*under_way) == [APPROVED] * LIMITS.calls_at_once


async def test_a_merchant_whose_calls_are_slow_leaves_connections_to_others(inner: Scripted, time: Time) -> None:
    """Its own calls wait, and end as not sent."""
    provider = BoundedProvider(inner, replace(LIMITS, calls_at_once=16, wait_ms=200), time)
    gate = asyncio.Event()
    inner.hold = gate.wait
    slow = [asyncio.create_task(provider.authorize(call(merchant_id="slow"))) for _ in range(50)]
    await one_turn()
    assert len(inner.asked) == 14, "seven eighths"
    inner.hold = None
    for _ in range(5):
        assert await provider.authorize(call(merchant_id="quick")) is APPROVED
        assert await provider.fetch(call(merchant_id="quick")) is APPROVED
    unsent = await asyncio.gather(*slow[14:])
    assert all(isinstance(verdict, NotSent) for verdict in unsent)
    gate.set()
    assert await asyncio.gather(*slow[:14]) == [APPROVED] * 14


async def test_nobody_waits_past_his_time_to_send(inner: Scripted, time: Time) -> None:
    provider = BoundedProvider(inner, replace(LIMITS, calls_at_once=1, wait_ms=60_000), time)
    gate = asyncio.Event()
    inner.hold = gate.wait
    under_way = asyncio.create_task(provider.authorize(replace(call(), send_by_ms=monotonic_ms() + 50)))
    await one_turn()
    async with asyncio.timeout(10):
        for left_ms in (100, 0, -1_000):
            verdict = await provider.authorize(replace(call(), send_by_ms=monotonic_ms() + left_ms))
            assert isinstance(verdict, NotSent)
            assert verdict.reason == "no free connection"
    assert inner.asked == ["authorize"]
    question = asyncio.create_task(provider.fetch(replace(call(), send_by_ms=monotonic_ms() - 1_000)))
    await asyncio.sleep(0.05)  # a question that was bounded by its time would end now
    gate.set()
    assert await under_way is APPROVED, "only the wait is bounded by it, never a call that was made"
    assert await question is APPROVED, "and no question"


async def test_a_connector_s_own_time_out_is_no_proof(provider: BoundedProvider, inner: Scripted) -> None:
    inner.says = TimeoutError()
    with pytest.raises(TimeoutError):
        await provider.authorize(call())


async def test_connections_come_back_whatever_happens(provider: BoundedProvider, inner: Scripted) -> None:
    inner.says = RuntimeError("a connector's defect")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await provider.authorize(call())
    inner.says, inner.hold = APPROVED, asyncio.Event().wait
    for _ in range(2 * LIMITS.calls_at_once):
        gone = asyncio.create_task(provider.authorize(call()))
        await one_turn()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    inner.hold = None
    assert await provider.authorize(call()) is APPROVED


async def test_where_there_is_no_lookup_none_is_counted(inner: Scripted, time: Time) -> None:
    inner.traits = replace(TRAITS, can_fetch=False)
    inner.says = Unknown(reason="no lookup")
    provider = BoundedProvider(inner, LIMITS, time)
    for _ in range(3 * LIMITS.calls):
        assert await provider.fetch(call()) is inner.says
    assert circuit(provider) == "closed"
    await fail(provider, inner)
    time.now_s += 6
    assert await provider.fetch(call()) is inner.says
    assert circuit(provider) == "open", "nobody was asked, so nothing was learned"


@pytest.mark.parametrize("says", [TURNED_AWAY, TOO_LATE, REFUSED_CONNECTION])
async def test_a_question_that_was_not_sent_proves_nothing(
    provider: BoundedProvider, inner: Scripted, says: NotSent
) -> None:
    inner.says = says
    found = await provider.fetch(call())
    assert type(found) is Unknown, "else recovery would take it for proof that the attempt itself was not sent"
    assert found.raw == says.raw


async def test_each_provider_has_its_own(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    other = BoundedProvider(Scripted(), LIMITS, time)
    await fail(provider, inner)
    assert await other.authorize(call()) is APPROVED
