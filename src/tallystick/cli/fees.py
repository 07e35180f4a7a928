"""``fees``: what providers agreed to charge, by date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, print_json, settings_from
from tallystick.cli.providers import Account, Provider
from tallystick.cli.reading import lines, print_rows
from tallystick.domain.fee_schedule import MILLION, FeeRate, FeeSchedule, StatedSchedule, rates_as_json, stated_schedule
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.reconciliation import fee_schedules
from tallystick.flows.runtime import Runtime

app = typer.Typer(help="What providers agreed to charge, by date.", no_args_is_help=True)

#: Rates of one schedule that a person is shown; ``--json`` has all.
_SHOWN: Final = 5


@app.command("set")
def set_schedule(
    provider: Provider,
    schedule: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The schedule as JSON: valid_from, rounding, rates.", show_default=False),
    ],
    reason: Reason,
    account: Account = "main",
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Set the fees of an account from a day on. Earlier versions stay, and what was judged by them."""
    require_words(("--reason", reason))
    settings = settings_from(data_dir)
    stated: StatedSchedule = stated_schedule(schedule.read_bytes())

    async def do(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        return await fee_schedules.set_schedule(runtime, asked, stated)

    asking = Asking(
        act="fee_schedule.set",
        target=fee_schedules.target_of(provider, account),
        reason=reason,
        key=key,
        arguments={
            "valid_from": stated.valid_from.isoformat(),
            "rounding": stated.rounding,
            "rates": rates_as_json(stated.rates),
        },
    )
    done = act_on(settings, asking, do)
    print_done(done, as_json, f"The fees of {asking.target} are version {done.act.result['version']}.")


@app.command("list")
def list_schedules(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the schedules of every account. Where an account has none, its fees are not checked."""

    async def found(runtime: Runtime) -> Sequence[FeeSchedule]:
        return await fee_schedules.schedules(runtime)

    rows = with_runtime(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
        return
    cells = [
        (
            f"{each.provider}/{each.account}",
            str(each.version),
            lines(f"from {each.valid_from}, {each.rounding}, by {each.actor}", *_shown(each.rates)),
        )
        for each in rows
    ]
    nothing = "No fees are set: those of providers are not checked."
    print_rows(cells, ("account", "version", "fees"), title="Fees of providers", nothing=nothing)


def _shown(rates: Sequence[FeeRate]) -> list[str]:
    more = len(rates) - _SHOWN
    return [*map(_rate, rates[:_SHOWN]), *([f"and {more} more"] if more > 0 else [])]


def _rate(rate: FeeRate) -> str:
    for_what = " ".join([*rate.kinds, rate.currency, rate.method or "", rate.country or ""]).split()
    percent = f"{rate.parts_per_million * 100 / MILLION:.4f}".rstrip("0").rstrip(".")
    bounds = [f"at least {rate.minimum}" if rate.minimum is not None else ""]
    bounds.append(f"at most {rate.cap}" if rate.cap is not None else "")
    said = ", ".join([f"{percent} % + {rate.fixed}", *filter(None, bounds)])
    return f"{' '.join(for_what)}: {said}"
