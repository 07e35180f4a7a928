"""Settings of the audit: how long a change may take to be visible, and what cannot be meant."""

from __future__ import annotations

import base64

import pytest

from tallystick.settings.audit import heads_command, longest_write_ms, sealing_window_ms
from tallystick.settings.load import Settings, SettingsError, load_settings

KEY = base64.b64encode(b"not a secret: for the tests only").decode()


def _loaded(**given: str) -> Settings:
    return load_settings({f"TALLYSTICK_{name.upper()}": value for name, value in given.items()}, ())


def test_the_window_follows_from_the_time_outs() -> None:
    """By hand: 10 s for a body, 10 s for a provider, six commits of 10 s, 2 s between clocks."""
    assert longest_write_ms(Settings()) == 82_000
    assert sealing_window_ms(Settings()) == 300_000
    slow = Settings(provider_request_timeout_ms=60_000, journal_commit_timeout_ms=60_000, clock_margin_ms=5_000)
    assert sealing_window_ms(slow) == longest_write_ms(slow) == 10_000 + 60_000 + 360_000 + 5_000
    assert sealing_window_ms(_loaded(audit_window_ms="90000")) == 90_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audit_window_ms", "81999"),
        ("audit_trust", "bm90IGEga2V5"),
        ("audit_trust", "?"),
        ("audit_heads_command", "copy 'to"),
        ("audit_heads_command", " "),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"TALLYSTICK_{name.upper()}: expected"):
        _loaded(**{name: value})


def test_a_command_is_its_words() -> None:
    given = _loaded(audit_heads_command="aws s3 cp - 's3://heads of 2026/'", audit_trust=f"{KEY}, {KEY}")
    assert heads_command(given) == ["aws", "s3", "cp", "-", "s3://heads of 2026/"]
    assert heads_command(Settings()) == []
