"""When absence may be evidence, by what was measured of clocks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from tallystick.flows import clocks
from tallystick.flows.clocks import Clocks
from tallystick.kit.clock import Clock, utc_now


class Database:
    """A database's clock that can be set."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    async def time(self, *_: Any) -> datetime:
        return utc_now() + self.ahead


@pytest.mark.parametrize("jump_s", [0, 300, -300])
async def test_a_clock_that_was_set_since_the_last_reading_is_noticed(
    monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    """Set forward it ends every settling time at once: nothing is waited for, and absence proves nothing."""
    database = Database()
    monkeypatch.setattr(clocks, "database_time", database.time)
    compared = Clocks(cast(Any, None), Clock(), {}, margin_ms=2_000)
    await compared.measure()
    database.ahead = timedelta(seconds=jump_s)
    assert await compared.absence_counts("simulator") == (jump_s == 0)
