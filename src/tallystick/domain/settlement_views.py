"""What operators see of settlement files, over HTTP and on the command line; and the published form of a row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import (
    AccountName,
    Actor,
    Currency,
    ProviderName,
    Time,
    described,
    example_id,
    id_pattern,
)
from tallystick.domain.report_evidence import ComparedReport
from tallystick.domain.report_views import ComparedReportView, report_view
from tallystick.domain.settlement_evidence import Evidence
from tallystick.domain.settlement_file import BATCH_STATES, FILE_STATES, BadRow, SettlementBatch, SettlementFile
from tallystick.domain.settlement_row import KIND_MEANINGS, ROW_KINDS, SettlementRow

SettlementFileId = Annotated[str, described("The file's id.", example_id("stl"), pattern=id_pattern("stl"))]
Signed = Annotated[int, described("In the currency's minor unit; less than 0 is against the platform.", 9680)]
SomeSigned = Annotated[
    int | None, described("In the currency's minor unit; less than 0 is against the platform.", 9680)
]
Line = Annotated[int, described("The line in the file, from 1.", 17, minimum=0)]
RowCount = Annotated[int, described("How many rows.", 1_200, minimum=0)]
Batch = Annotated[
    str, described("What is paid out together, or the statement; empty where the file names none.", "po_1")
]
SomeDay = Annotated[date | None, described("A day in the file's zone.", "2026-11-26")]
SomeText = Annotated[str | None, described("As the file has it; null where it has none.", "TX1XT batch 137")]

_KINDS: Final = " ".join(f"`{kind}`: {meaning}." for kind, meaning in KIND_MEANINGS.items())


class SettlementFileView(Struct, frozen=True, kw_only=True):
    """A settlement file or bank statement that was imported."""

    id: SettlementFileId
    provider: ProviderName
    account: AccountName
    state: Annotated[
        str,
        described(
            "`importing`: not all rows are there yet. `conflict`: an earlier file says something else; none of its rows"
            " count. `refused`: it could not be read to its end. `withdrawn`: an operator took it back.",
            "imported",
            enum=list(FILE_STATES),
        ),
    ]
    name: Annotated[str, described("What the file was called.", "payouts-2026-11-26.csv")]
    digest: Annotated[str, described("SHA-256 of its bytes.", "9f86d081884c7d65" * 4, pattern="^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, described("Its size.", 120_000, minimum=0)]
    format: Annotated[str, described("What read it.", "stripe")]
    parser_version: Annotated[int, described("Which version of that.", 1, minimum=1)]
    purpose: Annotated[
        str, described("Whether its rows are posted, or only compared.", "post", enum=["post", "compare"])
    ]
    zone: Annotated[str, described("The IANA zone of its dates.", "UTC")]
    rows: RowCount
    known_rows: Annotated[int, described("Rows that an earlier file had, which are not kept twice.", 0, minimum=0)]
    bad_rows: Annotated[int, described("Rows that could not be read.", 0, minimum=0)]
    lines: Annotated[int, described("The last line with a row.", 1_201, minimum=0)]
    supplements: Annotated[bool, described("Whether it adds rows to a batch of an earlier file.", False)]
    detail: SomeText
    actor: Actor
    created_at: Annotated[Time, described("When its import began.")]
    imported_at: Annotated[Time | None, described("When its import ended.")]
    withdrawn_at: Annotated[Time | None, described("When it was withdrawn.")]


#: expected: not there yet. overdue: due by the account's calendar, and not there. mismatched: another amount arrived.
#: returned: the provider took it back.
BankState = Literal["expected", "overdue", "matched", "mismatched", "returned"]
BANK_STATES: Final[tuple[BankState, ...]] = get_args(BankState)


class AtBankView(Struct, frozen=True, kw_only=True):
    """What became of a batch's payouts at our banks, by their statements."""

    state: Annotated[
        BankState,
        described(
            "`expected`: not all of it is there yet. `overdue`: it is due by the account's calendar, and not there."
            " `matched`: it arrived as it was sent. `mismatched`: another amount arrived. `returned`: the provider took"
            " it back.",
            "matched",
            enum=list(BANK_STATES),
        ),
    ]
    sent: Annotated[int, described("What the provider sent, in the minor unit.", 9680)]
    arrived: Annotated[int, described("What entries of bank statements have of it.", 9680)]
    entries: Annotated[int, described("In how many entries.", 1, minimum=0)]
    due: Annotated[
        Time | None,
        described("When what is missing is overdue; null where nothing is, or its account has no calendar.", None),
    ]


class SettlementBatchView(Struct, frozen=True, kw_only=True):
    """One batch of a file in one currency, and what proves it. Sums are of all of its rows that this file and earlier
    ones have."""

    batch: Batch
    currency: Currency
    part: Annotated[int, described("The how-manieth file with rows of the batch this is.", 1, minimum=1)]
    state: Annotated[
        str,
        described(
            "`balanced`: its rows are what its total says. `unbalanced`: they are not, and nothing of it is matched."
            " `unproven`: no file has a total of it yet.",
            "balanced",
            enum=list(BATCH_STATES),
        ),
    ]
    proof: Annotated[
        str | None, described("What its total comes from: `payout`, `footer` or `balances`; null for none.", "payout")
    ]
    rows: RowCount
    gross: Signed
    fee: Annotated[int, described("Costs, in the minor unit; less than 0 where more was given back.", 320)]
    net: Signed
    paid_out: Signed
    stated: SomeSigned
    difference: Annotated[int | None, described("By how much its rows differ from its total.", 0)]
    opening: SomeSigned
    closing: SomeSigned
    sequence: SomeText
    balance_account: SomeText
    from_on: SomeDay
    to_on: SomeDay
    detail: SomeText
    at_bank: Annotated[
        AtBankView | None,
        described("What became of its payouts; null where none is known, and in the answer to an import.", None),
    ] = None


