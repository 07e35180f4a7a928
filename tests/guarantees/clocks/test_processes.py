"""What a wrong clock does to processes: signatures are judged rightly, readiness stays, only a start is refused."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.run.clock_check import ClockTooFarOff
from tallystick.run.work import work
from tests.support.api import inside
from tests.support.commands import run_here
from tests.support.database import Database
from tests.support.host_clock import set_host_clock
from tests.support.ports import free_port
from tests.support.provider_webhooks import PATH, event, signature
from tests.support.runtime import SETTINGS, BookedProvider

FIVE_MINUTES_MS, ELEVEN_MINUTES_MS = 300_000, 660_000


@pytest.mark.parametrize("skew_ms", [0, FIVE_MINUTES_MS + 5_000, -FIVE_MINUTES_MS - 5_000, ELEVEN_MINUTES_MS])
async def test_signatures_are_judged_on_the_databases_clock(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    """One that was made just now is fresh, and one of six minutes ago stale, whatever this host's clock says."""
    set_host_clock(monkeypatch, skew_ms)
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        for age_s, status in ((0, 200), (360, 400), (-360, 400)):
            body = event()
            headers = {"acquirer-signature": signature(body, age_s=age_s)}
            answer = await app.client.post(PATH, content=body, headers=headers)
            assert answer.status_code == status, (age_s, answer.text)


@pytest.mark.parametrize("skew_ms", [FIVE_MINUTES_MS, -FIVE_MINUTES_MS, ELEVEN_MINUTES_MS])
async def test_readiness_never_follows_a_clock(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    set_host_clock(monkeypatch, skew_ms)
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        await app.app.state.runtime.readiness.first()  # as a process does before it listens
        answer = await app.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        [reading] = answer.json()["clocks"]
        assert reading["clock"] == "database"
        assert reading["beyond_margin"] is True
        assert abs(reading["skew_ms"] - skew_ms) <= reading["uncertainty_ms"] + 50


@pytest.mark.parametrize("skew_ms", [ELEVEN_MINUTES_MS, -ELEVEN_MINUTES_MS])
async def test_a_worker_is_not_started(database: Database, monkeypatch: pytest.MonkeyPatch, skew_ms: int) -> None:
    set_host_clock(monkeypatch, skew_ms)
    with pytest.raises(ClockTooFarOff, match=r"660 s (ahead of|behind) the database's"):
        await asyncio.wait_for(work(SETTINGS, database.app_url, asyncio.Event()), 60)


@pytest.mark.parametrize("skew_ms", [FIVE_MINUTES_MS, -FIVE_MINUTES_MS])
async def test_a_worker_starts_within_ten_minutes(
    database: Database, monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    set_host_clock(monkeypatch, skew_ms)
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(work(SETTINGS, database.app_url, stop), 60)


def test_the_api_is_not_started(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_host_clock(monkeypatch, ELEVEN_MINUTES_MS)
    ran = run_here(monkeypatch, capsys, "serve", "--port", str(free_port()), database_url=database.app_url)
    assert ran.code == 2
    assert "660 s ahead of the database's" in ran.err
