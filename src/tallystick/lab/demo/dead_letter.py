"""The drill: an event that cannot be decided becomes a dead letter, its cause is removed, an operator replays it, and
durable rows show every checkpoint.

The acquirer's webhooks are paused. A hold is captured in its dashboard and then disputed; only the event of the dispute
is delivered. A dispute over a payment that is not captured cannot be decided, so the event becomes a dead letter. Then
the webhooks resume, the capture is reported, and the replayed dispute is applied by the same rules as any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from tallystick.lab.demo.result import Check

#: Each step takes well under a second here.
STEP_WITHIN_S: Final = 20
POLL_S: Final = 0.1


class DrillFailed(Exception):
    """A step did not happen in time; the message says which."""


class Drill:
    """One payment, one dead letter."""

    def __init__(self, address: str, simulator: str, api_key: str, operator_key: str, key: str) -> None:
        self._address = address
        self._simulator = simulator
        self._merchant = {"Authorization": f"Bearer {api_key}"}
        self._operator = {"Authorization": f"Bearer {operator_key}"}
        self._key = key
        self.trace: dict[str, Any] = {}

    async def run(self) -> Check:
        """The drill, as a check."""
        name = "a dead letter was replayed, and every checkpoint left a row"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=STEP_WITHIN_S)) as session:
            try:
                await self._steps(session)
            except (DrillFailed, aiohttp.ClientError, KeyError) as error:
                return Check(name, "it did not finish", [f"{type(error).__name__}: {error}"])
        results = [each["result"] for each in self.trace["attempts"]]
        met = [each["name"] for each in self.trace["checkpoints"] if each["at"] is not None]
        missing = {"ingest", "validate", "dedup", "process", "persist", "emit"} - set(met)
        differences = [f"no checkpoint {each}" for each in sorted(missing)]
        if results[-2:] != ["replayed", "applied"]:
            differences.append(f"ended as {', '.join(results)}")
        return Check(name, f"{len(results)} tries and acts, {len(met)} checkpoints", differences)

    async def _steps(self, session: aiohttp.ClientSession) -> None:
        body = {"amount": 4_200, "currency": "EUR", "payment_method": "sim_ok", "capture_method": "manual"}
        headers = self._merchant | {"Idempotency-Key": self._key}
        payment = await self._post(session, f"{self._address}/v1/payments", body, headers)
        charge = payment["provider_reference"]
        await self._post(session, f"{self._simulator}/sim/webhooks/pause", {})
        try:
            await self._post(session, f"{self._simulator}/sim/charges/{charge}/dashboard-capture", {})
            await self._post(session, f"{self._simulator}/sim/charges/{charge}/dispute", {})
            dispute = await self._event_of(session, payment["id"], "dispute.opened")
            await self._post(session, f"{self._simulator}/sim/webhooks/resend", {"ids": [dispute]})
            letter = await self._until(lambda: self._dead(session, dispute), "the event is a dead letter")
        finally:
            await self._post(session, f"{self._simulator}/sim/webhooks/resume", {})
        await self._until(lambda: self._captured(session, payment["id"]), "the capture is reported")
        act = {"reason": "the capture has been reported"}
        await self._post(session, f"{self._address}/v1/dead-letters/{letter}/replay", act, self._operator)
        self.trace = await self._until(lambda: self._closed(session, letter), "the replay is done")

    async def _event_of(self, session: aiohttp.ClientSession, payment_id: str, kind: str) -> str:
        page = await self._get(session, f"{self._simulator}/sim/events?payment_id={payment_id}")
        found: str = next(event["id"] for event in page["data"] if event["type"] == kind)
        return found

    async def _dead(self, session: aiohttp.ClientSession, provider_event_id: str) -> str | None:
        page = await self._get(session, f"{self._address}/v1/dead-letters?limit=100", self._operator)
        for letter in page["data"]:
            if letter["provider_event_id"] == provider_event_id:
                return str(letter["event_id"])
        return None

    async def _captured(self, session: aiohttp.ClientSession, payment_id: str) -> bool:
        payment = await self._get(session, f"{self._address}/v1/payments/{payment_id}", self._merchant)
        return bool(payment["state"] == "captured")

    async def _closed(self, session: aiohttp.ClientSession, event_id: str) -> dict[str, Any] | None:
        trace = await self._get(session, f"{self._address}/v1/provider-events/{event_id}", self._operator)
        return trace if trace["state"] not in ("received", "unroutable", "failed") else None

    async def _until(self, look: Callable[[], Awaitable[Any]], what: str) -> Any:
        give_up = time.monotonic() + STEP_WITHIN_S
        while not (found := await look()):
            if time.monotonic() > give_up:
                raise DrillFailed(f"not within {STEP_WITHIN_S} s: {what}")
            await asyncio.sleep(POLL_S)
        return found

    async def _post(
        self, session: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Any:
        async with session.post(url, json=body, headers=headers) as answer:
            if answer.status >= 300:
                raise DrillFailed(f"{url} answered {answer.status}")
            return msgspec.json.decode(await answer.read())

    async def _get(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None) -> Any:
        async with session.get(url, headers=headers) as answer:
            answer.raise_for_status()
            return msgspec.json.decode(await answer.read())
