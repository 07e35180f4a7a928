"""What a file's batches come to, and what earlier files of the same batches say.

A batch proves itself: its rows are what its payout, its footer or its balances say. What a file adds to a batch is its
part; a part's sums are those of the batch with it. A file that changes or lacks a row of an earlier one is a conflict,
and writes no part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from tallystick.domain.settlement_file import (
    BatchProof,
    BatchState,
    BatchSums,
    SettlementBatch,
    SettlementFile,
    StatedTotal,
)
from tallystick.domain.settlement_row import CLOSING, SettlementRow
from tallystick.flows.reconciliation.formats.base import FileRefused

#: More batches than this are no batches: the file would fill memory with their sums.
MAX_BATCHES: Final = 200_000

Key = tuple[str, str]

#: Rows of these kinds are closed by being carried on, where no payout closes them.
_CARRIED: Final = "carry"


class FileTotals:
    """The sums of a file's rows by batch and currency, and what the file states of them."""

    def __init__(self) -> None:
        self.sums: dict[Key, BatchSums] = {}
        self.stated: dict[Key, StatedTotal] = {}
        self.carried: set[Key] = set()
        self.has_payouts = False

    def add(self, row: SettlementRow) -> None:
        """Raises FileRefused for too many batches."""
        key = (row.batch, row.currency)
        sums = self.sums.get(key)
        if sums is None:
            if len(self.sums) >= MAX_BATCHES:
                raise FileRefused("too_many_batches", f"the file has more than {MAX_BATCHES} batches")
            sums = self.sums[key] = BatchSums()
        sums.add(row)
        if row.kind in CLOSING:
            self.has_payouts = True
        elif row.kind == _CARRIED:
            self.carried.add(key)

    def state(self, total: StatedTotal) -> None:
        """Raises FileRefused where the file states one total in two ways."""
        key = (total.batch, total.currency)
        if key in self.stated and self.stated[key] != total:
            raise FileRefused("doubled_total", "the file states the total of a batch twice, and not alike")
        if len(self.stated) >= MAX_BATCHES:
            raise FileRefused("too_many_batches", f"the file has more than {MAX_BATCHES} batches")
        self.stated[key] = total
        self.sums.setdefault(key, BatchSums())

    def batches(self) -> set[str]:
        return {batch for batch, _ in self.sums}


class Ending(Protocol):
    """The transaction that ends an import: ``record.postgres.settlement_files.FileEnding``."""

    last_parts: Mapping[Key, int]

    async def number_rows(self) -> None: ...
    async def parts(self, provider: str, account: str, batches: Collection[str]) -> Sequence[SettlementBatch]: ...
    async def compare(
        self, batches: Collection[str], whole: Collection[str], earlier: Collection[str], elsewhere: Collection[str]
    ) -> Any: ...
    async def delete_known(self, batches: Collection[str], earlier: Collection[str]) -> int: ...
    async def sums(self, batches: Collection[str]) -> Mapping[Key, Mapping[str, int]]: ...
    async def end(
        self,
        state: str,
        parts: Sequence[SettlementBatch],
        *,
        known_rows: int = 0,
        supplements: bool = False,
        detail: str | None = None,
    ) -> None: ...


async def end_import(ending: Ending, file: SettlementFile, totals: FileTotals, *, complete: bool) -> None:
    """Number the rows, compare them with earlier files, and write the parts. ``complete``: the file claims to have all
    rows of its batches. Raises what the transaction raises."""
    await ending.number_rows()
    batches = totals.batches()
    parts = await ending.parts(file.provider, file.account, batches)
    newest = {(each.batch, each.currency): each for each in parts}
    earlier = {each.file_id for each in parts}
    met = {batch for batch, _ in newest}
    known_rows, supplements, sums = 0, False, {}
    if earlier:
        whole = {each for each in met if each} if complete else set[str]()
        elsewhere = frozenset[str]() if totals.has_payouts else CLOSING  # payouts may be reported by themselves
        compared = await ending.compare(met, whole, earlier, elsewhere)
        if compared.changed_rows or compared.gone:
            await ending.end("conflict", [], detail=_conflict(compared))
            return
        known_rows = await ending.delete_known(met, earlier)
        sums = dict(await ending.sums(met))
        supplements = bool(sums) and any(batch for batch, _ in sums)
    written = [
        _part(
            file,
            key,
            totals,
            sums,
            newest.get(key),
            ending.last_parts.get(key, 0) + 1,
            complete=complete and bool(key[0]),
        )
        for key in sorted(totals.sums)
    ]
    await ending.end("imported", written, known_rows=known_rows, supplements=supplements)


def _part(
    file: SettlementFile,
    key: Key,
    totals: FileTotals,
    left: Mapping[Key, Mapping[str, int]],
    before: SettlementBatch | None,
    part: int,
    *,
    complete: bool,
) -> SettlementBatch:
    own = totals.sums[key]
    if before is None:
        sums = {name: getattr(own, name) for name in _SUMS}
    else:
        added = left.get(key, {})
        sums = {name: getattr(before, name) + added.get(name, 0) for name in _SUMS}
    total = totals.stated.get(key)
    proof, stated = _proof(key, totals, total, before, sums)
    difference = None if stated is None else sums["net"] + sums["paid_out"] - stated
    fault = total.fault if total is not None else None
    state: BatchState = "unproven" if proof is None else "unbalanced" if difference or fault else "balanced"
    about = total or before
    return SettlementBatch(
        provider=file.provider,
        account=file.account,
        batch=key[0],
        currency=key[1],
        part=part,
        file_id=file.file_id,
        state=state,
        complete=complete or (before is not None and before.complete),
        proof=proof,
        stated=stated,
        difference=difference,
        opening=None if about is None else about.opening,
        closing=None if about is None else about.closing,
        sequence=None if about is None else about.sequence,
        balance_account=None if about is None else about.balance_account,
        from_on=None if about is None else about.from_on,
        to_on=None if about is None else about.to_on,
        detail=fault,
        **sums,
    )


_SUMS: Final = ("rows", "gross", "fee", "net", "paid_out")


def _proof(
    key: Key,
    totals: FileTotals,
    total: StatedTotal | None,
    before: SettlementBatch | None,
    sums: Mapping[str, int],
) -> tuple[BatchProof | None, int | None]:
    """What proves the batch, and what its rows have to come to. A payout alone proves nothing, nor do rows without one;
    a batch that is carried on comes to nothing as one that is paid out does."""
    if not key[0]:
        return None, None  # rows that no batch has are compared, and have no sum
    if total is not None:
        return total.proof, total.total
    if before is not None and before.proof in ("footer", "balances"):
        return before.proof, before.stated
    own = totals.sums[key]
    has_payouts = own.payouts > 0 or (before is not None and sums["paid_out"] != 0)
    has_others = sums["rows"] > own.closing if before is None else sums["gross"] != 0 or sums["net"] != 0
    if (has_payouts and has_others) or (not has_payouts and key in totals.carried):
        return "payout", 0
    return (None, None) if before is None else (before.proof, before.stated)


def _conflict(compared: Any) -> str:
    said = []
    if compared.changed_rows:
        first = ", ".join(f"line {line}" for _, line in compared.changed)
        said.append(f"{compared.changed_rows} rows have other money than an earlier file ({first})")
    if compared.gone:
        gone = sum(compared.gone.values())
        said.append(f"{gone} rows of earlier files are missing, of {len(compared.gone)} batches")
    return "; ".join(said)
