"""A message stays what it was when it was written: the application's role has a right on the whole table."""

from __future__ import annotations

import re
from typing import Final

import asyncpg

from tallystick.oversight.invariants import verify
from tallystick.record.postgres.connections import connect
from tests.support.database import NewDatabase
from tests.support.runtime import SETTINGS, BookedProvider, Client, runtime_of
from tests.support.statements import STATEMENTS

_CHANGES: Final = re.compile(
    r"\b(?:UPDATE|DELETE\s+FROM|TRUNCATE)\s+outbox\b.*?(?=\bFROM\b|\bWHERE\b|;|$)", re.DOTALL | re.I
)


def test_the_one_change_of_a_message_is_the_dispatcher_s_mark() -> None:
    changes = {name: found for name, text in STATEMENTS.items() if (found := _CHANGES.findall(text))}
    assert list(changes) == ["outbound.sql mark"]
    assert [re.findall(r"(\w+)\s*=", each) for each in changes["outbound.sql mark"]] == [["dispatched_at"]]


async def test_verify_finds_a_message_that_the_application_s_role_rewrote(new_database: NewDatabase) -> None:
    database = new_database()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await Client(runtime, "m").create("k")
    application = await connect(database.app_url, command_timeout_ms=10_000)
    owner = await asyncpg.connect(database.owner_url)
    try:
        assert (await verify(owner, settings=SETTINGS, merchant_id="m")).holds
        rewrite = (
            "UPDATE outbox o SET body = convert_to(replace(convert_from(r.body, 'UTF8'), '1000', '9000'), 'UTF8')"
            " FROM response r WHERE r.merchant_id = o.merchant_id AND r.idempotency_key = o.answer_key"
        )
        assert await application.execute(f"{rewrite} AND o.merchant_id = $1", "m") == "UPDATE 1"
        report = await verify(owner, settings=SETTINGS, merchant_id="m")
    finally:
        await application.close()
        await owner.close()
    assert {each.name for each in report.results if each.violations} == {"steps_are_told"}
