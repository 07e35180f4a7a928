"""What one statement writes of a file's plain rows is what comparing them one by one makes of them, to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import msgspec
import pytest

from tallystick.domain.settlement_views import evidence_schema
from tallystick.flows.reconciliation.matching import Compared, Writer
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres import few_rows
from tallystick.record.postgres.settlement_evidence import Comparing, digest_input, evidence_in
from tests.support.database import Database
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, paid, refunded, settled
from tests.support.settlement_imports import imported

#: No microseconds and some: both are written in the digest.
TIMES: Final = (datetime(2026, 3, 3, 10, tzinfo=UTC), datetime(2026, 3, 3, 10, 0, 0, 40_500, tzinfo=UTC))


class _TakenBack(Exception):
    """Nothing of it is kept."""


class _OneByOne(Comparing):
    """Compares every row by itself."""

    async def add_plain(self, *_: Any) -> Sequence[Any]:
        return []


@asynccontextmanager
async def taken_back(runtime: Runtime, file_id: str) -> AsyncIterator[Any]:
    """A comparison whose evidence is gone afterwards."""
    with pytest.raises(_TakenBack):
        async with runtime.stores.evidence.comparing(file_id) as comparing:
            yield comparing
            raise _TakenBack


async def written(runtime: Runtime, file: Any, at: datetime, *, one_by_one: bool) -> tuple[Compared, list[Any]]:
    """What a comparison at this time came to, and everything that it wrote."""
    found: list[Any] = []
    async with taken_back(runtime, file.file_id) as comparing:
        connection = comparing._connection
        if one_by_one:
            comparing = _OneByOne(connection, file.file_id)
        compared = await Writer(comparing, file, ACTOR, at).write([])
        for table, order in (
            ("", "position"),
            ("_set", "batch, currency"),
            ("_sum", "batch, currency, merchant_id, part"),
        ):
            rows = await connection.fetch(
                f"SELECT * FROM settlement_evidence{table} WHERE file_id = $1 ORDER BY {order}", file.file_id
            )
            found.append([dict(row) for row in rows])
    return compared, found


async def test_plain_rows_are_as_if_compared_one_by_one(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        known = await paid(runtime, fresh_merchant)
        before = Acquirer()
        gone = await paid(runtime, fresh_merchant)
        for each in (known, gone):
            before.of(each, "charge", 1_000)
        await settled(runtime, before.text(), tmp_path, name="before.csv")
        some = [await paid(runtime, fresh_merchant, 1_000 + n) for n in range(7)]
        back = await refunded(runtime, some[0], 300)
        file = Acquirer()
        file.batch = 'b "1" \\ é'
        plain = [file.of(each, "charge", each["amount"], 30 + n) for n, each in enumerate(some[1:4])]
        plain[0]["method"] = "card"
        file.of(some[0], "charge", 1_000)  # with its refund beside it
        file.of(back, "refund", -300)
        file.of(some[4], "charge", some[4]["amount"] + 1)
        file.of(some[5], "charge", some[5]["amount"])
        file.of(some[5], "charge", some[5]["amount"])
        said = some[6]["amount"]  # what it says that was paid is not what it moves
        file.of(some[6], "charge", said - 10, payer_amount=said, payer_currency="EUR")
        file.row("charge", 50, 1, charge="ch_of_nobody", effect="ch_of_nobody")
        file.row("fee", -5)
        file.row("riddle", 77)
        file.of(gone, "charge", 1_000)  # another file has it
        alone = await refunded(runtime, known, 200)
        file.of(alone, "refund", -200)
        for line in file.lines:
            line["batch"] = '"b ""1"" \\ é"'
        stored = (await imported(runtime, file.text().replace('b "1" \\ é,EUR', '"b ""1"" \\ é",EUR'), tmp_path)).file
        validator = jsonschema_rs.validator_for(evidence_schema())
        for at in TIMES:
            compared, rows = await written(runtime, stored, at, one_by_one=False)
            same, one_by_one = await written(runtime, stored, at, one_by_one=True)
            for table, expected in zip(rows, one_by_one, strict=True):
                for row, other in zip(table, expected, strict=True):
                    assert row == other
            assert compared == same
            with monkeypatch.context() as patched:
                patched.setattr(few_rows, "FEW", 2)  # the others are many: they are read with cursors
                assert (same, one_by_one) == await written(runtime, stored, at, one_by_one=True)
                assert (compared, rows) == await written(runtime, stored, at, one_by_one=False)
            digests = [hashlib.sha256(digest_input(evidence_in(row))).digest() for row in rows[0]]
            [kept] = rows[1]
            assert kept["root"] == hashlib.sha256(b"".join(digests)).hexdigest()
            assert kept["rows"] == len(rows[0]) == 14
            for row in rows[0]:
                validator.validate(msgspec.json.decode(msgspec.json.encode(evidence_in(row))))
        assert compared.by_reason[("matched", "same")] == 7
        async with taken_back(runtime, stored.file_id) as comparing:
            plain_sums = await comparing.add_plain(stored, await comparing.batches(), ACTOR, TIMES[0])
            others = comparing._others
        assert sum(each.rows for each in plain_sums) == 4, "the others are left to be compared"
        assert len(others.places) == 10 and {place for place, *_ in others.named} < set(others.places)


class _Timed:
    """A connection, or a pool, that notes which of its reads may be long."""

    def __init__(self, of: Any, short: list[str]) -> None:
        self._of, self._short = of, short

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._of, name)
        if name not in ("fetch", "fetchval", "cursor"):
            return asked

        def noting(statement: str, *given: Any, timeout: float | None = None, **more: Any) -> Any:
            if (timeout or 0) < few_rows._LONG_S:
                self._short.append(statement)
            return asked(statement, *given, timeout=timeout, **more)

        return noting


async def test_every_read_of_a_comparison_may_take_long(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may have a million rows, and a process may wait for another one that compares them."""
    short: list[str] = []
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        file = Acquirer()
        file.of(payment, "charge", 1_000)
        file.of(payment, "charge", 999)
        stored = (await imported(runtime, file.text(), tmp_path)).file
        for few in (few_rows.FEW, -1):
            monkeypatch.setattr(few_rows, "FEW", few)
            async with taken_back(runtime, stored.file_id) as comparing:
                timed = Comparing(_Timed(comparing._connection, short), stored.file_id)
                assert await timed.is_held()
                await Writer(timed, stored, ACTOR, TIMES[0]).write([])
        book = runtime.stores.evidence
        await type(book)(_Timed(runtime.pool, short), book.merchant_id).open_rows("simulator", 1)  # type: ignore[arg-type]
    assert short == []
