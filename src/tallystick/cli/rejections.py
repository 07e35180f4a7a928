"""``rejections``: refused transitions that somebody has to look at, and how often events repeat what is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.owners import owner_commands
from tallystick.cli.reading import OpenRecord, id_of, lines, shown_time, state_option, with_record
from tallystick.cli.tables import duration, facts_of, json_lines, literal, table_of
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import RESOLUTIONS, RejectionDetail, RejectionView, rejection_view
from tallystick.domain.rejected_case import CASE_STATES, CATEGORIES
from tallystick.flows.rejections import cases
from tallystick.flows.rejections.details import detail_of
from tallystick.flows.rejections.rates import results_of_events
from tallystick.flows.rejections.reprocess import reprocess
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import CaseFilter

#: A case that nobody has taken for so long is nobody's: the list says so, and the command exits 1.
UNASSIGNED_MS: Final = 86_400_000

#: Below the list: what a person does next.
NEXT: Final = (
    "`tallystick rejections show CASE` says what was tried and on what. Then: `tallystick rejections acknowledge CASE"
    " --reason REASON`, `reprocess` where its cause is gone, `escalate --to OPERATOR`, or `ignore`."
)

app = typer.Typer(help="Refused transitions that somebody has to look at.", no_args_is_help=True)

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The case's id, case_….", callback=id_of("case", "a case"))]
Provider = Annotated[str | None, typer.Option(help="Only of this provider.", show_default=False)]
Owner = Annotated[str | None, typer.Option(help="Only of this owner.", show_default=False)]
Category = Annotated[
    str | None,
    typer.Option(help=f"Only of this category: {', '.join(CATEGORIES)}.", show_default=False),
]


@app.command("list")
def list_rejections(
    state: Annotated[str | None, state_option(CASE_STATES)] = None,
    category: Category = None,
    provider: Provider = None,
    merchant: SomeMerchant = None,
    owner: Owner = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, oldest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List cases, oldest first; without --state those that wait. Exits 1 if one is a day old and nobody's."""
    if category is not None and category not in CATEGORIES:
        raise typer.BadParameter(f"expected one of {', '.join(CATEGORIES)}", param_hint="--category")
    which = CaseFilter(state=state, category=category, provider=provider, merchant_id=merchant, owner=owner)

    async def found(record: OpenRecord) -> list[RejectionView]:
        now = record.clock.now()
        return [rejection_view(case, now) for case in await record.stores.cases.page(which, None, limit)]

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
    elif rows:
        ids = "case, payment, what it is about"
        shown = [(_ids(each), _about(each)) for each in rows]
        console.print(table_of((ids, "what was refused, whose, how long"), shown, whole=[ids], caption=NEXT))
    else:
        console.print("No such case.")
    if any(_is_nobodys(each) for each in rows):
        raise typer.Exit(1)


