"""verify judges an answer and a message in the version that each is stored in."""

from __future__ import annotations

import asyncpg

from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants.instructions import final_instructions_answered
from tallystick.oversight.invariants.messages import steps_are_told
from tallystick.record.postgres.payment_record import payment_records
from tests.support.database import Database
from tests.support.two_versions import CHARGE, PAYMENTS, shops

ANSWER = "UPDATE response SET {} WHERE merchant_id = $1 AND idempotency_key = $2"
MESSAGE = "UPDATE outbox SET {} WHERE merchant_id = $1 AND stream_id = $2"


def exchanged(before: str, after: str) -> str:
    return f"body = convert_to(replace(convert_from(body, 'UTF8'), '{before}', '{after}'), 'UTF8')"


TO_NEW_NAME = exchanged('"statement"', '"description"')
TO_OLD_NAME = exchanged('"description"', '"statement"')
OTHER_AMOUNT = exchanged('"amount":1000', '"amount":1001')
OTHER_PAYMENT = exchanged('"payment_id":"pay_', '"payment_id":"pay_0')
WRITTEN_BEFORE = f"{TO_OLD_NAME}, api_version = NULL"

UNNAMED = "names no version of its subject"
DIFFERS = "differs from history"

#: Each: what is done to the record by hand, to which answer or to the messages of which payment; and what verify says,
#: which is nothing of a message that the release before would have written.
CASES = (
    (ANSWER.format(OTHER_AMOUNT), "old answer", UNNAMED),
    (ANSWER.format(TO_NEW_NAME), "old answer", UNNAMED),
    (ANSWER.format("api_version = NULL"), "new answer", UNNAMED),
    (ANSWER.format(OTHER_PAYMENT), "old refusal", "does not name its payment"),
    (MESSAGE.format(WRITTEN_BEFORE), "old payment", ""),
    (MESSAGE.format("api_version = NULL"), "old payment", DIFFERS),
    (MESSAGE.format("api_version = NULL"), "new payment", DIFFERS),
    (MESSAGE.format("body = 'no JSON', api_version = NULL"), "old payment", DIFFERS),
)


async def said(connection: asyncpg.Connection, merchant_id: str) -> list[str]:
    """What the two checks find."""
    return [
        finding.detail
        async for page in payment_records(connection, merchant_id, Clock())
        for record in page
        for look in (final_instructions_answered, steps_are_told)
        for finding in look(record)
    ]


async def test_each_row_is_judged_in_its_own_version(database: Database, fresh_merchant: str) -> None:
    """The messages of the new payment have its answer's key, those of the old one have bodies."""
    async with shops(database, fresh_merchant) as both:
        named = {name: new_id("req") for name in ("old answer", "old refusal", "new answer")}
        old = await both.old.post(PAYMENTS, CHARGE | {"statement": "A hat"}, named["old answer"])
        new = await both.new.post(PAYMENTS, CHARGE | {"description": "A hat"}, named["new answer"])
        named |= {"old payment": old.json()["id"], "new payment": new.json()["id"]}
        refund = f"{PAYMENTS}/{named['old payment']}/refunds"
        assert (await both.old.post(refund, {"amount": 1_001}, named["old refusal"])).status_code == 409
        owner = await asyncpg.connect(database.owner_url)
        try:
            assert await said(owner, fresh_merchant) == []
            for statement, which, expected in CASES:
                transaction = owner.transaction()
                await transaction.start()
                tag = await owner.execute(statement, fresh_merchant, named[which])
                found = await said(owner, fresh_merchant)
                await transaction.rollback()
                assert not tag.endswith(" 0"), "the statement found nothing to break"
                assert len(found) == bool(expected), (statement, which, found)
                assert all(expected in each for each in found), (statement, which, found)
        finally:
            await owner.close()
