"""A host whose clock is wrong: the time of day in this process; database and providers keep theirs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tallystick.kit import clock, ids


def set_host_clock(monkeypatch: pytest.MonkeyPatch, skew_ms: int) -> None:
    """From now on this process's clock is so far ahead (below 0: behind). Its monotonic clock is right."""
    monkeypatch.setattr(clock, "utc_now", lambda: datetime.now(UTC) + timedelta(milliseconds=skew_ms))
    monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + skew_ms * 1_000_000))
    monkeypatch.setattr(ids, "_MINTER", ids._Minter())
