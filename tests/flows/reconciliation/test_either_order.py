"""Each kind of movement, told only by a webhook, only by a file, by both in either order, and by both twice: one
posting of it, and its row is what it is in the end. The table was written by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from tallystick.access.key_store import OPERATORS
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.notices import AttemptNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Pending, Reversed
from tallystick.flows.reconciliation.waiting import compare_waiting
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.providers.port import ProviderCall
from tests.support.acquirer_days import causes
from tests.support.database import DEEP, Database
from tests.support.inbox import PATIENT_WEBHOOKS, accept, assert_invariants, drain, envelope
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, Client, read, runtime_of, stored
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid, refunded, settled
from tests.support.settlement_imports import imported

#: In this order things are told: w a webhook, f the file. By default only the longest of those that begin alike.
WAYS: Final = ("w", "f", *(("wf", "fw") if DEEP else ()), "wfwf", "fwfw")

#: What a row is without its webhook. With it, in whatever order, it is ``matched: same``.
ONLY_BY_FILE: Final = {
    "charge": "mismatched: state",
    "refund": "unexplained: not_in_record",
    "refund_reversal": "mismatched: reference",
    "dispute": "unexplained: not_in_record",
    "dispute_reversal": "mismatched: reference",
}

#: No webhook tells of these: their type says what they are, however often and in whatever order.
BY_TYPE: Final = {"fee": "explained: provider_fee", "payout": "explained: payout"}

#: What each movement posts to ``provider:<p>``, once.
POSTS: Final = {
    "charge": ("capture", 1_000),
    "refund": ("refund_succeeded", -400),
    "refund_reversal": ("refund_reversed", 300),
    "dispute": ("dispute_withdrawn", -1_000),
    "dispute_reversal": ("dispute_returned", 1_000),
}


class Moved(Struct, frozen=True):
    """A movement: whose it is, what a webhook says of it, and the row's names."""

    kind: str
    payment: Payment
    notice: Notice
    charge: str
    effect: str


def _disputed(name: str, *, won: bool) -> DisputeNotice:
    moved = [Movement(reference=f"{name}_out", funds="withdrawn", amount=1_000, before_verdict=True)]
    if won:
        moved.append(Movement(reference=f"{name}_back", funds="returned", amount=1_000, before_verdict=False))
    return DisputeNotice(
        reference=name, state="won" if won else "opened", amount=1_000, currency="EUR", movements=tuple(moved)
    )


async def scene(database: Database, runtime: Runtime, merchant_id: str) -> list[Moved]:
    """A payment for each kind, right before its movement."""
    found = []
    held = read(await Client(runtime, merchant_id).create(new_letters(), manual=True))
    payment = await stored(runtime, merchant_id, held["id"])
    charge = payment.provider_reference
    assert payment.state == "authorized" and charge is not None
    taken = Approved(amount=1_000, currency="EUR", effect="captured", reference=charge)
    found.append(Moved("charge", payment, ChargeNotice(verdict=taken), charge, charge))
    for kind in ("refund", "refund_reversal", "dispute", "dispute_reversal"):
        made, name = await paid(runtime, merchant_id), f"x{new_letters()}"
        notice: Notice
        if kind == "refund":
            notice = RefundNotice(reference=name, amount=400, currency="EUR")
        elif kind == "refund_reversal":
            name = (await refunded(runtime, made, 300))["effect"]
            said = Reversed(code="returned", message="It came back.")
            notice = AttemptNotice(operation="refund", reference=name, verdict=said)
        else:
            notice = _disputed(name, won=kind == "dispute_reversal")
        payment = await stored(runtime, merchant_id, made["id"])
        if kind == "dispute_reversal":
            await accept(database, [envelope(new_letters(), _disputed(name, won=False), payment=payment)])
        found.append(Moved(kind, payment, notice, made["charge"], name))
    await drain(runtime, merchant_id)
    return found


def file_of(movements: list[Moved]) -> Acquirer:
    """All of them in one batch, with a fee and a payout."""
    file = Acquirer()
    for each in movements:
        file.row(each.kind, POSTS[each.kind][1], charge=each.charge, effect=each.effect)
    file.row("fee", -5)
    file.row("payout", -200)
    return file