@app.command()
def groups(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Count the cases that wait by their cause: the same edge, tried in the same state by the same means."""

    async def found(record: OpenRecord) -> Any:
        return await record.stores.cases.groups()

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print("No case waits.")
        return
    shown = [
        (
            lines(f"{each.subject}: {each.event} of {each.subject_state}", f"{each.category}, by {each.tried_by}"),
            lines(
                f"{each.cases:,} wait, {each.unassigned:,} are nobody's",
                f"the oldest for {duration(each.oldest_age_ms)}: {each.example_id}",
            ),
        )
        for each in rows
    ]
    console.print(table_of(("what was refused", "how many, how long"), shown, title="Cases by cause"))


@app.command()
def show(case: CaseId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Print one case with its steps, and what it was refused on."""

    async def found(record: OpenRecord) -> RejectionDetail:
        return await detail_of(record.stores, record.reads, record.clock.now(), case)

    detail = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(detail)
        return
    console.print(facts_of(_facts(detail)))
    steps = [
        (shown_time(step.at), lines(f"{step.from_state} → {step.to_state} ({step.event})", step.actor))
        for step in detail.steps
    ]
    console.print(table_of(("at (UTC)", "step"), steps, whole=["at (UTC)"], title="Steps"))


@app.command()
def events(
    hours: Annotated[int, typer.Option(min=1, max=720, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count events of providers that were stale or repeated an effect, by hour, with their rates."""

    async def found(record: OpenRecord) -> Any:
        return await results_of_events(record.stores, record.clock.now(), hours)

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
    elif rows:
        shown = [
            (
                f"{each.hour:%Y-%m-%d %H:00}",
                f"{each.provider} {each.type}: {each.result}",
                f"{each.count:,} ({each.per_minute:g} a minute)",
            )
            for each in rows
        ]
        console.print(table_of(("hour", "what", "at least"), shown, whole=["hour"], title="Repeated events"))
    else:
        console.print(f"No event was stale or repeated an effect in the last {hours} hours.", highlight=False)


owner_commands(app, "cases", "case", "a case", "rejections:write", ("acknowledge", "escalate", "give-back"))


@app.command()
def ignore(case: CaseId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Resolve a case without doing anything. The refusal and the reason stay in the record."""
    _act(data_dir, "case.ignore", case, reason, key, cases.ignore, as_json)


@app.command("reprocess")
def reprocess_case(
    case: CaseId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Process what was refused again, by the very same guards. Exits 1 where they refuse it again."""
    done = _act(data_dir, "case.reprocess", case, reason, key, reprocess, as_json)
    if done.result.get("came_to") == "refused":
        raise typer.Exit(1)


def _act(
    data_dir: Any,
    name: ActName,
    case: str,
    reason: str,
    key: str | None,
    do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]],
    as_json: bool,
) -> OperatorAct:
    require_words(("--reason", reason))
    asking = Asking(act=name, target=case, reason=reason, key=key, scope="rejections:write")
    done = act_on(settings_from(data_dir), asking, do)
    print_done(done, as_json, *_meaning(done.act))
    return done.act


def _meaning(act: OperatorAct) -> list[str]:
    case = act.result["case"]
    said = {"accepted": "The guards accept it now.", "agrees": "The record says it already."}
    came_to = said.get(act.result.get("came_to", ""))
    refused = act.result.get("refused")
    first = came_to or (f"The guards refuse it again: {refused}" if refused else None)
    return [*([first] if first else []), f"The case is {case['state']}."]


def _is_nobodys(case: RejectionView) -> bool:
    return case.state != "resolved" and case.owner is None and case.age_ms > UNASSIGNED_MS


def _ids(case: RejectionView) -> str:
    of_payment = case.subject_id == case.payment_id
    return lines(case.id, case.payment_id, None if of_payment else case.subject_id, case.event_id)


def _about(case: RejectionView) -> Text:
    about = literal(f"{case.subject}: {case.event} of {case.subject_state}, {case.category}\n{case.reason}")
    whose = case.owner or "nobody"
    about.append(literal(f"\n{case.merchant_id}; {case.state}, {whose}, "))
    age = duration(case.age_ms)
    nobodys = _is_nobodys(case)
    about.append(f"{age}, unassigned" if nobodys else age, style="bold red" if nobodys else "")
    return about


def _facts(case: RejectionDetail) -> list[tuple[str, str]]:
    return [
        ("case", f"{case.id}, {case.state}"),
        ("refused", f"{case.event} of {case.subject} {case.subject_id}, which was {case.subject_state}"),
        ("refusal", case.rejection_id),
        ("why", case.reason),
        ("category", case.category),
        ("tried by", f"{case.tried_by} ({case.origin})"),
        ("payment", case.payment_id or ""),
        ("merchant", case.merchant_id),
        ("provider", case.provider or ""),
        ("event", case.event_id or ""),
        ("owner", case.owner or "nobody"),
        ("since", f"{shown_time(case.created_at)} UTC ({duration(case.age_ms)})"),
        ("resolved", "" if case.resolution is None else f"{RESOLUTIONS[case.resolution]}, by a {case.closed_by}"),
        ("evidence", "" if case.evidence is None else json_lines(case.evidence)),
    ]
