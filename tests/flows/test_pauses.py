"""A provider that asks to wait for longer than any rate limit is for a person."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.flows import pauses as room
from tallystick.flows.pauses import Pauses
from tallystick.providers.pause import LONGEST_MS, Pause
from tallystick.record.postgres.connections import open_pool
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider


class Asked(BookedProvider):
    """Has a wait of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.own = Pause()

    @property
    def pause(self) -> Pause:
        return self.own


async def test_one_alert_for_waits_as_long_as_are_heeded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts: list[dict[str, Any]] = []
    monkeypatch.setattr(room.log, "error", lambda event, **known: alerts.append({"event": event, **known}))
    provider = Asked()
    async with await open_pool(database.app_url, SETTINGS) as pool:
        waits = Pauses(pool, {"simulator": provider})
        provider.own.ask(LONGEST_MS // 2)
        await waits.exchange()
        assert alerts == [], "a rate limit"
        provider.own.ask(86_400_000)
        await waits.exchange()

        def asked_longer() -> bool:  # than the wait that is on record, which counts in the database's milliseconds
            provider.own.ask(86_400_000)
            return not provider.own.is_shared

        await eventually_async(asked_longer)
        await waits.exchange()
    waits.flush()
    assert [(each["alert"], each["provider"], each["heeded_ms"]) for each in alerts] == [
        (True, "simulator", LONGEST_MS),
        (True, "simulator", LONGEST_MS),
    ], "one at once, and one for the others when the process ends"
