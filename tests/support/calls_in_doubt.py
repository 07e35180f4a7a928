"""Captures and refunds whose answer was lost, and what becomes of them."""

from __future__ import annotations

from typing import Literal

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.verdicts import apply_verdict, give_up
from tallystick.domain.subjects import Operation
from tallystick.domain.verdicts import Approved, Verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.letters import new_letters
from tests.support.news_files import Double
from tests.support.runtime import Client, read, timed_out
from tests.support.settlement_days import paid


def executed(operation: Operation, name: str | None = None) -> Approved:
    """What the provider says of such a call that it carried out."""
    effect: Literal["captured", "refunded"] = "captured" if operation == "capture" else "refunded"
    return Approved(amount=300, currency="EUR", effect=effect, reference=name)


async def in_doubt(runtime: Runtime, double: Double, merchant_id: str, operation: Operation) -> tuple[str, str]:
    """A payment, and its call whose answer was lost."""
    client = Client(runtime, merchant_id)
    if operation == "refund":
        payment_id = (await paid(runtime, merchant_id, provider=double.name))["id"]
        double.after = timed_out
        await client.refund(new_letters(), payment_id, 300)
    else:
        payment_id = read(await client.create(new_letters(), manual=True, provider=double.name))["id"]
        double.after = timed_out
        await client.capture(new_letters(), payment_id, 300)
    double.after = None
    named = "SELECT attempt_id FROM attempt WHERE payment_id = $1 AND operation = $2"
    return payment_id, await runtime.pool.fetchval(named, payment_id, operation)


async def say(runtime: Runtime, merchant_id: str, payment_id: str, attempt_id: str, word: Verdict | None) -> None:
    """What becomes of the call; None: it is given up."""
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    cause = Cause(change_id=new_id("chg"), at=runtime.clock.now(), trigger="operator", actor="person:x")
    checks = runtime.checks(loaded.stored.payment.provider)
    change = (
        give_up(loaded.stored, attempt_id, cause)
        if word is None
        else apply_verdict(loaded.stored, attempt_id, word, cause, new_id("rej"), checks)
    )
    assert change is not None
    await runtime.journal.commit(change)
