"""A customer acts in a browser, and the payment follows."""

from __future__ import annotations

import pytest

from tests.support.api import Merchant, Stack
from tests.support.pages import Browser


@pytest.mark.parametrize(("button", "state"), [("Complete the payment", "captured"), ("Fail the payment", "declined")])
def test_the_payment_follows_what_the_customer_did(stack: Stack, merchant: Merchant, button: str, state: str) -> None:
    """By look-up: this acquirer sends no webhooks. By webhook: ``test_up``."""
    payment = merchant.pay("sim_action_required").json()
    assert payment["state"] == "requires_action"
    url = payment["next_action"]["url"]
    assert url.startswith(f"{stack.simulator_url}/")
    browser = Browser(stack.simulator_url)
    browser.press(browser.open(url), button)
    browser.close()
    assert merchant.settled(f"/v1/payments/{payment['id']}")["state"] == state
