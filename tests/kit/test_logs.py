"""Logs: one JSON object a line, with no secret and no card number in it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tallystick.kit.logs import SECRET_NAMES, Redactor

CARD = "4111 1111 1111 1111"

PROGRAM = """
from tallystick.kit.logs import configure_logging, get_logger
log = get_logger("tallystick.test")
configure_logging("info", ["bank_key"])
log.debug("too quiet")
log.info("settled", payment_id="pay_018bcfe5687b70008000000000000000", version=2, seen={1, }, bank_key="hunter2")
try:
    raise RuntimeError("card 4111111111111111 was here")
except RuntimeError:
    log.exception("failed")
"""


def redacted(**event: object) -> Any:
    return Redactor(["Bank_Key"])(None, "info", dict(event))


@pytest.mark.parametrize("key", [*sorted(SECRET_NAMES), "Authorization", "bank_key"])
def test_secrets_go_by_name_at_any_depth(key: str) -> None:
    logged = json.dumps(redacted(**{key: "hunter2"}, headers={key: "hunter2"}, calls=[{"args": {key: "hunter2"}}]))
    assert logged.count("[redacted]") == 3
    assert "hunter2" not in logged


@pytest.mark.parametrize(
    "value",
    [
        CARD,
        f"declined: {CARD}",
        4111111111111111,
        ["x", {"y": (CARD,)}],
        {CARD: 1},
        CARD.encode(),
        ValueError(CARD),
        {CARD},
    ],
)
def test_card_numbers_do_not_get_in(value: object) -> None:
    logged = repr(redacted(value=value, event="x"))
    assert "4111" not in logged
    assert "looks like card data" in logged


def test_the_message_itself_is_looked_at() -> None:
    assert "4111" not in repr(redacted(event=f"bad card {CARD}"))


def test_what_helps_is_kept() -> None:
    event = {
        "payment_id": "pay_018bcfe5687b70008000000000000000",
        "idempotency_key": "8e03978e-40d5-43dd-bc93-6894a57f9324",
        "provider_reference": "ch_91abf0",
        "version": 3,
        "alert": True,
        "amounts": [100, 250],
        "nothing": None,
    }
    assert redacted(**event) == event


def test_a_line_is_a_json_object_on_standard_error() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    settled, failed = (json.loads(line) for line in ended.stderr.splitlines())
    assert ended.stdout == ""
    assert (settled["event"], settled["level"], settled["component"]) == ("settled", "info", "tallystick.test")
    assert settled["payment_id"] == "pay_018bcfe5687b70008000000000000000"
    assert settled["timestamp"].endswith("Z")
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert "4111" not in ended.stderr
    assert settled["bank_key"] == "[redacted]", "the settings' secrets are redacted by name"
