"""The client in ``examples/shop_client`` against the acquirer's faults, a bad network, and SIGKILL of the API and of
itself: the acquirer's books have what it says, once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.commands import Up, kill
from tests.support.database import DEEP, Database
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.polling import PATIENCE_S, eventually_async
from tests.support.shop import GIVE_UP_S, SAID, Order, Said, Shop, start

SETTINGS: Final = {
    "provider_request_timeout_ms": "700",
    "send_window_ms": "700",
    "settling_time_ms": "100",
    "max_delivery_delay_ms": "100",
    "recovery_interval_ms": "50",
    "recovery_backoff_base_ms": "100",
    "recovery_backoff_cap_ms": "500",
    "recovery_lease_ms": "2000",
    "pending_poll_ms": "100",
    "resubmit_limit": "1",
    "provider_circuit_calls": "100000",  # most calls fail here, and an open circuit would only add waits
    "api_processes": "1",
    "rate_limit_per_s": "40",
    "rate_limit_burst": "30",
    "log_level": "error",
}

#: Of each kind of order so many.
TIMES: Final = 8 if DEEP else 1

#: How often both processes of the shop and the API are killed.
KILLS: Final = 4 if DEEP else 1

#: Means of payment that the shopper tries, and what follows a payment. A card that is declined is followed by another.
KINDS: Final[tuple[tuple[tuple[str, ...], str | None], ...]] = (
    (("sim_ok",), None),
    (("sim_declined",), None),
    (("sim_declined", "sim_ok"), None),
    (("sim_insufficient_funds", "sim_error_charged"), None),
    (("sim_action_required",), None),
    (("sim_pending",), None),
    (("sim_timeout_charged",), None),
    (("sim_timeout_not_charged",), None),
    (("sim_error_charged",), None),
    (("sim_error_not_charged",), None),
    (("sim_reset_charged",), None),
    (("sim_ok",), "refund"),
    (("sim_refund_timeout_charged",), "refund"),
    (("sim_refund_error_not_charged",), "refund"),
    (("sim_refund_declined",), "refund"),
    (("sim_ok",), "capture"),
    (("sim_capture_reset_charged",), "capture"),
    (("sim_capture_declined",), "capture"),
    (("sim_cancel_error_charged",), "cancel"),
    (("sim_cancel_declined",), "cancel"),
)

#: What becomes of a request between the shop and the API: two of three arrive and are answered.
NETWORK: Final = (
    *[Fault.NONE] * 14,
    Fault.TIMEOUT_CHARGED,
    Fault.TIMEOUT_NOT_CHARGED,
    Fault.RESET_CHARGED,
    Fault.RESET_NOT_CHARGED,
    Fault.ERROR_CHARGED,
    Fault.ERROR_NOT_CHARGED,
    Fault.CUT_CHARGED,
)


def orders() -> tuple[Order, ...]:
    amounts = count(1_000)
    return tuple(Order(amount=next(amounts), methods=methods, then=then) for methods, then in KINDS * TIMES)


class Shops:
    """Two processes of one shop, on one file."""

    def __init__(self, up: Up, proxy: FaultyProxy, directory: Path) -> None:
        self.orders = orders()
        self._up = up
        self._proxy = proxy
        self._file = directory / "shop.sqlite"
        self._errors = directory / "shop.log"
        self._seeds = count(1)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for seed in (next(self._seeds), next(self._seeds)):
            shop = Shop(
                url=self._proxy.url,
                api_key=self._up.key,
                file=str(self._file),
                seed=seed,
                orders=self.orders,
            )
            self._processes.append(start(shop, self._errors))

    def kill(self) -> None:
        while self._processes:
            process = self._processes.pop()
            process.kill()
            process.communicate()

    def said(self) -> list[list[Said]]:
        """What each process says at its end."""
        printed = [process.communicate(timeout=GIVE_UP_S + PATIENCE_S)[0] for process in self._processes]
        assert [process.returncode for process in self._processes] == [0, 0], self._errors.read_text()[-3_000:]
        return [sorted(SAID.decode(each), key=lambda said: said.amount) for each in printed]

    def answered(self) -> int:
        """How many instructions had an answer of the API, be it final or not."""
        if not self._file.exists():
            return 0
        with closing(sqlite3.connect(self._file, timeout=PATIENCE_S)) as file:
            try:
                number: int = file.execute("SELECT count(*) FROM instruction WHERE status > 0").fetchone()[0]
            except sqlite3.OperationalError:  # its table is not made yet
                return 0
            return number


@contextmanager
def shops(up: Up, proxy: FaultyProxy, directory: Path) -> Iterator[Shops]:
    """Killed at the end, where they have not ended."""
    both = Shops(up, proxy, directory)
    try:
        yield both
    finally:
        both.kill()


def books(up: Up) -> dict[int, list[dict[str, Any]]]:
    """The acquirer's charges, by amount."""
    charges: dict[int, list[dict[str, Any]]] = {}
    cursor: str | None = "0"
    while cursor is not None:
        page = up.http.get(f"http://127.0.0.1:{up.simulator_port}/sim/charges?limit=1000&cursor={cursor}").json()
        for charge in page["data"]:
            charges.setdefault(charge["amount"], []).append(charge)
        cursor = page["next_cursor"]
    return charges


def moved(order: Order, said: Said) -> list[tuple[int, int]]:
    """What the books must have of an order, by what the client says: captured and refunded, of each charge."""
    if said.payment != "done":
        return []
    done = said.then == "done"
    match order.then:
        case "refund":
            return [(order.amount, order.part * done)]
        case "capture":
            return [(order.amount * done, 0)]
        case "cancel":
            return [(0, 0)]
    return [(order.amount, 0)]


#: Of these the acquirer never has money. Others may fail where the machine stands still: then nothing was charged.
NEVER_PAID: Final = {("sim_declined",), ("sim_timeout_not_charged",), ("sim_error_not_charged",)}


@pytest.mark.timeout(900 if DEEP else 400)  # many waits, each for as long as a busy machine needs
async def test_the_books_have_what_the_client_says(data_dir: Path, database: Database) -> None:
    directory = data_dir / "shop"
    directory.mkdir()
    chance = random.Random(1)
    urls = {"database_url": database.app_url, "migration_database_url": database.owner_url}
    with Up(directory / "data", **SETTINGS, **urls) as up:
        async with faulty_proxy(up.port) as proxy:
            proxy.choose = lambda *_: chance.choice(NETWORK)
            with shops(up, proxy, directory) as shop:
                for kills in range(KILLS):
                    shop.start()
                    await eventually_async(shop.answered, until=_at_least(len(shop.orders) * (kills + 1) // 6))
                    await eventually_async(lambda: books(up))
                    shop.kill()
                    await asyncio.to_thread(kill, up.children()["serve"])
                shop.start()
                said, again = await asyncio.to_thread(shop.said)
            charges = books(up)
        faults = {passage.fault for passage in proxy.seen}
    assert said == again
    assert [one.amount for one in said] == [order.amount for order in shop.orders]
    for order, one in zip(shop.orders, said, strict=True):
        found = [(charge["captured"], charge["refunded"]) for charge in charges.pop(order.amount, [])]
        assert found == moved(order, one), f"{order} {one}"
        assert one.payment == "not_done" or order.methods not in NEVER_PAID
    assert charges == {}
    assert 3 * sum(one.payment == "done" for one in said) > len(said)
    assert faults == set(NETWORK)


def _at_least(number: int) -> Callable[[int], bool]:
    return lambda seen: seen >= number
