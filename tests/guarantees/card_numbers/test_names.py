"""A provider whose names for things look like card numbers: they are sealed, shown masked and alerted once, and the
payment lives as any other does."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest
from structlog.testing import capture_logs

from tallystick.flows.provider_words import SEALED
from tallystick.flows.recovery import in_doubt
from tallystick.flows.webhooks.inbound.kept_bytes import KeptBytes
from tallystick.oversight.invariants import verify
from tallystick.providers.assembly import receivers
from tallystick.providers.registry import PROVIDERS
from tests.support.card_app import SETTINGS, App, app_of, found_in, rows
from tests.support.card_bank import DIALECTS, serving
from tests.support.card_names import Named, names
from tests.support.database import Database
from tests.support.in_doubt import PATIENT, in_lane
from tests.support.inbox import drain
from tests.support.runtime import BookedProvider, Client, read, runtime_of

SHOWN = re.compile(r"sealed:\*{14,19}:[A-Za-z0-9_-]+")


async def states(app: App) -> list[tuple[str, ...]]:
    """What became of each event."""
    return [tuple(row) for row in await app.runtime.pool.fetch("SELECT type, state, detail FROM inbox")]


def test_every_provider_is_held_to_it() -> None:
    assert DIALECTS.keys() == PROVIDERS.keys()


@pytest.mark.parametrize("provider", DIALECTS)
async def test_a_whole_life(database: Database, fresh_merchant: str, provider: str) -> None:
    """Authorized, captured, refunded here and there, disputed; each by the provider's own names."""
    bank, dialect, merchant = Named(provider), DIALECTS[provider], f"{fresh_merchant}{provider[:3]}"
    with capture_logs() as logged:
        async with serving(bank.answer) as url:
            settings = dialect.settings(SETTINGS, url)
            async with app_of(database, merchant, settings, provider) as app:
                made = await app.pay(provider, dialect.method, capture_method="manual")
                path = f"/v1/payments/{made['id']}"
                assert made["state"] == "authorized"
                assert SHOWN.fullmatch(made["provider_reference"])

                captured = await app.post(f"{path}/capture", {})
                await app.deliver(bank.tell("capture"))
                await drain(app.runtime)
                assert (await app.get(path))["state"] == "captured", captured
                refund = await app.post(f"{path}/refunds", {"amount": 300})
                assert SHOWN.fullmatch(refund["provider_reference"] or "")
                for what in ("refund", "dashboard_refund", "dispute", "dispute"):
                    await app.deliver(bank.tell(what))
                await drain(app.runtime)

                after = await app.get(path)
                assert (after["amount_captured"], after["amount_refunded"]) == (1000, 500), await states(app)
                assert (await app.get(f"/v1/refunds/{refund['id']}"))["state"] == "succeeded"
                [dispute] = (await app.get("/v1/disputes", payment=made["id"]))["data"]
                assert dispute["funds_withdrawn"] and SHOWN.fullmatch(dispute["provider_reference"])
                found = await app.get("/v1/payments", provider_reference=after["provider_reference"])
                assert [each["id"] for each in found["data"]] == [made["id"]]
                events = await app.runtime.pool.fetch("SELECT event_id FROM inbox WHERE payment_id = $1", made["id"])
                await app.ask_everything([made["id"], refund["id"], dispute["id"], *(row[0] for row in events)])
                await assert_read_again(app, provider)

    asked = [each for each in bank.asked if each.startswith("POST")]
    assert len(asked) == 3 and all(bank.names.charge in each for each in asked[1:]), "it hears the names that it gave"
    kept = await rows(database)
    for number in bank.names:
        assert not found_in(kept, number)
        assert not found_in([*app.heard, *map(str, logged)], number)
    alerts = [line for line in logged if line.get("what") == SEALED]
    assert [line["since_last_line"] for line in alerts[:1]] == [1] and len(alerts) == 2, "one, and the count at the end"
    connection = await asyncpg.connect(database.owner_url)
    try:
        report = await verify(connection, settings=settings, merchant_id=merchant)
    finally:
        await connection.close()
    assert report.holds, report


async def assert_read_again(app: App, provider: str) -> None:
    """Every event is found in its kept bytes, by the name that is kept of it."""
    runtime = app.runtime
    kept = KeptBytes(runtime.stores.inbox, receivers(runtime.settings), runtime.sealer, runtime.words)
    events = await runtime.pool.fetch("SELECT event_id FROM inbox WHERE provider = $1", provider)
    for (event_id,) in events:
        event = await runtime.stores.inbox.event(event_id)
        assert event is not None
        assert (await kept.envelope(event, event.received_at)).provider_event_id == event.provider_event_id


def test_a_person_names_a_charge(database: Database, fresh_merchant: str) -> None:
    """By the number that the provider's own pages show, or by what we show of it."""
    charge = names("simulator").charge
    payment_id, attempt_id = in_lane(database, fresh_merchant)

    async def settled() -> tuple[str | None, str]:
        bank = BookedProvider()
        async with runtime_of(database.app_url, bank, settings=PATIENT) as runtime:
            about = {"evidence": "books", "actor": "jo", "reason": "looked", "reference": charge}
            await in_doubt.resolve(runtime, runtime.stores.schedule_book, attempt_id, "executed", **about)
            client = Client(runtime, fresh_merchant)
            refund = read(await client.refund("back", payment_id, 100))
            assert refund["state"] == "succeeded"
            shown = read(await client.create("doubtful"))["provider_reference"]
            assert runtime.words.given_name(shown, "simulator") == shown
            return bank.calls[-1].parent_reference, shown

    heard, shown = asyncio.run(settled())
    assert heard == charge and SHOWN.fullmatch(shown)
    assert not found_in(asyncio.run(rows(database)), charge)
