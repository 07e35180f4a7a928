"""Names that a trace can be asked by, drawn from all of a database's time, and the payments that have them.

A filled database has payments, attempts and keys by the million, and nothing else: refunds, disputes, events and
dispatched messages are made here, by the real flows, for a merchant of their own. They stand in the same tables, and
nothing of them meets what other benchmarks measure.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as with_fields
from typing import Any, Final

import asyncpg
import msgspec
from msgspec.structs import replace

from tallystick.access import key_store
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.requests.commands import CreateRefund, parse_create_payment
from tallystick.domain.requests.fingerprint import canonical, fingerprint
from tallystick.domain.requests.json_body import parse_json_object
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import Envelope, sealed_part
from tallystick.flows.webhooks.inbound.intake import Arrival, Intake
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.flows.webhooks.outbound.worker import OutboxWorker
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id, sibling_id
from tallystick.lab.bench.fill_rows import MERCHANTS
from tallystick.lab.bench.stage import StageFailed
from tallystick.lab.bench.webhooks import SimulatedBank
from tallystick.lab.bench.workload import BODY, body_bytes, new_instruction
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.sealing import delivery_row
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: Nothing is sent to it: messages are only dispatched. Of this machine, since no name has to be resolved.
ENDPOINT_URL: Final = "https://127.0.0.1:9/"

#: What is refunded of each payment, in minor units.
REFUNDED: Final = 400

#: Payments that are made at once.
_AT_ONCE: Final = 50

#: A batch of dispatched messages, and a round of the inbox, end long before; a loop that finds no end is a fault.
_ROUNDS_AT_MOST: Final = 100_000

_ID_TIME: Final = slice(4, 16)  # of "pay_0123456789ab…": the milliseconds, in 12 hexadecimal digits

#: Nothing is measured here, and a machine that is busy with a fill's last pages may take its time.
_COMMIT_TIMEOUT_MS: Final = 60_000

#: What is named -> names with their payments.
Names = dict[str, list[tuple[str, str]]]

#: Of filled payments, at a random moment: $1 the merchant, $2 an id that the next payment's is above.
_FILLED: Final = """
SELECT p.payment_id, a.attempt_id, i.idempotency_key, p.provider_reference
FROM payment p
JOIN attempt a ON a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id AND a.operation = 'authorize'
JOIN instruction i ON i.merchant_id = a.merchant_id AND i.idempotency_key = a.idempotency_key
WHERE p.merchant_id = $1 AND p.payment_id >= $2 AND p.provider_reference IS NOT NULL
ORDER BY p.payment_id LIMIT 1
"""

#: Of payments that were made here, by what is named.
_MADE: Final[Mapping[str, str]] = {
    "refund": "SELECT refund_id, payment_id FROM refund WHERE merchant_id = $1 ORDER BY refund_id DESC LIMIT $2",
    "refund's reference": (
        "SELECT provider_reference, payment_id FROM attempt WHERE merchant_id = $1 AND operation = 'refund'"
        " AND provider_reference IS NOT NULL ORDER BY attempt_id DESC LIMIT $2"
    ),
    "dispute": "SELECT dispute_id, payment_id FROM dispute WHERE merchant_id = $1 ORDER BY payment_id DESC LIMIT $2",
    "dispute's reference": (
        "SELECT provider_reference, payment_id FROM dispute WHERE merchant_id = $1 ORDER BY payment_id DESC LIMIT $2"
    ),
    "event": (
        "SELECT event_id, payment_id FROM inbox WHERE merchant_id = $1 AND payment_id IS NOT NULL"
        " ORDER BY payment_id DESC LIMIT $2"
    ),
    "the provider's event": (
        "SELECT provider_event_id, payment_id FROM inbox WHERE merchant_id = $1 AND payment_id IS NOT NULL"
        " ORDER BY payment_id DESC LIMIT $2"
    ),
    "message": (
        "SELECT message_id, payment_id FROM message_delivery WHERE merchant_id = $1 ORDER BY message_id LIMIT $2"
    ),
}


async def make_payments(settings: Settings, database_url: str, count: int, announce: Announce) -> str:
    """So many payments that were refunded in part, disputed and told of, of a new merchant. Returns the merchant.
    Raises StageFailed, and what the database raises."""
    merchant_id = f"traced-{new_id('req')[-12:]}"
    settings = with_fields(settings, webhook_allow_private_addresses=True, journal_commit_timeout_ms=_COMMIT_TIMEOUT_MS)
    await key_store.create_key(database_url, merchant_id)
    async with open_runtime(settings, database_url, providers={"simulator": SimulatedBank()}) as runtime:
        await runtime.stores.endpoints.register(
            merchant_id, url=ENDPOINT_URL, event_types=None, description=None, actor="key:bench"
        )
        made = 0
        while made < count:
            announce("payments with refunds and disputes", made, count)
            batch = min(_AT_ONCE, count - made)
            paid = await asyncio.gather(*(_refunded_payment(runtime, merchant_id) for _ in range(batch)))
            await _disputed(runtime, database_url, merchant_id, paid)
            made += batch
        outbox = OutboxWorker(runtime)
        try:
            await _until_idle(outbox.dispatch)
        finally:
            await outbox.close()
    announce("payments with refunds and disputes", count, count)
    return merchant_id


async def draw_names(app_url: str, merchant_id: str, count: int, rng: random.Random) -> Names:
    """``count`` names of each kind, or as many as there are. ``merchant_id``: whose were made here. Raises what
    the database raises."""
    connection = await asyncpg.connect(app_url)
    try:
        names: Names = {}
        for _ in range(count):
            payment_id, attempt_id, key, reference = await _one_filled(connection, merchant_id, rng)
            for what, name in (
                ("payment", payment_id),
                ("attempt", attempt_id),
                ("idempotency key", key),
                ("charge's reference", reference),
            ):
                names.setdefault(what, []).append((name, payment_id))
        for what, statement in _MADE.items():
            names[what] = [(row[0], row[1]) for row in await connection.fetch(statement, merchant_id, count)]
    finally:
        await connection.close()
    return names


async def _one_filled(connection: asyncpg.Connection, made_for: str, rng: random.Random) -> asyncpg.Record:
    """Of a merchant that has payments; of those made here where nothing was filled in."""
    for merchant in (rng.choice(MERCHANTS), MERCHANTS[0], made_for):
        ends = await connection.fetchrow(
            "SELECT min(payment_id) AS first, max(payment_id) AS last FROM payment WHERE merchant_id = $1", merchant
        )
        if ends is None or ends["first"] is None:
            continue
        first, last = (int(ends[name][_ID_TIME], 16) for name in ("first", "last"))
        for start in (f"pay_{rng.randint(first, last):012x}", ""):
            row: asyncpg.Record | None = await connection.fetchrow(_FILLED, merchant, start)
            if row is not None:
                return row
    raise StageFailed("the database has no payment that could be traced")


async def _refunded_payment(runtime: Runtime, merchant_id: str) -> str:
    body = BODY | {"payment_method": "sim_ok"}
    command = parse_create_payment(parse_json_object(body_bytes(body)))
    asked = new_instruction(new_id("req"), body=body, merchant_id=merchant_id)
    payment_id = _id(await instructions.create_payment(runtime, asked, command, "simulator"))
    path, refund = f"/v1/payments/{payment_id}/refunds", canonical({"amount": REFUNDED})
    follows = replace(
        new_instruction(new_id("req"), merchant_id=merchant_id),
        operation="POST /v1/payments/{id}/refunds",
        path=path,
        request=refund,
        fingerprint=fingerprint("POST", path, refund),
    )
    _id(await instructions.create_refund(runtime, follows, payment_id, CreateRefund(amount=REFUNDED, reason=None)))
    return payment_id


async def _disputed(runtime: Runtime, database_url: str, merchant_id: str, payments: Sequence[str]) -> None:
    """An event of the provider opens a dispute about each of them, through the intake and the worker of the inbox."""

    async def connect() -> Any:
        return await connect_journal(database_url, command_timeout_ms=_COMMIT_TIMEOUT_MS)

    intake = Intake(connect, runtime.clock, queue_limit=len(payments), commit_timeout_ms=_COMMIT_TIMEOUT_MS)
    await intake.start()
    try:
        await asyncio.gather(*(intake.accept([_arrival(runtime, merchant_id, each)]) for each in payments))
    finally:
        await intake.stop()
    worker = InboxWorker(runtime, runtime.stores.inbox)
    await _until_idle(worker.round)


def _arrival(runtime: Runtime, merchant_id: str, payment_id: str) -> Arrival:
    reference, event_id = new_id("req"), new_id("evt")
    moved = Movement(reference=f"mv_{reference}", funds="withdrawn", amount=REFUNDED, before_verdict=True)
    envelope = Envelope(
        provider="simulator",
        account="main",
        provider_event_id=f"evt_sim_{reference}",
        event_id=event_id,
        delivery_id=sibling_id("dlv", event_id),
        type="dispute.opened",
        received_at=utc_now(),
        occurred_at=None,
        charge_reference=None,
        merchant_id=merchant_id,
        payment_id=payment_id,
        traceparent="",
        digest=hashlib.sha256(reference.encode()).digest(),
        notice=DisputeNotice(
            reference=f"dp_sim_{reference}",
            state="opened",
            amount=REFUNDED,
            currency=str(BODY["currency"]),
            funds="withdrawn",
            movements=(moved,),
        ),
    )
    row = delivery_row(envelope.provider, envelope.account, envelope.provider_event_id, envelope.delivery_id)
    return Arrival(envelope, utc_now(), runtime.sealer.seal(sealed_part(b"{}", {}), row))


async def _until_idle(round_: Callable[[], Any]) -> None:
    """Round after round until one finds nothing to do."""
    for _ in range(_ROUNDS_AT_MOST):
        if not await round_():
            return
    raise StageFailed("there is always more to do")


def _id(reply: Reply) -> str:
    if reply.status != 201:
        raise StageFailed(f"a payment or refund of the benchmark was answered {reply.status}: {reply.body!r}")
    return str(msgspec.json.decode(reply.body)["id"])
