"""Personal fields of an older release are moved under keys: killed, repeated, and only before the first head."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from tallystick.flows.compliance.erasure import Erasures, NotErasable
from tallystick.kit.clock import utc_now
from tallystick.record.postgres import arrivals, rows
from tallystick.record.postgres.erasures import begin_erasure, erasures, unfinished
from tallystick.record.postgres.migrate import migrate
from tallystick.record.postgres.personal_move import SealedAlready, is_moved, move_personal_fields
from tests.support.api import inside
from tests.support.database import NewDatabase
from tests.support.erased_records import (
    DESCRIPTION,
    WORDS,
    a_record,
    arrived,
    assert_gone,
    assert_holds,
    body,
    erase,
    event_of,
    key_of,
    post,
    send,
    tables_with,
)
from tests.support.runtime import BookedProvider

IN_CLEAR = {"payment", "transition", "instruction", "response", "outbox"}


class Killed(Exception):
    """In place of a signal."""


def killed(_: str) -> None:
    raise Killed


async def test_rows_of_before_are_moved_and_can_be_erased(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(rows, "new_rows_of", lambda _: None)
        before.setattr(rows, "answer_key_of", lambda *_: None)
        before.setattr(arrivals, "new_key", lambda: None)
        async with a_record(new_database, fresh_merchant) as filled:
            await post(filled.api, "/v1/payments", "another", body())
            assert await tables_with(filled, WORDS[0]) == IN_CLEAR
            await assert_holds(filled)
            before.undo()
            with pytest.raises(NotErasable, match="erase prepare"):
                await erase(filled)
            with psycopg.connect(filled.database.owner_url, autocommit=True) as owner:
                owner.execute("UPDATE payment SET description = 'by hand'")
                moved = move_personal_fields(owner, again=True)
                assert moved.rows == 1 and moved.left > 0, "the event alone: nothing else is what its payment says"
                with pytest.raises(NotErasable, match="rows of pay_"):
                    await erase(filled)
                owner.execute("UPDATE payment SET description = %s", (DESCRIPTION,))
                _sealed(owner)
                with pytest.raises(SealedAlready):
                    move_personal_fields(owner, again=True)
                assert await tables_with(filled, WORDS[0]) == IN_CLEAR
                owner.execute("DELETE FROM audit_head")
                with pytest.raises(Killed):
                    move_personal_fields(owner, killed, again=True)
                assert not is_moved(owner)
                await assert_holds(filled)
            assert migrate(filled.database.owner_url) == [], "the next migration goes on"
            assert await tables_with(filled, WORDS[0]) == {"payment"}
            await assert_holds(filled)
            again = await post(filled.api, "/v1/payments", "create", body())
            assert (again.status_code, again.content) == (201, filled.created.content)
            other = await post(filled.api, "/v1/payments", "create", body(description="another"))
            assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "description")
            with psycopg.connect(filled.database.owner_url, autocommit=True) as owner:
                assert move_personal_fields(owner, again=True) == (0, 0)
            key = await key_of(filled)
            await erase(filled, "merchant.erase", filled.merchant)
            await Erasures(filled.runtime).round()
            await assert_gone(filled, key)
            await assert_holds(filled)


async def test_arrivals_of_an_older_process_are_prepared_whatever_their_event_has(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def from_an_older_process() -> None:
        with monkeypatch.context() as before:
            before.setattr(arrivals, "_kept", lambda row, _: row.sealed)
            await send(filled, arrived(await event_of(filled, "first")))

    async def unwrapped() -> int:
        found: int = await filled.runtime.pool.fetchval(
            "SELECT count(*) FROM delivery WHERE substr(sealed, 1, 1) <> '\\x03'"
        )
        return found

    async with a_record(new_database, fresh_merchant) as filled:
        await from_an_older_process()
        assert await unwrapped() == 1, "its event has a key"
        with pytest.raises(NotErasable, match="erase prepare"):
            await erase(filled)
        with psycopg.connect(filled.database.owner_url, autocommit=True) as owner:
            assert move_personal_fields(owner, again=True) == (1, 0)
            await erase(filled)
            await from_an_older_process()
            assert await unwrapped() == 1, "its event is erased"
            assert move_personal_fields(owner, again=True) == (1, 0)
        assert await unwrapped() == 0
        assert not await filled.runtime.pool.fetchval("SELECT count(*) FROM inbox WHERE raw_key IS NOT NULL")
        await assert_holds(filled)


async def test_an_erasure_that_cannot_go_on_holds_up_no_other(new_database: NewDatabase, fresh_merchant: str) -> None:
    async with a_record(new_database, fresh_merchant) as filled:
        pool, until, second = filled.runtime.pool, utc_now() + timedelta(hours=1), f"{fresh_merchant}-other"
        await pool.execute("UPDATE payment SET personal_key = NULL")
        async with inside(filled.database, second, BookedProvider()) as other:
            assert (await post(other, "/v1/payments", "create", body())).status_code == 201
        await begin_erasure(pool, filled.merchant, "apr_1", None, until)
        await begin_erasure(pool, second, "apr_2", None, until)
        assert await Erasures(filled.runtime).round() == 1
        with pytest.raises(NotErasable, match="erase prepare"):
            await Erasures(filled.runtime).round()


async def test_an_arrival_that_cannot_be_erased_is_said_and_holds_up_nothing_else(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def with_keys() -> list[str]:
        rows = await filled.runtime.pool.fetch("SELECT provider_event_id FROM inbox WHERE raw_key IS NOT NULL")
        return sorted(row["provider_event_id"] for row in rows)

    async with a_record(new_database, fresh_merchant) as filled:
        await erase(filled)
        for name in ("a.bad", "b.good", "c.bad", "d.good"):
            with monkeypatch.context() as before:
                if name.endswith("bad"):
                    before.setattr(arrivals, "_kept", lambda row, _: row.sealed)
                await send(filled, arrived(await event_of(filled, name)))
        assert await with_keys() == ["a.bad", "b.good", "c.bad", "d.good"]
        rounds = Erasures(filled.runtime)
        with capture_logs() as lines:
            await rounds.erase_what_came_since()
        assert await with_keys() == ["a.bad", "c.bad"], "those that can be erased are"
        [said] = [line for line in lines if line["event"] == "arrival of an erased payment not erased"]
        assert said["alert"] and "erase prepare" in said["reason"] and said["request_id"].startswith("apr_")
        with psycopg.connect(filled.database.owner_url, autocommit=True) as owner:
            assert move_personal_fields(owner, again=True) == (2, 0)
        await rounds.erase_what_came_since()
        assert await with_keys() == [], "it goes on as soon as it can"
        await assert_holds(filled)


async def test_erasures_are_taken_and_listed_in_the_order_of_their_approval(
    new_database: NewDatabase, fresh_merchant: str
) -> None:
    async with a_record(new_database, fresh_merchant) as filled:
        pool, now = filled.runtime.pool, utc_now()
        for name, minutes in (("apr_b", 2), ("apr_c", 1), ("apr_a", 3), ("apr_d", 1)):
            await begin_erasure(pool, f"m-{name[-1]}", name, None, now - timedelta(minutes=minutes))
        assert [each.request_id for each in await unfinished(pool, 10)] == ["apr_a", "apr_b", "apr_c", "apr_d"]
        assert [each.request_id for each in await erasures(pool, 3)] == ["apr_d", "apr_c", "apr_b"]


def _sealed(owner: Any) -> None:
    owner.execute(
        "INSERT INTO audit_head (leaf_group, sequence, size, peaks, leaves, document, signature, sealed_at)"
        " VALUES (0, 1, 1, '', '', '', '', now())"
    )
