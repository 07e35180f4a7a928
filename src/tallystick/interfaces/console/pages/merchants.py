"""Merchants: their keys, their webhook endpoints, and what was delivered to these."""

from __future__ import annotations

from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.resending import EndpointDisabled, NeverSent, resend_named
from tallystick.flows.webhooks.outbound.endpoints import FAILING, GONE
from tallystick.interfaces.console.acting import act_once
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.pages.erasures import erase_form
from tallystick.interfaces.console.place import page_at, place_in, place_text
from tallystick.interfaces.console.tables import Cell, Section, row
from tallystick.interfaces.console.words import Words, at, bounded, number, spoken
from tallystick.kit.ids import new_id
from tallystick.oversight.console import OperatorReads, keys_of

PATH: Final = f"{ROOT}/merchants"

#: Deliveries of one page.
_DELIVERIES: Final = 50

#: Endpoints that hear of nothing, of all merchants: more of them are one cause.
_SILENT: Final = 50

#: Of the tries at a message the newest is shown.
_TRIES: Final = 1


async def merchants(request: PageRequest) -> Answer:
    """Those that the viewer sees."""
    reads = OperatorReads(request.runtime.pool, request.runtime.clock)
    found = await reads.merchants()
    rows = [
        (
            Cell(each.merchant_id, f"{PATH}/{each.merchant_id}"),
            Cell(each.default_provider or "the platform's"),
            Cell(", ".join(each.allowed_providers) if each.allowed_providers is not None else "all"),
            Cell(number(each.keys), f"{PATH}/{each.merchant_id}", "number"),
            Cell(at(each.created_at)),
        )
        for each in found
        if not each.operator and request.viewer.sees(each.merchant_id)
    ]
    section = Section(
        title=f"{len(rows):,} merchants" if len(rows) != 1 else "1 merchant",
        header=("Merchant", "Default provider", "Providers", "Keys", "Since (UTC)"),
        rows=rows,
        empty="There is no merchant yet. `tallystick keys create MERCHANT` makes one with its first key.",
    )
    return _tables(request, [await _silent(request, reads), section])


async def _silent(request: PageRequest, reads: OperatorReads) -> Section:
    """What messages do not reach."""
    rows = [
        (
            Cell(each.endpoint_id, f"{PATH}/{each.merchant_id}/endpoints/{each.endpoint_id}"),
            Cell(each.merchant_id, f"{PATH}/{each.merchant_id}"),
            Cell(bounded(each.url, 120)),
            Cell(
                f"failing since {at(each.failing_since)}"
                if each.state == "enabled" and each.failing_since
                else f"{each.state}, {spoken(each.disabled_reason or '')}",
                kind="bad",
            ),
        )
        for each in await reads.silent_endpoints([GONE, FAILING], request.viewer.merchants, _SILENT)
    ]
    return Section(
        title="Endpoints that hear of nothing",
        header=("Endpoint", "Merchant", "URL", "State"),
        rows=rows,
        empty="Every endpoint that is enabled takes its messages, and none was given up.",
    )


async def merchant(request: PageRequest) -> Answer:
    """One, with its keys and endpoints."""
    merchant_id = _seen(request)
    runtime = request.runtime
    keys, endpoints = (
        await keys_of(runtime.pool, merchant_id),
        await runtime.stores.endpoint_book.endpoints(merchant_id),
    )
    if not keys and not endpoints:
        raise Refused(404, f"There is no merchant {bounded(merchant_id, 64)}.")
    sections = [
        Section(
            title="Keys",
            header=("Key", "Kind", "Scopes", "Made (UTC)", "Revoked (UTC)"),
            rows=[
                row(
                    each.key_id,
                    each.kind or "undeclared",
                    "all" if each.scopes is None else ", ".join(each.scopes),
                    at(each.created_at),
                    at(each.revoked_at) if each.revoked_at else None,
                )
                for each in keys
            ],
            empty="It has no key.",
            says="Their secrets are not in the record. `tallystick keys` makes and revokes them.",
        ),
        Section(
            title="Webhook endpoints",
            header=("Endpoint", "URL", "State", "Types"),
            rows=[
                (
                    Cell(each.endpoint_id, f"{PATH}/{merchant_id}/endpoints/{each.endpoint_id}"),
                    Cell(bounded(each.url, 120)),
                    Cell(
                        f"{each.state}{f' ({spoken(each.disabled_reason)})' if each.disabled_reason else ''}"
                        f"{', failing' if each.failing_since else ''}",
                        kind="bad" if each.failing_since or each.state != "enabled" else "good",
                    ),
                    Cell("all" if each.event_types is None else bounded(", ".join(each.event_types), 120)),
                )
                for each in endpoints
            ],
            empty="It has no endpoint: it asks the API what became of its payments.",
        ),
    ]
    forms = [erase_form("Ask to erase all personal fields", "merchant", merchant_id)]
    return _tables(request, sections, f"Merchant {merchant_id}", forms=forms if request.viewer.may("act") else [])


