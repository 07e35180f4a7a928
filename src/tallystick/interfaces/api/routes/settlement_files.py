"""Settlement files, for operators: sent as they are, listed, shown row by row, withdrawn."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.errors import problem
from tallystick.domain.json_types import HasMore, NextCursor, described
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.domain.settlement_file import FILE_STATES, SettlementFile
from tallystick.domain.settlement_views import (
    SettlementFileDetail,
    SettlementFileView,
    SettlementRowView,
    file_detail,
    file_view,
    row_view,
)
from tallystick.flows.reconciliation.files import SHOWN, BeingImported, ImportAsked, NoSuchFile, import_file, shown
from tallystick.flows.reconciliation.formats.base import FileRefused
from tallystick.flows.reconciliation.registry import AUTO, FORMAT_NAMES
from tallystick.flows.reconciliation.withdrawing import CannotWithdraw, withdraw
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import ReasonBody
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, BODY, READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import SETTLEMENT_FILES, cut_page
from tallystick.interfaces.api.parameters import integer, matching, one_of, page_of, path_id, text
from tallystick.interfaces.api.problems import ProblemError, busy, not_found
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.oversight.payouts_at_bank import batches_at_bank

PATH: Final = "/v1/settlement-files"

FILE_ID: Final = path_id("stl", "settlement file")

#: Files that one process takes at a time: each fills a disk, and then a core.
AT_ONCE: Final = 2

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_NAMED: Final = "must be 1 to 100 letters, digits and . _ -"

_under_way: set[str] = set()


class SettlementFilePage(Struct, frozen=True, kw_only=True):
    """A page of settlement files."""

    data: Annotated[list[SettlementFileView], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor


class SettlementRowList(Struct, frozen=True, kw_only=True):
    """Rows of a settlement file in the normal form."""

    data: Annotated[list[SettlementRowView], described("Rows in the file's order.")]
    has_more: Annotated[bool, described("Whether there are rows after the last one: ask with its `position`.", False)]


async def import_sent(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """The file in the body is imported; the answer comes when it is."""
    request.parse_query()
    if len(_under_way) >= AT_ONCE:
        raise busy("overloaded", "Other settlement files are being received.", request.request_id)
    _under_way.add(request.request_id)
    try:
        async with _received(request, runtime.settings.settlement_max_bytes) as path:
            asked = ImportAsked(
                path=path,
                name=request.query["name"] or "",
                actor=f"key:{caller.key_id}",
                format=request.query["format"] or AUTO,
                provider=request.query["provider"],
                account=request.query["account"] or "main",
                zone=request.query["zone"],
            )
            done = await import_file(runtime, asked)
    except FileRefused as error:
        refused = problem("settlement_file_refused", f"{error.detail}.", request_id=request.request_id)
        raise ProblemError(refused) from None
    except BeingImported as error:
        taken = problem("settlement_file_busy", f"{error}.", request_id=request.request_id)
        raise ProblemError(taken, (b"retry-after", b"5")) from None
    finally:
        _under_way.discard(request.request_id)
    return json_response(request, file_detail(done.file, done.batches, done.bad_rows, already=done.already))


@asynccontextmanager
async def _received(request: ApiRequest, limit_bytes: int) -> AsyncIterator[Path]:
    """The body as a file that its owner alone may read, for as long as this lasts."""
    descriptor, name = tempfile.mkstemp(prefix="tallystick-settlement-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            async for piece in request.pieces(limit_bytes):
                file.write(piece)
        yield path
    finally:
        path.unlink(missing_ok=True)


async def list_files(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of files, newest first."""
    query, limit = request.query, request.query["limit"]
    before = None if query["cursor"] is None else query["cursor"][1]
    filters = {"provider": query["provider"], "account": query["account"], "state": query["state"]}
    rows = await runtime.stores.settlement_files.page(before, limit + 1, **filters)
    page = cut_page(SETTLEMENT_FILES, rows, limit, lambda file: (file.created_at, file.file_id))
    data = [file_view(each) for each in page.rows]
    return SettlementFilePage(data=data, has_more=page.has_more, next_cursor=page.next_cursor)


