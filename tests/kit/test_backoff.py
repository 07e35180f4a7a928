"""Waits after failures: doubled up to a cap, spread by jitter, and short again after a healthy run."""

from __future__ import annotations

import itertools
import random

from tallystick.kit.backoff import HEALTHY_AFTER_MS, RESTART_CAP_MS, RESTART_FIRST_MS, RestartBackoff, backoff_ms


def test_waits_double_to_a_cap_and_are_spread_over_their_upper_half() -> None:
    jitter = random.Random(1)
    for failures, longest in ((0, 20), (1, 40), (4, 320), (5, 500), (10_000, 500)):
        waits = {backoff_ms(failures, 20, 500, jitter) for _ in range(10_000)}
        assert waits == set(range(longest // 2, longest + 1))


def test_waits_grow_to_a_limit_and_begin_anew_after_a_healthy_run() -> None:
    backoff = RestartBackoff()
    waits = [backoff.next_ms(0) for _ in range(20)]
    assert waits[0] == RESTART_FIRST_MS and waits[-1] == RESTART_CAP_MS
    assert all(later in (2 * earlier, RESTART_CAP_MS) for earlier, later in itertools.pairwise(waits))
    assert backoff.next_ms(HEALTHY_AFTER_MS + 1) == RESTART_FIRST_MS
