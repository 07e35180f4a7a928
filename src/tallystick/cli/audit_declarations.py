"""``audit restored`` and ``audit keys rotate``: what people declare about the trees, signed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final, cast

import asyncpg
import typer

from tallystick.cli.acts import APPROVE, Reason
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.operators import managing
from tallystick.domain.errors import TallystickError
from tallystick.flows.compliance.four_eyes import ApprovalRequest
from tallystick.flows.operations import restores
from tallystick.flows.operations.restores import SignedRestore
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.audit.anchors import read_anchors
from tallystick.oversight.audit.declarations import RotationText
from tallystick.oversight.audit.heads import SigningKey
from tallystick.oversight.audit.restored import restore_to_declare
from tallystick.oversight.audit.rotate import rotate
from tallystick.record.postgres.audit_rows import AuditRows
from tallystick.record.postgres.connections import connect
from tallystick.settings.load import Settings

#: A page of things, or the heads of a group.
COMMAND_TIMEOUT_MS: Final = 120_000


class NoPublicKey(TallystickError):
    """There is no key to check signatures by."""


def add_to(app: typer.Typer) -> None:
    """Make these commands part of ``tallystick audit``."""
    app.command("restored")(restored)
    keys = typer.Typer(help="The key that signs heads.", no_args_is_help=True)
    keys.command("rotate")(rotate_key)
    app.add_typer(keys, name="keys")


def restored(
    from_head: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="The newest checkpoint outside that the restored record still has."),
    ],
    reason: Reason,
    heads: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Heads that are kept elsewhere.", show_default="that of the settings"),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Declare that the record was restored from a back-up: which checkpoints outside it gave up. It is signed by the
    signing key in the settings, and a second person has to approve it."""
    settings = settings_from(data_dir)
    directory = heads or (None if settings.audit_heads_directory is None else Path(settings.audit_heads_directory))
    if directory is None:
        raise typer.BadParameter("name where heads are kept", param_hint="--heads")
    anchors, key = read_anchors(directory.expanduser()), signing_key(settings)

    async def declared(runtime: Runtime, actor: str) -> ApprovalRequest:
        act_id = new_id("opa")
        async with runtime.pool.acquire() as proxy:
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            said = await restore_to_declare(rows, anchors, from_head, act_id, key, runtime.clock.now())
        text = said.text()
        signed = SignedRestore(
            document=text, signature=key.sign(text), act_id=act_id, restored_from=said.restored_from, last=said.last
        )
        return await restores.declare(runtime, signed, actor=actor, reason=reason)

    request = managing(data_dir, declared)
    if as_json:
        print_json({"request_id": request.request_id, "shown": request.shown})
        return
    console.print(
        f"{request.needed} other people have to approve it: `{APPROVE} {request.request_id} --reason …`.",
        soft_wrap=True,
    )


def rotate_key(
    new_key: Annotated[
        Path, typer.Option(metavar="FILE", help="The next signing key: 32 random bytes in base64. It is only read.")
    ],
    trust: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Add the new public key to this file of public keys.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Let another key sign from the next checkpoint on. Both keys sign that; the one in the settings is the old one."""
    settings = settings_from(data_dir)
    old, new = signing_key(settings), SigningKey.from_text(new_key.read_text(encoding="ascii"))

    async def rotated(url: str) -> RotationText:
        connection = await connect(url, command_timeout_ms=COMMAND_TIMEOUT_MS)
        try:
            return await rotate(connection, old, new, Clock(settings.clock_shift_ms))
        finally:
            await connection.close()

    with existing_database(settings) as database:
        said = asyncio.run(rotated(database.app_url))
    if trust is not None:
        with trust.open("a", encoding="ascii") as file:
            file.write(f"# signs from checkpoint {said.begins} on\n{said.new}\n")
    typer.echo(said.new)
    console.print(
        f"It signs from checkpoint {said.begins} on. Set TALLYSTICK_AUDIT_SIGNING_KEY for the workers, and start them"
        " again: until then nothing is sealed.",
        soft_wrap=True,
    )


def signing_key(settings: Settings) -> SigningKey:
    """Raises NoPublicKey where the settings have none."""
    if settings.audit_signing_key is None:
        raise NoPublicKey("set TALLYSTICK_AUDIT_SIGNING_KEY: what is declared is signed")
    return SigningKey.from_text(settings.audit_signing_key)