async def get_file(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """One file with its batches, what became of their payouts at our banks, rows that could not be read, and what those
    of a report came to."""
    file = await _file(runtime, request)
    found = await shown(runtime.stores.settlement_files, file, already=False)
    at_bank = await batches_at_bank(runtime.stores.bank, runtime.settings, file, runtime.clock.now())
    report = await runtime.stores.report_evidence.of_file(file, SHOWN)
    return file_detail(found.file, found.batches, found.bad_rows, already=False, at_bank=at_bank, report=report)


async def list_rows(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """Rows of one file in the normal form, in its order."""
    file = await _file(runtime, request)
    limit = request.query["limit"]
    rows = await runtime.stores.settlement_files.rows(file.file_id, request.query["after"], limit + 1)
    return SettlementRowList(data=[row_view(each) for each in rows[:limit]], has_more=len(rows) > limit)


async def _file(runtime: Runtime, request: ApiRequest) -> SettlementFile:
    file = await runtime.stores.settlement_files.find(request.id_in_path())
    if file is None:
        raise not_found(request.request_id, "settlement file")
    return file


async def withdraw_file(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """The file is taken back, and who did it is recorded."""
    file_id, said = request.id_in_path(), await read_typed(request, ReasonBody)

    async def do(asked: AskedAct) -> OperatorAct:
        return await withdraw(runtime, asked)

    try:
        wanted = Asked(act="settlement_file.withdraw", target=file_id, reason=said.reason)
        return json_response(request, act_view(await act_once(runtime, request, caller, wanted, do)))
    except NoSuchFile:
        raise not_found(request.request_id, "settlement file") from None
    except CannotWithdraw as error:
        needed = problem("settlement_file_needed", f"{error}.", request_id=request.request_id)
        raise ProblemError(needed) from None


_PROVIDER: Final = matching("provider", _NAME, _NAMED, "Whose file it is, where the format does not say it.")
_ACCOUNT: Final = matching("account", _NAME, _NAMED, "The account at the provider or bank; `main` by default.")

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=PATH,
        name="importSettlementFile",
        summary="Import a settlement file or bank statement",
        description=(
            "The body is the file: plain, gzipped, or a zip with one file in it. The same bytes of an account are"
            " imported once; sent again, an import that was cut off goes on."
        ),
        handle=import_sent,
        scope="settlements:write",
        responses={200: SettlementFileDetail},
        codes=(*READ, *BODY, "settlement_file_refused", "settlement_file_busy"),
        file_body=True,
        parameters=(
            text("name", 200, "What the file is called, for people."),
            one_of("format", (AUTO, *FORMAT_NAMES), "What reads it; `auto` by default."),
            _PROVIDER,
            _ACCOUNT,
            text("zone", 100, "The IANA zone of its local times; that of the account by default."),
        ),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path=PATH,
        name="listSettlementFiles",
        summary="Settlement files, newest first",
        description="Also those that were withdrawn.",
        handle=read(list_files),
        scope="settlements:read",
        responses={200: SettlementFilePage},
        codes=READ,
        parameters=(
            *page_of(SETTLEMENT_FILES),
            matching("provider", _NAME, _NAMED, "Only files of this provider."),
            matching("account", _NAME, _NAMED, "Only files of this account."),
            one_of("state", FILE_STATES, "Only files in this state."),
        ),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getSettlementFile",
        summary="One settlement file, with its batches and the rows that could not be read",
        description=(
            "A batch that does not add up says by how much; one with payouts, whether they arrived. A report that is"
            " only compared says what its rows came to, and which do not agree."
        ),
        handle=read(get_file),
        scope="settlements:read",
        responses={200: SettlementFileDetail},
        codes=(*READ, "not_found"),
        parameters=(FILE_ID,),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}/rows",
        name="listSettlementRows",
        summary="Rows of a settlement file in the normal form",
        description="A row that an earlier file had is kept there alone.",
        handle=read(list_rows),
        scope="settlements:read",
        responses={200: SettlementRowList},
        codes=(*READ, "not_found"),
        parameters=(
            FILE_ID,
            integer("after", 0, 2_147_483_647, 0, "Only rows after this position."),
            integer("limit", 1, 1_000, 100, "Rows at most."),
        ),
        callers="operator",
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/withdraw",
        name="withdrawSettlementFile",
        summary="Take a settlement file back",
        description=(
            "Its bytes can be imported again, under another id. The newest file of a batch goes first. What was"
            " compared of it is superseded, what was posted is posted back, and its payments are expected again. So"
            " do entries of banks wait for its payouts again; it is refused where a person resolved one of them."
        ),
        handle=withdraw_file,
        scope="settlements:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", "settlement_file_needed", "approval_needed", "overloaded"),
        body_type=ReasonBody,
        body_required=True,
        parameters=(FILE_ID, ACT_KEY),
        callers="operator",
    ),
)
