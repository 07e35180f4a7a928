"""With a clock that is five minutes off, every answer and effect is as without it, except that nothing becomes
``not_found``: the absence of a charge is no evidence, and a person decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.providers.stripe.setup import StripeSettings
from tests.support.database import Database
from tests.support.host_clock import set_host_clock
from tests.support.polling import eventually_async
from tests.support.runtime import read
from tests.support.stripe.client import SETTINGS, Shop, stripe_runtime
from tests.support.stripe.fake_stripe import FakeStripe, fake_stripe

FIVE_MINUTES_MS = 300_000

#: Which clock is off, and by how much: this host's, or Stripe's beside a host and a database that agree.
SKEWS = {
    "host_ahead": (FIVE_MINUTES_MS, 0),
    "host_behind": (-FIVE_MINUTES_MS, 0),
    "provider_ahead": (0, FIVE_MINUTES_MS),
    "provider_behind": (0, -FIVE_MINUTES_MS),
}

#: Settled soon, and given up on soon: what is waited for here is recovery's last word. An attempt settles 1,100 ms
#: after it was sent; thirty look-ups take 1,420 ms at least, so it is not given up on before.
HURRIED = replace(SETTINGS, max_delivery_delay_ms=300, recovery_checks_limit=30, resubmit_limit=2)

#: operation -> the state that the answer has in the end, and what Stripe's books hold. Written by hand.
ENDS = {
    "create": ("captured", {"succeeded": 1_000}),
    "capture": ("captured", {"succeeded": 1_000}),
    "cancel": ("canceled", {"canceled": 0}),
    "refund": ("succeeded", {"succeeded": 1_000}),
}


@pytest.fixture(params=SKEWS)
def skew(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["deduplicates", "forgets_keys"])
def deduplicates(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


@asynccontextmanager
async def scene(
    database: Database, monkeypatch: pytest.MonkeyPatch, skew: str | None, deduplicates: bool
) -> AsyncIterator[tuple[Runtime, FakeStripe]]:
    host_ms, provider_ms = (0, 0) if skew is None else SKEWS[skew]
    set_host_clock(monkeypatch, host_ms)
    settings = HURRIED.with_connector(StripeSettings, deduplicates=deduplicates)
    async with (
        fake_stripe(deduplicates=deduplicates, clock_ms=provider_ms) as bank,
        stripe_runtime(database, bank.url, settings) as runtime,
    ):
        yield runtime, bank


async def instructed(shop: Shop, operation: str) -> tuple[dict[str, Any], Callable[[], Awaitable[Reply]]]:
    """What the operation acts on, and the instruction itself."""
    if operation == "create":
        return {}, lambda: shop.create("key")
    payment = await shop.charge("first", manual=operation != "refund")
    assert payment["state"] == ("captured" if operation == "refund" else "authorized")
    send: dict[str, Callable[[], Awaitable[Reply]]] = {
        "capture": lambda: shop.capture("key", payment["id"]),
        "cancel": lambda: shop.cancel("key", payment["id"]),
        "refund": lambda: shop.refund("key", payment["id"]),
    }
    return payment, send[operation]


async def events_of(runtime: Runtime, payment_id: str) -> list[str]:
    """The steps of a payment's attempts."""
    rows = await runtime.pool.fetch(
        "SELECT event FROM transition WHERE stream_id = $1 AND subject = 'attempt' ORDER BY at", payment_id
    )
    return [row["event"] for row in rows]


async def parked(runtime: Runtime, payment_id: str) -> None:
    """Return once a person has the attempt."""
    await eventually_async(lambda: events_of(runtime, payment_id), until=lambda events: "parked" in events)


@pytest.mark.parametrize("operation", ENDS)
async def test_a_lost_answer_is_found(
    database: Database,
    fresh_merchant: str,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    skew: str,
    deduplicates: bool,
) -> None:
    async with scene(database, monkeypatch, skew, deduplicates) as (runtime, bank):
        shop = Shop(runtime, fresh_merchant)
        payment, send = await instructed(shop, operation)
        before = len(bank.posts)
        bank.lose = 1
        final = await shop.until_final(send)
        state, books = ENDS[operation]
        assert final["state"] == state
        payment_id = payment.get("id", final["id"])
        found = {each["status"]: each["amount_received"] for each in bank.of_payment(payment_id)}
        assert found == books
        assert len(bank.of_payment(payment_id)) == 1
        assert len(bank.refunds) == (operation == "refund")
        assert len(bank.posts) == before + 1, "nothing was sent again"
        assert "not_found" not in await events_of(runtime, payment_id)


@pytest.mark.parametrize("operation", ENDS)
async def test_what_never_happened_is_no_evidence(
    database: Database,
    fresh_merchant: str,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[MutableMapping[str, Any]],
    operation: str,
    skew: str,
    deduplicates: bool,
) -> None:
    """The instruction stays in doubt, is sent once, and ends with a person; it never ends as failed."""
    async with scene(database, monkeypatch, skew, deduplicates) as (runtime, bank):
        shop = Shop(runtime, fresh_merchant)
        payment, send = await instructed(shop, operation)
        sent_before = len(bank.posts)
        bank.refuse = 1
        answer = await send()
        assert answer.status == 202
        payment_id = payment.get("id") or read(answer)["id"]
        await parked(runtime, payment_id)
        events = await events_of(runtime, payment_id)
        assert not {"not_found", "resubmit", "give_up"} & set(events)
        assert len(bank.posts) == sent_before
        again = await send()
        assert (again.status, read(again)["in_doubt"]) == (202, True)
    clocks = [line for line in logged if line.get("alert") and line["event"].startswith("clock is off")]
    assert [line["clock"] for line in clocks].count("stripe") == 1, "one alert a crossing"
    assert ("database" in [line["clock"] for line in clocks]) == skew.startswith("host")


async def test_with_right_clocks_absence_is_evidence(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, deduplicates: bool
) -> None:
    """The other side of the table: the same fault, and the instruction is carried out after all."""
    async with scene(database, monkeypatch, None, deduplicates) as (runtime, bank):
        shop = Shop(runtime, fresh_merchant)
        bank.refuse = 1
        final = await shop.until_final(lambda: shop.create("key"))
        assert final["state"] == "captured"
        assert len(bank.of_payment(final["id"])) == 1
        assert "not_found" in await events_of(runtime, final["id"])


async def test_the_clocks_can_be_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, fresh_merchant: str, skew: str
) -> None:
    """As values, to a second: what readiness shows."""
    host_ms, provider_ms = SKEWS[skew]
    async with scene(database, monkeypatch, skew, True) as (runtime, _):
        await Shop(runtime, fresh_merchant).charge("key")
        readings = {each.clock: each for each in runtime.clocks.readings()}
        assert set(readings) == {"database", "stripe"}
        for name, expected in (("database", host_ms), ("stripe", host_ms - provider_ms)):
            assert abs(readings[name].skew_ms - expected) <= readings[name].uncertainty_ms + 50
            assert readings[name].beyond_margin is (expected != 0)


async def test_the_process_keeps_the_databases_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, skew: str
) -> None:
    """History, signatures that we check and signatures that we make are on the database's clock."""
    async with scene(database, monkeypatch, skew, True) as (runtime, _):
        theirs = await runtime.pool.fetchval("SELECT clock_timestamp()")
        assert abs((runtime.clock.now() - theirs).total_seconds()) < 2
