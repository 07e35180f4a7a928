"""News of a movement that is a call of ours, although nothing here has its name: it is posted once. Worked out by
hand: one movement of 300 for each call, and two where the provider names another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.domain.notices import AttemptNotice
from tallystick.domain.subjects import Operation
from tallystick.domain.verdicts import NotFound, Pending
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tests.support.calls_in_doubt import executed, in_doubt, say
from tests.support.database import Database
from tests.support.inbox import accept, assert_invariants, envelope
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, File, Stripe, at_providers, newest, tell_file, work
from tests.support.runtime import stored


def told(file: File, operation: Operation, charge: str | None, name: str) -> File:
    """The file, with the movement."""
    assert charge is not None
    kind, amount = ("refund", -300) if operation == "refund" else ("charge", 300)
    file.row(kind, amount, charge=charge, effect=name, movement=new_letters())
    return file


async def moved(runtime: Runtime, merchant_id: str, payment_id: str) -> list[tuple[str, int]]:
    """Postings of 300 of the payment, without what only waits."""
    rows = await runtime.pool.fetch(
        "SELECT kind, amount FROM transfer WHERE merchant_id = $1 AND stream_id = $2 AND amount = 300"
        " AND kind <> ALL ($3)",
        merchant_id,
        payment_id,
        ["refund_sent", "refund_failed"],
    )
    return [(row["kind"], row["amount"]) for row in rows]


@pytest.mark.parametrize(
    ("operation", "format_", "provider_says", "movements"),
    [
        ("refund", Stripe, "it is that one", 1),
        ("refund", Stripe, "it is another", 2),
        ("refund", Adyen, "nothing", 1),
        ("capture", Adyen, "nothing", 1),
    ],
)
async def test_a_call_that_a_person_said_was_executed_may_be_the_movement(
    database: Database,
    fresh_merchant: str,
    tmp_path: Path,
    operation: Operation,
    format_: type[File],
    provider_says: str,
    movements: int,
) -> None:
    """The file tells of it while its outcome is not known. A person says that it was executed, and not under which
    name. A provider that can be asked says whether it is that one; else the event waits, and ends with an owner."""
    async with at_providers(database) as (runtime, doubles):
        double = doubles[format_.provider]
        payment_id, attempt_id = await in_doubt(runtime, double, fresh_merchant, operation)
        payment, name = await stored(runtime, fresh_merchant, payment_id), f"mod{new_letters()}"
        file = told(format_(f"b{new_letters()}"), operation, payment.provider_reference, name)
        await tell_file(runtime, file, tmp_path)
        await ReconciliationWorker(runtime).round()
        await say(runtime, fresh_merchant, payment_id, attempt_id, executed(operation))
        double.says[attempt_id] = executed(operation, name if provider_says == "it is that one" else "another")
        await work(runtime, fresh_merchant)
        assert len(await moved(runtime, fresh_merchant, payment_id)) == movements
        assert await newest(runtime, file.name) == {"refund" if operation == "refund" else "charge": "matched: same"}
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize(("operation", "format_"), [("refund", Stripe), ("capture", Adyen)])
async def test_the_late_effect_of_a_closed_call_is_not_posted_beside_its_news(
    database: Database, fresh_merchant: str, tmp_path: Path, operation: Operation, format_: type[File]
) -> None:
    """The call was closed without effect. A file tells of the movement, and then its webhook says whose it was."""
    async with at_providers(database) as (runtime, doubles):
        double = doubles[format_.provider]
        payment_id, attempt_id = await in_doubt(runtime, double, fresh_merchant, operation)
        await say(runtime, fresh_merchant, payment_id, attempt_id, NotFound())
        await say(runtime, fresh_merchant, payment_id, attempt_id, None)
        payment, name = await stored(runtime, fresh_merchant, payment_id), f"mod{new_letters()}"
        word = double.says[attempt_id] = executed(operation, name)
        file = told(format_(f"b{new_letters()}"), operation, payment.provider_reference, name)
        await tell_file(runtime, file, tmp_path)
        await work(runtime, fresh_merchant)
        before = await moved(runtime, fresh_merchant, payment_id)
        notice = AttemptNotice(operation=operation, attempt_id=attempt_id, reference=name, verdict=word)
        await accept(database, [envelope(new_letters(), notice, payment=payment, provider=double.name)])
        await work(runtime, fresh_merchant)
        posts = "refund_succeeded" if operation == "refund" else "capture"
        assert before == await moved(runtime, fresh_merchant, payment_id) == [(posts, 300)]
        assert await newest(runtime, file.name) == {"refund" if operation == "refund" else "charge": "matched: same"}
    await assert_invariants(database, fresh_merchant)


async def test_news_of_a_provider_that_cannot_be_asked_is_its_word(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """A file tells of a refund of 250 while one of 300 has no name. Then ours has this name: the amounts differ, and
    nobody can be asked. It is kept as a conflict, and not tried until it is a dead letter."""
    async with at_providers(database) as (runtime, doubles):
        payment_id, attempt_id = await in_doubt(runtime, doubles["adyen"], fresh_merchant, "refund")
        payment, name = await stored(runtime, fresh_merchant, payment_id), f"mod{new_letters()}"
        assert payment.provider_reference is not None
        file = Adyen(f"b{new_letters()}")
        file.row("refund", -250, charge=payment.provider_reference, effect=name, movement="")
        await tell_file(runtime, file, tmp_path)
        await ReconciliationWorker(runtime).round()
        await say(runtime, fresh_merchant, payment_id, attempt_id, Pending(reference=name))
        await work(runtime, fresh_merchant)
        events = "SELECT state FROM inbox WHERE payment_id = $1 AND type = 'settlement_row.refund'"
        assert [row["state"] for row in await runtime.pool.fetch(events, payment_id)] == ["conflict"]
    await assert_invariants(database, fresh_merchant)
