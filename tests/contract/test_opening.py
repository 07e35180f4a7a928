"""The opening of the contract: what it names exists, and its times are those of recovery."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tallystick.contract.opening import FAILURES, NEVER, Never, longest_times, opening, readable
from tallystick.decisions.lookups import NoNews, no_news
from tallystick.domain.errors import ERRORS
from tallystick.domain.subjects import Attempt
from tallystick.kit.backoff import backoff_ms
from tallystick.oversight.invariants.catalogue import INVARIANTS
from tallystick.settings.load import Settings

ROOT: Final = Path(__file__).resolve().parents[2]

UNKNOWN: Final = Attempt(
    merchant_id="acme",
    payment_id="pay_1",
    attempt_id="att_1",
    version=2,
    state="unknown",
    operation="authorize",
    purpose="instruction",
    amount=100,
    currency="EUR",
    payment_method="sim_ok",
    provider="simulator",
    account="main",
    provider_key="key",
)


class _Longest(random.Random):
    """The jitter that waits longest."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return start - 1


@pytest.mark.parametrize("never", NEVER, ids=lambda never: never.test.rpartition("::")[2])
def test_what_must_never_happen_is_looked_for(never: Never) -> None:
    assert set(never.invariants) <= {invariant.name for invariant in INVARIANTS}
    path, _, test = never.test.partition("::")
    assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_every_error_code_that_a_failure_names_exists() -> None:
    named = {code for failure in FAILURES for code in re.findall(r"\d{3} `(\w+)`", failure.answer)}
    assert {"outcome_unknown", "instruction_in_flight", "transition_rejected"} <= named <= set(ERRORS)


def test_every_outcome_of_an_error_is_a_row() -> None:
    named = {code for failure in FAILURES for code in re.findall(r"`(\w+)`", failure.answer)}
    assert {code for code, kind in ERRORS.items() if kind.retryable} <= named


@pytest.mark.parametrize("settings", [Settings(), replace(Settings(), recovery_checks_limit=5)])
def test_an_outcome_in_doubt_has_a_person_within_the_stated_time(settings: Settings) -> None:
    def wait_ms(checks: int) -> int:
        base_ms, cap_ms = settings.recovery_backoff_base_ms, settings.recovery_backoff_cap_ms
        return backoff_ms(checks, base_ms, cap_ms, _Longest())

    one_look_ms = settings.recovery_interval_ms + settings.provider_request_timeout_ms
    now_ms = settings.send_window_ms + settings.provider_request_timeout_ms + wait_ms(0)
    checks = 0
    while True:
        now_ms += one_look_ms
        step = no_news(
            UNKNOWN,
            age_ms=now_ms,
            checks=checks,
            action_deadline_ms=settings.action_deadline_ms,
            pending_deadline_ms=settings.pending_deadline_ms,
            checks_limit=settings.recovery_checks_limit,
        )
        if step is NoNews.PARK:
            break
        now_ms += wait_ms(checks)
        checks += 1
    assert now_ms == longest_times(settings).unknown


@pytest.mark.parametrize(
    ("time_ms", "said"),
    [
        (15_000, "15 s"),
        (15_001, "16 s"),
        (60_000, "1 min"),
        (90_000, "90 s"),
        (574_500, "10 min"),
        (86_400_000, "24 h"),
    ],
)
def test_times_are_rounded_up(time_ms: int, said: str) -> None:
    assert readable(time_ms) == said


def test_the_opening_has_no_open_places() -> None:
    assert "{" not in opening()
