"""With a clock that is five minutes off, every answer and effect is as without it, except that nothing becomes
``not_found``: the absence of a charge is no evidence, and a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.providers.stripe.setup import StripeSettings
from tests.support.database import DEEP, Database
from tests.support.host_clock import set_host_clock
from tests.support.pairs import pairs
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


#: What never happened is waited for until nobody looks any more, which takes seconds: without depth one of each clock.
NO_EVIDENCE = tuple(SKEWS) if DEEP else ("host_behind", "provider_ahead")


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


class Instructed(NamedTuple):
    """An instruction, and the payment that it acts on; a create's is there once it was sent."""

    send: Callable[[], Awaitable[Reply]]
    payment_id: str | None


async def instructed(shop: Shop, operation: str) -> Instructed:
    """What the operation acts on, and the instruction itself."""
    if operation == "create":
        return Instructed(lambda: shop.create(operation), None)
    payment = await shop.charge(f"before-{operation}", manual=operation != "refund")
    assert payment["state"] == ("captured" if operation == "refund" else "authorized")
    send: dict[str, Callable[[], Awaitable[Reply]]] = {
        "capture": lambda: shop.capture(operation, payment["id"]),
        "cancel": lambda: shop.cancel(operation, payment["id"]),
        "refund": lambda: shop.refund(operation, payment["id"]),
    }
    return Instructed(send[operation], payment["id"])


async def events_of(runtime: Runtime, payment_id: str) -> list[str]:
    """The steps of a payment's attempts."""
    rows = await runtime.pool.fetch(
        "SELECT event FROM history WHERE stream_id = $1 AND subject = 'attempt' ORDER BY at", payment_id
    )
    return [row["event"] for row in rows]


async def parked(runtime: Runtime, payment_id: str) -> None:
    """Return once a person has the attempt."""
    await eventually_async(lambda: events_of(runtime, payment_id), until=lambda events: "parked" in events)


@pytest.mark.parametrize(("skew", "deduplicates"), pairs(tuple(SKEWS), {"deduplicates": True, "forgets_keys": False}))
async def test_a_lost_answer_is_found(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, skew: str, deduplicates: bool
) -> None:
    """Each operation, side by side: they wait for the same time to pass."""
    async with scene(database, monkeypatch, skew, deduplicates) as (runtime, bank):
        shop = Shop(runtime, fresh_merchant)
        given = {operation: await instructed(shop, operation) for operation in ENDS}
        before = len(bank.posts)
        bank.lose = len(ENDS)
        finals = await asyncio.gather(*(shop.until_final(one.send) for one in given.values()))
        assert (bank.lose, len(bank.posts)) == (0, before + len(ENDS)), "nothing was sent again"
        for (operation, one), final in zip(given.items(), finals, strict=True):
            state, books = ENDS[operation]
            assert (operation, final["state"]) == (operation, state)
            payment_id = one.payment_id or final["id"]
            [intent] = bank.of_payment(payment_id)
            assert {intent["status"]: intent["amount_received"]} == books
            refunds = [each for each in bank.refunds if each["payment_intent"] == intent["id"]]
            assert len(refunds) == (operation == "refund")
            assert "not_found" not in await events_of(runtime, payment_id)


@pytest.mark.parametrize(("skew", "deduplicates"), pairs(NO_EVIDENCE, {"forgets_keys": False, "deduplicates": True}))
async def test_what_never_happened_is_no_evidence(
    database: Database,
    fresh_merchant: str,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[MutableMapping[str, Any]],
    skew: str,
    deduplicates: bool,
) -> None:
    """Each operation stays in doubt, is sent once, and ends with a person; it never ends as failed."""
    async with scene(database, monkeypatch, skew, deduplicates) as (runtime, bank):
        shop = Shop(runtime, fresh_merchant)
        given = [await instructed(shop, operation) for operation in ENDS]
        sent_before = len(bank.posts)
        bank.refuse = len(ENDS)
        answers = await asyncio.gather(*(one.send() for one in given))
        assert [answer.status for answer in answers] == [202] * len(ENDS)
        payment_ids = [one.payment_id or read(answer)["id"] for one, answer in zip(given, answers, strict=True)]
        await asyncio.gather(*(parked(runtime, payment_id) for payment_id in payment_ids))
        for payment_id in payment_ids:
            assert not {"not_found", "resubmit", "give_up"} & set(await events_of(runtime, payment_id))
        assert (bank.refuse, len(bank.posts)) == (0, sent_before)
        for one in given:
            again = await one.send()
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
