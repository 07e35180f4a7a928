"""``tallystick audit``: how far the record is sealed, whether it was rewritten, and proofs as files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import asyncpg
import msgspec
import typer
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from rich.console import Console

from tallystick.cli import audit_declarations
from tallystick.cli.audit_declarations import COMMAND_TIMEOUT_MS, NoPublicKey, signing_key
from tallystick.cli.bars import Bars
from tallystick.cli.context import AsJson, DataDir, Merchant, console, print_json, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import facts_of, literal
from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Anchor, read_anchors
from tallystick.oversight.audit.declarations import own_keys
from tallystick.oversight.audit.heads import (
    GroupHead,
    group_name,
    public_keys,
    public_text,
    read_checkpoint,
)
from tallystick.oversight.audit.prove import consistency_of, inclusion_proofs
from tallystick.oversight.audit.report import AuditReport
from tallystick.oversight.audit.verify_alone import verify_alone
from tallystick.record.postgres.audit_rows import AuditRows
from tallystick.record.postgres.connections import connect
from tallystick.settings.audit import sealing_window_ms
from tallystick.settings.load import Settings

app = typer.Typer(help="Proof that nobody rewrote the record.", no_args_is_help=True)

Result = TypeVar("Result")

#: Differences printed; --json has up to a thousand.
SHOWN: Final = 50

PublicKey = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        metavar="FILE",
        help="Public keys, one a line in base64. By default that of the signing key in the settings.",
        show_default=False,
    ),
]


class Status(Struct, frozen=True, kw_only=True):
    """How far the record is sealed."""

    record: str | None
    sealed_at: str | None
    checkpoint: int
    groups: tuple[GroupHead, ...]
    swept_at: str | None


@app.command("status")
def status(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """How far the record is sealed."""
    found = _with_rows(settings_from(data_dir), _status)
    if as_json:
        print_json(found)
        return
    facts = [
        ("record", found.record or "not sealed yet: TALLYSTICK_AUDIT_SEALING turns it on"),
        ("newest checkpoint", f"{found.checkpoint} at {found.sealed_at}" if found.sealed_at else "none"),
        ("everything looked at", found.swept_at or "never"),
        *((group_name(each.group), f"{each.size:,} leaves, head {each.sequence}") for each in found.groups),
    ]
    console.print(facts_of(facts))


async def _status(rows: AuditRows) -> Status:
    record, newest, swept = await rows.record(), await rows.last_checkpoint(), await rows.last_sweep()
    said = None if newest is None else read_checkpoint(newest.document)
    return Status(
        record=None if record is None else record.record_id,
        sealed_at=None if said is None else said.sealed_at,
        checkpoint=0 if said is None else said.number,
        groups=() if said is None else said.groups,
        swept_at=None if swept is None else f"{swept.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )


@app.command("verify")
def verify(
    heads: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Heads that are kept elsewhere, to compare the record with.", show_default=False
        ),
    ] = None,
    public_key: PublicKey = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"],
            help="Compare only what was sealed since then, in UTC: heads and checkpoints before it are believed.",
            show_default="everything",
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Compare the record with what was sealed. Exits 1 where something differs."""
    settings = settings_from(data_dir)
    anchors: list[Anchor] = [] if heads is None else read_anchors(heads)
    if heads is not None and not anchors:
        raise typer.BadParameter("there are no heads in it", param_hint="--heads")
    window = timedelta(milliseconds=sealing_window_ms(settings))

    async def run(url: str, progress: Callable[[int, int], None]) -> AuditReport:
        connection = await connect(url, command_timeout_ms=COMMAND_TIMEOUT_MS)
        try:
            keys = await _believed(connection, settings, public_key)
            clock, begin = Clock(settings.clock_shift_ms), None if since is None else since.replace(tzinfo=UTC)
            margin = timedelta(milliseconds=settings.clock_margin_ms)
            return await verify_alone(connection, keys, clock, window, anchors, progress, begin, margin)
        finally:
            await connection.close()

    with existing_database(settings) as database, Bars(Console(stderr=True, quiet=as_json)) as bars:
        report = uvloop.run(run(database.app_url, bars.named("things compared")))
    if as_json:
        print_json({**msgspec.to_builtins(report), "holds": report.holds})
    else:
        _print(report)
    if not report.holds:
        raise typer.Exit(1)


