"""``providers``: accounts of providers that an operator pauses and resumes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, print_json, settings_from
from tallystick.cli.reading import lines, print_rows, shown_time
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations import pauses
from tallystick.flows.operations.pauses import OperatorPause
from tallystick.flows.runtime import Runtime
from tallystick.providers.registry import PROVIDERS

app = typer.Typer(help="Accounts of providers: pause them, and resume them.", no_args_is_help=True)

#: Of a span on the command line, in milliseconds.
_UNITS_MS: Final[Mapping[str, int]] = {"s": 1_000, "m": 60_000, "h": 3_600_000}

#: A day: who needs longer resumes later.
_LONGEST_MS: Final = 24 * 3_600_000


def _registered(name: str) -> str:
    if name not in PROVIDERS:
        raise typer.BadParameter(f"expected one of {', '.join(PROVIDERS)}")
    return name


def _span_ms(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smh])", text)
    span_ms = 0 if found is None else int(found[1]) * _UNITS_MS[found[2]]
    if not 0 < span_ms <= _LONGEST_MS:
        raise typer.BadParameter("expected a span of at most a day, such as 90s, 10m or 2h")
    return span_ms


Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider's name.", parser=_registered)]
Account = Annotated[str, typer.Option(help="Its account, as configured.")]


@app.command("list")
def list_pauses(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the accounts that an operator paused."""

    async def found(runtime: Runtime) -> list[OperatorPause]:
        return list(await pauses.pauses(runtime))

    paused = with_runtime(settings_from(data_dir), found)
    if as_json:
        print_json(paused)
        return
    rows = [
        (
            f"{each.provider}/{each.account}",
            lines(
                f"since {shown_time(each.changed_at)} UTC, by {each.actor}",
                f"until {shown_time(each.until)} UTC" if each.until else "until it is resumed",
            ),
        )
        for each in paused
    ]
    print_rows(rows, ("account", "since, until"), title="Paused", nothing="No account is paused.")


@app.command()
def pause(
    provider: Provider,
    reason: Reason,
    account: Account = "main",
    span: Annotated[
        int | None,
        typer.Option(
            "--for", metavar="SPAN", parser=_span_ms, help="How long, such as 10m.", show_default="until it is resumed"
        ),
    ] = None,
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Pause an account: it gets no calls, from any process, within two seconds. What is asked meanwhile is not sent."""

    async def paused(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        return await pauses.pause(runtime, asked, account, span)

    def said(act: OperatorAct) -> str:
        until = act.result.get("until")
        end = "until it is resumed" if until is None else f"until {shown_time(datetime.fromisoformat(until))} UTC"
        return f"{provider}/{account} gets no calls {end}."

    _act(data_dir, "provider.pause", provider, reason, key, paused, as_json, said, account=account, for_ms=span)


@app.command()
def resume(
    provider: Provider,
    reason: Reason,
    account: Account = "main",
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Resume an account that was paused. What the provider itself asked for is still heeded."""

    async def resumed(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        return await pauses.resume(runtime, asked, account)

    def said(_: OperatorAct) -> str:
        return f"{provider}/{account} gets calls again."

    _act(data_dir, "provider.resume", provider, reason, key, resumed, as_json, said, account=account)


def _act(
    data_dir: Path | None,
    name: ActName,
    provider: str,
    reason: str,
    key: str | None,
    do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]],
    as_json: bool,
    said: Callable[[OperatorAct], str],
    **arguments: Any,
) -> None:
    require_words(("--reason", reason))
    done = act_on(
        settings_from(data_dir), Asking(act=name, target=provider, reason=reason, key=key, arguments=arguments), do
    )
    print_done(done, as_json, said(done.act))
