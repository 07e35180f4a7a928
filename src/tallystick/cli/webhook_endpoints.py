"""``webhooks endpoints|deliveries|resend``: where messages to merchants go, what became of each, and sending again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, print_json, settings_from
from tallystick.cli.reading import (
    Limit,
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
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.resending import resend_named, resend_since
from tallystick.flows.runtime import Runtime
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
    reason: Reason,
    messages: Annotated[
        list[str] | None,
        typer.Argument(metavar="MESSAGE…", help="The messages' ids, msg_….", show_default=False, callback=_messages),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="All since this time (UTC) that did not arrive; instead of ids.", show_default=False),
    ] = None,
    merchant: SomeMerchant = None,
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Send messages again, with a new series of tries. A worker sends them."""
    if (since is None) == (not messages):
        raise typer.BadParameter("name messages, or give --since", param_hint="MESSAGE…")
    require_words(("--reason", reason))
    settings = settings_from(data_dir)

    async def whose(record: OpenRecord) -> str:
        return await record.owner_of("endpoint", endpoint, merchant)

    owner, begun = with_record(settings, whose), in_utc(since)

    async def sent(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        if messages:
            return await resend_named(runtime, asked, owner, messages)
        assert begun is not None, "one of the two is given"
        return await resend_since(runtime, asked, owner, begun)

    arguments = {"messages": messages or None, "since": None if begun is None else begun.isoformat()}
    asking = Asking(act="message.resend", target=endpoint, reason=reason, key=key, arguments=arguments)
    done = act_on(settings, asking, sent)
    more = " There are more: the same again, under another key, sends the rest." if done.act.result["has_more"] else ""
    print_done(done, as_json, f"{done.act.result['count']} to be sent again.{more}")


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
