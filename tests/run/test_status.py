"""What ``status`` finds, on a real database: whether each part is well, and what waits for too long."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tallystick.cli.command import in_words
from tallystick.flows.assembly import open_runtime
from tallystick.flows.circuits import Circuits
from tallystick.kit.ids import new_id
from tallystick.providers.circuit import BoundedProvider
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.record.postgres.migrate import newest_revision
from tallystick.record.postgres.operator_reads import EndpointCounts
from tallystick.record.postgres.provider_pauses import keep_pause
from tallystick.record.postgres.readiness import WORKER_SESSIONS
from tallystick.run.status import LATE_MS, NO_CIRCUIT, NO_PROVIDER, NO_WORKER, Part, Status, read_status
from tallystick.run.worker_health import worker_health
from tallystick.settings.load import Settings
from tests.support.circuit import LIMITS, Scripted, fail
from tests.support.database import Database, NewDatabase
from tests.support.ports import free_port
from tests.support.runtime import SETTINGS, BookedProvider


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    return new_database()


def settings_of(**given: Any) -> Settings:
    return dataclasses.replace(SETTINGS, port=free_port(), **given)


async def status_of(settings: Settings, app_url: str, owner_url: str | None = None) -> Status:
    return await read_status(settings, DatabaseUrls(owner_url or app_url, app_url), in_words)


def part(found: Status, name: str) -> Part:
    (one,) = [each for each in found.parts if each.name == name]
    return one


@asynccontextmanager
async def everything_runs(settings: Settings, database: Database) -> AsyncIterator[asyncpg.Pool]:
    """A worker, and the answers to /readyz that an API gives as well, at its address."""
    shared = dataclasses.replace(settings, worker_health_port=settings.port)
    async with (
        open_runtime(
            shared, database.app_url, providers={"simulator": BookedProvider()}, application_name=WORKER_SESSIONS
        ) as runtime,
        worker_health(runtime),
    ):
        yield runtime.pool


async def test_all_is_well_where_everything_runs(database: Database) -> None:
    settings = settings_of()
    async with everything_runs(settings, database):
        found = await status_of(settings, database.app_url)
    assert found.well and [each.well for each in found.parts] == [True] * 7, found
    assert part(found, "schema").says == (newest_revision(),)
    assert part(found, "providers").says == ("simulator", NO_CIRCUIT)
    assert part(found, "api").says == (f"http://127.0.0.1:{settings.port}",)
    (place,) = part(found, "database").says
    assert place.partition(", ")[0].endswith(urlsplit(database.app_url).path) and "PostgreSQL 18" in place


async def test_what_does_not_run_is_not_well_and_endpoints_are_their_merchants_affair(database: Database) -> None:
    owner = await asyncpg.connect(database.owner_url)
    add = (
        "INSERT INTO webhook_endpoint"
        " (merchant_id, endpoint_id, url, state, disabled_reason, failing_since, created_at)"
        " VALUES ('m', $1, $1, $2, $3, CASE WHEN $4 THEN now() END, now())"
    )
    for state, reason, failing in (
        ("enabled", None, False),
        ("enabled", None, True),
        ("disabled", "failing", True),
        ("disabled", "by_request", False),
    ):
        await owner.execute(add, new_id("we"), state, reason, failing)
    settings = settings_of()
    found = await status_of(settings, database.app_url)
    await owner.execute("DELETE FROM webhook_endpoint")
    await owner.close()
    assert found.endpoints == EndpointCounts(enabled=2, failing=1, given_up=1)
    assert not found.well
    assert part(found, "workers") == Part(name="workers", well=False, says=(NO_WORKER,))
    (said,) = part(found, "api").says
    assert said.startswith(f"nothing answers at http://127.0.0.1:{settings.port}; start `tallystick serve`")
    assert [part(found, name).well for name in ("database", "schema", "payments", "webhooks")] == [True] * 4


async def test_a_database_that_is_away_is_named_without_its_password(database: Database) -> None:
    port = free_port()
    found = await status_of(settings_of(simulator="off"), f"postgresql://nobody:hunter2@127.0.0.1:{port}/nothing")
    (said,) = part(found, "database").says
    assert f"cannot reach the database at 127.0.0.1:{port}" in said and "hunter2" not in str(found)
    assert {each.name: each.well for each in found.parts} == {
        "database": False,
        "schema": None,
        "api": False,
        "workers": None,
        "payments": None,
        "webhooks": None,
        "providers": False,
    }
    assert part(found, "providers").says == (NO_PROVIDER,)


async def test_a_schema_of_another_release(new_database: NewDatabase) -> None:
    other = new_database()
    owner = await asyncpg.connect(other.owner_url)
    await owner.execute("ALTER TABLE payment DROP COLUMN amount_late CASCADE")
    await owner.close()
    found = await status_of(settings_of(), other.app_url)
    assert part(found, "schema").well is False and "run `tallystick migrate`" in part(found, "schema").says[0]
    assert part(found, "database").well is True and part(found, "payments").well is None


async def test_a_read_only_database_and_a_wrong_default_provider(new_database: NewDatabase) -> None:
    standby = new_database()
    owner = await asyncpg.connect(standby.owner_url)
    name = urlsplit(standby.app_url).path.removeprefix("/")
    await owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await owner.close()
    found = await status_of(settings_of(default_provider="strpe"), standby.app_url)
    assert part(found, "database").well is False and "is read-only" in part(found, "database").says[0]
    wrong = part(found, "providers")
    assert wrong.well is False and "TALLYSTICK_DEFAULT_PROVIDER" in wrong.says[0]


async def test_a_provider_that_asked_to_wait_is_told(database: Database) -> None:
    settings = settings_of()
    async with everything_runs(settings, database) as pool:
        await keep_pause(pool, "simulator", "main", 90_500)
        found = await status_of(settings, database.app_url)
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("DELETE FROM provider_pause")
    await owner.close()
    providers = part(found, "providers")
    assert providers.well and providers.says[0] == "simulator"
    assert providers.says[-1].startswith("simulator/main asked for a wait, ")


async def test_a_circuit_is_told_by_the_processes_that_have_it(database: Database) -> None:
    """Of a worker and two others. One that ends has none; what an API and a worker tell is in tests/flows."""
    settings, inner = settings_of(), Scripted()
    async with everything_runs(settings, database) as pool:
        bounded = BoundedProvider(inner, LIMITS)
        await fail(bounded, inner)
        failing, others = Circuits(pool, {"scripted": bounded}), Circuits(pool, {"scripted": Scripted()})
        await failing.round()
        await others.round()
        found = await status_of(settings, database.app_url)
        (told,) = found.circuits
        assert (told.processes, told.open, told.half_open) == (2, 1, 0)
        providers = part(found, "providers")
        assert not providers.well and not found.well
        since = f"{told.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        assert providers.says[1].startswith(f"scripted/eu: circuit open in 1 of 2 processes since {since} UTC (told ")
        await failing.leave()
        found = await status_of(settings, database.app_url)
        assert part(found, "providers").says[1].startswith("scripted/eu: circuit closed in all of 1 process since ")
        assert part(found, "providers").well
        await others.leave()


async def test_work_that_nobody_takes_up_is_overdue(database: Database) -> None:
    lane = "INSERT INTO message_lane (merchant_id, endpoint_id, payment_id, rung, next_try_at)"
    deadline = "INSERT INTO deadline (merchant_id, payment_id, checks, due_at)"
    ago = "now() - $1::int * interval '1 s'"
    owner = await asyncpg.connect(database.owner_url)
    try:
        for seconds, well in ((LATE_MS // 1_000 - 30, True), (LATE_MS // 1_000 + 1, False)):
            await owner.execute(f"{lane} VALUES ('late', 'we', $2, 0, {ago})", seconds, str(seconds))
            await owner.execute(f"{deadline} VALUES ('late', $2, 0, {ago})", seconds, str(seconds))
            found = await status_of(settings_of(), database.app_url)
            assert (part(found, "webhooks").well, part(found, "payments").well) == (well, well)
            late = {each.what: each for each in found.waiting if each.waiting}
            assert set(late) == {"queues_to_send", "overdue_deadlines"}
            assert {each.overdue for each in late.values()} == {not well}
    finally:
        await owner.execute("DELETE FROM message_lane")
        await owner.execute("DELETE FROM deadline")
        await owner.close()
