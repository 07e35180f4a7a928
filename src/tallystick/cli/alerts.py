"""``alerts``: what a person has to know of; and the same conditions for Prometheus and Grafana."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.text import Text

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.owners import owner_commands
from tallystick.cli.reading import NotFound, OpenRecord, id_of, lines, shown_time, state_option, with_record
from tallystick.cli.tables import duration, facts_of, literal, table_of
from tallystick.contract.monitoring import render_dashboard, render_rules
from tallystick.domain.alert import ALERT_STATES, Alert
from tallystick.domain.operator_views import alert_view
from tallystick.flows.operations import alerts
from tallystick.record.postgres.alerts import AlertStep

#: Below the list: what a person does next.
NEXT: Final = (
    "Each has a runbook: `tallystick alerts show ALERT` names it. Then `tallystick alerts acknowledge ALERT --reason"
    " REASON`; most end by themselves when their condition does, the others by `resolve`."
)

app = typer.Typer(help="Conditions that a person has to know of.", no_args_is_help=True)

AlertId = Annotated[
    str, typer.Argument(metavar="ALERT", help="The alert's id, alr_….", callback=id_of("alr", "an alert"))
]


@app.command("list")
def list_alerts(
    state: Annotated[str | None, state_option(ALERT_STATES)] = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """List alerts; without --state those that are not resolved. Exits 1 if one that pages is open."""

    async def found(record: OpenRecord) -> list[Alert]:
        return [
            each
            for each in await record.stores.alerts.all()
            if (each.state == state if state is not None else each.state != "resolved")
        ]

    rows = sorted(
        with_record(settings_from(data_dir), found), key=lambda each: (each.severity != "page", each.opened_at)
    )
    if as_json:
        print_json([alert_view(each) for each in rows])
    elif rows:
        cells = [(each.alert_id, _about(each)) for each in rows]
        console.print(table_of(("alert", "what, since"), cells, whole=["alert"], title="Alerts", caption=NEXT))
    else:
        console.print("No alert." if state is None else f"No alert is {state}.")
    if any(each.severity == "page" and each.state == "open" for each in rows):
        raise typer.Exit(1)


@app.command()
def show(alert: AlertId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Print one alert with each time that it opened."""

    async def found(record: OpenRecord) -> tuple[Alert, list[AlertStep]] | None:
        stored = await record.stores.alerts.find(alert)
        return None if stored is None else (stored, list(await record.stores.alerts.history(alert)))

    read = with_record(settings_from(data_dir), found)
    if read is None:
        raise NotFound(f"there is no alert {alert}")
    stored, steps = read
    if as_json:
        print_json({"alert": alert_view(stored), "steps": steps})
        return
    console.print(facts_of(_facts(stored)))
    cells = [
        (shown_time(step.at), lines(f"{step.from_state} → {step.to_state} ({step.event})", step.actor))
        for step in steps
    ]
    console.print(table_of(("at (UTC)", "step"), cells, whole=["at (UTC)"], title="Steps"))


owner_commands(app, "alerts", "alr", "an alert", "alerts:write", ("acknowledge", "hand-on", "give-back"))


@app.command()
def resolve(
    alert: AlertId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Say that an alert is over. It opens again when its condition begins to hold once more."""
    require_words(("--reason", reason))
    asking = Asking(act="alert.resolve", target=alert, reason=reason, key=key, scope="alerts:write")
    done = act_on(settings_from(data_dir), asking, alerts.resolve)
    print_done(done, as_json, f"The alert is {done.act.result['alert']['state']}.")


@app.command()
def rules() -> None:
    """Print the same conditions as rules for Prometheus. It needs no database."""
    typer.echo(render_rules(), nl=False)


@app.command()
def dashboard() -> None:
    """Print a dashboard of every number and alert for Grafana. It needs no database."""
    typer.echo(render_dashboard(), nl=False)


def _about(alert: Alert) -> Text:
    about = literal(f"{alert.name} ({alert.about})\n{alert.summary}\n")
    who = f"{alert.state} by {alert.acknowledged_by}" if alert.state == "acknowledged" else alert.state
    about.append(literal(f"{alert.owner}; "))
    pages = alert.severity == "page" and alert.state == "open"
    about.append(f"{who}, since {shown_time(alert.opened_at)} UTC", style="bold red" if pages else "")
    return about


def _facts(alert: Alert) -> list[tuple[str, str]]:
    return [
        ("alert", f"{alert.name} ({alert.about}), {alert.state}"),
        ("severity", alert.severity),
        ("what", alert.summary),
        ("owner", alert.owner),
        ("runbook", alert.runbook),
        ("since", f"{shown_time(alert.began_at)} UTC, seen after {duration(alert.detected_in_ms)}"),
        ("opened", f"{shown_time(alert.opened_at)} UTC, {alert.openings} times in all"),
        ("acknowledged by", alert.acknowledged_by or ""),
        ("resolved by", alert.resolved_by or ""),
    ]
