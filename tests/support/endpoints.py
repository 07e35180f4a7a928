"""Webhook endpoints over the API."""

from __future__ import annotations

from typing import Any

import httpx

PATH = "/v1/webhook-endpoints"


#: Development's settings.
SETTINGS: dict[str, Any] = {
    "webhook_allow_private_addresses": True,
    "outbound_endpoints_limit": 3,
}


def code_of(answer: httpx.Response, status_code: int) -> str:
    """The stable code of a refusal."""
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    code: str = answer.json()["code"]
    return code
