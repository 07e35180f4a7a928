"""Clients that pay, repeat what was answered with 503 under the same key, and remember every answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tallystick.kit.ids import new_id
from tests.support.polling import eventually_async

CLIENTS: Final = 16

#: Between two payments of one client: some 150 payments a second together, so that a batch is always under way.
PAUSE_S: Final = 0.1

#: Before a repetition; clients of a real platform wait longer.
REPEAT_AFTER_S: Final = 0.2

#: A load ends by itself, whatever becomes of the servers.
LIMIT_S: Final = 180

#: Longer than the API may take to say that it does not know.
REQUEST_TIMEOUT_S: Final = 60

BODY: Final = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}


@dataclass
class Answers:
    """``acknowledged``: key -> the payment of the first answer that was not 503. ``other``: answers that a client
    should never see."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    other: list[str] = field(default_factory=list)
    last_good_s: float = 0.0
    longest_gap_s: float = 0.0

    def good(self, key: str, payment_id: str) -> None:
        """An answer that says what became of an instruction."""
        now_s = time.monotonic()
        if self.last_good_s:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_good_s)
        self.last_good_s = now_s
        self.acknowledged[key] = payment_id


class Load:
    """Runs until it is stopped, and then until each instruction that was begun has its answer."""

    def __init__(self, url: str, api_key: str) -> None:
        self.answers = Answers()
        self._url = f"{url}/v1/payments"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._ends_at_s = time.monotonic() + LIMIT_S
        self._stopping = asyncio.Event()

    async def run(self) -> Answers:
        """All clients together."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            await asyncio.gather(*(self._client(session) for _ in range(CLIENTS)))
        return self.answers

    def stop(self) -> None:
        """Begin no more payments."""
        self._stopping.set()

    async def acknowledged(self, more: int) -> None:
        """Until that many more have been answered."""
        wanted = len(self.answers.acknowledged) + more
        await eventually_async(
            lambda: len(self.answers.acknowledged),
            until=lambda answered: answered >= wanted,
            within_s=max(self._ends_at_s - time.monotonic(), 0),
        )

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while not self._stopping.is_set() and time.monotonic() < self._ends_at_s:
            await self._pay(session, new_id("req"))
            await asyncio.sleep(PAUSE_S)  # the load itself: so many payments a second

    async def _pay(self, session: aiohttp.ClientSession, key: str) -> None:
        while time.monotonic() < self._ends_at_s:
            try:
                async with session.post(self._url, json=BODY, headers={"Idempotency-Key": key}) as answer:
                    self.answers.statuses[answer.status] += 1
                    if answer.status in (201, 202):
                        return self.answers.good(key, (await answer.json())["id"])
                    if answer.status != 503:
                        return self.answers.other.append(f"{answer.status} {await answer.text()}")
            except (aiohttp.ClientError, TimeoutError) as error:
                return self.answers.other.append(f"{key}: {error!r}")
            await asyncio.sleep(REPEAT_AFTER_S)  # as a client does before it tries again
        self.answers.other.append(f"{key}: no answer but 503")
