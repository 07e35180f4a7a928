"""A currency that leaves ISO's list, or is counted otherwise from now on, while payments in it are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import asyncpg
import pytest

from tallystick.domain import currencies, money
from tallystick.flows.runtime import Runtime
from tallystick.oversight.exponents import ChangedExponents, changed_exponents
from tallystick.providers.adyen import codes
from tests.support.adyen.client import PATIENT, Shop, adyen_runtime
from tests.support.adyen.process import FakeAdyen
from tests.support.database import Database


async def test_what_exists_goes_on(
    database: Database, bank: FakeAdyen, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with adyen_runtime(database, bank.url, PATIENT) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)
        held = await shop.charge("held", amount=100_000, currency="IDR", manual=True)
        other = await shop.charge("other", amount=200_000, currency="IDR", manual=True)
        assert (await shop.stored(held["id"])).exponents == (2, 0)
        assert not await _changed(runtime)

        # Off the list, and with another unit at the provider for what is new.
        monkeypatch.setattr(money, "ACCEPTED", money.ACCEPTED - {"IDR"})
        monkeypatch.setitem(codes.EXPONENTS, "IDR", 2)

        captured = await shop.until_final(lambda: shop.capture("capture", held["id"], 60_000))
        assert (captured["state"], captured["amount_captured"]) == ("captured", 60_000)
        refunded = await shop.until_final(lambda: shop.refund("refund", held["id"], 20_000))
        assert (refunded["state"], refunded["amount"]) == ("succeeded", 20_000)
        canceled = await shop.until_final(lambda: shop.cancel("cancel", other["id"]))
        assert canceled["state"] == "canceled"
        (row, _) = sorted(bank.books("payment", fresh_merchant), key=lambda row: row["amount"])
        assert (row["amount"], row["captured"], row["refunded"]) == (1_000, 600, 200), "whole rupiah, as it was made"
        assert set(await shop.told()) <= {("REFUND", "duplicate_effect"), ("CANCELLATION", "duplicate_effect")}

        (changed,) = await _changed(runtime)
        assert (changed.provider, changed.currency, changed.open_payments) == ("adyen", "IDR", 1)
        assert (changed.stored, changed.now) == ((2, 0), (2, 2))
        await shop.until_final(lambda: shop.refund("rest", held["id"]))
        assert not await _changed(runtime), "nothing can move any more"
        monkeypatch.delitem(currencies.EXPONENTS, "IDR")
        assert (await shop.stored(held["id"])).exponents == (2, 0)


async def _changed(runtime: Runtime) -> Sequence[ChangedExponents]:
    async with runtime.pool.acquire() as pooled:
        return await changed_exponents(cast(asyncpg.Connection, pooled))
