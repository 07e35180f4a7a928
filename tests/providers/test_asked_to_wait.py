"""A provider that asks to wait (Retry-After): its account takes no calls until then, whatever they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from multidict import CIMultiDict

from tallystick.domain.verdicts import Approved, NotSent, Unknown
from tallystick.lab.bench.providers import CONNECTORS
from tallystick.providers import pause
from tallystick.providers.assembly import bounded_providers
from tallystick.providers.http import NothingSent
from tallystick.providers.pause import ASKED_TO_WAIT, LONGEST_MS, Pause
from tallystick.providers.port import Provider, ProviderCall, send
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.load import Settings, SettingsError, load_settings
from tests.support.asking_bank import A_DAY, AskingBank, asking_bank
from tests.support.circuit import OPERATIONS, call, circuit
from tests.support.polling import eventually_async, one_turn

#: The time of the answers of these tests.
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


class Now:
    """The monotonic clock that waits are measured by."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[Now]:
    clock = Now()
    monkeypatch.setattr(pause, "monotonic_ms", clock)
    yield clock


@pytest.fixture
async def bank() -> AsyncIterator[AskingBank]:
    async with asking_bank() as running:
        yield running


@pytest.fixture(params=CONNECTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def a_call(name: str, operation: Any = "authorize") -> ProviderCall:
    """Of a charge that exists, where it needs one."""
    return replace(call(operation), payment_method=CONNECTORS[name].payment_method, parent_reference="pi_1")


def left_ms(provider: Provider) -> int:
    assert provider.pause is not None
    return provider.pause.left_ms


def bounded(bank: AskingBank, name: str, settings: Settings | None = None) -> Provider:
    settings = settings or Settings()
    return bounded_providers(settings, {name: bank.connect(name, settings)})[name]


@pytest.mark.parametrize("status", [429, 503])
async def test_nothing_is_sent_until_then(bank: AskingBank, name: str, now: Now, status: int) -> None:
    provider = bounded(bank, name)
    bank.says = [(status, A_DAY)]
    first = await provider.authorize(a_call(name))
    assert isinstance(first, NotSent if status == 429 else Unknown), "503 proves nothing of the call itself"
    assert len(bank.seen) == 1
    for left in (LONGEST_MS, 1):
        now.ms += LONGEST_MS - left
        for operation in OPERATIONS:
            verdict = await send(provider, a_call(name, operation))
            assert isinstance(verdict, NotSent) and verdict.reason == ASKED_TO_WAIT and verdict.raw is None
        assert isinstance(await provider.fetch(a_call(name)), Unknown)
        if (effects := provider.effects_since(datetime.now(UTC))) is not None:
            with pytest.raises(NothingSent):
                await anext(effects)
        now.ms -= LONGEST_MS - left
    if name == "simulator":
        with pytest.raises(NothingSent):
            await provider.held_by_key("key")
    assert len(bank.seen) == 1
    assert circuit(provider) == "closed", "a call that was not made says nothing about the provider"
    now.ms += LONGEST_MS
    assert isinstance(await provider.authorize(a_call(name)), Approved)
    assert len(bank.seen) == 2
    await provider.close()


@pytest.mark.parametrize("name", ["simulator", "stripe"])
async def test_a_look_up_that_is_asked_to_wait_stops_payments_too(bank: AskingBank, name: str, now: Now) -> None:
    provider = bounded(bank, name)
    bank.says = [(429, {"Retry-After": "7"})]
    assert isinstance(await provider.fetch(a_call(name)), Unknown)
    assert left_ms(provider) == 7_000
    assert isinstance(await provider.authorize(a_call(name)), NotSent)
    assert len(bank.seen) == 1
    await provider.close()


@pytest.mark.parametrize(
    ("status", "given", "expected"),
    [
        (429, ["5"], 5_000),
        (503, ["5"], 5_000),
        (429, ["86400"], LONGEST_MS),
        (429, ["9" * 30], LONGEST_MS),
        (429, ["9" * 5_000], LONGEST_MS),
        (429, ["0"], 0),
        (429, ["-5"], 0),
        (429, ["1.5"], 0),
        (429, ["soon"], 0),
        (429, [""], 0),
        (429, [], 0),
        (429, ["Sun, 01 Mar 2026 12:00:30 GMT"], 30_000),
        (429, ["Sun, 01 Mar 2026 13:00:00 GMT"], LONGEST_MS),
        (429, ["Sun, 01 Mar 2026 11:59:59 GMT"], 0),
        (429, ["Sun, 99 Mar 2026 12:00:30 GMT"], 0),
        (429, ["3", "8"], 8_000),
        (429, ["soon", "8"], 8_000),
        (200, ["5"], 0),
        (401, ["5"], 0),
        (500, ["5"], 0),
        (502, ["5"], 0),
    ],
)
async def test_what_is_asked_for(bank: AskingBank, now: Now, status: int, given: list[str], expected: int) -> None:
    """A date is one beside the answer's own: the clocks need not agree."""
    provider = bank.connect("simulator", Settings())
    bank.says = [(status, CIMultiDict([("Date", DATE), *(("Retry-After", each) for each in given)]))]
    await provider.authorize(a_call("simulator"))
    assert left_ms(provider) == expected
    await provider.close()


async def test_a_setting_bounds_it(bank: AskingBank, name: str, now: Now) -> None:
    provider = bank.connect(name, Settings(provider_retry_after_limit_ms=1_500))
    bank.says = [(429, A_DAY)]
    await provider.authorize(a_call(name))
    assert left_ms(provider) == 1_500
    await provider.close()
    with pytest.raises(SettingsError, match="TALLYSTICK_PROVIDER_RETRY_AFTER_LIMIT_MS"):
        load_settings({"TALLYSTICK_PROVIDER_RETRY_AFTER_LIMIT_MS": "60001"}, CONNECTOR_SETTINGS)


async def test_calls_under_way_end_as_they_do(bank: AskingBank, name: str) -> None:
    provider, gate = bounded(bank, name), asyncio.Event()
    bank.says, bank.hold = [(200, {}), (429, A_DAY), (200, {})], gate.wait
    under_way = [asyncio.create_task(provider.authorize(a_call(name))) for _ in range(3)]
    await eventually_async(lambda: len(bank.seen) == 3)
    gate.set()
    verdicts = await asyncio.gather(*under_way)
    assert sorted(type(verdict).__name__ for verdict in verdicts) == ["Approved", "Approved", "NotSent"]
    assert left_ms(provider) > 0, "an approval of a call that was under way ends no wait"
    await provider.close()


@pytest.mark.parametrize("behind_limits", [True, False], ids=["for a slot", "for a connection"])
async def test_a_call_that_waits_in_line_is_not_sent(bank: AskingBank, name: str, behind_limits: bool) -> None:
    settings, gate = Settings(provider_connections=1, provider_wait_ms=60_000), asyncio.Event()
    provider = bounded(bank, name, settings) if behind_limits else bank.connect(name, settings)
    bank.says, bank.hold = [(429, A_DAY)], gate.wait
    first = asyncio.create_task(provider.authorize(a_call(name)))
    await eventually_async(lambda: bank.seen)
    second = asyncio.create_task(provider.authorize(a_call(name)))
    await one_turn()  # it is in line
    gate.set()
    assert isinstance(await first, NotSent)
    verdict = await second
    assert isinstance(verdict, NotSent) and verdict.reason == ASKED_TO_WAIT
    assert len(bank.seen) == 1
    await provider.close()


async def test_each_account_has_its_own(bank: AskingBank) -> None:
    stripe, adyen = bounded(bank, "stripe"), bounded(bank, "adyen")
    bank.says = [(429, A_DAY)]
    assert isinstance(await stripe.authorize(a_call("stripe")), NotSent)
    assert isinstance(await adyen.authorize(a_call("adyen")), Approved)
    await stripe.close()
    await adyen.close()


def test_the_longest_wait_counts(now: Now) -> None:
    one = Pause()
    one.ask(5_000)
    one.ask(3_000)
    assert (one.left_ms, one.is_shared) == (5_000, False)
    one.is_shared = True
    one.learn(7_000)
    assert (one.left_ms, one.is_shared) == (7_000, True), "others know what they told"
    one.learn(10**9)
    assert one.left_ms == LONGEST_MS


def test_an_account_is_tested_by_a_call_after_the_wait(now: Now) -> None:
    one = Pause()
    assert one.is_tested
    one.ask(5_000)
    one.passed()
    assert not one.is_tested, "it began before the wait ended"
    now.ms += 5_000
    assert not one.is_tested
    one.passed()
    assert one.is_tested
