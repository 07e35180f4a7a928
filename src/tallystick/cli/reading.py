"""What commands share that read the record for an operator: options, ids, and the search for whose a thing is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer
from msgspec import Struct

from tallystick.cli.context import console
from tallystick.cli.database import existing_database
from tallystick.cli.tables import Cell, table_of
from tallystick.domain.created_range import CreatedRange
from tallystick.domain.errors import TallystickError
from tallystick.flows.stores import Stores, stores_on
from tallystick.kit.clock import Clock
from tallystick.kit.ids import is_id
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.operator_reads import OperatorReads, Owned
from tallystick.record.postgres.reads import Reads
from tallystick.record.sealing import sealer_of
from tallystick.settings.load import Settings

Result = TypeVar("Result")
Found = TypeVar("Found")

#: Options by the fields of filters, whose faults name the fields.
OPTIONS: Final = {
    "created_gte": "--since",
    "created_lt": "--until",
    "amount_gte": "--min-amount",
    "amount_lte": "--max-amount",
}


class NotFound(TallystickError):
    """Nothing in the record has this id."""


class MalformedId(TallystickError):
    """It is not an id of the kind that is asked for."""


def id_of(prefix: str, what: str) -> Callable[[str | None], str | None]:
    """A callback for an option or argument: it raises MalformedId before anything is opened."""

    def required(given: str | None) -> str | None:
        return None if given is None else require_id(prefix, what, given)

    return required


def require_id(prefix: str, what: str, text: str) -> str:
    """The id as it was given. Raises MalformedId."""
    if not is_id(prefix, text):
        raise MalformedId(f"{text} is not the id of {what}: {prefix}_ and 32 of 0-9 and a-f")
    return text


def state_option(states: Collection[str]) -> Any:
    """``--state``, one of these, which the shell completes. Raises BadParameter for another."""

    def known(given: str | None) -> str | None:
        if given is not None and given not in states:
            raise typer.BadParameter(f"expected one of {', '.join(states)}")
        return given

    def completed(incomplete: str) -> list[str]:
        return [state for state in states if state.startswith(incomplete)]

    named = f"Only in this state: {', '.join(states)}."
    return typer.Option("--state", help=named, show_default=False, callback=known, autocompletion=completed)


Limit = Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many at most, newest first.")]
Since = Annotated[
    datetime | None, typer.Option(help="Only from this time on, such as 2026-11-26T08:00 (UTC).", show_default=False)
]
Until = Annotated[datetime | None, typer.Option(help="Only before this time (UTC).", show_default=False)]
OfPayment = Annotated[
    str | None,
    typer.Option(
        "--payment", help="Only of this payment, pay_….", show_default=False, callback=id_of("pay", "a payment")
    ),
]


class OpenRecord(Struct, frozen=True, kw_only=True):
    """The record, open for reading."""

    reads: Reads
    operator: OperatorReads
    stores: Stores
    clock: Clock

    async def merchants(self, only: str | None) -> list[str]:
        """Every merchant's id, or the one that was given. Raises NotFound."""
        known = [each.merchant_id for each in await self.operator.merchants()]
        if only is None:
            return known
        if only not in known:
            raise NotFound(f"there is no merchant {only}; `tallystick merchants` lists them")
        return [only]

    async def owner_of(self, what: Owned, which: str, only: str | None) -> str:
        """Whose it is: any merchant's, or that of the one that was given. Raises NotFound."""
        owner = await self.operator.owner_of(what, which, await self.merchants(only))
        if owner is None:
            whose = "" if only is None else f" of merchant {only}"
            raise NotFound(f"there is no {what} {which}{whose}")
        return owner

    async def newest(
        self,
        only: str | None,
        limit: int,
        page: Callable[[str], Awaitable[Sequence[Found]]],
        place: Callable[[Found], Any],
    ) -> list[tuple[str, Found]]:
        """The newest of a list of each merchant, with whose it is. ``page``: the ``limit`` newest of one merchant.
        ``place``: what grows with time."""
        found: list[tuple[str, Found]] = []
        for merchant in await self.merchants(only):
            found += [(merchant, row) for row in await page(merchant)]
            found.sort(key=lambda each: place(each[1]), reverse=True)
            del found[limit:]
        return found


def with_record(settings: Settings, action: Callable[[OpenRecord], Awaitable[Result]]) -> Result:
    """What ``action`` returns, on the database of the settings. Raises what opening the record raises."""

    async def run(database_url: str) -> Result:
        clock = Clock(settings.clock_shift_ms)
        async with await open_pool(database_url, settings) as pool:
            return await action(
                OpenRecord(
                    reads=Reads(pool, clock),
                    operator=OperatorReads(pool, clock),
                    stores=stores_on(pool, clock, settings, sealer_of(settings)),
                    clock=clock,
                )
            )

    with existing_database(settings) as database:
        return asyncio.run(run(database.app_url))


def require_sound(wanted: CreatedRange) -> None:
    """Raise BadParameter for a filter whose parts do not go together, naming the options."""
    if faults := wanted.faults():
        raise typer.BadParameter("; ".join(f"{_option(fault.field)} {_in_options(fault.detail)}" for fault in faults))


def in_utc(at: datetime | None) -> datetime | None:
    """A time of the command line, which is in UTC unless it says otherwise."""
    return None if at is None else at.replace(tzinfo=at.tzinfo or UTC)


def shown_time(at: datetime | None) -> str:
    """A time for people, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def owned(merchant_id: str | None, view: object) -> dict[str, Any]:
    """A view of the API with whose it is, for JSON."""
    return {"merchant_id": merchant_id, **msgspec.to_builtins(view)}


def print_rows(rows: Sequence[Sequence[Cell]], columns: Sequence[str], *, title: str, nothing: str) -> None:
    """A table whose first column has ids that stay in one piece, or a sentence where there is nothing."""
    if rows:
        console.print(table_of(columns, rows, whole=columns[:1], title=title))
    else:
        console.print(nothing, highlight=False, markup=False)


def lines(*given: str | None) -> str:
    """What is not empty, one a line."""
    return "\n".join(line for line in given if line)


def _option(field: str) -> str:
    return OPTIONS.get(field, f"--{field.replace('_', '-')}")


def _in_options(detail: str) -> str:
    for field, option in OPTIONS.items():
        detail = detail.replace(field, option)
    return detail
