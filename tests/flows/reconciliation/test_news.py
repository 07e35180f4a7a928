"""Movements that a settlement file tells of go to the inbox first: told by a webhook, by a file, by both in either
order and by both twice, each is posted once. The tables were written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.notices import AttemptNotice, CaptureNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.settlement_news import RECONCILIATION
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Reversed
from tallystick.flows.runtime import Runtime
from tests.support.database import DEEP, Database
from tests.support.inbox import accept, assert_invariants, drain, envelope
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, Double, File, Stripe, at_providers, newest, tell_file, work
from tests.support.runtime import Client, read, stored
from tests.support.settlement_days import balances, paid, refunded

#: In this order things are told: w a webhook, f the file. By default few: refunds and disputes are told in each order
#: at the providers' own doubles (``test_providers_reports``).
WAYS: Final = [
    (format_, way)
    for format_, by_default in ((Stripe, ("fwfw",)), (Adyen, ("f",)))
    for way in (("w", "f", "wf", "fw", "wfwf", "fwfw") if DEEP else by_default)
]

#: What each movement posts to ``provider:<p>``, once, however it was told.
POSTS: Final = {
    "charge": ("capture", 1_000),
    "refund": ("refund_succeeded", -400),
    "refund_reversal": ("refund_reversed", 300),
    "dispute": ("dispute_withdrawn", -1_000),
    "dispute_reversal": ("dispute_returned", 1_000),
}

#: What each row is in the end.
IN_THE_END: Final = dict.fromkeys(POSTS, "matched: same")


class Moved(Struct, frozen=True):
    """A movement: its payment, what a webhook says of it, and its names at the provider."""

    kind: str
    payment: Payment
    notice: Notice
    charge: str
    effect: str
    movement: str


def disputed(provider: str, name: str, movement: str, *, back: str | None = None) -> DisputeNotice:
    """As the webhook of each provider is read: Stripe lists all movements, Adyen says one by its code."""
    out = Movement(
        reference=movement if provider == "stripe" else "CHARGEBACK",
        funds="withdrawn",
        amount=1_000,
        before_verdict=True,
    )
    returned = Movement(
        reference=back or "CHARGEBACK_REVERSED", funds="returned", amount=1_000, before_verdict=provider == "adyen"
    )
    if back is None:
        return DisputeNotice(reference=name, state="opened", amount=1_000, currency="EUR", movements=(out,))
    if provider == "stripe":
        return DisputeNotice(reference=name, state="won", amount=1_000, currency="EUR", movements=(out, returned))
    return DisputeNotice(
        reference=name, state="under_review", amount=1_000, currency="EUR", funds="returned", movements=(returned,)
    )


async def scene(database: Database, runtime: Runtime, double: Double, merchant_id: str) -> list[Moved]:
    """A payment for each kind, right before its movement."""
    provider, found = double.name, []
    held = read(await Client(runtime, merchant_id).create(new_letters(), manual=True, provider=provider))
    payment = await stored(runtime, merchant_id, held["id"])
    charge = payment.provider_reference
    assert payment.state == "authorized" and charge is not None
    taken = Approved(amount=1_000, currency="EUR", effect="captured", reference=charge)
    attempt_id = await runtime.pool.fetchval("SELECT attempt_id FROM attempt WHERE payment_id = $1", held["id"])
    double.says[attempt_id] = taken
    capture, name = f"mod{new_letters()}", f"txn{new_letters()}"
    by_name = CaptureNotice(reference=capture, amount=1_000, currency="EUR")
    notice: Notice = ChargeNotice(verdict=taken) if provider == "stripe" else by_name
    found.append(Moved("charge", payment, notice, charge, capture, name))
    for kind in ("refund", "refund_reversal", "dispute", "dispute_reversal"):
        made, name, movement = await paid(runtime, merchant_id, provider=provider), f"x{new_letters()}", new_letters()
        if kind == "refund":
            notice = RefundNotice(reference=name, amount=400, currency="EUR")
        elif kind == "refund_reversal":
            refund = await refunded(runtime, made, 300)
            name = refund["effect"]
            said = Reversed(code="returned", message="It came back.", reference=name)
            own = await runtime.pool.fetchval(
                "SELECT attempt_id FROM attempt WHERE refund_id = $1", refund["refund_id"]
            )
            double.says[own] = said
            notice = AttemptNotice(operation="refund", reference=name, verdict=said)
        elif kind == "dispute":
            notice = disputed(provider, name, movement)
        else:
            out = new_letters()
            payment = await stored(runtime, merchant_id, made["id"])
            await accept(
                database, [envelope(new_letters(), disputed(provider, name, out), payment=payment, provider=provider)]
            )
            notice = disputed(provider, name, out, back=movement)
        payment = await stored(runtime, merchant_id, made["id"])
        found.append(Moved(kind, payment, notice, made["charge"], name, movement))
    await drain(runtime, merchant_id)
    return found


async def posted(runtime: Runtime, moved: list[Moved]) -> dict[str, list[int]]:
    """Kind -> the amounts that it posted to the provider's account."""
    found: dict[str, list[int]] = {}
    for each in moved:
        rows = await runtime.pool.fetch(
            "SELECT CASE WHEN debit = $3 THEN amount ELSE -amount END AS amount FROM transfer"
            " WHERE merchant_id = $1 AND stream_id = $2 AND (debit = $3 OR credit = $3) AND kind = $4",
            each.payment.merchant_id,
            each.payment.payment_id,
            provider_account(each.payment.provider),
            POSTS[each.kind][0],
        )
        found[each.kind] = [row["amount"] for row in rows]
    return found


@pytest.mark.parametrize(("format_", "way"), WAYS)
async def test_one_posting_of_each_movement(
    database: Database, fresh_merchant: str, tmp_path: Path, format_: type[File], way: str
) -> None:
    async with at_providers(database) as (runtime, doubles):
        moved = await scene(database, runtime, doubles[format_.provider], fresh_merchant)
        file = format_(f"b{new_letters()}")
        for each in moved:
            file.row(each.kind, POSTS[each.kind][1], charge=each.charge, effect=each.effect, movement=each.movement)
        for told in way:
            if told == "w":
                events = [
                    envelope(new_letters(), each.notice, payment=each.payment, provider=format_.provider)
                    for each in moved
                ]
                await accept(database, events)
                await drain(runtime, fresh_merchant)
            else:
                await tell_file(runtime, file, tmp_path)
            await work(runtime, fresh_merchant)
        assert await posted(runtime, moved) == {kind: [amount] for kind, (_, amount) in POSTS.items()}
        assert await newest(runtime, file.name) == (IN_THE_END if "f" in way else {})
        if "f" in way:
            assert (await balances(runtime, fresh_merchant))["merchant_available"] == -900
        if way == "f":
            actors = await runtime.pool.fetch(
                "SELECT DISTINCT actor FROM history WHERE merchant_id = $1 AND cause = 'settlement'", fresh_merchant
            )
            assert {row["actor"] for row in actors} == {RECONCILIATION}
    await assert_invariants(database, fresh_merchant)
