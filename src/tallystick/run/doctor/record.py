"""Checks of the record beside this release, its settings and this host, as the application's role."""

from __future__ import annotations

import asyncpg

from tallystick.kit.clock_skew import SkewGauge
from tallystick.providers.assembly import connected_providers, switched_off
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres.open_payments import open_payments_elsewhere
from tallystick.record.postgres.readiness import prepare_every_statement
from tallystick.record.postgres.server_facts import merchant_defaults
from tallystick.record.sealing import sealer_of
from tallystick.record.sealing_keys import judge
from tallystick.run.clock_check import ClockTooFarOff, require_right_clock
from tallystick.settings.load import Settings


async def clock(connection: asyncpg.Connection) -> list[str]:
    """This host's clock, where it is certainly too far from the database's."""
    gauge = SkewGauge()
    question = gauge.ask()
    gauge.answered(question, await connection.fetchval("SELECT clock_timestamp()"))
    try:
        require_right_clock(gauge.current)
    except ClockTooFarOff as error:
        return [str(error)]
    return []


async def schema(connection: asyncpg.Connection) -> list[str]:
    """No schema, or one from before the first release."""
    try:
        await connection.execute("SELECT 1 FROM api_key LIMIT 1")
    except asyncpg.UndefinedTableError:
        return ["the database schema is missing or too old; run `tallystick migrate`"]
    return []


async def schema_release(connection: asyncpg.Connection) -> list[str]:
    """A schema of another release."""
    try:
        await prepare_every_statement(connection)
    except asyncpg.SyntaxOrAccessError:
        return ["the database has another schema than this release needs; run `tallystick migrate`"]
    return []


async def sealing_keys(connection: asyncpg.Connection, settings: Settings) -> list[str]:
    """Keys that are not those of the record. Nothing is registered or made here. Before the migration there is nothing
    to compare with. Raises SettingsError for malformed keys."""
    try:
        judged = await judge(connection, sealer_of(settings))
    except asyncpg.UndefinedTableError:
        return []
    return [] if judged.unfit is None else [judged.unfit]


async def open_work(connection: asyncpg.Connection, settings: Settings) -> list[str]:
    """Providers and accounts that have open payments, and no settings here."""
    accounts, said = await configured(settings), []
    for name, account, number in await open_payments_elsewhere(connection, accounts):
        payments = "1 open payment, which waits" if number == 1 else f"{number} open payments, which wait"
        whose = f"account {account} of {name}" if name in accounts else f"provider {name}"
        said.append(
            f"the {whose} is not configured here and has {payments} for a worker with its settings"
            f" (TALLYSTICK_{name.upper()}_…)"
        )
    return said


async def wrong_defaults(connection: asyncpg.Connection, settings: Settings) -> list[str]:
    """Default providers of merchants that take no payments here."""
    here, off = await configured(settings), switched_off(settings)
    said = []
    for name, number in (await merchant_defaults(connection)).items():
        if name not in PROVIDERS:
            wrong = "does not exist"
        elif name in off:
            wrong = "is off"
        elif name not in here:
            wrong = "is not configured here"
        else:
            continue
        merchants = "1 merchant has" if number == 1 else f"{number} merchants have"
        said.append(f"{merchants} the default provider {name}, which {wrong}")
    return said


async def configured(settings: Settings) -> dict[str, str]:
    """The account of each provider for which the settings have what they need. No provider is asked."""
    connectors = connected_providers(settings)
    for connector in connectors.values():
        await connector.close()
    return {name: connector.account for name, connector in connectors.items()}
