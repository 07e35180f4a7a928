"""``settlements``: files of providers and banks, imported, listed, shown and withdrawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec import to_builtins
from rich.text import Text

from tallystick.access.operator import operator_on_command_line
from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words, with_runtime
from tallystick.cli.bars import Bars
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.reading import NotFound, OpenRecord, id_of, lines, print_rows, shown_time, state_option, with_record
from tallystick.cli.tables import facts_of, literal, table_of
from tallystick.domain.money import exponent
from tallystick.domain.report_evidence import ComparedReport
from tallystick.domain.settlement_evidence import OPEN_STATUSES
from tallystick.domain.settlement_file import FILE_STATES, SettlementBatch, SettlementFile
from tallystick.domain.settlement_report import SettlementReport
from tallystick.domain.settlement_views import (
    AtBankView,
    SettlementFileDetail,
    evidence_schema,
    file_detail,
    file_view,
    row_schema,
)
from tallystick.flows.reconciliation.fetching import Wanted, fetch_now
from tallystick.flows.reconciliation.files import SHOWN, BeingImported, ImportAsked, Imported, import_file, shown
from tallystick.flows.reconciliation.formats.base import FileRefused
from tallystick.flows.reconciliation.registry import AUTO, FORMAT_NAMES
from tallystick.flows.reconciliation.withdrawing import withdraw
from tallystick.flows.runtime import Runtime
from tallystick.oversight.payouts_at_bank import batches_at_bank
from tallystick.providers.reports import ReportRefused

app = typer.Typer(help="Settlement files of providers and statements of banks.", no_args_is_help=True)

#: (batch, currency) -> what became of its payouts.
AtBank = Mapping[tuple[str, str], AtBankView]

#: Bad rows that are printed for each file; ``--json`` has more.
_PRINTED: Final = 10

FileId = Annotated[
    str, typer.Argument(metavar="FILE_ID", help="The file's id, stl_….", callback=id_of("stl", "a settlement file"))
]


def _format(given: str) -> str:
    if given not in (AUTO, *FORMAT_NAMES):
        raise typer.BadParameter(f"expected one of {', '.join((AUTO, *FORMAT_NAMES))}")
    return given


@app.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Plain, gzipped, or a zip with one file in it.")],
    format: Annotated[str, typer.Option(help=f"{AUTO}, or one of {', '.join(FORMAT_NAMES)}.", callback=_format)] = AUTO,
    provider: Annotated[
        str | None, typer.Option(help="Whose file it is, where the format does not say.", show_default=False)
    ] = None,
    account: Annotated[str, typer.Option(help="The account at the provider or bank.")] = "main",
    zone: Annotated[
        str | None, typer.Option(help="The IANA zone of its local times.", show_default="the account's")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="A mapping file, for generic_csv.", show_default="the account's")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Import files. What was imported before stays as it is; an import that was cut off goes on. Exits 1 if a file was
    refused, is a conflict, or does not add up."""

    async def run(runtime: Runtime) -> list[tuple[Path, Imported | FileRefused | BeingImported | OSError]]:
        who = await operator_on_command_line(
            runtime.stores.api_keys, runtime.settings.operator_key, "settlements:write"
        )
        done: list[tuple[Path, Imported | FileRefused | BeingImported | OSError]] = []
        with Bars(console) as bars:
            for path in files:
                asked = ImportAsked(
                    path=path,
                    name=path.name,
                    actor=who.name,
                    format=format,
                    provider=provider,
                    account=account,
                    zone=zone,
                    mapping=mapping,
                )
                try:
                    progress = None if as_json else bars.named(path.name)
                    done.append((path, await import_file(runtime, asked, progress)))
                except (FileRefused, BeingImported, FileNotFoundError, IsADirectoryError, PermissionError) as error:
                    done.append((path, error))
        return done

    done = with_runtime(settings_from(data_dir), run)
    if as_json:
        print_json([_document(path, each) for path, each in done])
    else:
        for path, each in done:
            _print_result(path, each)
    if any(not isinstance(each, Imported) or not _is_well(each) for _, each in done):
        raise typer.Exit(1)


