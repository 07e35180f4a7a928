"""A day's settlement: the acquirer's file has three defects, and reconciliation finds these and no others; what it paid
out is at our bank.

The file and the bank's statement come as an operator sends them. A worker compares and posts them by itself, as it does
every day.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec
from msgspec import Struct

from tallystick.access.key_store import OPERATORS
from tallystick.domain.ledger.settlement_postings import SETTLED_KINDS
from tallystick.lab.demo.result import Check, Finding
from tallystick.oversight.differences import Difference, differences
from tallystick.providers.simulator.setup import SIMULATOR
from tallystick.record.postgres import sql
from tallystick.record.postgres.settlement_evidence import EvidenceBook

STATEMENTS: Final = sql.load("reconciliation.sql")

#: What the acquirer's file has wrong, and what each is found as: status and reason of its row, or that it has none.
DEFECTS: Final[Mapping[str, str]] = {
    "missing_row": "no_row",
    "doubled_row": "mismatched: duplicate",
    "off_by_one": "mismatched: amount",
}

#: How our bank writes its statement of the day.
BANK_FORMAT: Final = "camt053"

#: A worker looks every five seconds; comparing and posting thousands of rows takes two more.
WITHIN_S: Final = 60
POLL_S: Final = 0.2


class SettlementFailed(Exception):
    """A step did not happen; the message says which."""


class Settled(Struct, frozen=True):
    """The check, and what was found, for the report."""

    check: Check
    found: Sequence[Finding] = ()


class SettlementDay:
    """One day. ``before`` is called before the first payment: what has no row by then is no matter of this day."""

    def __init__(self, pool: asyncpg.Pool, address: str, simulator: str, operator_key: str, merchant_id: str) -> None:
        self._pool = pool
        self._address = address
        self._simulator = simulator
        self._operator = {"Authorization": f"Bearer {operator_key}"}
        self._merchant_id = merchant_id
        self._before: set[Finding] = set()

    async def before(self) -> None:
        """Note what has no row yet."""
        self._before = set(await self._without_row())

    async def run(self) -> Settled:
        """Close the acquirer's day, import its file, and wait until it is posted."""
        name = "a day's settlement was reconciled, and its three defects were found"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as session:
            try:
                day, file, payouts = await self._imported(session)
            except (SettlementFailed, aiohttp.ClientError, TimeoutError, KeyError) as error:
                return Settled(Check(name, "it did not finish", [f"{type(error).__name__}: {error}"]))
        expected = {
            Finding(DEFECTS[each["defect"]], each["payment_id"], each["amount"], each["currency"])
            for each in day["defects"]
        }
        rows = await self._pool.fetch(STATEMENTS["differing_rows"], file["id"])
        missing = set(await self._without_row())
        found = {*_findings(rows), *(missing - (self._before - expected))}
        explained = await differences(EvidenceBook(self._pool, OPERATORS), SIMULATOR.name)
        wrong = [*compared(expected, found), *_left_over(explained), *_not_at_bank(payouts)]
        seen = f"{file['rows']:,} rows, {len(found)} differences, 0 unexplained; {len(payouts)} payouts at the bank"
        return Settled(Check(name, seen, wrong), sorted(found, key=lambda each: each.cause))

    async def _imported(self, session: aiohttp.ClientSession) -> tuple[Any, Any, list[Any]]:
        """The acquirer's day, the file as it was imported, and its batches' payouts at our bank, whose statement comes
        with it: once all of it is posted."""
        asked = {"defects": list(DEFECTS), "formats": [BANK_FORMAT]}
        day = msgspec.json.decode(await _body(session.post(f"{self._simulator}/sim/settlements", json=asked)))
        own, *statements = sorted(day["files"], key=lambda name: not name.endswith(".csv"))
        file = await self._sent(session, own)
        for each in statements:
            await self._sent(session, each)
        give_up = time.monotonic() + WITHIN_S
        while not await self._pool.fetchval(STATEMENTS["file_is_posted"], file["id"], OPERATORS):
            await _pause(give_up, "the file is not posted")
        payouts = await self._payouts(session, file["id"])
        while any(each["state"] == "expected" for each in payouts):
            await _pause(give_up, "the payouts are not at the bank")
            payouts = await self._payouts(session, file["id"])
        return day, file, payouts

    async def _sent(self, session: aiohttp.ClientSession, name: str) -> Any:
        """A file of the acquirer, imported."""
        content = await _body(session.get(f"{self._simulator}/sim/settlements/files/{name}"))
        sent = session.post(f"{self._address}/v1/settlement-files?name={name}", data=content, headers=self._operator)
        return msgspec.json.decode(await _body(sent))["settlement_file"]

    async def _payouts(self, session: aiohttp.ClientSession, file_id: str) -> list[Any]:
        """What became of each batch's payouts at our bank."""
        shown = session.get(f"{self._address}/v1/settlement-files/{file_id}", headers=self._operator)
        return [each["at_bank"] for each in msgspec.json.decode(await _body(shown))["batches"] if each["at_bank"]]

    async def _without_row(self) -> list[Finding]:
        given = (self._merchant_id, f"provider:{SIMULATOR.name}", list(SETTLED_KINDS))
        return _findings(await self._pool.fetch(STATEMENTS["merchant_postings_without_row"], *given))


async def _pause(give_up: float, what: str) -> None:
    if time.monotonic() > give_up:
        raise SettlementFailed(f"{what} within {WITHIN_S} s")
    await asyncio.sleep(POLL_S)


def _not_at_bank(payouts: Sequence[Any]) -> list[str]:
    """Payouts that did not arrive as they were sent; a day has one at least."""
    wrong = [f"a payout of {each['sent']} is {each['state']}" for each in payouts if each["state"] != "matched"]
    return wrong if payouts else ["no payout was sent to the bank"]


def compared(expected: set[Finding], found: set[Finding]) -> list[str]:
    """What was scripted and not found, and what was found and not scripted."""
    missed = [f"{each.said} was not found" for each in expected - found]
    return sorted(missed + [f"{each.said} was found, and nobody scripted it" for each in found - expected])


def _findings(rows: Sequence[Any]) -> list[Finding]:
    return [Finding(row["cause"], row["payment_id"] or "", row["amount"], row["currency"]) for row in rows]


def _left_over(explained: Sequence[Difference]) -> list[str]:
    return [
        f"{each.unexplained_remainder} of the difference in {each.currency} has no cause"
        for each in explained
        if each.unexplained_remainder
    ]


async def _body(sent: Any) -> bytes:
    async with sent as answer:
        body: bytes = await answer.read()
        if answer.status >= 300:
            raise SettlementFailed(f"{answer.url.path} answered {answer.status}: {body[:200].decode(errors='replace')}")
        return body
