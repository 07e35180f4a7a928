"""What commands share by which an operator acts on the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import typer

from tallystick.cli.database import existing_database
from tallystick.domain.change import Change
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.settings.load import Settings

Result = TypeVar("Result")


def with_runtime(settings: Settings, action: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """What ``action`` returns, on the database of the settings. Raises what opening the record raises."""

    async def run(database_url: str) -> Result:
        async with open_runtime(settings, database_url, registers_keys=False) as runtime:
            return await action(runtime)

    with existing_database(settings) as database:
        return asyncio.run(run(database.app_url))


def change_document(change: Change) -> dict[str, Any]:
    """What an act recorded, for JSON: the steps, what was refused, and the money, in minor units."""
    return {
        "merchant_id": change.merchant_id,
        "transitions": [
            {
                "subject": each.subject,
                "subject_id": each.subject_id,
                "version": each.version,
                "event": each.event,
                "from": each.from_state,
                "to": each.to_state,
            }
            for each in change.transitions
        ],
        "rejected": [
            {"subject": each.subject, "subject_id": each.subject_id, "event": each.event, "reason": each.reason}
            for each in change.rejections
        ],
        "transfers": [
            {
                "kind": each.kind,
                "debit": each.debit,
                "credit": each.credit,
                "amount": each.amount,
                "currency": each.currency,
            }
            for each in change.transfers
        ],
    }


def require_words(*options: tuple[str, str]) -> None:
    """Each option (its name, its value) says something: an act is recorded with them. Raises typer.BadParameter."""
    for name, words in options:
        if not words.strip():
            raise typer.BadParameter("must not be empty", param_hint=name)