async def newest(runtime: Runtime, batch: str) -> dict[str, str]:
    """Kind -> what its row came to last."""
    rows = await runtime.pool.fetch(
        "SELECT DISTINCT ON (position) kind, status, reason FROM settlement_evidence WHERE batch = $1"
        " ORDER BY position, version DESC",
        batch,
    )
    assert len(rows) in (0, len(POSTS) + len(BY_TYPE))
    return {row["kind"]: f"{row['status']}: {row['reason']}" for row in rows}


async def posted(runtime: Runtime, movements: list[Moved]) -> dict[str, list[int]]:
    """Kind -> the amounts that it posted to the provider's account."""
    found: dict[str, list[int]] = {}
    for each in movements:
        rows = await runtime.pool.fetch(
            "SELECT CASE WHEN debit = $3 THEN amount ELSE -amount END AS amount FROM transfer"
            " WHERE merchant_id = $1 AND stream_id = $2 AND (debit = $3 OR credit = $3) AND kind = $4",
            each.payment.merchant_id,
            each.payment.payment_id,
            provider_account("simulator"),
            POSTS[each.kind][0],
        )
        found[each.kind] = [row["amount"] for row in rows]
    return found


@pytest.mark.parametrize("way", WAYS)
async def test_one_posting_of_each_movement(database: Database, fresh_merchant: str, tmp_path: Path, way: str) -> None:
    async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime:
        movements = await scene(database, runtime, fresh_merchant)
        file, before = file_of(movements), await unexplained(runtime)
        for told in way:
            if told == "w":
                await accept(
                    database, [envelope(new_letters(), each.notice, payment=each.payment) for each in movements]
                )
                await drain(runtime, fresh_merchant)
            else:
                await imported(runtime, file.text(), tmp_path)
            while await ReconciliationWorker(runtime).round():
                pass
        by_webhook, by_file = "w" in way, "f" in way
        assert await posted(runtime, movements) == {
            kind: [amount] if by_webhook else [] for kind, (_, amount) in POSTS.items()
        }
        rows = dict.fromkeys(POSTS, "matched: same") if by_webhook else ONLY_BY_FILE
        assert await newest(runtime, file.batch) == ({**rows, **BY_TYPE} if by_file else {})
        # What only the file has waits apart, whole, once.
        waits = 0 if by_webhook or not by_file else -sum(amount for _, amount in POSTS.values())
        assert await unexplained(runtime) - before == waits
        if by_webhook and by_file:
            available = (await balances(runtime, fresh_merchant))["merchant_available"]
            assert available == -sum(amount for _, amount in POSTS.values())
        await causes(runtime)  # the remainder is zero
    await assert_invariants(database, fresh_merchant)


async def unexplained(runtime: Runtime) -> int:
    return (await balances(runtime, OPERATORS)).get("unexplained:simulator", 0)


