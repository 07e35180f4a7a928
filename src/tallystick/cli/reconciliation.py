"""``reconciliation``: what providers' files say compared with the record, posted, and explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from tallystick.access.operator import operator_on_command_line
from tallystick.cli.acts import ActKey, Asking, Done, Reason, act_on, print_done, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.providers import Provider
from tallystick.cli.reading import OpenRecord, lines, print_rows, shown_time, with_record
from tallystick.cli.settlements import FileId
from tallystick.cli.tables import literal, table_of
from tallystick.domain.money import exponent
from tallystick.domain.operator_act import ActName
from tallystick.domain.settlement_evidence import authority_of
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.oversight.cause import Cause
from tallystick.oversight.differences import Difference, differences
from tallystick.oversight.layers import Layer, LayerName, layers_of
from tallystick.oversight.payment_reconciliation import states_of
from tallystick.record.postgres.settlement_evidence import OpenRow, StateSum
from tallystick.settings.settlements import due_rules

app = typer.Typer(help="Providers' files compared with the record.", no_args_is_help=True)

RowPosition = Annotated[
    int, typer.Argument(min=1, metavar="ROW", help="Its place among the file's rows, as reconciliation open has it.")
]
Explained = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider's name, or a bank's.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many at most.")]

#: What a row may be.
_SUBJECT: Final = "The payment, refund or dispute that the row is; of a bank's entry the payout, as FILE/ROW."


@app.command()
def run(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Compare every imported file that was not compared, and post what it comes to, at once; and reports with rows that
    did not agree again. Workers do it by themselves. A file that tells of movements which the record lacks is told to
    the inbox, as by a worker, and is listed: it is compared once workers have decided on them. Exits 1 if something
    could not be compared or posted; the log has why."""

    async def ran(runtime: Runtime) -> tuple[list[dict[str, Any]], dict[str, int], list[str]]:
        stores = runtime.stores
        who = await operator_on_command_line(stores.api_keys, runtime.settings.operator_key, "settlements:write")
        worker = ReconciliationWorker(runtime, who.name, at_once=True)
        while await worker.round():
            pass
        done = [
            {
                "id": file_id,
                "rows": compared.rows,
                "reasons": [
                    {"status": status, "reason": reason, "rows": rows}
                    for (status, reason), rows in sorted(compared.by_reason.items())
                ],
            }
            for file_id, compared in worker.compared
        ]
        return done, worker.news, worker.failed

    done, news, failed = with_runtime(settings_from(data_dir), ran)
    if as_json:
        waits = [{"id": each, "rows": 0, "reasons": [], "news": told, "waits": True} for each, told in news.items()]
        print_json([*({**each, "news": 0, "waits": False} for each in done), *waits])
    else:
        _print_compared(done, news)
        for each in failed:
            console.print(literal(f"not compared or not posted: {each}"), style="bold red")
    if failed:
        raise typer.Exit(1)


def _print_compared(done: Sequence[Mapping[str, Any]], news: Mapping[str, int]) -> None:
    rows = [
        (each["id"], lines(*(f"{found['rows']:,} {found['status']}: {found['reason']}" for found in each["reasons"])))
        for each in done
    ]
    if rows or not news:
        print_rows(rows, ("file", "rows"), title="Compared", nothing="Nothing was left to compare.")
    for file_id, told in news.items():
        said = "it waits until a worker has processed the inbox"
        console.print(literal(f"{file_id} has news: movements told of now: {told:,}; {said}."), highlight=False)


