"""What ``GET /v1/capabilities`` says and what the door refuses cannot disagree: both are asked about every provider,
method and currency."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.business_days import DueRule
from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.requests.commands import parse_create_payment
from tallystick.domain.requests.fields import InvalidFields
from tallystick.flows.routing.capabilities import capabilities
from tallystick.flows.routing.route import choose_provider
from tallystick.kit.ids import new_id
from tallystick.providers.assembly import bounded_providers, connected_providers
from tallystick.providers.port import Provider
from tallystick.providers.registry import CONNECTOR_SETTINGS, PROVIDERS
from tallystick.settings.load import load_settings
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database
from tests.support.runtime import BookedProvider

#: Nobody listens there, and nothing here is to find that out.
NOWHERE = "http://127.0.0.1:9"

ENVIRONMENT = {
    "TALLYSTICK_STRIPE_API_KEY": "sk_test_1",
    "TALLYSTICK_STRIPE_API_URL": NOWHERE,
    "TALLYSTICK_STRIPE_PAYMENT_METHOD_TYPES": "card,link",
    "TALLYSTICK_ADYEN_API_KEY": "k",
    "TALLYSTICK_ADYEN_API_URL": NOWHERE,
    "TALLYSTICK_ADYEN_MERCHANT_ACCOUNT": "Shop",
    "TALLYSTICK_SIMULATOR_URL": NOWHERE,
}

#: One token of each provider.
TOKENS = {"simulator": "sim_ok", "stripe": "pm_card_visa", "adyen": "shopper-1.8416038790273850"}

#: Codes that no payment is made in, beside those that were taken once.
STRANGE = ("XXX", "XAU", "eur", "EURO", "")

EVERYTHING: dict[str, Any] = {
    "default": "stripe",
    "allowed": None,
    "switched_off": frozenset(),
    "capture_window_ms": 7,
    "due": {},
}


@pytest.fixture
async def connected() -> AsyncIterator[Mapping[str, Provider]]:
    """The connectors of all providers, behind their limits."""
    configured = load_settings(ENVIRONMENT, connectors=CONNECTOR_SETTINGS)
    providers = bounded_providers(configured, connected_providers(configured))
    assert providers.keys() == PROVIDERS.keys() == TOKENS.keys()
    yield providers
    for each in providers.values():
        await each.close()


def said(providers: Mapping[str, Provider], **chosen: Any) -> dict[str, Any]:
    """The JSON, as a client reads it, by provider."""
    body = json.loads(msgspec.json.encode(capabilities(providers, **EVERYTHING | chosen)))
    return {each["provider"]: each for each in body["providers"]}


def refused_at_the_door(providers: Mapping[str, Provider], body: dict[str, Any], **chosen: Any) -> set[tuple[str, str]]:
    """The fields that the door refuses, with their codes."""
    route = {"allowed": None, "switched_off": frozenset()} | chosen
    try:
        choose_provider(
            providers, parse_create_payment(body), merchant_default=None, platform_default="stripe", **route
        )
    except InvalidFields as refused:
        return {(error.field, error.code) for error in refused.errors}
    return set()


def refused_by(provider: dict[str, Any], method: dict[str, Any], amount: int, currency: str) -> set[tuple[str, str]]:
    """What a client concludes from the capabilities."""
    steps = {each["currency"]: each["amount_step"] for each in method["currencies"]}
    found = set()
    if not method["amount_min"] <= amount <= method["amount_max"]:
        found.add(("amount", "out_of_range"))
    if currency not in steps:
        found.add(("currency", "unknown_currency"))
    if found:
        return found
    if not provider["takes_new_payments"]:
        return {("provider", "unknown_provider")}
    return set() if amount % steps[currency] == 0 else {("amount", "not_representable")}


def amounts(method: dict[str, Any], currency: str) -> Iterator[int]:
    """On each side of every limit."""
    step = next((each["amount_step"] for each in method["currencies"] if each["currency"] == currency), 1)
    yield from {0, -1, 1, step - 1, step, step + 1, 10 * step + 5, 100 * step, 12_345}
    yield from (method["amount_max"] - 1, method["amount_max"], method["amount_max"] + 1)


async def test_every_amount_in_every_currency_is_refused_as_the_capabilities_say(
    connected: Mapping[str, Provider],
) -> None:
    refused: dict[str, set[str]] = {name: set() for name in connected}
    for name, provider in said(connected).items():
        for method in provider["payment_methods"]:
            for currency in (*EXPONENTS, *STRANGE):
                for amount in amounts(method, currency):
                    body = {
                        "amount": amount,
                        "currency": currency,
                        "payment_method": TOKENS[name],
                        "provider": name,
                    }
                    expected = refused_by(provider, method, amount, currency)
                    assert refused_at_the_door(connected, body) == expected, body
                    refused[name] |= {code for _, code in expected}
    every = {"out_of_range", "unknown_currency", "not_representable"}
    assert refused == dict.fromkeys(connected, every), "each of the refusals was met at each provider"


@pytest.mark.exhaustive
async def test_any_text_is_refused_as_a_token_as_the_capabilities_say(connected: Mapping[str, Provider]) -> None:
    """Also what no provider has ever seen."""
    shown = said(connected)
    shapes = st.from_regex(r"\A(sim|pm|card|src)_[a-z_0-9]{1,20}\Z") | st.from_regex(r"\A[a-z-]{2,4}[.][a-z0-9]{7,9}\Z")

    @settings(max_examples=100)
    @given(token=st.text(min_size=1, max_size=70) | shapes)
    def check(token: str) -> None:
        for name, provider in shown.items():
            patterns = [method["pattern"] for method in provider["payment_methods"]]
            known = any(re.fullmatch(pattern, token, re.ASCII) for pattern in patterns)
            assert connected[name].supports(token) is known

    check()


async def test_tokens_at_the_door(connected: Mapping[str, Provider]) -> None:
    for name, provider in said(connected).items():
        assert provider["payment_methods"]
        for token in (*TOKENS.values(), "4242", "pm_", "x.y", "sim_unknown", "sim_ok\n", "pm_" + "x" * 62):
            known = any(
                re.fullmatch(method["pattern"], token, re.ASCII) and len(token) <= method["max_length"]
                for method in provider["payment_methods"]
            )
            body = {"amount": 1_000, "currency": "EUR", "payment_method": token, "provider": name}
            refused = refused_at_the_door(connected, body)
            assert bool(refused) is not known, (name, token, refused)
            assert {field for field, _ in refused} <= {"payment_method"}


async def test_who_takes_new_payments(connected: Mapping[str, Provider]) -> None:
    chosen: dict[str, Any]
    for chosen in (
        {},
        {"switched_off": frozenset({"simulator"})},
        {"allowed": frozenset({"adyen", "simulator"})},
        {"allowed": frozenset({"adyen"}), "switched_off": frozenset({"adyen"})},
    ):
        for name, provider in said(connected, **chosen).items():
            body = {"amount": 1_000, "currency": "EUR", "payment_method": TOKENS[name], "provider": name}
            refused = refused_at_the_door(connected, body, **chosen)
            assert refused == (set() if provider["takes_new_payments"] else {("provider", "unknown_provider")})
            del body["provider"]
            if provider["is_default"]:
                assert refused_at_the_door(connected, body, **chosen) == set()
    assert [name for name, each in said(connected).items() if each["is_default"]] == ["stripe"]
    assert not any(each["is_default"] for each in said(connected, switched_off={"stripe"}).values())


async def test_traits_are_those_that_recovery_is_built_on(connected: Mapping[str, Provider]) -> None:
    for name, shown in said(connected).items():
        traits = connected[name].traits
        assert shown["account"] == connected[name].account
        assert (shown["look_up"], shown["deduplicates"]) == (traits.can_fetch, traits.deduplicates)
        assert shown["key_lifetime_ms"] == traits.key_lifetime_ms
        assert shown["settlement_delay_ms"] == traits.settling_time_ms
    found = said(connected)
    assert [name for name, each in found.items() if not each["look_up"]] == ["adyen"]
    assert [name for name, each in found.items() if not each["look_up_proves_absence"]] == ["adyen"]
    assert found["stripe"]["payment_methods"][0]["types"] == ["card", "link"]
    assert found["stripe"]["payment_methods"][0]["capture_window_ms"] == 7


async def test_what_may_still_happen_after_a_final_state(connected: Mapping[str, Provider]) -> None:
    body = json.loads(msgspec.json.encode(capabilities(connected, **EVERYTHING)))
    steps = {(each["object"], each["state"], each["event"], each["message"]) for each in body["after_final"]}
    assert {
        ("payment", "captured", "capture_reversed", "payment.capture_reversed"),
        ("payment", "declined", "late_capture", None),
        ("refund", "succeeded", "failed", "refund.failed"),
        ("dispute", "won", "contested", None),
    } <= steps
    assert {(kind, state) for kind, state, _, _ in steps} == {
        *(("payment", state) for state in ("captured", "declined", "failed", "canceled", "expired")),
        *(("refund", state) for state in ("succeeded", "failed")),
        *(("dispute", state) for state in ("won", "lost")),
    }
    assert ("payment", "declined", "late_effect", None) not in steps, "retired: it never happens again"
    assert {"cart", "inventory", "quotes", "tax", "kyc"} <= {each["what"] for each in body["out_of_scope"]}


async def test_each_provider_says_what_may_still_happen_there(connected: Mapping[str, Provider]) -> None:
    body = json.loads(msgspec.json.encode(capabilities(connected, **EVERYTHING)))
    every = body["after_final"]
    lacking = {
        each["provider"]: {step["event"] for step in every if step not in each["after_final"]}
        for each in body["providers"]
    }
    assert lacking == {
        "simulator": {"capture_added", "captured_and_refunded"},
        "stripe": {"capture_reversed", "capture_added", "captured_and_refunded"},
        "adyen": set(),
    }
    assert all(step in every for each in body["providers"] for step in each["after_final"])


class Strict(BookedProvider):
    """Captures holds whole, and refunds at once or never."""

    tokens = (PaymentTokens(types=("card",), pattern="sim_[a-z]+", partial_capture=False, refund_window_ms=0),)

    def supports(self, payment_method: str) -> bool:
        return self.kind_of_token(payment_method) is not None


class Lenient(Strict):
    """Captures parts, and refunds whenever."""

    tokens = (PaymentTokens(types=("card",), pattern="sim_[a-z]+", partial_capture=True),)


@pytest.mark.parametrize("bank", [Strict, Lenient])
async def test_captures_and_refunds(database: Database, fresh_merchant: str, bank: type[Strict]) -> None:
    async with inside(database, fresh_merchant, bank()) as api:
        (provider,) = (await api.client.get("/v1/capabilities")).json()["providers"]
        (method,) = provider["payment_methods"]

        async def ask(payment_id: str, what: str, **body: int) -> Any:
            key = {"Idempotency-Key": new_id("req")}
            return await api.client.post(f"/v1/payments/{payment_id}/{what}", json=body, headers=key)

        held = await new_payment(api, "manual")
        part = await ask(held, "capture", amount=400)
        if method["partial_capture"]:
            assert (part.status_code, part.json()["amount_captured"]) == (200, 400)
        else:
            assert codes(part) == [("amount", "not_partial")]
            assert (await ask(held, "capture", amount=1_000)).json()["amount_captured"] == 1_000
        assert method["repeated_capture"] is False
        assert_problem(await ask(held, "capture"), 409, "transition_rejected")

        paid = await new_payment(api, "automatic")
        first = await ask(paid, "refunds", amount=300)
        if method["refund_window_ms"] is None:
            assert first.status_code == 201
            assert method["repeated_refund"] is True
            assert (await ask(paid, "refunds", amount=200)).status_code == 201
        else:
            assert codes(first) == [("payment", "too_late")]


async def new_payment(api: Inside, capture_method: str) -> str:
    payment_id: str = (await api.pay(capture_method=capture_method)).json()["id"]
    return payment_id


def codes(answer: Any) -> list[tuple[str, str]]:
    """The fields of a 422, with their codes."""
    return [(error["field"], error["code"]) for error in assert_problem(answer, 422, "validation_failed")["errors"]]


async def test_when_money_is_due_is_what_a_payment_goes_by(database: Database, fresh_merchant: str) -> None:
    """The calendar of the account, in the parts that a client needs to compute the same."""
    due = "simulator/main=target-v1+2@17:00 Europe/Berlin"
    async with inside(database, fresh_merchant, BookedProvider(), settlement_due=due) as api:
        (provider,) = (await api.client.get("/v1/capabilities")).json()["providers"]
        told = provider["settlement_due"]
        assert told == {"calendar": "target-v1", "business_days": 2, "cut_off": "17:00", "zone": "Europe/Berlin"}
        cut_off = time.fromisoformat(told["cut_off"])
        rule = DueRule(calendar=told["calendar"], days=told["business_days"], cut_off=cut_off, zone=told["zone"])
        path = f"/v1/payments/{(await api.pay()).json()['id']}"
        due_at = (await api.client.get(path)).json()["reconciliation"]["due"]
        captured_at = (await api.client.get(f"{path}/history")).json()["data"][-1]["at"]
        assert datetime.fromisoformat(due_at) == rule.due_at(datetime.fromisoformat(captured_at))


async def test_an_account_without_a_calendar_has_no_due_date(connected: Mapping[str, Provider]) -> None:
    whole_day = DueRule(calendar="weekdays-v1", days=1, cut_off=time.max, zone="UTC")
    by_name = said(connected, due={("stripe", "main"): whole_day, ("adyen", "other"): whole_day})
    shown = {"calendar": "weekdays-v1", "business_days": 1, "cut_off": None, "zone": "UTC"}
    assert {name: each["settlement_due"] for name, each in by_name.items()} == {
        "stripe": shown,
        "adyen": None,
        "simulator": None,
    }
