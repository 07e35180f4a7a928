"""The page for those who receive messages: its code works, and what it shows is what comes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from tallystick.decisions.messages import TEST_TYPE, body_of_test
from tallystick.flows.webhooks.outbound.retries import SCHEDULE_MS
from tallystick.flows.webhooks.outbound.signing import new_secret, signed_headers
from tallystick.flows.webhooks.outbound.try_results import TRY_RESULTS
from tallystick.interfaces.api.routes.webhook_deliveries import Resent
from tallystick.interfaces.api.routes.webhook_tests import WebhookTest
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.settings.load import Settings

PAGE: Final = (Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_receiver_takes_what_is_signed_and_nothing_else() -> None:
    enqueued: list[tuple[str, dict[str, Any]]] = []
    names: dict[str, Any] = {"SECRET": new_secret(), "enqueue": lambda name, message: enqueued.append((name, message))}
    (code,) = _blocks("python")
    exec(code, names)  # the page's own
    body = b'{"id":"msg_1","type":"payment.captured"}'
    for raw, secret, status in (
        (body, names["SECRET"], 204),
        (body, new_secret(), 400),
        (body_of_test(new_id("tst"), utc_now(), new_id("we")), names["SECRET"], 204),
    ):
        assert names["receive"](raw, dict(signed_headers("msg_1", utc_now(), raw, [secret]))) == status
    headers = dict(signed_headers("msg_1", utc_now(), body, [names["SECRET"]]))
    assert names["receive"](body + b" ", headers) == 400
    assert enqueued == [("msg_1", json.loads(body))], "neither forged ones nor tests"


def test_what_is_shown_is_what_comes() -> None:
    (shown,) = map(json.loads, _blocks("json"))
    assert set(shown) == set(WebhookTest.__struct_fields__)
    assert (shown["type"], shown["result"] in TRY_RESULTS) == (TEST_TYPE, True)
    assert set(json.loads(re.findall(r"`(\{\"count.*?\})`", PAGE)[0])) == set(Resent.__struct_fields__)
    assert len(SCHEDULE_MS) == 10 and "ten times in about three days" in PAGE
    assert Settings().outbound_timeout_ms == 20_000 and "20 s by default" in PAGE
    assert Settings().outbound_failing_limit_ms == 5 * 86_400_000 and "failed for five days" in PAGE