@app.command()
def explain(provider: Explained, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Explain the differences between a provider or bank and the record, cause by cause, in each currency: its rows,
    the balance that it states, its payouts, the bank's entries. Exits 1 if something is left over."""

    async def found(record: OpenRecord) -> tuple[Sequence[Difference], Sequence[Layer]]:
        layers = await layers_of(record.stores.balances, provider)
        is_bank = any(each.layer == "entries" for each in layers)  # its rows are entries, and no payment's
        rows = [] if is_bank else await differences(record.stores.evidence, provider)
        return rows, layers

    rows, layers = with_record(settings_from(data_dir), found)
    if as_json:
        print_json({"differences": rows, "layers": layers})
    elif not rows and not layers:
        console.print(f"Neither files nor postings of {provider}.", highlight=False)
    else:
        for each in rows:
            _print(provider, each)
        for layer in layers:
            _print_layer(layer)
    left_over = [*(each.unexplained_remainder for each in rows), *(each.unexplained_remainder for each in layers)]
    if any(left_over):
        raise typer.Exit(1)


@app.command("open")
def open_rows(provider: Provider, limit: Limit = 50, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what is expected, overdue, matched, mismatched, unexplained and explained, and the rows that somebody has to
    look at."""
    settings = settings_from(data_dir)

    async def found(record: OpenRecord) -> tuple[Sequence[StateSum], Sequence[OpenRow]]:
        book = record.stores.evidence
        return (
            await states_of(book, settings, provider, record.clock.now()),
            await book.open_rows(provider, limit),
        )

    states, rows = with_record(settings, found)
    if as_json:
        print_json({"states": states, "rows": rows})
        return
    sums = [
        (
            f"{each.state}\n{each.account}",
            f"{each.count:,}",
            amount(each.amount, each.currency),
            shown_time(each.oldest_at),
        )
        for each in states
    ]
    if sums:
        columns = ("state, account", "count", "amount", "oldest (UTC)")
        console.print(table_of(columns, sums, whole=["count", "amount"], title=f"{provider}, by state"))
    if not any(of == provider for of, _ in due_rules(settings.settlement_due)):
        console.print("No calendar is set for it, so nothing is overdue (settlement_due).", highlight=False)
    cells = [
        (
            f"{each.file_id}\nrow {each.position}, line {each.line}",
            lines(
                f"{each.status}: {each.reason} ({each.kind})",
                f"{amount(each.gross, each.currency)}, fee {amount(each.fee, each.currency)}",
                f"expected fee {amount(each.fee_expected, each.currency)}" if each.fee_expected is not None else "",
                each.payment_id,
                each.row_reference,
                f"for {authority_of(each.reason).told}",
            ),
        )
        for each in rows
    ]
    print_rows(cells, ("file, row", "what"), title="Open rows", nothing="No row waits for anybody.")


@app.command("match")
def match_row(
    file: FileId,
    row: RowPosition,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The payment, refund or dispute that the row is; of a bank's entry the payout, FILE/ROW."
        ),
    ],
    reason: Reason,
    write_off_difference: Annotated[
        bool, typer.Option("--write-off-difference", help="What the row has more or less is written off.")
    ] = False,
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say which payment, refund or dispute a row is: its money becomes the merchant's. Of a bank's entry: which payout
    it is. Above an amount a second person has to approve it."""
    said: dict[str, Any] = {"subject": subject, "writes_off_difference": write_off_difference or None}
    asking = _about(file, row, "settlement_row.match", reason, key, said)
    done = act_on(settings_from(data_dir), asking, resolve)
    print_done(done, as_json, f"The row is {subject}.", *_written_off(done))


@app.command("write-off")
def write_off_row(
    file: FileId,
    row: RowPosition,
    reason: Reason,
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give up looking for what a row is: its money goes to write_off. A wrong fee is accepted, and moves nothing. Above
    an amount a second person has to approve it."""
    done = act_on(settings_from(data_dir), _about(file, row, "settlement_row.write_off", reason, key, {}), resolve)
    print_done(done, as_json, "The row is explained.", *_written_off(done))


def _about(file: str, row: int, act: ActName, reason: str, key: str | None, said: dict[str, Any]) -> Asking:
    require_words(("--reason", reason))
    return Asking(
        act=act, target=target_of(file, row), reason=reason, key=key, scope="settlements:write", arguments=said
    )


def _written_off(done: Done) -> list[str]:
    found = done.act.result
    return [f"{amount(found['written_off'], found['currency'])} is written off."] if found["written_off"] else []


def amount(minor: int, currency: str) -> str:
    """An amount for people, in major units."""
    decimals = exponent(currency)
    whole, rest = divmod(abs(minor), 10**decimals)
    sign = "-" if minor < 0 else ""
    return (
        f"{sign}{whole:,}{'.' if decimals else ''}{rest:0{decimals}d} {currency}"
        if decimals
        else f"{sign}{whole:,} {currency}"
    )


#: What each layer compares, for people: theirs, and ours.
_COMPARED: Final[dict[LayerName, tuple[str, str]]] = {
    "stated_balance": ("Statements close with", "the ledger has"),
    "payouts": ("At the bank arrived", "the provider sent"),
    "entries": ("The bank's entries come to", "payouts and charges among them to"),
}


def _print_layer(each: Layer) -> None:
    theirs, ours = _COMPARED[each.layer]
    said = (
        f"{theirs} {amount(each.theirs, each.currency)}, {ours} {amount(each.ours, each.currency)}:"
        f" a difference of {amount(each.difference, each.currency)}, of which"
        f" {amount(each.unexplained_remainder, each.currency)} is unexplained."
    )
    _print_causes(f"{each.layer}: {each.about}, {each.currency}", each.causes, each.currency, said)


def _print(provider: str, each: Difference) -> None:
    said = (
        f"Files say {amount(each.files, each.currency)}, the record {amount(each.record, each.currency)}:"
        f" a difference of {amount(each.difference, each.currency)}, of which"
        f" {amount(each.unexplained_remainder, each.currency)} is unexplained."
        + (
            f" {each.fees_not_checked:,} fees were not checked: no schedule covers them."
            if each.fees_not_checked
            else ""
        )
    )
    _print_causes(f"{provider}, {each.currency}", each.causes, each.currency, said)


def _print_causes(title: str, causes: Sequence[Cause], currency: str, said: str) -> None:
    cells = [
        (
            f"{cause.cause}\n{cause.detail}",
            f"{cause.count:,}",
            amount(cause.amount, currency),
            amount(cause.absolute, currency),
        )
        for cause in causes
    ]
    columns = ("cause", "count", "amount", "without signs")
    console.print(table_of(columns, cells, whole=["count", "amount"], title=title, caption=said))
