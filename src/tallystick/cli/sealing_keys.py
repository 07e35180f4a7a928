"""``sealing-keys``: the keys that seal in this record, and giving one up."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct

from tallystick.cli.acts import ActKey, Asking, Done, Reason, act_in, record_of, require_words
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.sealed_rows import Connection, KeyAct, SealedBy, key_acts, sealed_by
from tallystick.record.sealing import KeysUnreadable, sealer_of
from tallystick.record.sealing_keys import Retired, retire, retired_of
from tallystick.settings.load import Settings

app = typer.Typer(help="Keys that encrypt at rest, by their fingerprints.", no_args_is_help=True)

#: Counting what a key sealed reads every sealed value.
_TIMEOUT_MS: Final = 600_000

KeyId = Annotated[
    str, typer.Argument(metavar="KEY", help="The key's id, eight digits, as `sealing-keys list` prints it.")
]


class SealingKey(Struct, frozen=True, kw_only=True):
    """One key as the record knows it. ``state``: registered or retired. ``here``: whether the settings here have it."""

    key_id: str
    state: str
    here: bool
    fingerprint: str | None
    history: list[str]


@app.command("list")
def list_keys(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the keys that were registered or retired, and whether they are here. No key is printed."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        acts = asyncio.run(_acts(database.app_url))
    found = _keys(acts, settings)
    if as_json:
        print_json(found)
    elif found:
        cells = [
            (each.key_id, f"{each.state}{', here' if each.here else ''}", "\n".join(each.history)) for each in found
        ]
        console.print(table_of(("key", "state", "history"), cells, whole=["key"]))
    else:
        console.print("No key is registered yet: the first `serve` or `work` does it.")


@app.command("retire")
def retire_key(
    key: KeyId,
    reason: Reason,
    lose: Annotated[
        bool, typer.Option("--lose-what-it-sealed", help="Also where the record still has values that it sealed.")
    ] = False,
    idempotency_key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Retire a key for good: no process needs it any more, and it seals nothing again. What it sealed is opened only
    where the settings still have it."""
    require_words(("--reason", reason))
    if re.fullmatch("[0-9a-f]{8}", key) is None:
        raise typer.BadParameter("expected eight hexadecimal digits", param_hint="KEY")
    settings = settings_from(data_dir)
    asking = Asking(
        act="sealing_key.retire", target=key, reason=reason, key=idempotency_key, arguments={"lose": lose or None}
    )
    with existing_database(settings) as database:
        done = asyncio.run(_retired(settings, database.app_url, asking, lose))
    if as_json:
        print_json(done.document())
        return
    sealed = msgspec.convert(done.act.result["sealed"], SealedBy)
    said = "\n".join([f"Key {key} is retired. It had sealed {_about(sealed)}.", *record_of(done)])
    console.print(said, highlight=False, soft_wrap=True)
    if sealed.endpoint_secrets:
        console.print(
            "Where no other key opens an endpoint's secret, its messages wait as `secret_unreadable`: the merchant"
            " rotates the secret, and sends again what was given up.",
            soft_wrap=True,
        )
    if sealed.provider_names:
        console.print(
            "Their providers cannot be called by these names where the key is not given any more: what they name is"
            " captured, canceled and refunded at the provider alone.",
            soft_wrap=True,
        )


async def _acts(database_url: str) -> list[KeyAct]:
    connection = await connect(database_url, command_timeout_ms=_TIMEOUT_MS)
    try:
        return await key_acts(connection)
    finally:
        await connection.close()


async def _retired(settings: Settings, database_url: str, asking: Asking, lose: bool) -> Done:
    async def retired(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        connection = await connect(database_url, command_timeout_ms=_TIMEOUT_MS)
        try:
            return await _retire(connection, runtime, asked, lose)
        finally:
            await connection.close()

    async with open_runtime(settings, database_url, registers_keys=False) as runtime:
        return await act_in(runtime, asking, retired)


async def _retire(connection: Connection, runtime: Runtime, asked: AskedAct, lose: bool) -> OperatorAct:
    key_id = bytes.fromhex(asked.target)
    sealed = await sealed_by(connection, key_id)
    known = any(each.key_id == key_id for each in await key_acts(connection))
    if not known and not sealed.total():
        raise Retired(f"the record knows no key {key_id.hex()}")
    if sealed.total() and not lose:
        raise Retired(
            f"the key {key_id.hex()} sealed {_about(sealed)}, and no other key opens them;"
            " --lose-what-it-sealed gives them up"
        )
    result = {"key_id": key_id.hex(), "sealed": msgspec.to_builtins(sealed)}
    act = asked.done(result, runtime.clock.now())
    await retire(connection, key_id, act, runtime.settings.clock_shift_ms)
    return act


def _keys(acts: list[KeyAct], settings: Settings) -> list[SealingKey]:
    try:
        held = {name.key_id for name in sealer_of(settings).names()}
    except KeysUnreadable:
        held = set()
    retired = retired_of(acts)
    return [
        SealingKey(
            key_id=key_id.hex(),
            state="retired" if key_id in retired else "registered",
            here=key_id in held,
            fingerprint=next(
                (each.fingerprint.hex() for each in acts if each.key_id == key_id and each.fingerprint), None
            ),
            history=[_line(each) for each in acts if each.key_id == key_id],
        )
        for key_id in dict.fromkeys(each.key_id for each in acts)
    ]


def _line(each: KeyAct) -> str:
    why = f": {each.reason}" if each.reason else ""
    return f"{each.at.isoformat(timespec='seconds')} {each.act} by {each.actor}{why}"


def _about(sealed: SealedBy) -> str:
    return (
        f"{sealed.endpoint_secrets} endpoint secrets, {sealed.kept_events} kept provider events,"
        f" {sealed.kept_answers} kept provider answers, {sealed.next_actions} next actions"
        f" and {sealed.provider_names} providers' names of charges"
    )
