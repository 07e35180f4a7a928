"""The circuit and the limit around a provider: what counts, who gets through, and that nothing else changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tallystick.domain.change import Change
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Declined, NotFound, NotSent, Pending, RequiresAction, Unknown, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.providers.circuit import Guarded, Limits
from tallystick.providers.http import UNREACHABLE
from tallystick.providers.port import ProviderCall, send
from tallystick.providers.registry import configured_providers, guarded
from tallystick.settings.load import Settings, SettingsError, load_settings
from tests.support.acquirer import AcquirerProcess
from tests.support.database import Database
from tests.support.polling import eventually_async, one_turn
from tests.support.runtime import HURRIED, BookedProvider, Client, read, recover

LIMITS = Limits(
    calls_at_once=3,
    wait_ms=50,
    failure_percent=50,
    calls=4,
    window_ms=30_000,
    open_ms=5_000,
    open_limit_ms=15_000,
    probes=2,
)

TRAITS = Traits(
    deduplicates=True,
    lookup_is_consistent=True,
    key_lifetime_ms=None,
    settling_time_ms=0,
    max_delivery_delay_ms=0,
    request_timeout_ms=1_000,
)

APPROVED = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_1")
UNKNOWN = Unknown(reason="time-out")
REFUSED_CONNECTION = NotSent(reason=f"{UNREACHABLE}: ClientConnectorError")
TOO_LATE = NotSent(reason="too late to send: recovery may have taken over")
SHUT_DOOR = NotSent(reason="refused at the door with 429", raw={"status": 429})

OPERATIONS = ("authorize", "capture", "cancel", "refund")


class Time:
    """The circuit's clock."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


class Scripted:
    """Answers everything with ``says``; ``hold`` runs before."""

    name = "scripted"
    account = "eu"
    traits = TRAITS

    def __init__(self, says: Verdict | Exception = APPROVED) -> None:
        self.says = says
        self.asked: list[str] = []
        self.closed = False
        self.hold: Callable[[], Awaitable[Any]] | None = None

    def supports(self, payment_method: str) -> bool:
        return payment_method == "good"

    def representable(self, amount: int, currency: str) -> bool:
        return (amount, currency) == (1, "EUR")

    async def authorize(self, call: ProviderCall) -> Verdict:
        return await self._answer("authorize")

    async def capture(self, call: ProviderCall) -> Verdict:
        return await self._answer("capture")

    async def cancel(self, call: ProviderCall) -> Verdict:
        return await self._answer("cancel")

    async def refund(self, call: ProviderCall) -> Verdict:
        return await self._answer("refund")

    async def fetch(self, call: ProviderCall) -> Verdict:
        return await self._answer("fetch")

    async def close(self) -> None:
        self.closed = True

    async def _answer(self, operation: str) -> Verdict:
        self.asked.append(operation)
        says = self.says
        if self.hold is not None:
            await self.hold()
        if isinstance(says, Exception):
            raise says
        return says


def call(operation: str = "authorize") -> ProviderCall:
    return ProviderCall(
        merchant_id="m",
        payment_id=new_id("pay"),
        attempt_id=new_id("att"),
        operation=operation,
        amount=1_000,
        currency="EUR",
        payment_method="good",
        capture=True,
        key=new_id("att"),
        parent_reference=None,
        reference=None,
        send_by_ms=monotonic_ms() + 5_000,
    )


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def inner() -> Scripted:
    return Scripted()


@pytest.fixture
def provider(inner: Scripted, time: Time) -> Guarded:
    return Guarded(inner, LIMITS, time)


async def fail(provider: Guarded, inner: Scripted, times: int = LIMITS.calls) -> None:
    """So many calls without an answer."""
    before, inner.says = inner.says, UNKNOWN
    for _ in range(times):
        await provider.authorize(call())
    inner.says = before
    inner.asked.clear()


async def test_everything_else_is_the_provider_s_own(provider: Guarded, inner: Scripted) -> None:
    assert (provider.name, provider.account, provider.traits) == ("scripted", "eu", TRAITS)
    assert (provider.supports("good"), provider.supports("bad")) == (True, False)
    assert (provider.representable(1, "EUR"), provider.representable(2, "EUR")) == (True, False)
    for operation in OPERATIONS:
        assert await send(provider, call(operation)) is APPROVED
    assert await provider.fetch(call()) is APPROVED
    assert inner.asked == [*OPERATIONS, "fetch"]
    await provider.close()
    assert inner.closed


async def test_an_open_circuit_sends_nothing_and_declines_nobody(provider: Guarded, inner: Scripted) -> None:
    with capture_logs() as logged:
        await fail(provider, inner)
    assert provider.circuit == "open"
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
    (SHUT_DOOR, False),
    (TOO_LATE, False),
]


