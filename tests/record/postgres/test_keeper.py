"""A server that ends is started again: with growing waits, a word for each, and without an end."""

from __future__ import annotations

import pytest

from tallystick.record.postgres.embedded import keeper
from tallystick.record.postgres.embedded.keeper import kept_running
from tallystick.record.postgres.embedded.server import DatabaseUnavailable
from tests.support.polling import eventually


class Broken:
    """A server that does not start, or ends as soon as it has."""

    def __init__(self, *, starts: bool) -> None:
        self.starts = starts

    def runs(self) -> bool:
        return False

    def revive(self) -> None:
        if not self.starts:
            raise DatabaseUnavailable("pg_ctl failed:\nFATAL:  could not open the file")


@pytest.mark.parametrize("starts", [True, False])
def test_a_server_that_ends_again_and_again_is_a_few_clear_lines(monkeypatch: pytest.MonkeyPatch, starts: bool) -> None:
    """Each restart is one line with its wait. The waits are those of every child (tests/kit/test_backoff.py)."""
    monkeypatch.setattr(keeper, "WATCH_S", 0.001)
    monkeypatch.setattr("tallystick.kit.backoff.RESTART_FIRST_MS", 1)
    monkeypatch.setattr("tallystick.kit.backoff.RESTART_CAP_MS", 4)
    said: list[str] = []
    with kept_running(Broken(starts=starts), said.append):
        eventually(lambda: len(said) >= 5)
    again = "exited" if starts else "could not be started (pg_ctl failed: FATAL: could not open the file)"
    assert said[:5] == [
        "database exited; restarting in 1 ms",
        f"database {again}; restarting in 2 ms",
        *[f"database {again}; restarting in 4 ms"] * 3,
    ]
