"""Progress without a terminal: few lines, each with the time left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tallystick.cli import bars


def lines(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[float, int]], total: int) -> list[str]:
    """What is printed when so much is done at these times, in seconds."""
    now = [0.0]
    monkeypatch.setattr("tallystick.cli.bars.time.monotonic", lambda: now[0])
    written = io.StringIO()
    with bars.Bars(Console(file=written, force_terminal=False)) as shown:
        show = shown.named("payments checked")
        for at, done in steps:
            now[0] = at
            show(done, total)
    return written.getvalue().splitlines()


def test_a_line_at_each_tenth_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = lines(monkeypatch, [(second, second * 10) for second in range(101)], 1_000)
    assert len(printed) == 11
    assert printed[0] == "payments checked: 0/1000"
    assert printed[3] == "payments checked: 300/1000, about 70 s left"
    assert printed[-1] == "payments checked: 1000/1000"


def test_what_was_done_before_is_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill that goes on where it was."""
    assert lines(monkeypatch, [(0, 500), (10, 600)], 1_000)[-1] == "payments checked: 600/1000, about 40 s left"


def test_a_short_run_says_nothing_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, [(0, 0), (1, 500)], 1_000)[-1] == "payments checked: 500/1000"
