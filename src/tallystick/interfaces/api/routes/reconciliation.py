"""Reconciliation, for operators: what of a provider is expected, overdue and compared, and the rows that wait."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import AccountName, Count, Currency, PaymentId, Time, described, example_id
from tallystick.domain.payment_reconciliation import RECONCILIATION_STATES
from tallystick.domain.settlement_evidence import REASONS, STAGES, STATUSES, authority_of
from tallystick.domain.settlement_views import SettlementFileId
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import integer, matching
from tallystick.oversight.payment_reconciliation import states_of

PATH: Final = "/v1/reconciliation"

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


class StateSumView(Struct, frozen=True, kw_only=True):
    """What of one account and currency has one state: postings of the record that no row covers, or rows."""

    account: AccountName
    state: Annotated[str, described("Its state.", "expected", enum=list(RECONCILIATION_STATES))]
    currency: Currency
    count: Count
    amount: Annotated[int, described("Minor units; more than 0 is owed to the platform. Of rows, less fees.", 1000)]
    oldest_at: Annotated[Time, described("When the oldest was posted or compared.")]


class OpenRowView(Struct, frozen=True, kw_only=True):
    """A row that somebody has to look at."""

    file_id: SettlementFileId
    position: Annotated[int, described("Its place among the file's rows.", 1, minimum=1)]
    line: Annotated[int, described("Its line in the file.", 2, minimum=1)]
    batch: Annotated[str, described("The provider's batch.", "po_1")]
    currency: Currency
    kind: Annotated[str, described("What kind of row it is.", "charge")]
    status: Annotated[str, described("What comparing came to.", "mismatched", enum=list(STATUSES))]
    reason: Annotated[str, described("Why.", "amount", enum=list(REASONS))]
    stage: Annotated[str, described("How it was found.", "provider_reference", enum=list(STAGES))]
    told: Annotated[str, described("Who is told.", "operator")]
    gross: Annotated[int, described("In minor units.", 1000)]
    fee: Annotated[int, described("In minor units.", 30)]
    fee_expected: Annotated[int | None, described("By the fee schedule; null where it was not checked.", None)]
    difference: Annotated[int, described("What it adds to the difference of the balances.", -30)]
    merchant_id: Annotated[str | None, described("Whose payment it names, if it is known.", "shop")]
    payment_id: Annotated[PaymentId | None, described("Which payment it names, if it is known.", example_id("pay"))]
    row_reference: Annotated[str | None, described("The provider's name of what moved.", "ch_1")]


class ReconciliationReport(Struct, frozen=True, kw_only=True):
    """How far a provider is reconciled."""

    states: Annotated[list[StateSumView], described("By account, state and currency.")]
    rows: Annotated[list[OpenRowView], described("The first rows that somebody has to look at.")]


async def get_reconciliation(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """How far a provider is reconciled."""
    book, provider = runtime.stores.evidence, request.query["provider"] or ""
    states = await states_of(book, runtime.settings, provider, runtime.clock.now())
    rows = await book.open_rows(provider, request.query["limit"])
    return ReconciliationReport(
        states=[StateSumView(**asdict(each)) for each in states],
        rows=[OpenRowView(told=authority_of(each.reason).told, **asdict(each)) for each in rows],
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="getReconciliation",
        summary="How far a provider is reconciled, and the rows that somebody has to look at",
        description=(
            "Nothing is overdue at an account without a calendar. Without a provider, or with one that has neither"
            " files nor payments, both lists are empty."
        ),
        handle=read(get_reconciliation),
        scope="settlements:read",
        responses={200: ReconciliationReport},
        codes=READ,
        parameters=(
            matching("provider", _NAME, "must be 1 to 100 letters, digits and . _ -", "Which provider."),
            integer("limit", 1, 1_000, 100, "Rows at most."),
        ),
        callers="operator",
    ),
)
