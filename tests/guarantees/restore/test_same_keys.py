"""An older back-up is restored, and clients send the lost instructions again with the same keys: each provider, each
instruction. What a key stands for is another attempt's, so absence proves nothing, nothing is sent again, nothing ends
as failed; a person gets one alert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import asyncpg
import pytest
from structlog.testing import capture_logs

from tallystick.domain.finding import FINDINGS
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.in_doubt import NotInDoubt
from tallystick.flows.runtime import Runtime
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.record.postgres.recovery_schedule import RecoverySchedule
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.adyen.client import SETTINGS as ADYEN_SETTINGS
from tests.support.adyen.client import Shop as AdyenShop
from tests.support.adyen.client import adyen_runtime
from tests.support.adyen.process import FakeAdyen, fake_adyen
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async
from tests.support.restored import back_up
from tests.support.runtime import HURRIED, Client, read
from tests.support.stripe.client import SETTINGS as STRIPE_SETTINGS
from tests.support.stripe.client import Shop as StripeShop
from tests.support.stripe.client import stripe_runtime
from tests.support.stripe.fake_stripe import fake_stripe
from tests.support.work import working

Open = Callable[[Database], Any]

#: Nothing here times out, whatever the machine is busy with: ``settled`` moves the attempt's times instead.
PATIENT_MS = 30_000
SETTINGS = replace(HURRIED, send_window_ms=PATIENT_MS, provider_request_timeout_ms=PATIENT_MS, recovery_checks_limit=50)

#: (provider, operation) -> how the same instruction ends on the restored record. Written by hand.
#: Stripe's captures and cancels name no attempt: the same request again is answered with the charge as it is.
ENDS = {
    ("simulator", "create"): "key_taken",
    ("simulator", "capture"): "key_taken",
    ("simulator", "cancel"): "key_taken",
    ("simulator", "refund"): "key_taken",
    ("stripe", "create"): "key_taken",
    ("stripe", "capture"): "captured",
    ("stripe", "cancel"): "canceled",
    ("stripe", "refund"): "key_taken",
    ("adyen", "create"): "key_taken",
    ("adyen", "capture"): "key_taken",
    ("adyen", "cancel"): "key_taken",
    ("adyen", "refund"): "key_taken",
}


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


class Programs(NamedTuple):
    """The banks that are processes of their own: started once, since each test's keys and merchant are new there."""

    acquirer: AcquirerProcess
    adyen: FakeAdyen


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    books = tmp_path_factory.mktemp("banks")
    with acquirer(books / "acquirer.sqlite") as bank, fake_adyen(books / "adyen.sqlite") as adyen:
        yield Programs(bank, adyen)


@asynccontextmanager
async def opened(
    provider: str, programs: Programs
) -> AsyncIterator[tuple[Open, Callable[[Runtime, str, Database], Any]]]:
    """How a runtime with this provider is opened on a database, and its client."""
    async with AsyncExitStack() as stack:
        match provider:
            case "simulator":
                yield (
                    lambda database: simulator_runtime(database, programs.acquirer),
                    lambda runtime, m, _: Client(runtime, m),
                )
            case "stripe":
                fake = await stack.enter_async_context(fake_stripe(deduplicates=True))
                settings = replace(
                    STRIPE_SETTINGS,
                    max_delivery_delay_ms=300,
                    send_window_ms=PATIENT_MS,
                    provider_request_timeout_ms=PATIENT_MS,
                )
                settings = settings.with_connector(StripeSettings, deduplicates=True)
                yield (
                    lambda database: stripe_runtime(database, fake.url, settings),
                    lambda runtime, m, _: StripeShop(runtime, m),
                )
            case _:
                patient = replace(ADYEN_SETTINGS, send_window_ms=PATIENT_MS, provider_request_timeout_ms=PATIENT_MS)
                yield (
                    lambda database: adyen_runtime(database, programs.adyen.url, patient),
                    lambda runtime, m, database: AdyenShop(runtime, m, database, programs.adyen),
                )


@asynccontextmanager
async def simulator_runtime(database: Database, bank: AcquirerProcess) -> AsyncIterator[Runtime]:
    settings = SETTINGS.with_connector(SimulatorSettings, url=bank.url)
    async with open_runtime(settings, database.app_url) as runtime, working(runtime, "recovery"):
        yield runtime


def instruction(shop: Any, operation: str, payment_id: str | None) -> Callable[[], Awaitable[Reply]]:
    """The lost instruction: the same bytes under the same key each time."""
    if operation == "create":
        return lambda: shop.create("lost")
    sends: dict[str, Callable[[], Awaitable[Reply]]] = {
        "capture": lambda: shop.capture("lost", payment_id),
        "cancel": lambda: shop.cancel("lost", payment_id),
        "refund": lambda: shop.refund("lost", payment_id, 400),
    }
    return sends[operation]


