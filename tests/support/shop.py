"""A shop in a process of its own that uses the client in ``examples/shop_client``: orders, and what is said of each.

``python -m tests.support.shop`` reads a ``Shop`` from its first argument, takes every order to its final answer, and
prints what the client says. It can be killed at any time: another one on the same file goes on.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from examples.shop_client.shop_client import Outcome, Result, ShopError, ShopPayments

ROOT: Final = Path(__file__).parents[2]

#: Of one call of the client; what is open then is asked for again.
PATIENCE_S: Final = 5.0

#: A shop whose orders are not final by then has lost one.
GIVE_UP_S: Final = 240.0


class Order(Struct, frozen=True, kw_only=True):
    """One order: its amount is its own, so that the acquirer's books name it. ``methods``: the means of payment that
    the shopper tries one after the other. ``then``: what follows a payment: refund, capture or cancel; a capture and a
    cancel follow a hold."""

    amount: int
    methods: tuple[str, ...]
    then: str | None = None

    @property
    def part(self) -> int:
        """What is paid back: so little that a second refund would be possible."""
        return self.amount // 3

    @property
    def name(self) -> str:
        """The shop's own order id, which no key can hold as it is."""
        return f"2026, {self.amount}"


class Shop(Struct, frozen=True, kw_only=True):
    """What a process is told."""

    url: str
    api_key: str
    file: str
    seed: int
    orders: tuple[Order, ...]


class Said(Struct, frozen=True, kw_only=True):
    """What the client says of an order: the outcome of its payment, and of what followed."""

    amount: int
    payment: str
    then: str | None


_SHOP: Final = msgspec.json.Decoder(Shop)
SAID: Final = msgspec.json.Decoder(list[Said])


class NeverFinal(Exception):
    """An instruction that is not final in ``GIVE_UP_S``, or that a person has to decide on."""


def start(shop: Shop, errors: Path) -> subprocess.Popen[bytes]:
    """A process of the shop; what it prints is read from it, what it warns of goes to a file."""
    command = [sys.executable, "-m", "tests.support.shop", msgspec.json.encode(shop).decode()]
    with errors.open("ab") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=output)


def main() -> None:
    """Every order at once, in an order of this process's own."""
    shop = _SHOP.decode(sys.argv[1])
    payments = ShopPayments(shop.url, shop.api_key, shop.file, patience_s=PATIENCE_S, timeout_s=1.5)
    orders = random.Random(shop.seed).sample(shop.orders, len(shop.orders))
    with httpx.Client(trust_env=False) as shopper, ThreadPoolExecutor(len(orders)) as pool:
        try:
            said = list(pool.map(lambda order: _serve(payments, order, shopper), orders))
        except sqlite3.Error as error:
            error.add_note(f"SQLite calls it {error.sqlite_errorname}")  # "disk I/O error" has thirty names
            raise
    print(msgspec.json.encode(said).decode())


def _serve(payments: ShopPayments, order: Order, shopper: httpx.Client) -> Said:
    def pay(method: str) -> Result:
        held = order.then in ("capture", "cancel")
        try:
            result = payments.create_payment(order.name, order.amount, "EUR", method, capture=not held)
        except ShopError:
            if order.then != "cancel":
                raise
            return payments.wait_final(order.name)  # another process of the shop has canceled the order meanwhile
        if result.outcome is Outcome.ACT:
            shopper.post(result.said["next_action"]["url"])  # a second time it changes nothing
        return result

    for method in order.methods:
        paid = _final(partial(pay, method))
        if paid.outcome is Outcome.DONE:
            break
    if order.then is None or paid.outcome is not Outcome.DONE:
        return Said(amount=order.amount, payment=paid.outcome.value, then=None)
    part = {"amount": order.part} if order.then == "refund" else {}
    then = _final(partial(getattr(payments, order.then), order.name, **part))
    return Said(amount=order.amount, payment=paid.outcome.value, then=then.outcome.value)


def _final(ask: Callable[[], Result]) -> Result:
    give_up_at = time.monotonic() + GIVE_UP_S
    while not (result := ask()).final:
        if result.needs_person or time.monotonic() > give_up_at:
            raise NeverFinal(f"{result.key}: {result.outcome} {result.status} {result.said}")
    return result


if __name__ == "__main__":
    main()
