"""Deliveries of the test acquirer, signed by hand."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from tallystick.kit.ids import new_id
from tallystick.providers.simulator.setup import SimulatorSettings

PATH = "/v1/webhooks/simulator/main"


SECRET = SimulatorSettings().signing_secret


def event(name: str | None = None, **data: Any) -> bytes:
    """An event of the acquirer, of a type that moves nothing."""
    body = {"id": name or f"evt_sim_{new_id('evt')}", "type": "report.ready", "created": "2026-01-02T03:04:05Z"}
    return json.dumps(body | {"sequence": 1, "data": data}).encode()


def signature(body: bytes, *, secret: str = SECRET, age_s: int = 0) -> str:
    """As the acquirer signs."""
    second = str(int(time.time()) - age_s)
    return f"t={second},v1={hmac.new(secret.encode(), second.encode() + b'.' + body, hashlib.sha256).hexdigest()}"
