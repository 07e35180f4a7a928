"""The demonstration's clients: they retry with the same key, send duplicates, hang up, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from tallystick.domain.errors import TallystickError
from tallystick.lab.demo.stories import Order

#: A client that has no final answer by then reports it: `…_not_charged` takes recovery about 8 s here.
PATIENCE_S: Final = 45

#: Pauses between two requests with one key: short, because the run is short; 409 and 503 say their own.
RETRY_FIRST_S: Final = 0.15
RETRY_CAP_S: Final = 1.0

#: One request may take as long as the provider, the send window and a busy laptop together.
REQUEST_TIMEOUT_S: Final = 15


class NoFinalAnswer(TallystickError):
    """An instruction got no final answer within the client's patience."""


class ClientCounts:
    """Counts of what the clients saw."""

    def __init__(self) -> None:
        self.payments = 0
        self.calls = 0
        self.replays = 0
        self.in_flight_refusals = 0
        self.not_final_answers = 0
        self.hang_ups = 0
        self.lost_connections = 0
        self.refused_transitions = 0
        self.faults: list[str] = []

    def fault(self, order: Order, what: str) -> None:
        """Record something that must not happen."""
        self.faults.append(f"{order.key} ({order.story.name}): {what}")


class ClientAnswer(msgspec.Struct, frozen=True):
    """A final answer."""

    status: int
    body: bytes
    replayed: bool

    def json(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


class Clients:
    """All paying clients. At most ``connections`` requests are on their way at once."""

    def __init__(self, address: str, simulator_address: str, api_key: str, connections: int) -> None:
        self._address = address
        self._simulator = simulator_address
        self._slots = asyncio.Semaphore(connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit; a hang-up must not wait for one
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
        )
        self.counts = ClientCounts()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def wait_for_connection(self) -> None:
        """Wait for a free connection, behind those that wait already."""
        async with self._slots:
            return

    async def pay(self, order: Order) -> None:
        """One payment from its create to its last instruction, compared answer by answer."""
        self.counts.payments += 1
        try:
            payment = await self._create(order)
            if payment is not None and order.story.then is not None:
                await self._follow_up(order, payment)
        except (NoFinalAnswer, aiohttp.ClientError, KeyError, msgspec.DecodeError) as error:
            self.counts.fault(order, f"{type(error).__name__}: {error}")

    async def list_payments(self) -> list[dict[str, Any]]:
        """Every payment of the merchant, through the API."""
        payments: list[dict[str, Any]] = []
        query = {"limit": "100"}
        while True:
            page = await self._read("/v1/payments", query)
            payments += page["data"]
            if not page["has_more"]:
                return payments
            query["cursor"] = page["next_cursor"]

    async def accounts(self) -> list[dict[str, Any]]:
        """The merchant's accounts."""
        accounts: list[dict[str, Any]] = (await self._read("/v1/ledger/accounts", {}))["data"]
        return accounts

    async def _read(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        async with self._session.get(self._address + path, params=query) as response:
            response.raise_for_status()
            body: dict[str, Any] = msgspec.json.decode(await response.read())
            return body

    async def _create(self, order: Order) -> dict[str, Any] | None:
        """The payment once its create is final; None where the customer is not expected back."""
        waiting_is_enough = order.story.payment_method == "sim_action_required"
        if order.hangs_up_after_ms is not None:
            await self._hang_up(order)
        first = self._instruct("/v1/payments", order.body(), order.key, until_waiting=waiting_is_enough)
        again = [
            self._instruct("/v1/payments", order.body(), order.key, until_waiting=waiting_is_enough)
            for _ in range(order.duplicates)
        ]
        answers = list(await asyncio.gather(first, *again))
        if order.retries:
            answers.append(
                await self._instruct("/v1/payments", order.body(), order.key, until_waiting=waiting_is_enough)
            )
        self._compare(order, [a for a in answers if a.status != 202])
        return answers[0].json()

    async def _follow_up(self, order: Order, payment: dict[str, Any]) -> None:
        then, path = order.story.then, f"/v1/payments/{payment['id']}"
        half = {"amount": order.amount // 2}
        sends: dict[str, Callable[[], Awaitable[object]]] = {
            "capture": lambda: self._repeated(order, f"{path}/capture", {}, "capture"),
            "capture_half": lambda: self._repeated(order, f"{path}/capture", half, "capture"),
            "cancel": lambda: self._repeated(order, f"{path}/cancel", {}, "cancel"),
            "refund": lambda: self._repeated(order, f"{path}/refunds", {"reason": order.story.name}, "refund"),
            "refund_half": lambda: self._repeated(order, f"{path}/refunds", half, "refund"),
            "complete": lambda: self._customer(payment, "complete"),
            "abandon": lambda: self._customer(payment, "abandon"),
        }
        await asyncio.gather(*(sends[name]() for name in (then or "").split("|")))
        if order.story.payment_method == "sim_action_required":
            answer = await self._instruct("/v1/payments", order.body(), order.key)
            if answer.json()["state"] not in order.story.ends:
                self.counts.fault(order, f"the create ended as {answer.json()['state']}")

    async def _repeated(self, order: Order, path: str, body: dict[str, Any], operation: str) -> None:
        """A later instruction; clients that retry their creates retry these too."""
        key = f"{order.key}-{operation}"
        answers = [await self._instruct(path, body, key)]
        if order.retries:
            answers.append(await self._instruct(path, body, key))
        self._compare(order, answers)

    def _compare(self, order: Order, answers: list[ClientAnswer]) -> None:
        """All final answers under one key are the same bytes, and no more than one of them is not a replay."""
        if len({(answer.status, answer.body) for answer in answers}) > 1:
            self.counts.fault(order, "two answers under one key differ")
        if sum(not answer.replayed for answer in answers) > 1:
            self.counts.fault(order, "executed twice under one key")
        for answer in answers:
            if answer.status == 409:
                self.counts.refused_transitions += 1
            if answer.status not in (200, 201) and not (answer.status == 409 and "|" in (order.story.then or "")):
                self.counts.fault(order, f"answered {answer.status}")

    async def _hang_up(self, order: Order) -> None:
        """Send the create, and drop the connection before its answer."""
        assert order.hangs_up_after_ms is not None
        self.counts.hang_ups += 1
        async with self._slots:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout(order.hangs_up_after_ms / 1000):
                    await self._send("/v1/payments", order.body(), order.key)

    async def _customer(self, payment: dict[str, Any], does: str) -> None:
        url = f"{self._simulator}/sim/charges/{payment['provider_reference']}/{does}"
        async with self._slots, self._session.post(url, json={}) as response:
            response.raise_for_status()

    async def _instruct(
        self, path: str, body: dict[str, Any], key: str, *, until_waiting: bool = False
    ) -> ClientAnswer:
        """Send one instruction with one key until its final answer (or until the payment waits for its customer)."""
        give_up = time.monotonic() + PATIENCE_S
        pause_s = RETRY_FIRST_S
        while time.monotonic() < give_up:
            try:
                async with self._slots:
                    answer, retry_after_s = await self._send(path, body, key)
            except (aiohttp.ClientError, TimeoutError):
                self.counts.lost_connections += 1
            else:
                if answer.status == 202 and until_waiting and answer.json()["state"] == "requires_action":
                    return answer
                if not self._try_again(answer):
                    return answer
                pause_s = max(pause_s, min(retry_after_s, RETRY_CAP_S))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_CAP_S)
        raise NoFinalAnswer(f"no final answer to {path} in {PATIENCE_S} s")

    def _try_again(self, answer: ClientAnswer) -> bool:
        if answer.status == 202:
            self.counts.not_final_answers += 1
            return True
        if answer.replayed:
            self.counts.replays += 1
            return False
        if answer.status == 409 and answer.json()["code"] == "instruction_in_flight":
            self.counts.in_flight_refusals += 1
            return True
        return answer.status in (429, 503)

    async def _send(self, path: str, body: dict[str, Any], key: str) -> tuple[ClientAnswer, float]:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        url = self._address + path
        self.counts.calls += 1
        async with self._session.post(url, data=msgspec.json.encode(body), headers=headers) as response:
            replayed = response.headers.get("Idempotent-Replayed") == "true"
            answer = ClientAnswer(response.status, await response.read(), replayed)
            return answer, float(response.headers.get("Retry-After", 0))