@app.command()
def fetch(
    provider: Annotated[str | None, typer.Argument(help="Of this provider alone.", show_default=False)] = None,
    account: Annotated[str, typer.Option(help="The account at the provider.")] = "main",
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Ask for reports from this day on, in UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Up to this day, which is not included.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="A report by the provider's name of it.", show_default=False)
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the provider says that it is.", show_default=False)] = None,
    wait_s: Annotated[int, typer.Option(min=0, max=86_400, metavar="S", help="Wait so long for reports.")] = 600,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Fetch reports from providers and import them: those of some days, a named one, or else whatever waits. Workers do
    the last by themselves. Exits 1 if one was refused or is not there in time."""
    if (since is None) != (until is None) or (since is not None and report is not None):
        raise typer.BadParameter("expected --from and --to, or --report")
    if provider is None and (since is not None or report is not None):
        raise typer.BadParameter("which provider?")

    async def run(runtime: Runtime) -> list[SettlementReport]:
        who = await operator_on_command_line(
            runtime.stores.api_keys, runtime.settings.operator_key, "settlements:write"
        )
        days = None if since is None or until is None else (since.date(), until.date())
        wanted = Wanted(provider=provider, account=account, days=days, report=report, url=url, actor=who.name)
        return await fetch_now(runtime, wanted, wait_s)

    try:
        done = with_runtime(settings_from(data_dir), run)
    except ReportRefused as error:
        console.print(literal(str(error)), style="bold red")
        raise typer.Exit(1) from None
    if as_json:
        print_json([to_builtins(each) for each in done])
    else:
        cells = [(each.report, lines(each.state, each.file_id or "", each.detail or "")) for each in done]
        print_rows(cells, ("report", "what came of it"), title="Reports", nothing="No report waits.")
    if any(each.state != "fetched" for each in done):
        raise typer.Exit(1)


@app.command("list")
def list_files(
    provider: Annotated[str | None, typer.Option(help="Only of this provider.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option(help="Only of this account.", show_default=False)] = None,
    state: Annotated[str | None, state_option(FILE_STATES)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List files, the newest first."""

    async def found(record: OpenRecord) -> Sequence[SettlementFile]:
        files = record.stores.settlement_files
        return await files.page(None, limit, provider=provider, account=account, state=state)

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json([file_view(each) for each in rows])
        return
    cells = [(each.file_id, _about(each)) for each in rows]
    print_rows(cells, ("file", "what"), title="Settlement files", nothing="No settlement file.")


