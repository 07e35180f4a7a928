"""``webhooks endpoints|deliveries|resend``: where messages to merchants go, what became of each, and sending again."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.reading import (
    Limit,
    NotFound,
    OpenRecord,
    id_of,
    in_utc,
    lines,
    of_each,
    owned,
    print_rows,
    require_id,
    shown_time,
    state_option,
    with_record,
)
from tallystick.domain.errors import TallystickError
from tallystick.flows.webhooks.outbound.endpoints import DELIVERY_STATES, EndpointRow
from tallystick.interfaces.api.routes.webhook_deliveries import (
    SHOWN_TRIES,
    WebhookDelivery,
    delivery_view,
)
from tallystick.interfaces.api.routes.webhook_endpoints import endpoint_view

EndpointId = Annotated[
    str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id, we_….", callback=id_of("we", "an endpoint"))
]


class EndpointDisabled(TallystickError):
    """Nothing is sent to a disabled endpoint."""


def _messages(given: list[str] | None) -> list[str] | None:
    return None if given is None else [require_id("msg", "a message", each) for each in dict.fromkeys(given)]


def endpoints(merchant: SomeMerchant = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List merchants' webhook endpoints, without secrets."""

    async def found(record: OpenRecord) -> list[tuple[str, EndpointRow]]:
        merchants = await record.merchants(merchant)
        rows = await of_each(merchants, record.stores.endpoint_book.endpoints)
        return [(one, row) for one, theirs in zip(merchants, rows, strict=True) for row in theirs]

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json([owned(one, endpoint_view(row)) for one, row in rows])
        return
    cells = [(f"{row.endpoint_id}\n{one}", _endpoint(row)) for one, row in rows]
    print_rows(
        cells, ("endpoint, merchant", "where to, and how it goes"), title="Webhook endpoints", nothing="No endpoint."
    )


def deliveries(
    endpoint: EndpointId,
    merchant: SomeMerchant = None,
    state: Annotated[str | None, state_option(DELIVERY_STATES)] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List what was sent to an endpoint, newest first, with its tries."""

    async def found(record: OpenRecord) -> tuple[str, Sequence[WebhookDelivery]]:
        book = record.stores.endpoint_book
        owner = await record.owner_of("endpoint", endpoint, merchant)
        rows = await book.log(owner, endpoint, state=state, after=None, limit=limit)
        tries = await book.tries(owner, endpoint, [row.message_id for row in rows], SHOWN_TRIES)
        return owner, [delivery_view(row, tries.get(row.message_id, ())) for row in rows]

    owner, found_rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json([owned(owner, row) for row in found_rows])
        return
    cells = [(f"{row.message_id}\n{row.payment_id}", _delivery(row)) for row in found_rows]
    title = f"Deliveries to merchant {owner}"
    print_rows(cells, ("message, payment", "what became of it"), title=title, nothing="No such delivery.")


def resend(
    endpoint: EndpointId,
    messages: Annotated[
        list[str] | None,
        typer.Argument(metavar="MESSAGE…", help="The messages' ids, msg_….", show_default=False, callback=_messages),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="All since this time (UTC) that did not arrive; instead of ids.", show_default=False),
    ] = None,
    merchant: SomeMerchant = None,
    actor: Annotated[
        str | None, typer.Option(help="Who does it; kept with each message.", show_default="the system user")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Send messages again, with a new series of tries. A worker sends them."""
    if (since is None) == (not messages):
        raise typer.BadParameter("name messages, or give --since", param_hint="MESSAGE…")
    who = f"operator:{actor or getpass.getuser()}"

    async def sent(record: OpenRecord) -> tuple[int, bool]:
        owner = await _enabled(record, endpoint, merchant)
        if messages:
            return await _resend_named(record, owner, endpoint, messages, who), False
        begun = in_utc(since)
        assert begun is not None, "one of the two is given"
        done = await record.stores.endpoints.resend_since(owner, endpoint, begun, actor=who)
        return done.count, done.more

    count, more = with_record(settings_from(data_dir), sent)
    if as_json:
        print_json({"count": count, "has_more": more})
        return
    rest = " There are more: the same command again sends the rest." if more else ""
    console.print(f"{count} to be sent again.{rest}", highlight=False)


async def _enabled(record: OpenRecord, endpoint: str, merchant: str | None) -> str:
    """Whose the endpoint is. Raises NotFound and EndpointDisabled."""
    owner = await record.owner_of("endpoint", endpoint, merchant)
    for row in await record.stores.endpoint_book.endpoints(owner, endpoint):
        if row.state == "enabled":
            return owner
    raise EndpointDisabled(f"nothing is sent to the disabled endpoint {endpoint}; its merchant has to enable it first")


async def _resend_named(record: OpenRecord, owner: str, endpoint: str, messages: Sequence[str], actor: str) -> int:
    """How many. Raises NotFound where one of them was never sent there; then none is sent."""
    book = record.stores.endpoint_book
    lacking = [each for each in messages if await book.delivery(owner, endpoint, each) is None]
    if lacking:
        raise NotFound(f"the endpoint {endpoint} has no delivery of {', '.join(lacking)}; nothing was sent")
    return await book.resend(owner, endpoint, messages, actor=actor)


def _endpoint(row: EndpointRow) -> str:
    state = row.state if row.disabled_reason is None else f"{row.state} ({row.disabled_reason})"
    failing = "" if row.failing_since is None else f"failing since {shown_time(row.failing_since)} UTC"
    return lines(row.url, state, failing, ", ".join(row.event_types or ("all types",)))


def _delivery(row: WebhookDelivery) -> str:
    said = [f"{row.type}: {row.state}", f"{shown_time(row.dispatched_at)} UTC"]
    for one in row.attempts[-1:]:
        said.append(f"try {one.number}: {one.result}" + ("" if one.status is None else f" {one.status}"))
        said.append(one.error or "")
    if row.next_attempt_at is not None:
        said.append(f"next {shown_time(row.next_attempt_at)} UTC")
    return lines(*said)