async def steps_of(runtime: Runtime, merchant_id: str, key: str) -> list[str]:
    """The steps of the attempt of an instruction."""
    rows = await runtime.pool.fetch(
        "SELECT t.event FROM history t"
        " JOIN attempt a ON a.merchant_id = t.merchant_id AND a.attempt_id = t.subject_id"
        " WHERE a.merchant_id = $1 AND a.idempotency_key = $2 ORDER BY t.version",
        merchant_id,
        key,
    )
    return [row["event"] for row in rows]


async def settled(database: Database) -> None:
    """The sender's deadline and the settling time of the lost instruction are over. One that is parked already is not
    looked at again."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(
            "UPDATE attempt SET deadline = now(), settled_after = now(),"
            " next_check_at = CASE WHEN parked_at IS NULL THEN now() ELSE next_check_at END"
            " WHERE idempotency_key = 'lost'"
        )
    finally:
        await owner.close()


async def attempt_of_key(runtime: Runtime, merchant_id: str, key: str) -> Any:
    return await runtime.pool.fetchrow(
        "SELECT * FROM attempt WHERE merchant_id = $1 AND idempotency_key = $2", merchant_id, key
    )


@pytest.mark.parametrize(("provider", "operation"), ENDS)
async def test_the_same_key_on_a_restored_record(
    new_database: NewDatabase,
    fresh_merchant: str,
    programs: Programs,
    logged: list[MutableMapping[str, Any]],
    provider: str,
    operation: str,
) -> None:
    database = new_database()
    async with opened(provider, programs) as (open_on, shop_on):
        payment_id: str | None = None
        if operation != "create":
            async with open_on(database) as runtime:
                shop = shop_on(runtime, fresh_merchant, database)
                payment_id = read(await shop.create("first", manual=operation != "refund"))["id"]
        restored = back_up(database)
        async with open_on(database) as runtime:
            first = await instruction(shop_on(runtime, fresh_merchant, database), operation, payment_id)()
            assert first.status < 300
        logged.clear()
        async with open_on(restored) as runtime:
            shop = shop_on(runtime, fresh_merchant, restored)
            send = instruction(shop, operation, payment_id)
            again = await send()
            if ENDS[provider, operation] != "key_taken":
                assert (again.status, read(again)["state"]) == (200, ENDS[provider, operation])
                assert await steps_of(runtime, fresh_merchant, "lost") == ["submit", "approved"]
                return
            assert again.status == 202
            await settled(restored)
            steps = await eventually_async(
                lambda: steps_of(runtime, fresh_merchant, "lost"), until=lambda steps: "parked" in steps
            )
            assert steps == ["submit", "key_taken", "parked"]
            attempt = await attempt_of_key(runtime, fresh_merchant, "lost")
            assert (attempt["key_taken"], attempt["state"], attempt["provider_reference"]) == (True, "unknown", None)
            final = await send()
            assert (final.status, read(final)["in_doubt"]) == (202, True)
            await person_settles(runtime, fresh_merchant, provider, send)
        alerts = [line for line in logged if line.get("alert")]
        assert [line["event"] for line in alerts] == ["attempt is in doubt"]


async def person_settles(
    runtime: Runtime, merchant_id: str, provider: str, send: Callable[[], Awaitable[Reply]]
) -> None:
    """Only with a reference; and what the acquirer has under the key is shown, with the other attempt's name."""
    attempt = await attempt_of_key(runtime, merchant_id, "lost")
    loaded = await runtime.reads.load(merchant_id, attempt["payment_id"])
    assert loaded is not None
    stored = loaded.stored.attempt(attempt["attempt_id"])
    held = await in_doubt.held_by_key(runtime, stored)
    reference = "ref_seen_by_a_person"
    if provider == "simulator":
        assert held is not None and held["attempt_id"] != stored.attempt_id
        assert (held["operation"], held["amount"]) == (stored.operation, stored.amount)
        reference = held["reference"]
    else:
        assert held is None
    book = RecoverySchedule(runtime.pool, runtime.clock)
    words = {"evidence": "the provider's dashboard", "actor": "jo", "reason": "restored"}
    for outcome in FINDINGS:
        with pytest.raises(NotInDoubt, match="--reference"):
            await in_doubt.resolve(runtime, book, stored.attempt_id, outcome, **words)
    await in_doubt.resolve(runtime, book, stored.attempt_id, "executed", **words, reference=reference)
    answer = await send()
    assert answer.status in (200, 201)
    after = await attempt_of_key(runtime, merchant_id, "lost")
    assert (after["state"], after["key_taken"], after["provider_reference"]) == ("approved", True, reference)
