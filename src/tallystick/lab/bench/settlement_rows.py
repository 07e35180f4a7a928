"""Stripe's itemised report of payments that are in the record: three files, three payouts in each, 20 columns.

One row of a thousand is an exception, each of the kinds of ``EXCEPTIONS`` in turn. The payments are those that no
earlier file has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import asyncpg
from msgspec import Struct

from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.money import exponent
from tallystick.lab.bench.workload import PROVIDER

#: As many as a week's payouts of a provider that pays out every other day.
FILES: Final = 3

#: One row of so many is an exception.
EXCEPTION_EVERY: Final = 1_000

#: What is done to a row -> what reconciliation calls it.
EXCEPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "off_by_one": ("mismatched", "amount"),
    "unknown_type": ("unexplained", "unknown_type"),
    "not_in_record": ("unexplained", "not_in_record"),
    "other_kind": ("explained", "reserve"),
}

#: What the provider takes of a charge: 1.4 % and 25 minor units.
_FEE_PARTS: Final = 14
_FEE_FIXED: Final = 25

COLUMNS: Final = (
    "balance_transaction_id",
    "created_utc",
    "created",
    "available_on_utc",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "automatic_payout_id",
    "automatic_payout_effective_at_utc",
    "charge_id",
    "payment_intent_id",
    "payment_method_type",
    "card_country",
)

#: Captured payments that no row of a file is about, in the order in which they were captured.
_CAPTURED: Final = """
SELECT t.stream_id AS payment_id, p.provider_reference, t.amount, t.currency, t.at
FROM transfer t
JOIN payment p ON p.merchant_id = t.merchant_id AND p.payment_id = t.stream_id
WHERE t.debit = $1 AND t.kind = 'capture' AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence e WHERE e.merchant_id = t.merchant_id AND e.payment_id = t.stream_id
)
ORDER BY t.stream_id
LIMIT $2
"""

#: The whole of a filled record is joined once.
_FOR_LISTS: Final = ("SET LOCAL enable_hashjoin = on", "SET LOCAL enable_seqscan = on", "SET LOCAL work_mem = '256MB'")

_FETCHED: Final = 10_000
_LONG_S: Final = 900.0

Announce = Callable[[str, int, int], None]

#: Digits as letters: thirteen digits in a row are looked at as a card number, and a provider's names are no such rows.
_LETTERS: Final = str.maketrans("0123456789", "qwrtzplkjh")


class SettlementFiles(Struct, frozen=True, kw_only=True):
    """What was written, in which format, and whose account's it is. ``rows``: without headers; ``exceptions``: how many
    of each (status, reason)."""

    paths: list[str]
    rows: int
    bytes: int
    exceptions: dict[tuple[str, str], int]
    format: str = "stripe"
    provider: str = PROVIDER
    account: str = "main"


def letters_of(digits: str) -> str:
    """A name that is as unique as these digits, and has none."""
    return digits.translate(_LETTERS)


async def write_files(
    app_url: str, folder: Path, rows: int, run: str, announce: Announce, exception_every: int | None = None
) -> SettlementFiles:
    """Write the files, with ``rows`` rows of payments in all, or as many as the record has payments for, and a row for
    each payout. ``run``: is in every name of the provider's. Raises what the database and the disk raise."""
    written, exceptions = 0, dict.fromkeys(EXCEPTIONS.values(), 0)
    paths = [folder / f"payouts-{run}-{number}.csv" for number in range(1, FILES + 1)]
    connection = await asyncpg.connect(app_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for statement in _FOR_LISTS:
                await connection.execute(statement)
            found = aiter(
                connection.cursor(_CAPTURED, provider_account(PROVIDER), rows, prefetch=_FETCHED, timeout=_LONG_S)
            )
            for number, path in enumerate(paths, 1):
                with path.open("w", encoding="utf-8", newline="") as out:
                    file = _File(out, f"{run}{number}", exceptions, exception_every or EXCEPTION_EVERY)
                    while file.rows < -(-rows // FILES) and (each := await anext(found, None)) is not None:
                        file.write(each)
                        written += 1
                        if written % _FETCHED == 0:
                            announce("rows of files", written, rows)
                    written += file.close()
    finally:
        await connection.close()
    announce("rows of files", written, written)
    size = sum(path.stat().st_size for path in paths)
    return SettlementFiles(paths=[str(path) for path in paths], rows=written, bytes=size, exceptions=exceptions)


class _File:
    """One file. ``rows``: of payments."""

    def __init__(self, out: IO[str], name: str, exceptions: dict[tuple[str, str], int], exception_every: int) -> None:
        self._out, self._name, self._exceptions, self._every = out, name, exceptions, exception_every
        self._nets: dict[str, int] = {}
        self.rows = 0
        out.write(",".join(COLUMNS) + "\n")

    def write(self, of: asyncpg.Record) -> None:
        """The row of one captured payment."""
        self.rows += 1
        reference, amount, currency, category = of["provider_reference"], of["amount"], of["currency"], "charge"
        fee = amount * _FEE_PARTS // 1_000 + _FEE_FIXED
        if self.rows % self._every == 0:
            what = list(EXCEPTIONS)[self.rows // self._every % len(EXCEPTIONS)]
            self._exceptions[EXCEPTIONS[what]] += 1
            amount += what == "off_by_one"
            category = {"unknown_type": "mystery", "other_kind": "risk_reserved_funds"}.get(what, category)
            reference = f"pi_of_nobody_{self._name}_{self.rows}" if what == "not_in_record" else reference
        self._row(currency, amount, fee, category, reference, of["at"])

    def close(self) -> int:
        """Every payout of the file. Returns how many."""
        nets, self.rows = dict(self._nets), 0
        for currency, net in nets.items():
            self._row(currency, -net, 0, "payout", None, datetime.now(UTC))
        return len(nets)

    def _row(self, currency: str, gross: int, fee: int, category: str, reference: str | None, at: datetime) -> None:
        self._nets[currency] = self._nets.get(currency, 0) + gross - fee
        number, decimals, payout = self.rows, exponent(currency), f"po_{self._name}{currency}"
        made = at.strftime("%Y-%m-%d %H:%M:%S")
        day = f"{made[:10]} 00:00:00"
        source = payout if reference is None else f"ch_{self._name}x{number:07d}"
        own = f"txn_{self._name}x{number:07d}" if reference is not None else f"txn_{payout}"
        names = (source, reference, "card", "DE") if reference is not None else ("", "", "", "")
        cells = (
            own,
            *(made, made, day, day, currency.lower()),
            *(_major(gross, decimals), _major(fee, decimals), _major(gross - fee, decimals)),
            *(category, source, f"Order {number}" if reference is not None else "Payout"),
            *((_major(gross, decimals), currency.lower()) if reference is not None else ("", "")),
            *(payout, day),
            *names,
        )
        self._out.write(",".join(cells) + "\n")


def _major(minor: int, decimals: int) -> str:
    """As the provider writes amounts."""
    whole, rest = divmod(abs(minor), 10**decimals)
    return f"{'-' if minor < 0 else ''}{whole}" + (f".{rest:0{decimals}d}" if decimals else "")