def _print(report: AuditReport) -> None:
    for each in report.findings[:SHOWN]:
        console.print(literal(f"✗ {each.what.replace('_', ' ')}: {each.about}: {each.detail}"), soft_wrap=True)
    if report.found > SHOWN:
        console.print(f"… {report.found:,} in all; --json shows up to a thousand.")
    for about in report.late[:SHOWN]:
        console.print(literal(f"sealed late: {about}: later than the window after its time"), soft_wrap=True)
    for cut in report.cuts:
        console.print(
            f"A cut: the record was restored from checkpoint {cut.restored_from}, as declared at {cut.declared_at}"
            f" ({cut.act}). Checkpoints to {cut.last} are outside and given up: {cut.leaves:,} leaves are not in the"
            " record."
        )
    if report.since is not None:
        console.print(f"Only what was sealed after {report.since} was compared.")
    counts = f"{report.leaves:,} leaves in {report.heads:,} heads, {report.checkpoints:,} checkpoints"
    console.print(f"{report.examined:,} things compared with {counts}.")
    if report.unsealed:
        since = "" if report.unsealed_since is None else f", the oldest of {_shown(report.unsealed_since)}"
        console.print(f"{report.unsealed:,} are not sealed yet{since}.")
    if not report.holds:
        console.print(f"{report.found:,} differences.")
    elif report.outside is None:
        console.print("Consistent in itself, not anchored: who has the database and the key could have rewritten it.")
    else:
        console.print(f"Not rewritten since it was sealed, up to {report.outside} of the heads outside.")
    if report.promised_until is None:
        console.print("Nothing is promised without heads that are kept elsewhere (--heads, --public-key).")
    else:
        console.print(f"Of what was sealed after {report.promised_until} nothing is promised.")


@app.command("prove")
def prove(
    subject_id: Annotated[str, typer.Argument(metavar="ID", help="A payment, refund, dispute or case.")],
    merchant: Merchant,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a file for each change.", show_default="standard output")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Proofs that the changes of a payment, or of another subject, are sealed: JSON, one for each change."""

    async def find(rows: AuditRows) -> list[dict[str, Any]]:
        return await inclusion_proofs(rows, merchant, subject_id)

    proofs = _with_rows(settings_from(data_dir), find)
    if out is None:
        print_json(proofs)
        return
    out.mkdir(parents=True, exist_ok=True)
    for number, proof in enumerate(proofs, 1):
        file = out / f"{subject_id}-{number}.json"
        file.write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
        typer.echo(str(file))


@app.command("consistency")
def consistency(
    group: Annotated[int, typer.Argument(metavar="GROUP", min=0, help="The group's number, as heads have it.")],
    head: Annotated[int, typer.Argument(metavar="HEAD", min=1, help="The sequence of an earlier head of it.")],
    data_dir: DataDir = None,
) -> None:
    """Proof that a group's tree still begins with what it was at an earlier head: JSON."""

    async def find(rows: AuditRows) -> dict[str, Any]:
        return await consistency_of(rows, group, head)

    print_json(_with_rows(settings_from(data_dir), find))


@app.command("public-key")
def public_key(data_dir: DataDir = None) -> None:
    """Print the public key of the signing key in the settings, for those who verify."""
    for line in _key_lines(settings_from(data_dir), None):
        typer.echo(line)


async def _believed(
    connection: asyncpg.Connection, settings: Settings, file: Path | None
) -> Mapping[str, Ed25519PublicKey]:
    """The keys in the file; without one, the settings' own key and those that handed on to it."""
    keys = public_keys(_key_lines(settings, file))
    if file is not None:
        return keys
    return own_keys(signing_key(settings).public, await AuditRows(connection).rotations())


def _key_lines(settings: Settings, file: Path | None) -> list[str]:
    if file is not None:
        return file.read_text(encoding="ascii").splitlines()
    if settings.audit_signing_key is None:
        raise NoPublicKey("name a file with the public key: --public-key, or set TALLYSTICK_AUDIT_SIGNING_KEY")
    return [public_text(signing_key(settings).public)]


def _shown(at: Any) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _with_rows(settings: Settings, action: Callable[[AuditRows], Awaitable[Result]]) -> Result:
    """What ``action`` finds in one snapshot. Raises what opening the record raises."""

    async def run(url: str) -> Result:
        connection: asyncpg.Connection = await connect(url, command_timeout_ms=COMMAND_TIMEOUT_MS)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                rows = AuditRows(connection)
                await rows.in_utc()
                return await action(rows)
        finally:
            await connection.close()

    with existing_database(settings) as database:
        return asyncio.run(run(database.app_url))


audit_declarations.add_to(app)
