"""Reconciliation, for operators: what of a provider is expected, overdue and compared, and the rows that wait."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.domain.errors import problem
from tallystick.domain.json_types import (
    AccountName,
    Count,
    Currency,
    PaymentId,
    Time,
    described,
    example_id,
    id_pattern,
)
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.domain.payment_reconciliation import RECONCILIATION_STATES
from tallystick.domain.settlement_evidence import REASONS, STAGES, STATUSES, authority_of
from tallystick.domain.settlement_views import SettlementFileId
from tallystick.flows.reconciliation.by_hand import NoSuchRow, resolve, target_of
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import Why
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, Handle, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.parameters import integer, matching
from tallystick.interfaces.api.problems import ProblemError, not_found
from tallystick.interfaces.api.typed_body import read_typed
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


_Row = Annotated[int, Meta(ge=1, le=2_147_483_647)]
_FileId = Annotated[str, Meta(pattern=id_pattern("stl"))]
_Subject = Annotated[str, Meta(pattern=r"^((pay|re|dp)_[0-9a-f]{32}|stl_[0-9a-f]{32}/[0-9]{1,10})$")]


class WriteOffRowBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which row is written off, and why."""

    file_id: Annotated[_FileId, described("The file's id.", example_id("stl"))]
    position: Annotated[_Row, described("The row's place among the file's rows.", 1)]
    reason: Why


class MatchRowBody(WriteOffRowBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which row is matched with what, and why."""

    subject_id: Annotated[
        _Subject,
        described(
            "The payment, refund or dispute that it is; of a bank's entry the payout's row, as file and position:"
            " `stl_…/17`.",
            example_id("pay"),
        ),
    ]
    write_off_difference: Annotated[
        bool, described("Whether what the row has more or less than the record is written off.", False)
    ] = False


async def match_row(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """A row is a posting of the record."""
    said = await read_typed(request, MatchRowBody)
    arguments = {"subject": said.subject_id, "writes_off_difference": said.write_off_difference or None}
    return await _resolved(runtime, request, caller, "settlement_row.match", said, arguments)


async def write_off_row(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Nobody will find out what a row is."""
    said = await read_typed(request, WriteOffRowBody)
    return await _resolved(runtime, request, caller, "settlement_row.write_off", said, {})


async def _resolved(
    runtime: Runtime,
    request: ApiRequest,
    caller: Caller,
    act: ActName,
    said: WriteOffRowBody,
    arguments: dict[str, Any],
) -> HttpResponse:
    async def do(asked: AskedAct) -> OperatorAct:
        return await resolve(runtime, asked)

    wanted = Asked(act=act, target=target_of(said.file_id, said.position), reason=said.reason, arguments=arguments)
    try:
        return json_response(request, act_view(await act_once(runtime, request, caller, wanted, do)))
    except NoSuchRow:
        raise not_found(request.request_id, "settlement row") from None
    except NotResolvable as error:
        refused = problem("settlement_row_not_open", f"{error}.", request_id=request.request_id)
        raise ProblemError(refused) from None


async def get_reconciliation(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """How far a provider is reconciled."""
    book, provider = runtime.stores.evidence, request.query["provider"] or ""
    states = await states_of(book, runtime.settings, provider, runtime.clock.now())
    rows = await book.open_rows(provider, request.query["limit"])
    return ReconciliationReport(
        states=[StateSumView(**asdict(each)) for each in states],
        rows=[OpenRowView(told=authority_of(each.reason).told, **asdict(each)) for each in rows],
    )


def _act(path: str, name: str, summary: str, description: str, handle: Handle, body: type[Struct]) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"{PATH}/{path}",
        name=name,
        summary=summary,
        description=description,
        handle=handle,
        scope="settlements:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", "settlement_row_not_open", "approval_needed", "overloaded"),
        body_type=body,
        body_required=True,
        parameters=(ACT_KEY,),
        callers="operator",
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
    _act(
        "match",
        "matchSettlementRow",
        "Say which payment, refund or dispute a settlement row is",
        "Its money becomes the merchant's. The row's comparison is superseded, and stays; a later word supersedes this"
        " one.",
        match_row,
        MatchRowBody,
    ),
    _act(
        "write-off",
        "writeOffSettlementRow",
        "Give up looking for what a settlement row is",
        "Its money goes to `write_off`. Where the fee alone is wrong, it is accepted, and no money moves.",
        write_off_row,
        WriteOffRowBody,
    ),
)
