"""Settlement files of providers and statements of banks: what they say, whether their batches add up, and how one is
taken back."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.report_evidence import ComparedReport
from tallystick.domain.settlement_file import FILE_STATES, SettlementBatch, SettlementFile
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.compliance.approvable import ask_second_person
from tallystick.flows.compliance.four_eyes import NotDecided
from tallystick.flows.reconciliation.files import SHOWN, NoSuchFile, shown
from tallystick.flows.reconciliation.withdrawing import CannotWithdraw, withdraw
from tallystick.interfaces.console.acting import act_once
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.place import id_in, page_at
from tallystick.interfaces.console.tables import Cell, Section, row
from tallystick.interfaces.console.words import Words, at, bounded, money, number, spoken
from tallystick.kit.ids import new_id

PATH: Final = f"{ROOT}/settlement-files"

#: Files, and rows of one, of one page.
_FILES: Final = 50
_ROWS: Final = 100


async def settlement_files(request: PageRequest) -> Answer:
    """The newest first."""
    before = id_in(request.query.get("before"), "stl")
    state = request.query.get("state", "") if request.query.get("state", "") in FILE_STATES else None
    found = await request.runtime.stores.settlement_files.page(before, _FILES + 1, state=state)
    files = found[:_FILES]
    kept = {} if state is None else {"state": state}
    following = page_at(PATH, "before", files[-1].file_id, kept) if len(found) > _FILES else ""
    section = Section(
        title="Files" if state is None else f"Files that are {spoken(state)}",
        header=("File", "Of", "State", "Rows", "Unreadable", "Imported (UTC)"),
        rows=[
            (
                Cell(bounded(each.name, 120), f"{PATH}/{each.file_id}"),
                Cell(f"{each.provider}/{each.account}, {each.format}"),
                Cell(spoken(each.state), f"{PATH}?state={each.state}", _kind_of(each)),
                Cell(number(each.rows), f"{PATH}/{each.file_id}", "number"),
                Cell(number(each.bad_rows), f"{PATH}/{each.file_id}", "number" if not each.bad_rows else "number bad"),
                Cell(at(each.created_at)),
            )
            for each in files
        ],
        empty="No settlement file was imported"
        + (f" that is {spoken(state)}." if state else " yet.")
        + " `tallystick settlements import FILE` does it, and a folder that a worker watches.",
    )
    return _tables(request, [section], next_page=following)


async def settlement_file(request: PageRequest) -> Answer:
    """One, with its batches, its rows from a position on, and what could not be read."""
    files = request.runtime.stores.settlement_files
    found = await files.find(request.path["file_id"])
    if found is None:
        raise Refused(404, f"There is no settlement file {bounded(request.path['file_id'], 64)}.")
    after = request.query.get("after", "")
    place = int(after[:9]) if after.isdecimal() else 0
    read = await shown(files, found, already=True)
    rows = await files.rows(found.file_id, place, _ROWS + 1)
    report = await request.runtime.stores.report_evidence.of_file(found, _ROWS)
    sections = [
        _facts(found),
        _batches(read.batches),
        *([] if report is None else _compared(report)),
        Section(
            title="Rows" if not place else f"Rows after {number(place)}",
            header=("Position", "What", "Batch", "Gross", "Fee", "Net", "Reference", "Booked (UTC)"),
            rows=[
                (
                    Cell(number(each.position), kind="number"),
                    Cell(spoken(each.kind)),
                    Cell(bounded(each.batch, 80)),
                    Cell(money(each.gross, each.currency), kind="number"),
                    Cell(money(each.fee, each.currency), kind="number"),
                    Cell(money(each.net, each.currency), kind="number"),
                    _reference(each.payment_reference or each.reference),
                    Cell(at(each.booked_at) if each.booked_at else "-"),
                )
                for each in rows[:_ROWS]
            ],
            empty="It has no rows of its own here.",
            says="Rows that an earlier file has are not kept twice." if found.known_rows else "",
        ),
        Section(
            title="What could not be read",
            header=("Line", "Why", "Detail"),
            rows=[row(number(each.line), spoken(each.reason), each.detail) for each in read.bad_rows],
            empty="Every row could be read.",
            says=f"The first {SHOWN:,}." if len(read.bad_rows) == SHOWN else "",
        ),
    ]
    following = f"{PATH}/{found.file_id}?after={rows[_ROWS - 1].position}" if len(rows) > _ROWS else ""
    title = f"File {bounded(found.name, 120)}"
    return _tables(request, sections, title=title, next_page=following, forms=_forms(request, found))


def _forms(request: PageRequest, file: SettlementFile) -> list[dict[str, object]]:
    if file.state in ("withdrawn", "refused") or not request.viewer.may("money"):
        return []
    return [
        {
            "name": "withdraw", "label": "Withdraw the file", "action": f"{PATH}/{file.file_id}/withdraw",
            "key": new_id("opa"), "reason": True, "fields": (),
            "says": "Nothing of it counts any more: what was posted of it is posted back, and its payments are expected"
            " again. The same bytes can be imported again.",
        }
    ]  # fmt: skip


async def withdraw_file(request: PageRequest) -> Answer:
    """Take it back, or ask a second person for it."""
    runtime, file_id = request.runtime, request.path["file_id"]

    async def do(asked: AskedAct) -> OperatorAct:
        try:
            return await withdraw(runtime, asked)
        except NeedsSecondPerson:
            await ask_second_person(runtime, asked)
            raise

    try:
        await act_once(request, "settlement_file.withdraw", file_id, do)
    except NoSuchFile:
        raise Refused(404, f"There is no settlement file {bounded(file_id, 64)}. Nothing was done.") from None
    except NeedsSecondPerson:
        return Redirect(f"{ROOT}/approvals" if request.viewer.may("approve") else f"{PATH}/{file_id}")
    except (CannotWithdraw, NotDecided) as error:
        raise Refused(409, f"{error}. Nothing was done.") from None
    return Redirect(f"{PATH}/{file_id}")


def _facts(file: SettlementFile) -> Section:
    facts = (
        ("id", file.file_id),
        ("of", f"{file.provider}/{file.account}"),
        ("state", spoken(file.state) + (f": {file.detail}" if file.detail else "")),
        ("read by", f"{file.format}, version {file.parser_version}, in {file.zone}"),
        ("rows", f"{number(file.rows)}, {number(file.known_rows)} more that an earlier file has"),
        ("SHA-256", file.digest),
        ("imported", f"{at(file.created_at)} by {file.actor}"),
    )
    return Section(title="Facts", header=("What", "Is"), rows=[row(*each) for each in facts], empty="")


def _batches(batches: list[SettlementBatch]) -> Section:
    return Section(
        title="Batches",
        header=("Batch", "State", "Rows", "Net", "Paid out", "Off by"),
        rows=[
            (
                Cell(bounded(each.batch, 80) or "(none)"),
                Cell(each.state, kind="bad" if each.state == "unbalanced" else "good" if each.proof else ""),
                Cell(number(each.rows), kind="number"),
                Cell(money(each.net, each.currency), kind="number"),
                Cell(money(each.paid_out, each.currency), kind="number"),
                Cell(money(each.difference, each.currency) if each.difference else "-", kind="number"),
            )
            for each in batches
        ],
        empty="No batch of it is compared yet.",
        says="A batch proves itself by its own total before any row of it is matched.",
    )


def _compared(report: ComparedReport) -> list[Section]:
    return [
        Section(
            title="Compared with the record, never posted",
            header=("Came to", "Why", "Rows"),
            rows=[row(spoken(each.status), spoken(each.reason), number(each.rows)) for each in report.counts],
            empty="",
        ),
        Section(
            title="Rows that do not agree",
            header=("Position", "What", "Why", "Gross", "Reference"),
            rows=[
                (
                    Cell(number(each.position), kind="number"),
                    Cell(spoken(each.kind)),
                    Cell(f"{spoken(each.status)}: {spoken(each.reason)}", kind="bad"),
                    Cell(money(each.gross, each.currency), kind="number"),
                    _reference(each.payment_id or each.payment_reference or each.row_reference),
                )
                for each in report.exceptions
            ],
            empty="All agree.",
            says=f"The first {_ROWS}." if len(report.exceptions) == _ROWS else "",
        ),
    ]


def _reference(reference: str | None) -> Cell:
    if not reference:
        return Cell("-")
    return Cell(bounded(reference, 120), f"{ROOT}/find?{urlencode({'q': reference})}", "id")


def _kind_of(file: SettlementFile) -> str:
    return "bad" if file.state in ("conflict", "refused") else ""


def _tables(request: PageRequest, sections: list[Section], title: str = "", **more: object) -> View:
    own = {"title": title} if title else {}
    words = Words(request.runtime.clock.now())
    return View(template="tables.html", context={"lead": "", "sections": sections, "w": words, **own, **more})


PAGES: Final = (
    Page(
        name="settlement_files",
        path=PATH,
        handle=settlement_files,
        right="read",
        title="Settlement files",
        group="Providers",
        platform=True,
    ),
    Page(
        name="withdraw_settlement_file",
        path=f"{PATH}/{{file_id:str}}/withdraw",
        handle=withdraw_file,
        right="money",
        title="Settlement files",
        method="POST",
        fresh=True,
        platform=True,
    ),
    Page(
        name="settlement_file",
        path=f"{PATH}/{{file_id:str}}",
        handle=settlement_file,
        right="read",
        title="Settlement file",
        platform=True,
    ),
)
