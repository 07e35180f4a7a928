"""A platform with something of everything that the console shows, and with what an attacker writes where others can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import sin
from typing import Any, Final, NamedTuple

import asyncpg

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.resubmission import park
from tallystick.domain.alert import Found
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Declined, Verdict
from tallystick.flows.latencies import call_name
from tallystick.flows.operations.alerts import raise_alert
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.oversight.overview import RATES, SAMPLES
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.refused_webhooks import RefusedWebhooks
from tests.support.acts import refused_event
from tests.support.database import Database, NewDatabase
from tests.support.heard import hear
from tests.support.inbox import accept, envelope
from tests.support.restored import back_up
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, runtime_of, timed_out

#: What a page must show as letters, and never as markup.
HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>'\"&"

#: What the provider answers with such a refusal: markup, a card number and a secret.
ANSWER = json.dumps(
    {
        "code": "card_declined",
        "advice": "do_not_try_again",
        "message": HOSTILE,
        "card": "4111 1111 1111 1111",
        "client_secret": "quokkamarmalade",
    },
    indent=2,
)

#: Nothing recovers here but the operator, and no deadline makes a test wait.
PATIENT = replace(SETTINGS, recovery_backoff_base_ms=60_000, recovery_backoff_cap_ms=60_000)


#: A scene is copied for so long: its rows are some minutes and hours old, and pages say how old.
COPIED_FOR: Final = timedelta(seconds=20)

#: A kind of refused webhooks.
FORGED = ("simulator", "main", "webhook_signature_invalid")


class Scene(NamedTuple):
    """Ids of what there is. ``hostile``: a payment whose provider wrote markup wherever it could. ``refused_kind``: of
    refused webhooks."""

    merchant_id: str
    payment_id: str
    hostile: str
    in_doubt: str
    late: str
    case_id: str
    event_ids: list[str]
    alert_id: str
    endpoint_id: str
    refused_kind: str


async def scene(database: Database, merchant_id: str, dead_letters: int = 3) -> Scene:
    """Make it. Dead letters are events whose payment nobody knows."""
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider, settings=PATIENT) as runtime:
        await runtime.pool.execute(
            "INSERT INTO merchant (merchant_id, created_at) VALUES ($1, now()) ON CONFLICT DO NOTHING", merchant_id
        )
        client = Client(runtime, merchant_id)
        endpoint_id = await _endpoint(runtime, merchant_id)
        paid = str(read(await client.create("order-1042", 4_250, manual=True))["id"])
        await client.capture("order-1042-capture", paid)
        await client.refund("order-1042-refund", paid, 1_250)
        await client.create("order-1042", 4_250, manual=True)
        hostile = await _hostile(runtime, provider, client)
        doubtful = await _in_doubt(runtime, provider, client)
        late = await _late(runtime, provider, client)
        refused = str(read(await client.create("order-1047", 990))["id"])
        loaded = await runtime.reads.load(merchant_id, refused)
        assert loaded is not None
        await refused_event(runtime, database, loaded.stored)
        events = await _dead(runtime, database, loaded.stored.payment, dead_letters)
        case_id = str(
            await runtime.pool.fetchval("SELECT case_id FROM rejected_case WHERE merchant_id = $1", merchant_id)
        )
        alert_id = await _alert(runtime)
        refused_kind = await refuse(runtime, FORGED, 12, hours=3)
    await _past(database)
    return Scene(merchant_id, paid, hostile, doubtful, late, case_id, events, alert_id, endpoint_id, refused_kind)


class _Made(NamedTuple):
    """A scene that nobody has touched."""

    database: Database
    scene: Scene
    at: datetime


_made: dict[int, _Made] = {}


async def copied_scene(
    new_database: NewDatabase, dead_letters: int = 3, *, copied_for: timedelta = COPIED_FOR
) -> tuple[Database, Scene]:
    """A database of this test alone with the scene, of the merchant "shop": a copy of one that was made a moment ago,
    because to make one takes longer than most tests that look at it."""
    made, now = _made.get(dead_letters), utc_now()
    if made is None or now - made.at >= copied_for or now.hour != made.at.hour:  # some of it is of an hour
        database = new_database()
        made = _made[dead_letters] = _Made(database, await scene(database, "shop", dead_letters), now)
    return back_up(made.database), made.scene


async def _hostile(runtime: Runtime, provider: BookedProvider, client: Client) -> str:
    async def refuses(_: ProviderCall) -> Verdict:
        hear(402, ANSWER.encode(), {"content-type": "application/json", "server": HOSTILE, "set-cookie": "a=b"})
        return Declined(code="card_declined", message=HOSTILE)

    provider.before = refuses
    made = str(read(await client.create(HOSTILE[:60], 700))["id"])
    provider.before = None
    return made


async def _in_doubt(runtime: Runtime, provider: BookedProvider, client: Client) -> str:
    provider.after = timed_out
    payment_id = str(read(await client.create("order-1044", 12_000))["id"])
    provider.after = None
    loaded = await runtime.reads.load(client.merchant_id, payment_id)
    assert loaded is not None
    [attempt] = loaded.stored.attempts
    step = Cause(change_id=new_id("chg"), at=utc_now(), trigger="recovery", actor="recovery")
    await runtime.journal.commit(park(loaded.stored, attempt.attempt_id, step))
    return attempt.attempt_id


async def _late(runtime: Runtime, provider: BookedProvider, client: Client) -> str:
    async def refuses(_: ProviderCall) -> Verdict:
        return Declined(code="card_declined", message="No.")

    provider.before = refuses
    payment_id = str(read(await client.create("order-1045", 3_300))["id"])
    provider.before = None
    loaded = await runtime.reads.load(client.merchant_id, payment_id)
    assert loaded is not None
    [attempt] = loaded.stored.attempts
    said = Approved(amount=3_300, currency="EUR", effect="captured", reference="ch_late")
    await settle_verdict(runtime, loaded.stored, attempt.attempt_id, said, cause="webhook", actor="provider:simulator")
    return payment_id


async def _dead(runtime: Runtime, database: Database, payment: Payment, count: int) -> list[str]:
    """Events that no try processes: their charge is unknown, and every try of theirs is spent."""
    notice = AttemptNotice(
        operation="authorize",
        attempt_id=new_id("att"),
        verdict=Approved(amount=500, currency="EUR", effect="captured", reference="ch_nobodys"),
    )
    made = [
        envelope(
            new_id("req"),
            notice,
            payment=payment if number % 2 else None,
            type=f"charge.{HOSTILE if number == 0 else 'captured'}",
        )
        for number in range(count)
    ]
    await accept(database, made)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(
            "UPDATE inbox SET state = 'dead', next_try_at = NULL, tries = 8, closed_at = now() - interval '40 minutes',"
            " detail = $2 WHERE event_id = ANY ($1)",
            [each.event_id for each in made],
            f"its payment is not known {HOSTILE}",
        )
    finally:
        await owner.close()
    return [each.event_id for each in made]


async def _endpoint(runtime: Runtime, merchant_id: str) -> str:
    """One whose address an attacker chose."""
    endpoint_id = new_id("we")
    await runtime.pool.execute(
        "INSERT INTO webhook_endpoint (merchant_id, endpoint_id, url, state, created_at) VALUES ($1, $2, $3, 'enabled',"
        " now())",
        merchant_id,
        endpoint_id,
        f"https://shop.example/{HOSTILE}",
    )
    return endpoint_id


async def refuse(runtime: Runtime, kind: tuple[str, str, str], number: int, hours: int = 0) -> str:
    """Webhooks of a kind (provider, account, reason) that were refused so many hours ago. Returns the kind's id."""
    hour = (runtime.clock.now() - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    await runtime.stores.refused_webhooks.add({(*kind, hour): number})
    return RefusedWebhooks(provider=kind[0], account=kind[1], reason=kind[2], hour=hour, count=number).kind_id


async def _alert(runtime: Runtime) -> str:
    found = Found(
        name="dead_letters",
        about="platform",
        severity="notice",
        owner="payments-oncall",
        summary="3 events could not be processed, the oldest for 40 min",
        began_at=utc_now() - timedelta(minutes=40),
    )
    await raise_alert(runtime, None, found)
    known = await runtime.stores.alerts.all()
    return known[0].alert_id


async def _past(database: Database) -> None:
    """A day of numbers, as processes and the watch have written them, and a release in it."""
    owner = await asyncpg.connect(database.owner_url)  # many rows, on a machine that may be busy: without a time-out
    try:
        await _write_past(owner)
    finally:
        await owner.close()


def _waited(hour: int, place: int) -> int:
    """A day in which something waited longer, and went."""
    return max(0, round((6 - place) * sin((hour + place) / 4)))


async def _write_past(owner: asyncpg.Connection) -> None:
    now = utc_now().replace(second=0, microsecond=0)
    minutes = [now - timedelta(minutes=15 * number) for number in range(96)]
    rates = [(what, at, round(12 + 6 * sin(at.hour / 4)) + len(what)) for at in minutes for what in RATES]
    await _insert(
        owner,
        "INSERT INTO rate_count (what, minute, n) SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[])",
        [(what, at, n * (20 if what in ("instructions", "arrivals") else 1)) for what, at, n in rates],
    )
    await _insert(
        owner,
        "INSERT INTO number_sample (what, minute, value)"
        " SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[])",
        [(what, at, _waited(at.hour, place)) for at in minutes for place, what in enumerate(SAMPLES)],
    )
    recent = [now - timedelta(minutes=number) for number in range(60)]
    calls = [call_name("simulator", result) for result in ("approved", "declined")]
    await _insert(
        owner,
        "INSERT INTO latency_count (what, minute, bound_ms, n)"
        " SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::integer[], $4::bigint[])",
        [
            (what, at, bound, n)
            for at in [*recent, *minutes]
            for what in ("api", "intake", "workers", *calls)
            for bound, n in ((10, 800), (25, 400), (100, 45), (250, 2 + at.hour % 6))
        ],
    )
    await owner.execute(
        "INSERT INTO deployment (deployment_id, kind, at, process_version, version, role, host, fingerprint, changed,"
        " digests, actor, act_id) VALUES ($1, 'release', $2, '0.4.0', '0.4.0', NULL, NULL, NULL, NULL, NULL, 'key:kim',"
        " NULL)",
        new_id("dep"),
        now - timedelta(hours=9),
    )


async def _insert(owner: asyncpg.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """A list a column: thousands of rows, one by one, take longer than all that there is to show."""
    await owner.execute(f"{statement} ON CONFLICT DO NOTHING", *(list(column) for column in zip(*rows, strict=True)))