@pytest.mark.parametrize(("says", "counts"), COUNTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_counts_against_a_provider(
    provider: Guarded, inner: Scripted, operation: str, says: Verdict | Exception, counts: bool
) -> None:
    inner.says = says
    for _ in range(2 * LIMITS.calls):
        try:
            verdict = await send(provider, call(operation))
        except RuntimeError as error:
            assert error is says
        else:
            assert verdict is says or counts
    assert provider.circuit == ("open" if counts else "closed")
    assert len(inner.asked) == (LIMITS.calls if counts else 2 * LIMITS.calls)


async def test_questions_do_not_stop_payments(provider: Guarded, inner: Scripted) -> None:
    inner.says = UNKNOWN
    for _ in range(3 * LIMITS.calls):
        assert await provider.fetch(call()) is UNKNOWN
    assert provider.circuit == "closed", "only lists may be down"


async def test_nor_do_their_answers_hide_an_outage(provider: Guarded, inner: Scripted) -> None:
    for _ in range(100):
        await provider.fetch(call())
    await fail(provider, inner)
    assert provider.circuit == "open"


async def test_a_question_is_as_good_a_probe(provider: Guarded, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 6
    inner.says = UNKNOWN
    for _ in range(LIMITS.probes):
        assert await provider.fetch(call()) is UNKNOWN
    assert provider.circuit == "open"
    time.now_s += 11
    inner.says = NotFound()
    for _ in range(LIMITS.probes):
        assert await provider.fetch(call()) is inner.says
    assert provider.circuit == "closed", "though nobody had anything to send"


async def test_a_few_bad_calls_are_no_outage(provider: Guarded, inner: Scripted, time: Time) -> None:
    await fail(provider, inner, LIMITS.calls - 1)
    assert provider.circuit == "closed"
    time.now_s += 31
    await fail(provider, inner, LIMITS.calls - 1)
    assert provider.circuit == "closed", "the older ones are forgotten"


async def test_nor_are_they_among_good_ones(provider: Guarded, inner: Scripted) -> None:
    for _ in range(5):
        await provider.authorize(call())
    await fail(provider, inner, 4)
    assert provider.circuit == "closed"
    await fail(provider, inner, 1)
    assert provider.circuit == "open", "half of them"


async def test_probes_close_it_again(provider: Guarded, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 4.9
    assert isinstance(await provider.authorize(call()), NotSent)
    time.now_s += 0.2
    for _ in range(LIMITS.probes):
        assert await provider.authorize(call()) is APPROVED
    assert provider.circuit == "closed"
    await fail(provider, inner, LIMITS.calls - 1)
    assert provider.circuit == "closed", "and it starts afresh"


async def test_probes_that_fail_open_it_for_longer_each_time(provider: Guarded, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    inner.says = UNKNOWN
    for wait_s in (5, 10, 15, 15):  # doubled, up to the limit
        time.now_s += wait_s - 0.1
        assert isinstance(await provider.authorize(call()), NotSent), wait_s
        time.now_s += 0.2
        for _ in range(LIMITS.probes):
            assert await provider.authorize(call()) is UNKNOWN
        assert provider.circuit == "open"


async def test_one_probe_at_a_time(provider: Guarded, inner: Scripted, time: Time) -> None:
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


async def test_it_says_when_there_is_no_use_in_sending(provider: Guarded, inner: Scripted, time: Time) -> None:
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


async def test_a_probe_that_did_not_ask_decides_nothing(provider: Guarded, inner: Scripted, time: Time) -> None:
    await fail(provider, inner)
    time.now_s += 6
    inner.says = TOO_LATE
    assert await provider.authorize(call()) is TOO_LATE
    inner.says = APPROVED
    for _ in range(LIMITS.probes):
        assert provider.circuit == "half_open"
        assert await provider.authorize(call()) is APPROVED
    assert provider.circuit == "closed"


async def test_a_probe_that_is_cancelled_does_not_wedge_it(provider: Guarded, inner: Scripted, time: Time) -> None:
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
    assert provider.circuit == "closed"


async def test_an_old_answer_does_not_close_it(provider: Guarded, inner: Scripted, time: Time) -> None:
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


async def test_more_calls_than_connections_wait_and_are_not_sent(provider: Guarded, inner: Scripted) -> None:
    gate = asyncio.Event()
    inner.hold = gate.wait
    under_way = [asyncio.create_task(provider.authorize(call())) for _ in range(LIMITS.calls_at_once)]
    await one_turn()
    started_ms = monotonic_ms()
    for operation in OPERATIONS:
        verdict = await send(provider, call(operation))
        assert isinstance(verdict, NotSent)
        assert verdict.reason == "no free connection"
    assert isinstance(await provider.fetch(call()), Unknown)
    assert monotonic_ms() - started_ms >= 5 * LIMITS.wait_ms * 0.9
    assert len(inner.asked) == LIMITS.calls_at_once
    assert provider.circuit == "closed", "our own crowd says nothing about the provider"
    waiting = asyncio.create_task(provider.authorize(call()))
    await one_turn()
    gate.set()
    assert await waiting is APPROVED, "one that became free in time"
    assert await asyncio.gather(*under_way) == [APPROVED] * LIMITS.calls_at_once


async def test_nobody_waits_past_his_time_to_send(inner: Scripted, time: Time) -> None:
    provider = Guarded(inner, replace(LIMITS, calls_at_once=1, wait_ms=60_000), time)
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


async def test_a_connector_s_own_time_out_is_no_proof(provider: Guarded, inner: Scripted) -> None:
    inner.says = TimeoutError()
    with pytest.raises(TimeoutError):
        await provider.authorize(call())


async def test_connections_come_back_whatever_happens(provider: Guarded, inner: Scripted) -> None:
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
    provider = Guarded(inner, LIMITS, time)
    for _ in range(3 * LIMITS.calls):
        assert await provider.fetch(call()) is inner.says
    assert provider.circuit == "closed"
    await fail(provider, inner)
    time.now_s += 6
    assert await provider.fetch(call()) is inner.says
    assert provider.circuit == "open", "nobody was asked, so nothing was learned"


@pytest.mark.parametrize("says", [SHUT_DOOR, TOO_LATE, REFUSED_CONNECTION])
async def test_a_question_that_was_not_sent_proves_nothing(provider: Guarded, inner: Scripted, says: NotSent) -> None:
    inner.says = says
    found = await provider.fetch(call())
    assert type(found) is Unknown, "else recovery would take it for proof that the attempt itself was not sent"
    assert found.raw == says.raw


async def test_each_provider_has_its_own(provider: Guarded, inner: Scripted, time: Time) -> None:
    other = Guarded(Scripted(), LIMITS, time)
    await fail(provider, inner)
    assert await other.authorize(call()) is APPROVED


async def test_the_wiring_guards_every_provider(database: Database) -> None:
    settings = Settings(
        stripe_api_key="sk_test_none", adyen_api_key="none", adyen_merchant_account="none", provider_connections=65
    )
    async with open_runtime(settings, database.app_url) as runtime:
        assert runtime.providers.keys() == {"simulator", "stripe", "adyen"}
        assert all(isinstance(provider, Guarded) for provider in runtime.providers.values())


async def test_adyen_s_limit_is_its_threads() -> None:
    settings = Settings(
        adyen_api_key="none", adyen_merchant_account="none", provider_connections=1_000, provider_wait_ms=0
    )
    raw = configured_providers(settings)
    gate = asyncio.Event()

    async def held(_: ProviderCall) -> Verdict:
        await gate.wait()
        return APPROVED

    for provider in raw.values():
        provider.authorize = held  # type: ignore[method-assign, assignment]  # nothing is to leave this process
    for name, together in (("adyen", 64), ("simulator", 1_000)):
        provider = guarded(settings, raw)[name]
        under_way = [asyncio.create_task(provider.authorize(call())) for _ in range(together)]
        await one_turn()
        assert isinstance(await provider.authorize(call()), NotSent), name
        gate.set()
        assert await asyncio.gather(*under_way) == [APPROVED] * together
        gate.clear()
        await provider.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROVIDER_CIRCUIT_FAILURE_PERCENT", "0"),
        ("PROVIDER_CIRCUIT_FAILURE_PERCENT", "101"),
        ("PROVIDER_CIRCUIT_WINDOW_MS", "999"),
        ("PROVIDER_CIRCUIT_OPEN_LIMIT_MS", "4999"),
        ("PROVIDER_CIRCUIT_PROBES", "0"),
    ],
)
def test_limits_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"TALLYSTICK_{name}: "):
        load_settings({f"TALLYSTICK_{name}": value})


@asynccontextmanager
async def an_outage(
    database: Database, merchant_id: str, time: Time, patience_ms: int = 120_000
) -> AsyncIterator[tuple[Runtime, BookedProvider, Callable[[], Awaitable[list[tuple[str, int]]]]]]:
    """A runtime whose provider refuses connections, its circuit open, and what has become of a dozen payments: the
    state and the submissions of each."""
    booked = BookedProvider()

    async def away(_: ProviderCall) -> Verdict:
        return REFUSED_CONNECTION

    booked.before = away
    # A probe that comes too late to be sent tells nothing, and two of them end a round.
    settings = replace(HURRIED, send_window_ms=60_000, resubmit_limit=2, provider_circuit_patience_ms=patience_ms)
    limits = replace(LIMITS, calls_at_once=100)
    async with open_runtime(
        settings, database.app_url, providers={"simulator": Guarded(booked, limits, time)}
    ) as runtime:
        client = Client(runtime, merchant_id)
        for number in range(12):
            assert read(await client.create(f"away-{number}"))["in_doubt"] is False

        async def became() -> list[tuple[str, int]]:
            return [
                (record["state"], record["submissions"])
                for record in await runtime.pool.fetch(
                    "SELECT p.state, a.submissions FROM payment p JOIN attempt a USING (merchant_id, payment_id)"
                    " WHERE merchant_id = $1",
                    merchant_id,
                )
            ]

        yield runtime, booked, became


async def test_recovery_waits_for_a_circuit(database: Database, time: Time, fresh_merchant: str) -> None:
    async with an_outage(database, fresh_merchant, time) as (runtime, booked, became):
        await recover(runtime, rounds=50)
        assert await became() == [("authorizing", 1)] * 12, "no try is spent on what the circuit would refuse"
        assert len(booked.calls) == LIMITS.calls
        booked.before = None
        time.now_s += 6
        await recover(runtime)
        assert {state for state, _ in await became()} == {"captured"}
        assert len(booked.effects_for(fresh_merchant)) == 12


async def test_recovery_tries_a_circuit_with_one_at_a_time(
    database: Database, time: Time, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_outage(database, fresh_merchant, time) as (runtime, booked, became):
        commit = runtime.journal.commit

        async def commit_late(change: Change) -> object:  # so that all have looked before the first one sends
            await asyncio.sleep(0.1)
            return await commit(change)

        monkeypatch.setattr(runtime.journal, "commit", commit_late)
        time.now_s += 6
        gate = asyncio.Event()

        async def hang(_: ProviderCall) -> None:
            await gate.wait()

        booked.before = hang
        recovery = asyncio.create_task(recover(runtime, rounds=50))
        await eventually_async(lambda: len(booked.calls) > LIMITS.calls)
        other = Client(runtime, fresh_merchant)
        assert read(await other.create("meanwhile"))["state"] == "authorizing"
        await recover(runtime, rounds=50)
        assert sorted(await became()) == [("authorizing", 1)] * 12 + [("authorizing", 2)], "the probe alone"
        booked.before = None
        gate.set()
        await recovery
        await recover(runtime)
        assert {state for state, _ in await became()} == {"captured"}


async def test_recovery_s_patience_with_a_circuit_ends(database: Database, time: Time, fresh_merchant: str) -> None:
    async with an_outage(database, fresh_merchant, time, patience_ms=0) as (runtime, booked, became):
        await recover(runtime)
        assert await became() == [("failed", 3)] * 12
        assert len(booked.calls) == LIMITS.calls


async def test_an_outage_through_the_door(database: Database, tmp_path: Path, fresh_merchant: str) -> None:
    """Nobody is declined and nothing is in doubt while the provider is away; when it is back, so are payments."""
    books = tmp_path / "acquirer.sqlite"
    process = AcquirerProcess(books)
    settings = replace(
        HURRIED,
        send_window_ms=60_000,
        provider_request_timeout_ms=60_000,
        provider_connect_timeout_ms=20_000,
        simulator_url=process.url,
        resubmit_limit=0,
        provider_circuit_calls=5,
        provider_circuit_open_ms=300,
        provider_circuit_open_limit_ms=300,
        provider_circuit_probes=1,
    )
    try:
        async with open_runtime(settings, database.app_url) as runtime:
            client, provider = Client(runtime, fresh_merchant), runtime.providers["simulator"]
            assert isinstance(provider, Guarded)
            assert read(await client.create("before"))["state"] == "captured"
            process.kill()
            away = [read(await client.create(f"away-{number}")) for number in range(12)]
            assert provider.circuit != "closed"
            assert {(one["state"], one["in_doubt"]) for one in away} == {("authorizing", False)}
            process = AcquirerProcess(books, port=process.port)
            await eventually_async(lambda: not provider.rests)
            assert read(await client.create("after"))["state"] == "captured"
            assert provider.circuit == "closed"
            await recover(runtime)
            ended = [read(await client.create(f"away-{number}")) for number in range(12)]
            assert {(one["state"], one["failure"]["code"]) for one in ended} == {("failed", "provider_unreachable")}
            for one in away:
                assert await asyncio.to_thread(process.charges, one["id"]) == []
    finally:
        process.kill()
