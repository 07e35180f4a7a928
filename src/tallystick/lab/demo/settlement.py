"""A day's settlement: the acquirer's file has three defects, and reconciliation finds these and no others.

The file comes as an operator sends it. A worker compares and posts it by itself, as it does every day.
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
                day, file = await self._imported(session)
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
        wrong = [*compared(expected, found), *_left_over(explained)]
        seen = f"{file['rows']:,} rows, {len(found)} differences, 0 unexplained"
        return Settled(Check(name, seen, wrong), sorted(found, key=lambda each: each.cause))

    async def _imported(self, session: aiohttp.ClientSession) -> tuple[Any, Any]:
        """The acquirer's day, and the file as it was imported, once all of it is posted."""
        closing = session.post(f"{self._simulator}/sim/settlements", json={"defects": list(DEFECTS)})
        day = msgspec.json.decode(await _body(closing))
        (name,) = day["files"]
        content = await _body(session.get(f"{self._simulator}/sim/settlements/files/{name}"))
        sent = session.post(f"{self._address}/v1/settlement-files?name={name}", data=content, headers=self._operator)
        file = msgspec.json.decode(await _body(sent))["settlement_file"]
        give_up = time.monotonic() + WITHIN_S
        while not await self._pool.fetchval(STATEMENTS["file_is_posted"], file["id"], OPERATORS):
            if time.monotonic() > give_up:
                raise SettlementFailed(f"the file is not posted within {WITHIN_S} s")
            await asyncio.sleep(POLL_S)
        return day, file

    async def _without_row(self) -> list[Finding]:
        given = (self._merchant_id, f"provider:{SIMULATOR.name}", list(SETTLED_KINDS))
        return _findings(await self._pool.fetch(STATEMENTS["merchant_postings_without_row"], *given))


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
