"""Whatever a client or a provider puts a card number or a secret into: no line of the log and no span has it."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from tallystick.domain.verdicts import Declined, Unknown, Verdict
from tallystick.providers.port import ProviderCall
from tests.support.api import Inside, inside
from tests.support.database import Database
from tests.support.log_lines import lines_said
from tests.support.provider_webhooks import PATH, event, signature
from tests.support.runtime import BookedProvider
from tests.support.spans import spans_kept

CARD: Final = "4111111111111111"

#: As one is written, so that no search for the bare digits alone finds it.
WRITTEN: Final = ("4111111111111111", "4111-1111-1111-1111", "4111 1111 1111 1111")

BODY: Final = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}


def holds(text: str, secret: str) -> bool:
    return secret in text or CARD in text.translate({ord(sign): None for sign in " -_./"})


async def everything_with(api: Inside, planted: str) -> int:
    """Requests with it in each field that a client fills. Returns how many there were."""
    requests: list[dict[str, Any]] = [
        {"json": BODY | {field: planted}, "headers": {"idempotency-key": f"f{number}"}}
        for number, field in enumerate((*BODY, "description", "capture_method", "provider", planted))
    ]
    requests += [
        {"json": BODY | {"metadata": {"note": planted}}, "headers": {"idempotency-key": "value"}},
        {"json": BODY | {"metadata": {planted: "note"}}, "headers": {"idempotency-key": "name"}},
        {"json": BODY, "headers": {"idempotency-key": planted}},
        {"json": BODY, "headers": {"idempotency-key": "query"}, "params": {"of": planted}},
        {"content": planted.encode(), "headers": {"idempotency-key": "body", "content-type": "application/json"}},
        {"json": BODY, "headers": {"idempotency-key": "type", "content-type": planted}},
        {"json": BODY, "headers": {"idempotency-key": "agent", "user-agent": planted}},
        {"json": BODY, "headers": {"idempotency-key": "version", "tallystick-version": planted}},
        {"json": BODY, "headers": {"idempotency-key": "trace", "traceparent": f"00-{CARD}{CARD}-{CARD}-01"}},
        {"json": BODY, "headers": {"idempotency-key": "trace2", "traceparent": planted}},
    ]
    for request in requests:
        await api.client.post("/v1/payments", **request)
    for path in ("capture", "cancel", "refunds"):
        await api.client.post(f"/v1/payments/{planted}/{path}", headers={"idempotency-key": path})
    return len(requests) + 3


@pytest.mark.parametrize(
    "planted", [*WRITTEN, "an API key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "sk_live_51Habcdef"]
)
async def test_what_a_client_sends(database: Database, fresh_merchant: str, planted: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        if planted == "an API key":
            planted = api.client.headers["authorization"].removeprefix("Bearer ")
        with capture_logs() as alerts, lines_said("debug") as said, spans_kept() as spans:
            asked = await everything_with(api, planted)
        assert len(said.of("instruction")) == asked
        assert len(said.of("provider called")) >= 3
        for kept in (*said.lines, *alerts, *(span.attributes for span in spans.spans)):
            assert not holds(json.dumps(dict(kept), default=str), planted), kept


async def test_what_a_provider_sends(database: Database, fresh_merchant: str) -> None:
    numbers = iter(WRITTEN * 4)

    async def talks(_: ProviderCall) -> Verdict:
        number = next(numbers)
        if len(number) == 16:
            return Unknown(reason=f"the card {number} was not answered", reference=number, raw={"pan": number})
        return Declined(code=number, message=f"card {number}", reference=number)

    bank = BookedProvider()
    bank.after = talks
    async with inside(database, fresh_merchant, bank) as api:
        with capture_logs() as alerts, lines_said("debug") as said, spans_kept() as spans:
            for number in range(6):
                await api.pay(f"k{number}")
            for written in WRITTEN:
                told = json.loads(event(written, merchant_id=fresh_merchant, payment_id=written, charge_id=written))
                for kind in ("charge.captured", written):
                    body = json.dumps(told | {"type": kind}).encode()
                    headers = {"acquirer-signature": signature(body), "content-type": "application/json"}
                    await api.client.post(PATH, content=body, headers=headers | {"traceparent": written})
        assert len(said.of("provider called")) == 6 and said.of("delivery kept")
        for kept in (*said.lines, *alerts, *(span.attributes for span in spans.spans)):
            assert not holds(json.dumps(dict(kept), default=str), CARD), kept
