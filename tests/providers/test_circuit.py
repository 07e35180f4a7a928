"""The circuit around a provider: what counts, who gets through, and that nothing else changes."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tallystick.domain.subjects import Operation
from tallystick.domain.verdicts import Declined, KeyInUse, KeyTaken, NotFound, NotSent, Pending, RequiresAction, Verdict
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
    UNKNOWN,
    Scripted,
    Time,
    call,
    circuit,
    fail,
)
from tests.support.polling import one_turn


async def test_everything_else_is_the_provider_s_own(provider: BoundedProvider, inner: Scripted) -> None:
    assert (provider.name, provider.account, provider.traits) == ("scripted", "eu", TRAITS)
    assert (provider.supports("good"), provider.supports("bad")) == (True, False)
    assert (provider.representable(1, "EUR"), provider.representable(2, "EUR")) == (True, False)
    for operation in OPERATIONS:
        assert await send(provider, call(operation)) is APPROVED
    assert await provider.fetch(call()) is APPROVED
    assert inner.asked == [*OPERATIONS, "fetch"]
    await provider.close()
    assert inner.closed


async def test_an_open_circuit_sends_nothing_and_declines_nobody(provider: BoundedProvider, inner: Scripted) -> None:
    with capture_logs() as logged:
        await fail(provider, inner)
    assert circuit(provider) == "open"
    assert [line["alert"] for line in logged if line["event"] == "circuit opened"] == [True]
    for operation in OPERATIONS:
        verdict = await send(provider, call(operation))
        assert isinstance(verdict, NotSent)
        assert "circuit" in verdict.reason
    assert inner.asked == []
    assert await provider.fetch(call()) is inner.says, "what became of money in doubt is asked all the same"
    assert (inner.asked, provider.circuit) == (["fetch"], "open")


#: verdict -> whether it counts against the provider
COUNTS: list[tuple[Verdict | Exception, bool]] = [
    (UNKNOWN, True),
    (REFUSED_CONNECTION, True),
    (RuntimeError("a connector's defect"), True),
    (APPROVED, False),
    (Declined(code="card_declined", message="No."), False),
    (Pending(), False),
    (RequiresAction(next_action={}), False),
    (NotFound(), False),
    (KeyTaken(reason="its key stands for another attempt"), False),
    (KeyInUse(reason="its key is in use"), False),
    (TURNED_AWAY, False),
    (TOO_LATE, False),
]


@pytest.mark.parametrize(("says", "counts"), COUNTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_counts_against_a_provider(
    provider: BoundedProvider, inner: Scripted, operation: Operation, says: Verdict | Exception, counts: bool
) -> None:
    inner.says = says
    for _ in range(2 * LIMITS.calls):
        try:
            verdict = await send(provider, call(operation))
        except RuntimeError as error:
            assert error is says
        else:
            assert verdict is says or counts
    assert circuit(provider) == ("open" if counts else "closed")
    assert len(inner.asked) == (LIMITS.calls if counts else 2 * LIMITS.calls)


async def test_questions_do_not_stop_payments(provider: BoundedProvider, inner: Scripted) -> None:
    inner.says = UNKNOWN
    for _ in range(3 * LIMITS.calls):
        assert await provider.fetch(call()) is UNKNOWN
    assert circuit(provider) == "closed", "only lists may be down"


async def test_nor_do_their_answers_hide_an_outage(provider: BoundedProvider, inner: Scripted) -> None:
    for _ in range(100):
        await provider.fetch(call())
    await fail(provider, inner)
    assert circuit(provider) == "open"


async def test_a_question_is_as_good_a_probe(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 6
    inner.says = UNKNOWN
    for _ in range(LIMITS.probes):
        assert await provider.fetch(call()) is UNKNOWN
    assert circuit(provider) == "open"
    time.now_s += 11
    inner.says = NotFound()
    for _ in range(LIMITS.probes):
        assert await provider.fetch(call()) is inner.says
    assert circuit(provider) == "closed", "though nobody had anything to send"


async def test_a_few_bad_calls_are_no_outage(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    await fail(provider, inner, LIMITS.calls - 1)
    assert circuit(provider) == "closed"
    time.now_s += 31
    await fail(provider, inner, LIMITS.calls - 1)
    assert circuit(provider) == "closed", "the older ones are forgotten"


async def test_nor_are_they_among_good_ones(provider: BoundedProvider, inner: Scripted) -> None:
    for _ in range(5):
        await provider.authorize(call())
    await fail(provider, inner, 4)
    assert circuit(provider) == "closed"
    await fail(provider, inner, 1)
    assert circuit(provider) == "open", "half of them"


async def test_probes_close_it_again(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 4.9
    assert isinstance(await provider.authorize(call()), NotSent)
    time.now_s += 0.2
    for _ in range(LIMITS.probes):
        assert await provider.authorize(call()) is APPROVED
    assert circuit(provider) == "closed"
    await fail(provider, inner, LIMITS.calls - 1)
    assert circuit(provider) == "closed", "and it starts afresh"


async def test_probes_that_fail_open_it_for_longer_each_time(
    provider: BoundedProvider, inner: Scripted, time: Time
) -> None:
    await fail(provider, inner)
    inner.says = UNKNOWN
    for wait_s in (5, 10, 15, 15):  # doubled, up to the limit
        time.now_s += wait_s - 0.1
        assert isinstance(await provider.authorize(call()), NotSent), wait_s
        time.now_s += 0.2
        for _ in range(LIMITS.probes):
            assert await provider.authorize(call()) is UNKNOWN
        assert circuit(provider) == "open"


async def test_one_probe_at_a_time(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 6
    gate = asyncio.Event()
    inner.hold = gate.wait
    probe = asyncio.create_task(provider.authorize(call()))
    await one_turn()
    for _ in range(5):
        assert isinstance(await provider.authorize(call()), NotSent)
    gate.set()
    assert await probe is APPROVED
    assert inner.asked == ["authorize"]


async def test_it_says_when_there_is_no_use_in_sending(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    assert not provider.rests
    await fail(provider, inner)
    await provider.authorize(call())
    assert provider.rests
    time.now_s += 4.9
    assert provider.rests
    time.now_s += 0.2
    assert not provider.rests, "a probe is due"
    gate = asyncio.Event()
    inner.hold = gate.wait
    probe = asyncio.create_task(provider.authorize(call()))
    await one_turn()
    assert provider.rests, "it is under way"
    gate.set()
    await probe
    assert (provider.circuit, provider.rests) == ("half_open", False)
    await provider.authorize(call())
    assert (provider.circuit, provider.rests) == ("closed", False)


async def test_a_probe_that_did_not_ask_decides_nothing(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 6
    inner.says = TOO_LATE
    assert await provider.authorize(call()) is TOO_LATE
    inner.says = APPROVED
    for _ in range(LIMITS.probes):
        assert circuit(provider) == "half_open"
        assert await provider.authorize(call()) is APPROVED
    assert circuit(provider) == "closed"


async def test_a_probe_that_is_cancelled_does_not_wedge_it(
    provider: BoundedProvider, inner: Scripted, time: Time
) -> None:
    await fail(provider, inner)
    time.now_s += 6
    inner.hold = asyncio.Event().wait
    for _ in range(2 * LIMITS.probes):
        probe = asyncio.create_task(provider.authorize(call()))
        await one_turn()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
    inner.hold = None
    for _ in range(LIMITS.probes):
        assert await provider.authorize(call()) is APPROVED
    assert circuit(provider) == "closed"


async def test_an_old_answer_does_not_close_it(provider: BoundedProvider, inner: Scripted, time: Time) -> None:
    gate = asyncio.Event()
    inner.hold = gate.wait
    old = [asyncio.create_task(provider.authorize(call())) for _ in range(LIMITS.probes)]
    await one_turn()
    inner.hold = None
    await fail(provider, inner)
    time.now_s += 6
    inner.says = UNKNOWN
    assert await provider.authorize(call()) is UNKNOWN, "the first probe"
    gate.set()
    assert await asyncio.gather(*old) == [APPROVED] * LIMITS.probes
    assert provider.circuit == "half_open", "what was sent before the outage tells nothing of its end"
