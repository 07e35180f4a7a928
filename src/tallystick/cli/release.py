"""``release``: releases as points of the record, and the changes of the configuration beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, print_json, settings_from
from tallystick.cli.reading import OpenRecord, lines, print_rows, shown_time, with_record
from tallystick.flows.deployments import Deployment, mark_release

app = typer.Typer(help="Releases and changes of the configuration, which trends show.", no_args_is_help=True)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/@:-]{0,99}")


def _named(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise typer.BadParameter("expected 1 to 100 of letters, digits and . _ + / @ : -")
    return text


@app.command()
def mark(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="The release's name, such as 0.4.0.", parser=_named)
    ],
    reason: Reason = "released",
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Mark a release: from now on trends show where it was made. A version is marked once, however often it is said."""
    require_words(("--reason", reason))
    asking = Asking(act="release.mark", target=version, reason=reason, key=key)
    done = act_on(settings_from(data_dir), asking, mark_release)
    print_done(done, as_json, _said(version, done.act.result))


def _said(version: str, result: Mapping[str, Any]) -> str:
    if not result.get("marked_before"):
        return f"Release {version} is marked."
    at = datetime.fromisoformat(result["marked_at"])
    return f"Release {version} was marked before, at {shown_time(at)} UTC by {result['marked_by']}: it has one point."


@app.command("list")
def list_points(
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days back.")] = 30,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List releases and changes of the configuration, newest first."""

    async def found(record: OpenRecord) -> list[Deployment]:
        since = record.clock.now() - timedelta(days=days)
        return list(await record.stores.deployments.since(since, 500))

    points = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(points)
        return
    rows = [(shown_time(each.at), _about(each)) for each in points]
    print_rows(rows, ("at (UTC)", "what"), title="Deployments", nothing="No release and no configuration is recorded.")


def _about(point: Deployment) -> str:
    if point.kind == "release":
        return lines(f"release {point.version}", point.actor)
    changed = ", ".join(point.changed or ()) or "the first one"
    return lines(f"configuration of {point.role} on {point.host}", changed)
