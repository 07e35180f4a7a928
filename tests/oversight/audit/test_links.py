"""What belongs to a change: the instruction whose attempt it opened, and the answer of the attempt that it closed."""

from __future__ import annotations

import re
from dataclasses import replace

import asyncpg
import msgspec

from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.audit_heads import STATEMENTS
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS, compare, named, sealer_of
from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.runtime import SETTINGS as RUNTIME_SETTINGS
from tests.support.runtime import BookedProvider, Client, read, runtime_of

#: The provider waits for a sealer.
UNHURRIED = replace(RUNTIME_SETTINGS, send_window_ms=60_000, provider_request_timeout_ms=60_000)

_ONE_MOMENT = (
    "UPDATE transition SET at = (SELECT at FROM transition WHERE subject_id = $1 AND version = 1)"
    " WHERE subject_id = $1 AND version = 2",
    "UPDATE transfer SET at = (SELECT at FROM transition WHERE subject_id = $1 AND version = 1) WHERE stream_id = $1",
    "UPDATE response SET at = (SELECT at FROM transition WHERE subject_id = $1 AND version = 1)"
    " WHERE (merchant_id, idempotency_key) IN (SELECT merchant_id, idempotency_key FROM instruction"
    " WHERE payment_id = $1)",
)


async def test_two_changes_of_one_payment_in_one_microsecond_are_told_apart(new_database: NewDatabase) -> None:
    """Two processes whose clocks differ can do it. The first is sealed before there is an answer: with the answer of
    the second in it, an honest record would look changed."""
    database = new_database()
    provider = BookedProvider()
    provider.traits = msgspec.structs.replace(provider.traits, request_timeout_ms=60_000)
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with (
            runtime_of(database.app_url, provider, settings=UNHURRIED) as runtime,
            await open_pool(database.app_url, SETTINGS) as pool,
        ):

            async def seal() -> None:
                """However slow the machine is, it is within the window."""
                sealer = sealer_of(pool, audit_window_ms=600_000)
                while await sealer.round():
                    pass
                await sealer.leave()

            async def sealed_before_the_answer(_: ProviderCall) -> None:
                await seal()

            provider.before = sealed_before_the_answer
            created = await Client(runtime, "m" + new_letters()).create("k")
            for statement in _ONE_MOMENT:
                await owner.execute(statement, read(created)["id"])
            await seal()
            kinds = await pool.fetch("SELECT kind FROM audit_leaf WHERE merchant_id LIKE 'm%' ORDER BY kind")
            moments = await pool.fetchval(
                "SELECT count(DISTINCT at) FROM transition WHERE subject_id = $1", read(created)["id"]
            )
        async with owner.transaction():
            report = await compare(owner, window_ms=600_000)
    finally:
        await owner.close()
    assert created.status == 201
    assert moments == 1, "the journal's two changes have one time"
    assert [row["kind"] for row in kinds] == ["change", "change"], "the answer is in the second one"
    assert (named(report), report.unsealed) == ([], 0)


def test_the_steps_that_close_an_attempt_are_those_that_have_a_recorded_answer() -> None:
    events = {event for _, event, edge in ATTEMPT.live_edges() if "recorded answer" in edge.beside}
    listed = ", ".join(f"'{event}'" for event in sorted(events))
    for name in ("steps_of_changes", "unsealed_response", "all_response"):
        found = re.findall(r"\bevent IN \(([^)]*)\)", STATEMENTS[name])
        assert found and {", ".join(sorted(each.split(", "))) for each in found} == {listed}, name
