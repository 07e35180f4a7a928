"""A burst: many events sent again at once, with duplicates, reordering and forgeries, on a chosen number of
connections, and the responses by kind."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec import Struct

from tallystick.lab.acquirer.events import ORIGINAL, SentRequest
from tallystick.lab.acquirer.options import Webhooks
from tallystick.lab.acquirer.sender import Courier
from tallystick.lab.acquirer.signing import forgery
from tallystick.lab.acquirer.wire import Wires


class BurstOptions(Struct, frozen=True, kw_only=True):
    """Shares are of the chosen events: 0.3 duplicates means three more requests for ten events."""

    duplicates: float
    shuffled: float
    forged: float
    connections: int
    seed: int


class BurstRequest(NamedTuple):
    """One request of a burst."""

    sequence: int
    kind: str
    body: bytes


def plan(events: Sequence[tuple[int, bytes]], options: BurstOptions) -> tuple[list[BurstRequest], int]:
    """The requests in the order in which they leave, and how many events are out of order. The same seed makes the
    same burst. Two of three duplicates leave right behind their event, so that they meet inside one batch."""
    rng = random.Random(options.seed)
    order = list(events)
    moved = rng.sample(range(len(order)), round(options.shuffled * len(order)))
    for here, there in pairwise(moved):
        order[here], order[there] = order[there], order[here]
    placed = [(float(place), BurstRequest(sequence, ORIGINAL, body)) for place, (sequence, body) in enumerate(order)]
    for place in rng.sample(range(len(order)), round(options.duplicates * len(order))):
        sequence, body = order[place]
        behind = place + 0.5 if rng.random() < 2 / 3 else rng.uniform(place + 1, len(order) + 1)
        placed.append((behind, BurstRequest(sequence, "duplicate", body)))
    for place in rng.sample(range(len(order)), round(options.forged * len(order))):
        sequence, body = order[place]
        placed.append((rng.uniform(0, len(order)), BurstRequest(sequence, "forged", forgery(body))))
    placed.sort(key=lambda each: each[0])
    return [request for _, request in placed], len(moved) if len(moved) > 1 else 0


class Burst:
    """One burst, under way or done."""

    def __init__(
        self, courier: Courier, webhooks: Webhooks, events: Sequence[tuple[int, bytes]], options: BurstOptions
    ) -> None:
        self._courier = courier
        self._options = options
        self._events = len(events)
        self._requests, self._moved = plan(events, options)
        self._tries: list[SentRequest] = []
        self._began = time.perf_counter()
        self._elapsed_s: float | None = None
        self._wires = Wires(webhooks.url, limit=options.connections, timeout_s=webhooks.timeout_ms / 1000)

    @property
    def done(self) -> bool:
        """Whether every request was answered or timed out."""
        return self._elapsed_s is not None

    async def run(self) -> None:
        """Send everything once. Events that were not accepted return to the schedule."""
        self._began = time.perf_counter()
        requests = iter(self._requests)
        try:
            await asyncio.gather(*(self._fire(requests) for _ in range(self._options.connections)))
            self._elapsed_s = time.perf_counter() - self._began
            self._courier.flush()
        finally:
            self._wires.close()

    def report(self) -> dict[str, Any]:
        """How many of each kind were sent, their responses ("none": no response), and how quickly they came."""
        answers: dict[str, Counter[str]] = {}
        for each in self._tries:
            status = "none" if each.status is None else str(each.status)
            answers.setdefault(each.kind, Counter())[status] += 1
        elapsed_s = self._elapsed_s or time.perf_counter() - self._began
        return {
            "state": "done" if self.done else "running",
            "events": self._events,
            "out_of_order": self._moved,
            "planned": len(self._requests),
            "sent": len(self._tries),
            "kinds": {kind: {"sent": count.total(), "answers": dict(count)} for kind, count in answers.items()},
            "connections": self._options.connections,
            "elapsed_ms": round(elapsed_s * 1000, 1),
            "per_s": round(len(self._tries) / elapsed_s, 1),
            "latency_ms": _percentiles(sorted(each.latency_ms for each in self._tries)),
        }

    async def _fire(self, requests: Iterator[BurstRequest]) -> None:
        for request in requests:
            self._tries.append(await self._courier.carry(self._wires, request.sequence, request.kind, request.body))


def _percentiles(ordered: Sequence[float]) -> dict[str, float]:
    if not ordered:
        return {}
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3) for name, share in shares.items()}