async def test_a_doubled_row_is_one_posting_when_its_webhook_comes(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """Two processes compare the rows that wait at once: one row has the posting, and the other one is a duplicate."""
    async with (
        runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime,
        runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as other,
    ):
        made, name = await paid(runtime, fresh_merchant), f"x{new_letters()}"
        file = Acquirer()
        for _ in range(2):
            file.row("refund", -400, charge=made["charge"], effect=name)
        await settled(runtime, file.text(), tmp_path)
        payment = await stored(runtime, fresh_merchant, made["id"])
        notice = RefundNotice(reference=name, amount=400, currency="EUR")
        await accept(database, [envelope(new_letters(), notice, payment=payment)])
        await drain(runtime, fresh_merchant)
        done = await asyncio.gather(
            *(compare_waiting(each, "simulator", ACTOR) for each in (runtime, other, runtime, other))
        )
        assert sum(done) == 2, done
        rows = await runtime.pool.fetch(
            "SELECT status, reason, version FROM settlement_evidence WHERE batch = $1 AND version > 1", file.batch
        )
        assert Counter((row["status"], row["reason"], row["version"]) for row in rows) == {
            ("matched", "same", 2): 1,
            ("mismatched", "duplicate", 2): 1,
        }
        assert await compare_waiting(runtime, "simulator", ACTOR) == 0
        while await ReconciliationWorker(runtime).round():
            pass
        assert (await balances(runtime, fresh_merchant))["merchant_available"] == 400
        await causes(runtime)
    await assert_invariants(database, fresh_merchant)


async def test_batches_of_one_name_at_two_accounts_are_compared_again(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    elsewhere = BookedProvider()
    elsewhere.account = "second"
    async with (
        runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime,
        runtime_of(database.app_url, elsewhere, settings=PATIENT_WEBHOOKS) as second,
    ):
        file, other, notices = Acquirer(), Acquirer(), []
        other.batch = file.batch
        for each, of in ((file, runtime), (other, second)):
            made, name = await paid(of, fresh_merchant), f"x{new_letters()}"
            each.row("refund", -400, charge=made["charge"], effect=name)
            asked = {} if of is runtime else {"account": "second", "provider": "simulator"}
            await settled(runtime, each.text(), tmp_path, **asked)
            payment = await stored(runtime, fresh_merchant, made["id"])
            notice = RefundNotice(reference=name, amount=400, currency="EUR")
            notices.append(envelope(new_letters(), notice, payment=payment, account=of.providers["simulator"].account))
        await accept(database, notices)
        await asyncio.gather(*(drain(each, fresh_merchant) for each in (runtime, second)))
        assert await compare_waiting(runtime, "simulator", ACTOR) == 2


async def test_rows_of_two_accounts_are_never_one_movement(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """Each has a row of half a refund, under one name and in batches of one name. Together they would be the refund,
    which was sent through one of them: the other's row knows nothing of it."""
    async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime:
        made, name = await paid(runtime, fresh_merchant), f"x{new_letters()}"
        file, other = Acquirer(), Acquirer()
        other.batch = file.batch
        for each, asked in ((file, {}), (other, {"account": "second", "provider": "simulator"})):
            each.row("refund", -200, charge=made["charge"], effect=name)
            await settled(runtime, each.text(), tmp_path, name=f"{len(asked)}.csv", **asked)
        payment = await stored(runtime, fresh_merchant, made["id"])
        notice = RefundNotice(reference=name, amount=400, currency="EUR")
        await accept(database, [envelope(new_letters(), notice, payment=payment)])
        await drain(runtime, fresh_merchant)
        assert await compare_waiting(runtime, "simulator", ACTOR) == 1
        rows = await runtime.pool.fetch(
            "SELECT status, reason FROM settlement_evidence WHERE batch = $1 AND version = 2", file.batch
        )
        assert Counter(f"{row['status']}: {row['reason']}" for row in rows) == {"mismatched: amount": 1}
        while await ReconciliationWorker(runtime).round():
            pass
        assert (await balances(runtime, fresh_merchant)).get("merchant_available", 0) == 0
        await causes(runtime)


async def test_a_row_of_a_pending_refund_never_takes_another_one_of_its_size(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """It names the refund that is not done, and the payment; the payment has another refund of the same size, whose row
    has not come. The row waits, however often it is compared, and each refund has its own row in the end."""
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider, settings=PATIENT_WEBHOOKS) as runtime:
        made, pending = await paid(runtime, fresh_merchant), f"x{new_letters()}"

        async def answer(_: ProviderCall) -> Pending:
            return Pending(reference=pending)

        done = await refunded(runtime, made, 300)
        provider.after = answer
        waits = read(await Client(runtime, fresh_merchant).refund(new_letters(), made["id"], 300))
        provider.after = None
        assert (waits["state"], done["effect"] != pending) == ("pending", True)
        file, later = Acquirer(), Acquirer()
        file.row("refund", -300, charge=made["charge"], effect=pending)
        later.of(done, "refund", -300)
        await settled(runtime, file.text(), tmp_path)
        for _ in range(2):
            assert await compare_waiting(runtime, "simulator", ACTOR) == 0
        await settled(runtime, later.text(), tmp_path, name="later.csv")
        rows = await runtime.pool.fetch(
            "SELECT batch, version, status, reason, subject_id FROM settlement_evidence WHERE batch = ANY ($1)",
            [file.batch, later.batch],
        )
        assert {(row["batch"], row["version"], row["status"], row["reason"], row["subject_id"]) for row in rows} == {
            (file.batch, 1, "mismatched", "state", waits["id"]),
            (later.batch, 1, "matched", "same", done["refund_id"]),
        }
