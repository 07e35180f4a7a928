"""localstripe as a separate process: a stateful Stripe that nobody here wrote. It ignores Idempotency-Key."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.forked import Forked
from tests.support.polling import until_ready
from tests.support.ports import free_port

#: It takes any key of this shape.
API_KEY = "sk_test_localstripe"

#: Test cards that Stripe publishes, by what they do.
NEEDS_AUTHENTICATION = "4000002500003155"
NEEDS_AUTHENTICATION_THEN_DECLINED = "4000008260003178"

#: A test account that Stripe publishes: its bank refuses, half a second later.
IBAN_DECLINED = "DE62370400440532013001"

#: Payment methods that exist there from the start.
GOOD, DECLINED = "pm_card_visa", "pm_card_chargeCustomerFail"


class LocalStripe:
    """One running localstripe."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = Forked("tests.support.stripe.localstripe_program", str(self.port))
        until_ready(self._process, lambda: self.call("GET", "/v1/balance"))

    def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        self._process.wait(timeout=60)

    def forget(self) -> None:
        """Empty its books, as those of a new account are: quicker than a new process."""
        self.call("DELETE", "/_config/data")

    def call(self, method: str, path: str, **fields: Any) -> Any:
        """One plain request; fields go as JSON, or as the query of a GET. Raises what the network raises."""
        query = f"?{urllib.parse.urlencode(fields)}" if fields and method == "GET" else ""
        request = urllib.request.Request(self.url + path + query, method=method)
        request.add_header("Authorization", f"Bearer {API_KEY}")
        body = None if method == "GET" else json.dumps(fields).encode()
        with urllib.request.urlopen(request, body, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    async def acall(self, method: str, path: str, **fields: Any) -> Any:
        """The same without blocking the caller's event loop."""
        return await asyncio.to_thread(self.call, method, path, **fields)

    def card(self, number: str) -> str:
        """A new payment method for a test card."""
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        made: str = self.call("POST", "/v1/payment_methods", type="card", card=card)["id"]
        return made

    def bank_account(self, iban: str) -> str:
        """A new payment method for a test account."""
        made: str = self.call("POST", "/v1/payment_methods", type="sepa_debit", sepa_debit={"iban": iban})["id"]
        return made

    def intents(self, **metadata: str) -> list[dict[str, Any]]:
        """The PaymentIntents that carry this metadata."""
        every = self.call("GET", "/v1/payment_intents", limit=1_000_000)["data"]
        return [intent for intent in every if metadata.items() <= intent["metadata"].items()]

    def refunds(self, intent_id: str) -> list[dict[str, Any]]:
        """The refunds of a PaymentIntent, with what a partial capture released."""
        listed: list[dict[str, Any]] = self.call("GET", "/v1/refunds", payment_intent=intent_id, limit=1_000)["data"]
        return listed

    def webhook(self, url: str, secret: str) -> None:
        """Deliver every event to ``url`` from now on."""
        self.call("POST", "/_config/webhooks/tests", url=url, secret=secret)


@contextmanager
def localstripe() -> Iterator[LocalStripe]:
    """A running localstripe, killed at the end."""
    process = LocalStripe()
    try:
        yield process
    finally:
        process.kill()
