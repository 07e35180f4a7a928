"""Six hours in which a provider cannot get its webhooks through, in virtual time: refused, then kept with their
acknowledgement lost. Each event has its effect once, and every arrival its row.

The road's hours are the acquirer's schedule, not a clock: however late a busy machine is with a try, what becomes of it
is the same.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Final

import httpx
from aiohttp import web

from tallystick.lab.acquirer.options import RETRY_S
from tallystick.providers.simulator.setup import SimulatorSettings, connect
from tallystick.settings.load import Settings
from tests.support.acquirer import AcquirerProcess
from tests.support.api import SHORT, Inside, inside
from tests.support.database import Database
from tests.support.inbox import drain, states
from tests.support.polling import eventually_async
from tests.support.ports import free_port

#: An hour of the acquirer's schedule takes 0.36 s.
TIME_SCALE: Final = 1e-4
HOUR_S: Final = 3_600 * TIME_SCALE

#: When each try at an event is due, the first one at once.
HOURS: Final = [seconds / 3_600 for seconds in accumulate((0, *RETRY_S))]

PAYMENTS: Final = 12


class Road:
    """The way from the acquirer to our door. For three hours nothing gets through (503); for three more everything
    does, and no answer comes back."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._tries: Counter[str] = Counter()
        self.met: Counter[str] = Counter()

    async def deliver(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        name = json.loads(body)["id"]
        hours = HOURS[self._tries[name]]
        self._tries[name] += 1
        if hours < 3:
            self.met["refused"] += 1
            refusal = web.Response(status=503, headers={"Retry-After": "1"})
            refusal.force_close()  # what fails on a kept connection is sent once more at once, which is no try
            return refusal
        headers = {name: value for name, value in request.headers.items() if name.lower() == "acquirer-signature"}
        passed = self._client.build_request("POST", request.path, content=body, headers=headers)
        passed.headers.pop("authorization", None)
        answer = await self._client.send(passed)
        if hours < 6:
            self.met["unanswered"] += 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.met[f"answered {answer.status_code}"] += 1
        return web.Response(status=answer.status_code, body=answer.content)


async def _all_delivered(bank: AcquirerProcess) -> None:
    async def states_of_events() -> list[str]:
        await bank.acall("GET", "/sim/charges")  # a look makes a pending charge mature
        return [event["state"] for event in await asyncio.to_thread(bank.events)]

    await eventually_async(
        states_of_events, until=lambda found: found == ["delivered"] * PAYMENTS, within_s=120, interval_s=0.05
    )


async def _payments(app: Inside) -> list[str]:
    answers = await asyncio.gather(*(app.pay(payment_method="sim_webhook_only") for _ in range(PAYMENTS)))
    assert {answer.status_code for answer in answers} == {202}
    return [answer.json()["id"] for answer in answers]


async def test_six_hours_of_retries(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    port = free_port()
    bank = AcquirerProcess(
        tmp_path / "books.sqlite",
        webhook_url=f"http://127.0.0.1:{port}/v1/webhooks/simulator/main",
        time_scale=TIME_SCALE,
    )
    provider = connect(Settings(**SHORT).with_connector(SimulatorSettings, url=bank.url))
    try:
        async with inside(database, fresh_merchant, provider) as app:
            road = Road(app.client)
            server = web.Application()
            server.router.add_post("/v1/webhooks/simulator/main", road.deliver)
            runner = web.AppRunner(server)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            try:
                payment_ids = await _payments(app)
                await _all_delivered(bank)
            finally:
                await runner.cleanup()
            refused, unanswered = (sum(begin <= hour < begin + 3 for hour in HOURS) for begin in (0, 3))
            assert refused > 1 and unanswered >= 1, "the schedule meets both halves"
            assert road.met == {
                "refused": refused * PAYMENTS,
                "unanswered": unanswered * PAYMENTS,
                "answered 200": PAYMENTS,
            }
            runtime = app.app.state.runtime
            await drain(runtime)
            assert list((await states(runtime, fresh_merchant)).values()) == ["applied"] * PAYMENTS
            rows = await runtime.pool.fetch(
                "SELECT provider_event_id, array_agg(result ORDER BY recorded_at) AS results FROM delivery GROUP BY 1"
            )
            assert len(rows) == PAYMENTS
            for row in rows:  # kept once, and each time that its acknowledgement was lost
                assert row["results"] == ["first", *["redelivery"] * unanswered]
            for payment_id in payment_ids:
                events = [step.event for step in await runtime.reads.history(fresh_merchant, payment_id)]
                assert events == ["create", "captured"]
            sent = [each["sent_at"] for each in await asyncio.to_thread(bank.deliveries)]
            assert (max(sent) - min(sent)) / HOUR_S > 6
    finally:
        bank.kill()
