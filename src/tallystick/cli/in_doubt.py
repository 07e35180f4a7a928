"""``in-doubt``: the list of attempts that bounded recovery could not resolve, for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer
from msgspec.structs import asdict
from rich.table import Table
from rich.text import Text

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, record_of, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.owners import owner_commands
from tallystick.cli.tables import duration, literal, table_of
from tallystick.domain.finding import FINDINGS, finding_of
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.acts import recorded
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.in_doubt import Parked
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.recovery_schedule import RecoverySchedule
from tallystick.settings.load import Settings

Result = TypeVar("Result")

#: Below the list: what a person does next.
NEXT: Final = (
    "Look at the provider's own books, then resolve each:"
    " `tallystick in-doubt show ATTEMPT`, `tallystick in-doubt resolve --help`."
)

app = typer.Typer(help="Attempts that bounded recovery could not resolve.", no_args_is_help=True)

AttemptId = Annotated[str, typer.Argument(metavar="ATTEMPT", help="The attempt's id, att_….")]


@app.command("list")
def list_parked(
    merchant: SomeMerchant = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, oldest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List attempts in doubt, oldest first. Exits 1 if any is overdue."""

    async def parked_now(runtime: Runtime, book: RecoverySchedule) -> list[Parked]:
        return list(await in_doubt.parked_attempts(runtime, book, merchant, limit))

    settings = settings_from(data_dir)
    parked = _with_book(settings, parked_now)
    if as_json:
        print_json([_row(each) for each in parked])
    elif parked:
        console.print(_table(parked))
    else:
        console.print(f"No attempts in doubt. (Owner: {settings.in_doubt_owner}.)")
    if any(each.overdue for each in parked):
        raise typer.Exit(1)


@app.command()
def show(attempt: AttemptId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Print one attempt with its payment and its history as JSON: indented, or on one line with --json."""

    async def found(runtime: Runtime, book: RecoverySchedule) -> dict[str, Any]:
        loaded = await in_doubt.find(runtime, book, attempt)
        clock = loaded.clocks[attempt]
        history = await runtime.reads.history(loaded.stored.payment.merchant_id, attempt)
        return {
            "attempt": clock.attempt,
            "parked": clock.parked,
            "age_ms": clock.age_ms,
            "owner": runtime.settings.in_doubt_owner,
            "payment": loaded.stored.payment,
            "under_its_key": await in_doubt.held_by_key(runtime, clock.attempt),
            "history": [{"payment_id": row.stream_id, **asdict(row)} for row in history],
        }

    shown = _with_book(settings_from(data_dir), found)
    if as_json:
        print_json(shown)
    else:
        typer.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())


@app.command()
def resolve(
    attempt: AttemptId,
    outcome: Annotated[str, typer.Option(help=f"What happened: {', '.join(FINDINGS)}.")],
    evidence: Annotated[str, typer.Option(help="The proof: a statement line, a ticket, a file name.")],
    reason: Reason,
    reference: Annotated[
        str | None,
        typer.Option(
            help="The provider's reference, such as ch_…. Required where a charge was executed that the record cannot"
            " name, and where the attempt's key was used for another request."
        ),
    ] = None,
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Resolve one attempt by hand. Evidence, reason and who did it are kept in the history."""
    try:
        finding = finding_of(outcome)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--outcome") from None
    require_words(("--evidence", evidence), ("--reason", reason))

    async def resolved(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        book, who, why = runtime.stores.schedule_book, asked.operator, asked.reason
        said = {"evidence": evidence, "actor": who, "reason": why}
        await in_doubt.resolve(runtime, book, attempt, finding, asked, **said, reference=reference)
        return await recorded(runtime.stores.acts, asked)

    arguments = {"outcome": outcome, "evidence": evidence, "reference": reference}
    asking = Asking(
        act="attempt.resolve", target=attempt, reason=reason, key=key, scope="in_doubt:write", arguments=arguments
    )
    done = act_on(settings_from(data_dir), asking, resolved)
    if as_json:
        print_json(done.document())
        return
    steps = [f"{t['subject']} {t['subject_id']}: {t['from']} → {t['to']}" for t in done.act.result["transitions"]]
    steps += [f"rejected: {rejection['reason']}" for rejection in done.act.result["rejected"]]
    about = "\n".join([*steps, *_money(done.act), *record_of(done)])
    console.print(about, highlight=False, markup=False, soft_wrap=True)


owner_commands(app, "in_doubt", "att", "an attempt in doubt", "in_doubt:write")


def _with_book(settings: Settings, action: Callable[[Runtime, RecoverySchedule], Awaitable[Result]]) -> Result:
    return with_runtime(settings, lambda runtime: action(runtime, runtime.stores.schedule_book))


def _money(act: OperatorAct) -> Iterator[str]:
    """What the payment has come to, in minor units, where the act touched it."""
    payment = act.result.get("payment")
    if payment is not None:
        amounts = f"authorized {payment['amount_authorized']}, captured {payment['amount_captured']}"
        came_to = f"{amounts}, refunded {payment['amount_refunded']} {payment['currency']}"
        yield f"The payment is {payment['state']}: {came_to}."


def _row(parked: Parked) -> dict[str, object]:
    attempt = parked.attempt
    return {
        "attempt_id": attempt.attempt_id,
        "payment_id": attempt.payment_id,
        "merchant_id": attempt.merchant_id,
        "operation": attempt.operation,
        "amount": attempt.amount,
        "currency": attempt.currency,
        "state": attempt.state,
        "provider": attempt.provider,
        "provider_reference": attempt.provider_reference,
        "owner": parked.owner,
        "parked_for_ms": parked.parked_for_ms,
        "overdue": parked.overdue,
        "key_taken": attempt.key_taken,
        "taken_by": parked.taken_by,
    }


def _table(parked: list[Parked]) -> Table:
    ids = "attempt, payment"
    rows = [(f"{each.attempt.attempt_id}\n{each.attempt.payment_id}", _about(each)) for each in parked]
    return table_of((ids, "what is in doubt, whose, how long"), rows, whole=[ids], title="In doubt", caption=NEXT)


def _about(parked: Parked) -> Text:
    attempt = parked.attempt
    about = literal(f"{attempt.operation} {attempt.amount} {attempt.currency}: {attempt.state} at {attempt.provider}")
    if attempt.provider_reference:
        about.append(literal(f" ({attempt.provider_reference})"))
    if attempt.key_taken:
        about.append("\nthe provider has another request under its key")
    about.append(f"\n{attempt.merchant_id}; {parked.taken_by or parked.owner}, ")
    waited = duration(parked.parked_for_ms)
    about.append(f"{waited}, overdue" if parked.overdue else waited, style="bold red" if parked.overdue else "")
    return about
