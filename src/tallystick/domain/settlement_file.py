"""Settlement files and bank statements as they are imported: the file, its batches, and what could not be read. Pure.

A file is known by (provider, account, digest of its bytes). A batch is what a provider pays out together, or one
statement of a bank; it proves itself by its own total before anything of it is matched.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, Literal, get_args

from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.domain.settlement_row import CLOSING, SettlementRow


class FileRefused(TallystickError):
    """The file as a whole is not what it says: nothing of it is imported. ``reason`` names why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


#: Stored files have these names for ever. importing: not all of its rows are there yet. conflict: it says of a known
#: batch something else than an earlier file did; none of its rows are matched.
#: refused: it could not be read to its end; its rows are gone, and it can be imported again.
FileState = Literal["importing", "imported", "conflict", "refused", "withdrawn"]
FILE_STATES: Final[tuple[FileState, ...]] = get_args(FileState)

#: What its rows are for. post: they are matched and posted. compare: they are compared with what others say.
FilePurpose = Literal["post", "compare"]

#: balanced: its rows are what its total says. unbalanced: they are not. unproven: the file has no total for it.
BatchState = Literal["balanced", "unbalanced", "unproven"]
BATCH_STATES: Final[tuple[BatchState, ...]] = get_args(BatchState)

#: What a batch's total comes from: a payout row, a footer of the file, or the opening and closing balance.
BatchProof = Literal["payout", "footer", "balances"]


class SettlementFile(Struct, frozen=True, kw_only=True):
    """A file that was imported, or is being imported.

    ``digest``: SHA-256 of its bytes, in hexadecimal. ``format`` and ``parser_version``: what read it. ``zone``: the
    IANA zone of its dates. ``rows``: how many are read and stored; ``known_rows``: how many of the file's rows an
    earlier file had already, which are not stored again; ``bad_rows``: how many could not be read. ``lines``: of the
    file. ``supplements``: whether it added rows to a batch that an earlier file has.
    """

    file_id: str
    provider: str
    account: str
    digest: str
    name: str
    format: str
    parser_version: int
    purpose: FilePurpose
    zone: str
    size_bytes: int
    state: FileState
    rows: int
    known_rows: int
    bad_rows: int
    lines: int
    supplements: bool
    actor: str
    detail: str | None = None
    created_at: datetime
    imported_at: datetime | None = None
    withdrawn_at: datetime | None = None


class SettlementBatch(Struct, frozen=True, kw_only=True):
    """One batch of a file, in one currency, with its total.

    ``complete``: whether the file claims to have all rows of the batch. ``part``: from 1, the how-manieth file with
    rows of this batch it is; the newest part, of a file that was not withdrawn, says what the batch is. ``rows`` and
    sums: of all rows of the batch that this file and earlier ones have. ``gross``, ``fee``, ``net``: of all rows but
    payouts. ``paid_out``: signed, of the payout rows.

    ``stated``: what ``net + paid_out`` has to be by ``proof``. ``difference``: what it is less what it has to be.

    Of a bank statement: ``opening`` and ``closing`` balance, its ``sequence`` number, and the days that it is about.
    ``balance_account``: the bank's or provider's own name of the account, where the file has one.
    """

    provider: str
    account: str
    batch: str
    currency: str
    part: int
    file_id: str
    state: BatchState
    complete: bool
    proof: BatchProof | None
    rows: int
    gross: int
    fee: int
    net: int
    paid_out: int
    stated: int | None
    difference: int | None
    opening: int | None = None
    closing: int | None = None
    sequence: str | None = None
    balance_account: str | None = None
    from_on: date | None = None
    to_on: date | None = None
    detail: str | None = None


class BadRow(Struct, frozen=True, kw_only=True):
    """A row that could not be read. ``reason``: a name from a closed list; ``detail``: what is wrong, and nothing of
    what the row says but the names of its columns."""

    line: int
    reason: str
    detail: str


class StatedTotal(Struct, frozen=True, kw_only=True):
    """What a file says a batch comes to. ``total``: what all of its rows come to, payouts included. ``fault``: another
    total of the file that its rows do not meet, in words."""

    batch: str
    currency: str
    proof: BatchProof
    total: int
    opening: int | None = None
    closing: int | None = None
    sequence: str | None = None
    balance_account: str | None = None
    from_on: date | None = None
    to_on: date | None = None
    fault: str | None = None


class BatchSums:
    """Adds up the rows of one batch and currency."""

    __slots__ = ("closing", "fee", "gross", "net", "paid_out", "payouts", "rows")

    def __init__(self) -> None:
        self.rows = self.gross = self.fee = self.net = self.paid_out = self.closing = self.payouts = 0

    def add(self, row: SettlementRow) -> None:
        self.rows += 1
        if row.kind in CLOSING:
            self.closing += 1
            self.payouts += row.kind == "payout"  # what came back closes nothing
            self.paid_out += row.net
        else:
            self.gross += row.gross
            self.fee += row.fee
            self.net += row.net
