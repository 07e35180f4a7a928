"""``keys``: API keys, shown once when they are made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer

from tallystick.access import key_store
from tallystick.cli.acts import somebody_here
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
from tallystick.domain.api_keys import KEY_KINDS, UNDECLARED, KeyDeclaration, declaration
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.money import MAX_AMOUNT
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings

Result = TypeVar("Result")

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
        bool, typer.Option("--operator", help="An operator's key: dead letters and all merchants' events, no payments.")
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
            help="Limit the merchant to this provider; repeat it for more. Unchanged if not given.",
            parser=_registered,
            metavar=_NAMES,
        ),
    ] = None,
    all_providers: Annotated[
        bool, typer.Option("--all-providers", help="Lift the limit of --allowed-provider.")
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
    kind: Annotated[str, typer.Option(help="What uses the key.", metavar=f"[{'|'.join(KEY_KINDS)}]")] = UNDECLARED.kind,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the key may do, such as refunds:create; repeat it for more.",
            metavar="SCOPE",
            show_default="everything; an agent's key: all that reads",
        ),
    ] = None,
    limit_amount: Annotated[
        list[str] | None,
        typer.Option(
            help="The most that one operation may move, in minor units; repeat it for more currencies. Without"
            " --currency the key may act in no other currency.",
            metavar="CUR:MINOR",
        ),
    ] = None,
    currency: Annotated[
        list[str] | None,
        typer.Option(help="Limit the key to this currency; repeat it for more.", metavar="CUR"),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Create a key and print it. It is not shown again. Creates the merchant if needed. The kind, scopes and limits of
    a key never change."""
    if operator == (merchant is not None):
        raise typer.BadParameter("give --merchant, or --operator", param_hint="--merchant")
    if all_providers and allowed_provider:
        raise typer.BadParameter("give --allowed-provider, or --all-providers", param_hint="--all-providers")
    declared = _declared(kind, scope or (), currency or (), limit_amount or ())

    async def made(database_url: str, actor: str) -> str:
        return await key_store.create_key(
            database_url,
            merchant or key_store.OPERATORS,
            default_provider,
            operator=operator,
            allowed_providers=allowed_provider or None,
            allow_all_providers=all_providers,
            api_version=version,
            declared=declared,
            actor=actor,
        )

    _print_key(_by_somebody(settings_from(data_dir), made), as_json)


def _by_somebody(settings: Settings, act: Callable[[str, str], Awaitable[Result]]) -> Result:
    """What ``act`` returns, by the URL of the database and who acts."""

    async def done(database_url: str) -> Result:
        return await act(database_url, await somebody_here(settings, database_url))

    with existing_database(settings) as database:
        return asyncio.run(done(database.app_url))


def _declared(kind: str, scopes: Sequence[str], currencies: Sequence[str], limits: Sequence[str]) -> KeyDeclaration:
    amounts: dict[str, int] = {}
    for limit in limits:
        code, _, minor = limit.partition(":")
        if not (minor.isascii() and minor.isdigit()) or code in amounts:
            raise typer.BadParameter("give each currency once, as CUR:MINOR", param_hint="--limit-amount")
        # More digits than any amount has: it is over the limit, and Python would not read them.
        amounts[code] = int(minor) if len(minor) <= len(str(MAX_AMOUNT)) else MAX_AMOUNT + 1
    try:
        return declaration(kind, scopes, currencies, amounts)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command("list")
def list_keys(merchant: SomeMerchant = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List keys, without secrets."""
    with existing_database(settings_from(data_dir)) as database:
        rows = asyncio.run(key_store.list_keys(database.app_url, merchant))
    if as_json:
        print_json(rows)
        return
    cells = []
    for row in rows:
        at = row.created_at.isoformat(timespec="seconds")
        if row.revoked_at:
            at += f"\n{row.revoked_at.isoformat(timespec='seconds')}"
        owner = f"{row.merchant_id}\n(operator)" if row.operator else row.merchant_id
        cells.append((owner, f"{row.key_id}\n{row.kind}, {row.api_version}", _allowed(row), at))
    columns = ("merchant", "key id, kind, version", "may", "created, revoked")
    console.print(table_of(columns, cells, whole=["merchant", "key id, kind, version"]))


def _allowed(row: key_store.KeyRow) -> str:
    """What a key is for, and its limits, for people."""
    parts = ["everything"] if row.scopes is None else list(row.scopes)
    for currency, amount in (row.limits or {}).items():
        parts.append(currency if amount is None else f"{currency} up to {amount}")
    return "\n".join(parts)


@app.command()
def rotate(key_id: KeyId, merchant: Merchant, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Revoke a key and print its replacement, which declares the same. For an overlap, `create` first and `revoke`
    later."""

    async def rotated(database_url: str, actor: str) -> str:
        return await key_store.rotate_key(database_url, merchant, key_id, actor=actor)

    _print_key(_by_somebody(settings_from(data_dir), rotated), as_json)


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

    async def pinned(database_url: str, actor: str) -> None:
        await key_store.pin_key(database_url, merchant, key_id, version, actor=actor)

    _by_somebody(settings_from(data_dir), pinned)
    if as_json:
        print_json({"merchant_id": merchant, "key_id": key_id, "api_version": version})
        return
    console.print(f"Key {key_id} of merchant {merchant} is pinned to {version}.", highlight=False, markup=False)


@app.command()
def revoke(key_id: KeyId, merchant: Merchant, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Revoke a key for good. Running processes may accept it for up to TALLYSTICK_API_KEY_CACHE_MS."""
    settings = settings_from(data_dir)

    async def revoked(database_url: str, actor: str) -> None:
        await key_store.revoke_key(database_url, merchant, key_id, actor=actor)

    _by_somebody(settings, revoked)
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
