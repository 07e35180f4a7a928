"""An outage of a provider, from its first unanswered call to the end of recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace as replace_settings
from pathlib import Path

import pytest
from msgspec.structs import replace

from tallystick.domain.change import Change
from tallystick.domain.verdicts import Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.flows.screened_provider import ScreenedProvider
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.port import ProviderCall
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.record.postgres.recovery_schedule import DueAttempt, RecoverySchedule
from tests.support.acquirer import AcquirerProcess
from tests.support.circuit import LIMITS, REFUSED_CONNECTION, Time, circuit
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import HURRIED, BookedProvider, Client, read, recover


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
    settings = replace_settings(
        HURRIED, send_window_ms=60_000, resubmit_limit=2, provider_circuit_patience_ms=patience_ms
    )
    limits = replace(LIMITS, calls_at_once=100)
    async with open_runtime(
        settings, database.app_url, providers={"simulator": BoundedProvider(booked, limits, time)}
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
        commit, look_again = runtime.journal.commit, RecoverySchedule.look_again
        decided, all_decided = 0, asyncio.Event()

        def one_more() -> None:
            nonlocal decided
            decided += 1
            if decided == 12:
                all_decided.set()

        async def waits(self: RecoverySchedule, due: DueAttempt, version: int, in_ms: int) -> None:
            one_more()
            await look_again(self, due, version, in_ms)

        async def commit_late(change: Change) -> object:  # so that all have looked before the first one sends
            one_more()
            await all_decided.wait()
            return await commit(change)

        monkeypatch.setattr(RecoverySchedule, "look_again", waits)
        monkeypatch.setattr(runtime.journal, "commit", commit_late)
        await runtime.pool.execute("UPDATE attempt SET next_check_at = now() WHERE merchant_id = $1", fresh_merchant)
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
    settings = replace_settings(
        HURRIED,
        send_window_ms=60_000,
        provider_request_timeout_ms=60_000,
        provider_connect_timeout_ms=20_000,
        resubmit_limit=0,
        provider_circuit_calls=5,
        provider_circuit_open_ms=300,
        provider_circuit_open_limit_ms=300,
        provider_circuit_probes=1,
    ).with_connector(SimulatorSettings, url=process.url)
    try:
        async with open_runtime(settings, database.app_url) as runtime:
            client, screened = Client(runtime, fresh_merchant), runtime.providers["simulator"]
            assert isinstance(screened, ScreenedProvider)
            provider = screened.behind
            assert isinstance(provider, BoundedProvider)
            assert read(await client.create("before"))["state"] == "captured"
            process.kill()
            away = [read(await client.create(f"away-{number}")) for number in range(12)]
            assert circuit(provider) != "closed"
            assert {(one["state"], one["in_doubt"]) for one in away} == {("authorizing", False)}
            process = AcquirerProcess(books, port=process.port)
            await eventually_async(lambda: not provider.rests)
            assert read(await client.create("after"))["state"] == "captured"
            assert circuit(provider) == "closed"
            await recover(runtime)
            ended = [read(await client.create(f"away-{number}")) for number in range(12)]
            assert {(one["state"], one["failure"]["code"]) for one in ended} == {("failed", "provider_unreachable")}
            for one in away:
                assert await asyncio.to_thread(process.charges, one["id"]) == []
    finally:
        process.kill()