async def endpoint(request: PageRequest) -> Answer:
    """What was delivered to one endpoint, the newest first."""
    merchant_id, endpoint_id = _seen(request), request.path["endpoint_id"]
    book, path = (
        request.runtime.stores.endpoint_book,
        f"{PATH}/{_seen(request)}/endpoints/{request.path['endpoint_id']}",
    )
    found = await book.endpoints(merchant_id, endpoint_id)
    if not found:
        raise Refused(404, f"There is no endpoint {bounded(endpoint_id, 64)}.")
    state = request.query.get("state", "") or None
    begun = place_in(request.query.get("after"))
    rows = await book.log(merchant_id, endpoint_id, state=state, after=begun, limit=_DELIVERIES + 1)
    shown, more = rows[:_DELIVERIES], rows[_DELIVERIES:]
    tries = await book.tries(merchant_id, endpoint_id, [each.message_id for each in shown], _TRIES)
    last = {message_id: each[-1] for message_id, each in tries.items() if each}
    section = Section(
        title="Deliveries",
        header=("Message", "Type", "Payment", "State", "Tries", "Last try", "Dispatched (UTC)"),
        rows=[
            (
                Cell(each.message_id, kind="id"),
                Cell(each.type),
                Cell(each.stream_id, f"{ROOT}/payments/{each.stream_id}" if each.stream_id.startswith("pay_") else ""),
                Cell(spoken(each.state), f"{path}?state={each.state}", "good" if each.state == "delivered" else "warn"),
                Cell(number(each.tries), kind="number"),
                Cell(_said(last[each.message_id]) if each.message_id in last else "-"),
                Cell(at(each.dispatched_at)),
            )
            for each in shown
        ],
        empty="No message was dispatched to it" + (f" that is {spoken(state)}." if state else "."),
        says=f"{found[0].url[:200]}: {found[0].state}",
    )
    kept = {} if state is None else {"state": state}
    last_shown = place_text(shown[-1].dispatched_at, shown[-1].message_id) if more else ""
    after = page_at(path, "after", last_shown, kept) if more else ""
    forms = []
    if request.viewer.may("act") and found[0].state == "enabled" and shown:
        messages = tuple((each.message_id, f"{each.message_id}, {each.type}") for each in shown)
        forms = [
            {
                "name": "resend", "label": "Send a message again", "action": f"{path}/resend",
                "key": new_id("opa"), "reason": True,
                "says": "It may come once more to the endpoint, with the same webhook-id and a new series of tries.",
                "fields": (("message_id", "Message", messages),),
            }
        ]  # fmt: skip
    return _tables(request, [section], f"Endpoint {endpoint_id}", forms=forms, next_page=after)


async def resend(request: PageRequest) -> Answer:
    """One message again, as an act of the viewer."""
    merchant_id, endpoint_id = _seen(request), request.path["endpoint_id"]
    messages = [request.form.get("message_id")]

    async def do(asked: AskedAct) -> OperatorAct:
        return await resend_named(request.runtime, asked, merchant_id, messages)

    try:
        await act_once(request, "message.resend", endpoint_id, do, messages=messages)
    except EndpointDisabled as error:
        raise Refused(409, f"{error}. Nothing was done.") from None
    except NeverSent as error:
        raise Refused(404, f"{error}.") from None
    return Redirect(f"{PATH}/{merchant_id}/endpoints/{endpoint_id}")


def _said(one: object) -> str:
    status, result, detail = getattr(one, "status", None), getattr(one, "result", ""), getattr(one, "detail", None)
    return ", ".join(
        part for part in (spoken(result), f"status {status}" if status else "", bounded(detail, 120)) if part
    )


def _seen(request: PageRequest) -> str:
    merchant_id = request.path["merchant_id"]
    if not request.viewer.sees(merchant_id):
        raise Refused(404, f"There is no merchant {bounded(merchant_id, 64)}.")
    return merchant_id


def _tables(request: PageRequest, sections: list[Section], title: str = "", **more: object) -> View:
    own = {"title": title} if title else {}
    words = Words(request.runtime.clock.now())
    return View(template="tables.html", context={"lead": "", "sections": sections, "w": words, **own, **more})


_ENDPOINT: Final = f"{PATH}/{{merchant_id:str}}/endpoints/{{endpoint_id:str}}"

PAGES: Final = (
    Page(name="merchants", path=PATH, handle=merchants, right="read", title="Merchants", group="Merchants"),
    Page(name="merchant", path=f"{PATH}/{{merchant_id:str}}", handle=merchant, right="read", title="Merchant"),
    Page(name="endpoint", path=_ENDPOINT, handle=endpoint, right="read", title="Endpoint"),
    Page(name="resend", path=f"{_ENDPOINT}/resend", handle=resend, right="act", title="Endpoint", method="POST"),
)