class BadRowView(Struct, frozen=True, kw_only=True):
    """A row that could not be read."""

    line: Line
    reason: Annotated[str, described("Why, as one word.", "not_an_amount")]
    detail: Annotated[str, described("Why. It repeats nothing of the row.", "an amount is not a decimal number")]


class SettlementFileDetail(Struct, frozen=True, kw_only=True):
    """A file with its batches, and the first rows that could not be read. ``already_imported``: the same bytes were
    imported before, and nothing happened now."""

    settlement_file: Annotated[SettlementFileView, described("The file.")]
    already_imported: Annotated[bool, described("Whether the same bytes were imported before.", False)]
    batches: Annotated[list[SettlementBatchView], described("Its batches by name, at most 1,000.")]
    bad_rows: Annotated[list[BadRowView], described("The first rows that could not be read, at most 1,000.")]
    report: Annotated[
        ComparedReportView | None,
        described(
            "What its rows came to where they are only compared; null where they are posted or not compared yet, and in"
            " the answer to an import.",
            None,
        ),
    ] = None


class SettlementRowView(Struct, frozen=True, kw_only=True):
    """A row in the normal form: a movement of the balance that a provider or bank keeps, whatever the format of the
    file. `net` is `gross` less `fee`, always, in `currency`. More than 0 is owed to the platform; a fee is more than 0
    where it is charged."""

    position: Annotated[int, described("Its place among the file's rows, from 1.", 16, minimum=1)]
    line: Line
    batch: Batch
    row_key: Annotated[
        str, described("The format's own id of it, or `#` and a digest of what it says.", "txn_1", minLength=1)
    ]
    occurrence: Annotated[int, described("Tells rows of one batch and key apart.", 1, minimum=1)]
    kind: Annotated[str, described(_KINDS, "charge", enum=list(ROW_KINDS))]
    raw_type: Annotated[str, described("Its type as the file has it.", "charge")]
    currency: Currency
    gross: Signed
    fee: Annotated[int, described("In the minor unit of `currency`.", 320)]
    net: Signed
    payer_amount: SomeSigned
    payer_currency: Annotated[str | None, described("The currency of `payer_amount`.", "EUR")]
    rate: Annotated[str | None, described("The provider's exchange rate, as it is written.", "1.0850")]
    reference: Annotated[str | None, described("The provider's name of what moved.", "re_8f2d41")]
    payment_reference: Annotated[str | None, described("Its name of the payment that this belongs to.", "pi_8f2d41")]
    merchant_reference: Annotated[str | None, described("What the merchant or the platform called it.", "order-1042")]
    payout_reference: Annotated[str | None, described("The payout or transfer that paid it.", "po_1")]
    method: Annotated[str | None, described("The payment method, as the file has it.", "card")]
    country: Annotated[str | None, described("The payer's country, as the file has it.", "DE")]
    occurred_at: Annotated[Time | None, described("When it happened at the provider.")]
    booked_at: Annotated[Time | None, described("When it changed the balance.")]
    value_on: SomeDay
    other_references: Annotated[list[str] | None, described("Whatever else names it or its payment.", ["ch_8f2d41"])]
    fee_parts: Annotated[dict[str, int] | None, described("What the fee consists of.", {"markup": 320})]
    text: SomeText


def file_view(file: SettlementFile) -> SettlementFileView:
    """A file as it is shown."""
    held = asdict(file)
    return SettlementFileView(id=held.pop("file_id"), **held)


def file_detail(
    file: SettlementFile,
    batches: list[SettlementBatch],
    bad_rows: list[BadRow],
    *,
    already: bool,
    at_bank: Mapping[tuple[str, str], AtBankView] | None = None,
    report: ComparedReport | None = None,
) -> SettlementFileDetail:
    """A file with what is in it. ``at_bank``: by batch and currency. ``report``: what its rows came to."""
    names, at_bank = SettlementBatch.__struct_fields__, at_bank or {}
    shown = [name for name in SettlementBatchView.__struct_fields__ if name in names]
    return SettlementFileDetail(
        settlement_file=file_view(file),
        already_imported=already,
        batches=[
            SettlementBatchView(
                **{name: getattr(each, name) for name in shown}, at_bank=at_bank.get((each.batch, each.currency))
            )
            for each in batches
        ],
        bad_rows=[BadRowView(**asdict(each)) for each in bad_rows],
        report=None if report is None else report_view(report),
    )


def row_view(row: SettlementRow) -> SettlementRowView:
    """A row in the published form."""
    return SettlementRowView(**asdict(row))


def evidence_schema() -> dict[str, Any]:
    """The JSON Schema of the evidence of one comparison."""
    schema: dict[str, Any] = msgspec.json.schema(Evidence)
    return schema


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row in the normal form."""
    schema: dict[str, Any] = msgspec.json.schema(SettlementRowView)
    return schema
