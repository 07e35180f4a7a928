"""``keys``: API keys, shown once when they are made."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer

from tallystick.access import key_store
from tallystick.cli.context import (
    AsJson,
    DataDir,
    Merchant,
    SomeMerchant,
    console,
    print_json,
    settings_from,
)
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.domain.api_versions import VERSIONS
from tallystick.providers.registry import PROVIDERS

app = typer.Typer(help="API keys of merchants and operators.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's public id, as `keys list` prints it.")]

_NAMES = f"[{'|'.join(PROVIDERS)}]"


def _registered(name: str) -> str:
    if name not in PROVIDERS:
        raise typer.BadParameter(f"expected one of {', '.join(PROVIDERS)}")
    return name


@app.command()
def create(
    merchant: Annotated[str | None, typer.Option("--merchant", help="The merchant's id.", show_default=False)] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="An operator key: dead letters and all merchants' events, no payments.")
    ] = False,
    default_provider: Annotated[
        str | None,
        typer.Option(
            help="Default provider of the merchant's payments; unchanged if not given.",
            parser=_registered,
            metavar=_NAMES,
        ),
    ] = None,
    allowed_provider: Annotated[
        list[str] | None,
        typer.Option(
            help="A provider that the merchant may use, and no other; repeat it for more. Kept where not given.",
            parser=_registered,
            metavar=_NAMES,
        ),
    ] = None,
    all_providers: Annotated[
        bool, typer.Option("--all-providers", help="Let the merchant use every provider that is on again.")
    ] = False,
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            help="The version of the API that the key is pinned to.",
            metavar="DATE",
            show_default=f"the newest, {VERSIONS.newest.date}",
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Create a key and print it. It is not shown again. Creates the merchant if needed."""
    if operator == (merchant is not None):
        raise typer.BadParameter("give --merchant, or --operator", param_hint="--merchant")
    if all_providers and allowed_provider:
        raise typer.BadParameter("give --allowed-provider, or --all-providers", param_hint="--all-providers")
    with existing_database(settings_from(data_dir)) as database:
        owner = merchant or key_store.OPERATORS
        made = key_store.create_key(
            database.app_url,
            owner,
            default_provider,
            operator=operator,
            allowed_providers=allowed_provider or None,
            allow_all_providers=all_providers,
            api_version=version,
        )
        _print_key(asyncio.run(made), as_json)


@app.command("list")
def list_keys(merchant: SomeMerchant = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List keys, without secrets."""
    with existing_database(settings_from(data_dir)) as database:
        rows = asyncio.run(key_store.list_keys(database.app_url, merchant))
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    cells = []
    for row in rows:
        at = row.created_at.isoformat(timespec="seconds")
        if row.revoked_at:
            at += f"\n{row.revoked_at.isoformat(timespec='seconds')}"
        owner = f"{row.merchant_id}\n(operator)" if row.operator else row.merchant_id
        cells.append((owner, row.key_id, row.api_version, at))
    columns = ("merchant", "key id", "version", "created, revoked")
    console.print(table_of(columns, cells, whole=["merchant", "key id"]))


@app.command()
def rotate(key_id: KeyId, merchant: Merchant, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Revoke a key and print its replacement. For an overlap, `create` first and `revoke` later."""
    with existing_database(settings_from(data_dir)) as database:
        _print_key(asyncio.run(key_store.rotate_key(database.app_url, merchant, key_id)), as_json)


@app.command()
def pin(
    key_id: KeyId,
    merchant: Merchant,
    version: Annotated[str, typer.Option("--version", help="The version of the API.", metavar="DATE")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Pin a key to a version of the API. Running processes may use the old one for up to
    TALLYSTICK_API_KEY_CACHE_MS."""
    with existing_database(settings_from(data_dir)) as database:
        asyncio.run(key_store.pin_key(database.app_url, merchant, key_id, version))
    if as_json:
        print_json({"merchant_id": merchant, "key_id": key_id, "api_version": version})
        return
    console.print(f"Key {key_id} of merchant {merchant} is pinned to {version}.", highlight=False, markup=False)


@app.command()
def revoke(key_id: KeyId, merchant: Merchant, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Revoke a key for good. Running processes may accept it for up to TALLYSTICK_API_KEY_CACHE_MS."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        asyncio.run(key_store.revoke_key(database.app_url, merchant, key_id))
    if as_json:
        print_json({"merchant_id": merchant, "key_id": key_id, "accepted_for_ms": settings.api_key_cache_ms})
        return
    until = f"running processes accept it for up to {settings.api_key_cache_ms} ms more"
    console.print(f"Key {key_id} of merchant {merchant} is revoked; {until}.", highlight=False, markup=False)


def _print_key(key: str, as_json: bool) -> None:
    """The key alone, as scripts store it, or in an object."""
    if as_json:
        print_json({"key": key})
    else:
        typer.echo(key)
