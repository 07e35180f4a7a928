"""What operators see of a report that is only compared, over HTTP and on the command line."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import Currency, PaymentId, Time, described, example_id
from tallystick.domain.report_evidence import ComparedReport
from tallystick.domain.settlement_evidence import REASONS, STAGES, STATUSES
from tallystick.domain.settlement_row import ROW_KINDS

_Signed = Annotated[int, described("In the currency's minor unit; less than 0 is against the platform.", 9680)]


class ReportCountView(Struct, frozen=True, kw_only=True):
    """How many rows of a report came to this."""

    status: Annotated[str, described("What the comparison came to.", "matched", enum=list(STATUSES))]
    reason: Annotated[str, described("Why, as one word.", "same", enum=list(REASONS))]
    rows: Annotated[int, described("How many rows.", 1_200, minimum=0)]


class ReportExceptionView(Struct, frozen=True, kw_only=True):
    """A row of a report that does not agree with the record. Nothing is posted of it."""

    position: Annotated[int, described("Its place among the file's rows, from 1.", 16, minimum=1)]
    line: Annotated[int, described("The line in the file, from 1.", 17, minimum=0)]
    kind: Annotated[str, described("What it moved, as in the rows of the file.", "charge", enum=list(ROW_KINDS))]
    currency: Currency
    gross: _Signed
    fee: Annotated[int, described("In the minor unit of `currency`.", 320)]
    net: _Signed
    status: Annotated[
        str,
        described("`mismatched`: it differs. `unexplained`: nobody knows it.", "mismatched", enum=list(STATUSES)),
    ]
    reason: Annotated[str, described("Why, as one word.", "amount", enum=list(REASONS))]
    stage: Annotated[str, described("How it was found.", "provider_reference", enum=list(STAGES))]
    row_reference: Annotated[str | None, described("The provider's name of what moved.", "MOD1")]
    payment_reference: Annotated[str | None, described("Its name of the payment that this belongs to.", "PSP1")]
    merchant_id: Annotated[str | None, described("Whose payment it is; null where none is found.", "shop")]
    payment_id: Annotated[
        PaymentId | None, described("The payment that it is about; null where none is found.", example_id("pay"))
    ]
    compared: Annotated[
        dict[str, Any], described("The values that were compared, each as row and record.", {"amount": [1_001, 1_000]})
    ]
    compared_at: Annotated[Time, described("When it was compared.")]


class ComparedReportView(Struct, frozen=True, kw_only=True):
    """What the rows of a file that is only compared came to, by the rules of settlement rows. Nothing is posted."""

    counts: Annotated[list[ReportCountView], described("All rows, by what they came to.")]
    exceptions: Annotated[
        list[ReportExceptionView], described("The first rows that do not agree with the record, at most 1,000.")
    ]


def report_view(report: ComparedReport) -> ComparedReportView:
    """A compared report as it is shown."""
    names = ReportExceptionView.__struct_fields__
    return ComparedReportView(
        counts=[ReportCountView(**asdict(each)) for each in report.counts],
        exceptions=[ReportExceptionView(**{name: getattr(each, name) for name in names}) for each in report.exceptions],
    )
