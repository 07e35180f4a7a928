"""What becomes of a message that is not heard: when it is tried again, given up, asked for; and of the endpoint."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound import endpoints as rules
from tallystick.flows.webhooks.outbound.retries import JITTER, SCHEDULE_MS
from tallystick.kit.clock import monotonic_ms
from tests.support.database import Database
from tests.support.outbox import (
    book_of,
    deliveries,
    drain,
    endpoint,
    endpoints_of,
    pay,
    queues,
    register,
    runtime_for,
    tries,
    worker,
    worker_at,
)
from tests.support.polling import eventually_async
from tests.support.receivers import Got, first, ok, receiving, status
from tests.support.work import working

DAY_MS = 86_400_000
MILLISECOND = timedelta(milliseconds=1)

#: What is asked for so long before its time is asked for before its time, however busy the machine.
MARGIN_MS = 60_000


async def _due_in_ms(runtime: Runtime, merchant_id: str) -> int:
    """As the real clock sees it."""
    value: int = await runtime.pool.fetchval(
        "SELECT (extract(epoch FROM min(next_try_at) - now()) * 1000)::bigint FROM message_delivery"
        " WHERE merchant_id = $1 AND state = 'open'",
        merchant_id,
    )
    return value


async def _waits_ms(runtime: Runtime, merchant_id: str) -> float:
    """From the last try's beginning until the only message's next."""
    (one,) = await deliveries(runtime, merchant_id)
    waits: timedelta = one["next_try_at"] - (await tries(runtime, merchant_id))[-1]["started_at"]
    return waits / MILLISECOND


async def test_ten_tries_on_schedule_then_it_is_given_up_and_can_be_asked_for(
    database: Database, fresh_merchant: str
) -> None:
    """Three and a half days in virtual time."""
    async with receiving() as receiver, runtime_for(database) as runtime:
        receiver.script = status(500)
        made = await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        shift_ms, took_ms = 0, 0
        due_at: datetime | None = None
        for number, delay_ms in enumerate(SCHEDULE_MS, start=1):
            if number > 1:
                due_at = (await deliveries(runtime, fresh_merchant))[0]["next_try_at"]
                assert delay_ms <= await _waits_ms(runtime, fresh_merchant) <= delay_ms * (1 + JITTER) + took_ms
                due_in_ms = await _due_in_ms(runtime, fresh_merchant)
                if delay_ms > MARGIN_MS:
                    async with worker_at(database, due_in_ms - MARGIN_MS) as early:
                        await drain(early)
                    assert len(receiver.got) == number - 1
                shift_ms = due_in_ms + 500
            began_ms = monotonic_ms()
            async with worker_at(database, shift_ms) as delivery:
                await drain(delivery)
            took_ms = monotonic_ms() - began_ms
            assert len(receiver.got) == number
            assert due_at is None or (await tries(runtime, fresh_merchant))[-1]["started_at"] >= due_at
        (one,) = await deliveries(runtime, fresh_merchant)
        assert (one["state"], one["tries"], one["next_try_at"]) == ("exhausted", len(SCHEDULE_MS), None)
        assert await queues(runtime, fresh_merchant) == 0
        assert len({got.message_id for got in receiver.got}) == 1
        stamps = [int(got.headers["webhook-timestamp"]) for got in receiver.got]
        assert stamps == sorted(set(stamps)), "each try is stamped with its own time"
        assert [row["number"] for row in await tries(runtime, fresh_merchant)] == list(range(1, 11))

        async with worker_at(database, shift_ms + 40 * DAY_MS) as much_later:
            await drain(much_later)
        assert len(receiver.got) == 10, "given up is given up"

        receiver.script = ok
        await book_of(runtime).resend(fresh_merchant, made.endpoint_id, [one["message_id"]], actor="key:test")
        async with worker(runtime) as delivery:
            await drain(delivery)
        (one,) = await deliveries(runtime, fresh_merchant)
        assert (one["state"], one["tries"], one["resends"]) == ("delivered", 1, 1)
        assert receiver.got[-1].message_id == receiver.got[0].message_id
        asked = [row for row in await tries(runtime, fresh_merchant) if row["result"] == "resend_requested"]
        assert [row["actor"] for row in asked] == ["key:test"]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (status(301, Location="/elsewhere"), "redirected"),
        (status(302, Location="http://127.0.0.1:9/"), "redirected"),
        (status(307, Location="/elsewhere"), "redirected"),
        (status(304), "redirected"),
        (status(400), "refused"),
        (status(404), "refused"),
        (status(429), "refused"),
        (status(500), "refused"),
        (status(503), "refused"),
    ],
)
async def test_only_2xx_is_success_and_redirects_are_not_followed(
    database: Database, fresh_merchant: str, answer: Any, result: str
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = answer
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert len(receiver.got) == 1
        (tried,) = await tries(runtime, fresh_merchant)
        assert tried["result"] == result
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["open"]


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(database: Database, fresh_merchant: str, code: int) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(code)
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["delivered"]


async def test_what_does_not_answer_in_time_is_tried_again(database: Database, fresh_merchant: str) -> None:
    async def hangs(_: Got) -> web.StreamResponse:
        await asyncio.sleep(60)  # longer than the sender waits
        raise AssertionError

    async with (
        receiving() as receiver,
        runtime_for(database, outbound_timeout_ms=400) as runtime,
        worker(runtime) as delivery,
    ):
        receiver.script = hangs
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        (tried,) = await tries(runtime, fresh_merchant)
        assert (tried["result"], tried["status"]) == ("timed_out", None)
        assert tried["detail"] == "no response within 400 ms"
        assert 350 <= tried["duration_ms"] < 20_000  # on whatever machine, far less than the answer takes
        receiver.script = ok
        async with worker_at(database, 10_000) as later:
            await drain(later)
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["delivered"]


async def test_an_endless_answer_is_not_read(database: Database, fresh_merchant: str) -> None:
    """The status has said it all; a body that never ends costs neither time nor memory."""

    async def endless(_: Got) -> web.StreamResponse:
        response = web.StreamResponse()
        request = requests[-1]
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    requests: list[web.Request] = []
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        handle = receiver.handle

        async def remember(request: web.Request) -> web.StreamResponse:
            requests.append(request)
            return await handle(request)

        receiver.handle = remember  # type: ignore[method-assign]  # this one script streams
        receiver.script = endless
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        (tried,) = await tries(runtime, fresh_merchant)
        assert tried["result"] == "delivered"
        assert tried["duration_ms"] < 400


async def test_nobody_at_home_and_no_http_are_tried_again(database: Database, fresh_merchant: str) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"this is no HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, f"http://127.0.0.1:{port}/")
        await pay(runtime, fresh_merchant, "k1")
        await drain(delivery)
        server.close()
        await server.wait_closed()
        await pay(runtime, fresh_merchant, "k2")
        await drain(delivery)
        assert [one["result"] for one in await tries(runtime, fresh_merchant)] == ["broken", "unreachable"]
        assert {one["state"] for one in await deliveries(runtime, fresh_merchant)} == {"open"}


async def test_gone_disables_the_endpoint_and_gives_up_what_was_on_its_way(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(410)
        made = await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k", captured_later=True)
        await drain(delivery)
        row = await endpoint(runtime, made.endpoint_id)
        assert (row["state"], row["disabled_reason"]) == ("disabled", "gone")
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["canceled", "canceled"]
        assert await queues(runtime, fresh_merchant) == 0

        receiver.script = ok
        await pay(runtime, fresh_merchant, "while disabled")
        async with worker_at(database, 10 * DAY_MS) as later:
            await drain(later)
        assert len(receiver.got) == 1
        states = [one["state"] for one in await deliveries(runtime, fresh_merchant)]
        assert states == ["canceled"] * 3, "what came while it was disabled can be asked for"

        await book_of(runtime).enable(fresh_merchant, made.endpoint_id, actor="key:test")
        since = row["created_at"]
        resent = await endpoints_of(runtime).resend_since(fresh_merchant, made.endpoint_id, since, actor="key:test")
        assert (resent.count, resent.more) == (3, False)
        await drain(delivery)
        assert {one["state"] for one in await deliveries(runtime, fresh_merchant)} == {"delivered"}
        acts = await runtime.pool.fetch(
            "SELECT act, detail, actor FROM webhook_endpoint_act WHERE endpoint_id = $1 ORDER BY act_id",
            made.endpoint_id,
        )
        assert [tuple(act) for act in acts] == [
            ("registered", None, "key:test"),
            ("disabled", "gone", "delivery"),
            ("enabled", None, "key:test"),
        ]


async def test_an_endpoint_that_fails_for_too_long_is_disabled(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database, outbound_failing_limit_ms=3_600_000) as runtime:
        receiver.script = status(500)
        made = await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k1")
        async with worker(runtime) as delivery:
            await drain(delivery)
        assert (await endpoint(runtime, made.endpoint_id))["failing_since"] is not None
        assert (await endpoint(runtime, made.endpoint_id))["state"] == "enabled"
        async with worker_at(database, 3_700_000, outbound_failing_limit_ms=3_600_000) as later:
            await drain(later)
        row = await endpoint(runtime, made.endpoint_id)
        assert (row["state"], row["disabled_reason"]) == ("disabled", "failing")
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["canceled"]


async def test_one_success_ends_the_failing(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = first(1)
        made = await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert (await endpoint(runtime, made.endpoint_id))["failing_since"] is not None
        async with worker_at(database, 10_000) as later:
            await drain(later)
        assert (await endpoint(runtime, made.endpoint_id))["failing_since"] is None


async def test_a_failing_endpoint_is_asked_by_one_message_at_a_time(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(500)
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "first")
        await delivery.round()
        for number in range(5):
            await pay(runtime, fresh_merchant, f"k{number}")
        await delivery.round()
        assert len(receiver.got) == 2

        at_once, most = 0, 0

        async def slow(_: Got) -> web.StreamResponse:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.05)  # long enough for a second one to overlap
            at_once -= 1
            return web.Response(status=500)

        receiver.script = slow
        async with working(runtime, "dispatch", "delivery"):
            await eventually_async(lambda: len(receiver.got) >= 6)
        assert most == 1


@pytest.mark.parametrize(("asked", "waited_ms"), [("3600", 3_600_000), ("99999999", DAY_MS), ("1", 5_000)])
async def test_retry_after_is_honoured_within_bounds(
    database: Database, fresh_merchant: str, asked: str, waited_ms: int
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(503, Retry_After=asked)
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        began_ms = monotonic_ms()
        await drain(delivery)
        took_ms = monotonic_ms() - began_ms
        assert waited_ms <= await _waits_ms(runtime, fresh_merchant) <= waited_ms * (1 + JITTER) + took_ms


async def test_disabling_by_hand_stops_what_is_on_its_way_and_nothing_else(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as one, receiving() as other, runtime_for(database) as runtime, worker(runtime) as delivery:
        one.script, other.script = first(1), first(1)
        made = await register(runtime, fresh_merchant, one)
        await register(runtime, fresh_merchant, other)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        await book_of(runtime).disable(fresh_merchant, made.endpoint_id, "by_request", actor="key:test")
        async with worker_at(database, 10_000) as later:
            await drain(later)
        assert (len(one.got), len(other.got)) == (1, 2)


async def test_a_deleted_endpoint_has_no_secrets_left(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        assert await book_of(runtime).delete(fresh_merchant, made.endpoint_id, actor="key:test")
        assert not await book_of(runtime).delete(fresh_merchant, made.endpoint_id, actor="key:test")
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert receiver.got == []
        assert await deliveries(runtime, fresh_merchant) == []
        left = await runtime.pool.fetchval(
            "SELECT count(*) FROM webhook_secret WHERE endpoint_id = $1", made.endpoint_id
        )
        assert left == 0


async def test_a_large_backlog_is_sent_again_in_pieces_oldest_first(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "RESEND_LIMIT", 2)
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        await book_of(runtime).disable(fresh_merchant, made.endpoint_id, "by_request", actor="key:test")
        missed = [await pay(runtime, fresh_merchant, f"k{number}") for number in range(3)]
        await drain(delivery)
        await book_of(runtime).enable(fresh_merchant, made.endpoint_id, actor="key:test")
        since = (await endpoint(runtime, made.endpoint_id))["created_at"]
        for expected in ((2, True), (1, False), (0, False)):
            resent = await endpoints_of(runtime).resend_since(fresh_merchant, made.endpoint_id, since, actor="key:test")
            assert (resent.count, resent.more) == expected
            await drain(delivery)
        assert {got.json["payment_id"] for got in receiver.got[:2]} == set(missed[:2])
        assert receiver.got[2].json["payment_id"] == missed[2]