@app.command()
def show(file: FileId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Print one file with its batches, whether their payouts arrived at our banks, the rows that could not be read,
    and, of a report that is only compared, what its rows came to."""
    settings = settings_from(data_dir)

    async def found(record: OpenRecord) -> tuple[Imported, AtBank, ComparedReport | None] | None:
        files = record.stores.settlement_files
        stored = await files.find(file)
        if stored is None:
            return None
        at_bank = await batches_at_bank(record.stores.bank, settings, stored, record.clock.now())
        report = await record.stores.report_evidence.of_file(stored, SHOWN)
        return await shown(files, stored, already=False), at_bank, report

    read = with_record(settings, found)
    if read is None:
        raise NotFound(f"there is no settlement file {file}")
    done, at_bank, report = read
    if as_json:
        print_json(_detail(done, at_bank, report))
        return
    console.print(facts_of(_facts(done.file)))
    _print_batches(done.batches, at_bank)
    _print_bad_rows(done)
    if report is not None:
        _print_report(report)


@app.command("withdraw")
def withdraw_file(
    file: FileId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Take a file back: nothing of it counts any more, and what was posted of it is posted back. The same bytes can be
    imported again. The newest file of a batch goes first."""
    require_words(("--reason", reason))
    asking = Asking(act="settlement_file.withdraw", target=file, reason=reason, key=key, scope="settlements:write")
    print_done(act_on(settings_from(data_dir), asking, withdraw), as_json, "The file is withdrawn.")


@app.command()
def schema(
    evidence: Annotated[bool, typer.Option("--evidence", help="Of the evidence of one comparison instead.")] = False,
) -> None:
    """Print the JSON Schema of a row in the normal form, or of evidence. It needs no database."""
    typer.echo(json.dumps(evidence_schema() if evidence else row_schema(), indent=2))


def _is_well(done: Imported) -> bool:
    balanced = all(each.state != "unbalanced" for each in done.batches)
    return done.file.state in ("imported", "withdrawn") and balanced and not done.bad_rows


def _detail(
    done: Imported, at_bank: AtBank | None = None, report: ComparedReport | None = None
) -> SettlementFileDetail:
    return file_detail(done.file, done.batches, done.bad_rows, already=done.already, at_bank=at_bank, report=report)


def _document(path: Path, done: Imported | Exception) -> object:
    if isinstance(done, Imported):
        return _detail(done)
    reason = done.reason if isinstance(done, FileRefused) else "being_imported"
    if isinstance(done, OSError):
        return {"name": path.name, "refused": "unreadable", "detail": done.strerror}
    return {"name": path.name, "refused": reason, "detail": str(done)}


def _print_result(path: Path, done: Imported | Exception) -> None:
    if not isinstance(done, Imported):
        said = done.strerror if isinstance(done, OSError) else str(done)
        console.print(literal(f"{path.name}: not imported: {said}"), style="bold red")
        return
    if done.already:
        console.print(literal(f"{path.name}: already imported ({done.file.file_id}); nothing happened"))
        return
    console.print(literal(f"{path.name}: {done.file.file_id}, {_counts(done.file)}"))
    if done.file.state == "conflict":
        console.print(literal(f"a conflict with an earlier file: {done.file.detail}"), style="bold red")
    _print_batches(done.batches)
    _print_bad_rows(done)


def _print_batches(batches: Sequence[SettlementBatch], at_bank: AtBank | None = None) -> None:
    if not batches:
        return
    found = at_bank or {}
    cells = [(each.batch or "(none)", _batch(each, found.get((each.batch, each.currency)))) for each in batches]
    console.print(table_of(("batch", "what it comes to"), cells, title="Batches"))


def _batch(batch: SettlementBatch, at_bank: AtBankView | None) -> Text:
    def money(amount: int) -> str:
        return _money(amount, batch.currency)

    sums = f"net {money(batch.net)}, paid out {money(batch.paid_out)} {batch.currency}, {batch.rows} rows"
    about = literal(f"{sums}\n")
    about.append(batch.state, style="bold red" if batch.state == "unbalanced" else "")
    if batch.difference:
        about.append(literal(f" by {money(batch.difference)} {batch.currency}"))
    if batch.detail:
        about.append(literal(f": {batch.detail}"))
    if at_bank is not None:
        about.append(literal("\nat the bank: "))
        about.append(at_bank.state, style="bold red" if at_bank.state in ("overdue", "mismatched") else "")
        about.append(literal(f", {money(at_bank.arrived)} of {money(at_bank.sent)} {batch.currency} arrived"))
        if at_bank.due is not None:
            about.append(literal(f", due until {shown_time(at_bank.due)} UTC"))
    return about


def _money(amount: int, currency: str) -> str:
    digits = exponent(currency)
    whole, fraction = divmod(abs(amount), 10**digits)
    return f"{'-' if amount < 0 else ''}{whole:,}" + (f".{fraction:0{digits}d}" if digits else "")


def _print_bad_rows(done: Imported) -> None:
    for each in done.bad_rows[:_PRINTED]:
        console.print(literal(f"line {each.line}: {each.reason}: {each.detail}"), style="red")
    if done.file.bad_rows > _PRINTED:
        console.print(literal(f"and {done.file.bad_rows - _PRINTED} rows more that cannot be read"), style="red")


def _print_report(report: ComparedReport) -> None:
    counted = [(f"{each.status}: {each.reason}", f"{each.rows}") for each in report.counts]
    console.print(table_of(("compared with the record", "rows"), counted, title="Compared, never posted"))
    for each in report.exceptions[:_PRINTED]:
        amount = f"{_money(each.gross, each.currency)} {each.currency}"
        about = each.payment_id or each.row_reference or each.payment_reference or "which names nothing"
        console.print(
            literal(f"line {each.line}: {each.status}: {each.reason}: {each.kind} {amount}, {about}"), style="red"
        )
    if (more := sum(each.rows for each in report.counts if each.status in OPEN_STATUSES) - _PRINTED) > 0:
        console.print(literal(f"and {more} rows more that do not agree"), style="red")


def _counts(file: SettlementFile) -> str:
    said = [f"{file.rows} rows"]
    if file.known_rows:
        said.append(f"{file.known_rows} that an earlier file has")
    if file.bad_rows:
        said.append(f"{file.bad_rows} that cannot be read")
    return ", ".join(said)


def _about(file: SettlementFile) -> str:
    where = f"{file.provider}/{file.account}, {file.format}, {file.state}"
    return lines(where, f"{file.name}: {_counts(file)}", f"{shown_time(file.created_at)} UTC, {file.actor}")


def _facts(file: SettlementFile) -> list[tuple[str, str]]:
    return [
        ("file", f"{file.name}, {file.size_bytes} bytes"),
        ("SHA-256", file.digest),
        ("account", f"{file.provider}/{file.account}"),
        ("read by", f"{file.format}, version {file.parser_version}, in {file.zone}"),
        ("state", file.state if file.detail is None else f"{file.state}: {file.detail}"),
        ("rows", _counts(file)),
        ("imported", f"{shown_time(file.created_at)} UTC by {file.actor}"),
    ]
