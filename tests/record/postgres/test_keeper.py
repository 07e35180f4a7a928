"""A server that ends is started again: with growing waits, a word for each, and without an end."""

from __future__ import annotations

import itertools

import pytest

from tallystick.kit.backoff import HEALTHY_AFTER_MS, RESTART_CAP_MS, RESTART_FIRST_MS, Backoff
from tallystick.record.postgres.embedded import keeper
from tallystick.record.postgres.embedded.keeper import kept_running
from tallystick.record.postgres.embedded.server import DatabaseUnavailable
from tests.support.polling import eventually


def test_waits_grow_to_a_limit_and_begin_anew_after_a_healthy_run() -> None:
    backoff = Backoff()
    waits = [backoff.next_ms(0) for _ in range(20)]
    assert waits[0] == RESTART_FIRST_MS and waits[-1] == RESTART_CAP_MS
    assert all(later in (2 * earlier, RESTART_CAP_MS) for earlier, later in itertools.pairwise(waits))
    assert backoff.next_ms(HEALTHY_AFTER_MS + 1) == RESTART_FIRST_MS


class Broken:
    """A server that does not start, or ends as soon as it has."""

    def __init__(self, *, starts: bool) -> None:
        self.starts = starts

    def runs(self) -> bool:
        return False

    def revive(self) -> bool:
        if not self.starts:
            raise DatabaseUnavailable("pg_ctl failed:\nFATAL:  could not open the file")
        return True


@pytest.mark.parametrize("starts", [True, False])
def test_a_server_that_ends_again_and_again_is_a_few_clear_lines(monkeypatch: pytest.MonkeyPatch, starts: bool) -> None:
    """Each restart is one line with its wait. The waits are those of every child (the test above)."""
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
