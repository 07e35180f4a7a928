"""Raw evidence: what providers answered and sent, as the record has it. Reading it needs a right of its own, and is an
act, recorded before anything is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar.response import Response
from msgspec import Struct

from tallystick.decisions.kept_answers import named_answer
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.provider_answer import KEPT_BYTES
from tallystick.flows.payments.answered_bytes import AnsweredBytes, answered_bytes
from tallystick.flows.webhooks.inbound.arrived_bytes import ArrivedBytes, arrived_bytes
from tallystick.interfaces.console.acting import act_once
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Refused, View
from tallystick.interfaces.console.trace_of_payment import rows_of
from tallystick.interfaces.console.words import EVIDENCE_CHARS, Words, bounded, bounded_lines
from tallystick.kit.ids import new_id
from tallystick.oversight.console import TraceRows

#: Events of one payment whose bytes are opened for one page, the newest; and arrivals of each, the first. Of more the
#: number is told, and each event has a page of its own.
EVENTS: Final = 20
ARRIVALS: Final = 3

#: Answers of its provider that are opened for one page, the newest.
ANSWERS: Final = 20

#: The same of the page of one event.
ARRIVALS_OF_ONE: Final = 50


class ShownEvent(Struct, frozen=True, kw_only=True):
    """An event with what it was read as, and its bytes. ``left``: arrivals that are not shown."""

    event_id: str
    type: str
    received_at: Any
    notice: str
    arrivals: Sequence[ArrivedBytes]
    left: int


async def of_payment(request: PageRequest) -> Answer:
    """Of a payment: each step's, the bytes of what its provider answered, and its events."""
    rows = await rows_of(request)
    payment = rows.record.payment
    await _read(request, payment.payment_id, payment.merchant_id, payment.payment_id)
    steps = [(each, _pretty(each.evidence)) for each in rows.steps if each.evidence]
    events = sorted(rows.events, key=lambda each: each.received_at)
    shown = [await _shown(request, each, ARRIVALS) for each in events[-EVENTS:]]
    answers, more = await _answers(request, payment.merchant_id, payment.payment_id)
    return _view(
        request,
        shown,
        steps=steps,
        payment_id=payment.payment_id,
        older=len(events) - len(shown),
        answers=answers,
        more_answers=more,
        lost=0 if more or request.viewer.merchants is not None else _lost(rows, answers),
        operations={each.attempt.attempt_id: each.attempt.operation for each in rows.record.attempts},
    )


async def of_event(request: PageRequest) -> Answer:
    """Of one event, also of one that belongs to no payment."""
    event = await _event(request)
    await _read(request, event.event_id, event.merchant_id, event.payment_id)
    return _view(request, [await _shown(request, event, ARRIVALS_OF_ONE)], payment_id=event.payment_id)


async def file(request: PageRequest) -> Answer:
    """One arrival whole, as a file that no browser shows."""
    event = await _event(request)
    if request.viewer.merchants is not None:
        raise Refused(403, "A delivery may hold events of several merchants, and you are limited to some.")
    found, _ = await _opened(request, event, ARRIVALS_OF_ONE)
    one = next((each for each in found if each.delivery_id == request.path["delivery_id"]), None)
    if one is None or one.text is None:
        raise Refused(404, "There are no such bytes, or they cannot be opened.")
    await _read(request, event.event_id, event.merchant_id, event.payment_id, arrival=one.delivery_id)
    return Response(
        one.text.encode(),
        media_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="{one.delivery_id}.txt"'},
    )


async def _event(request: PageRequest) -> Any:
    """Raises Refused; in one way for what is not there and what is not for the viewer."""
    event_id = request.path["event_id"]
    event = await request.runtime.stores.inbox.event(event_id)
    if event is None or not request.viewer.sees(event.merchant_id):
        raise Refused(404, f"There is no event {bounded(event_id, 64)}.")
    return event


async def _read(
    request: PageRequest, target: str, merchant_id: str | None, payment_id: str | None, **arguments: str
) -> None:
    """The act, before anything is shown. Raises Refused."""
    runtime = request.runtime

    async def read_it(asked: AskedAct) -> OperatorAct:
        act = asked.done({}, runtime.clock.now(), merchant_id=merchant_id, payment_id=payment_id)
        await runtime.stores.acts.record(act)
        return act

    await act_once(request, "evidence.read", target, read_it, **arguments)


async def _shown(request: PageRequest, event: Any, most: int) -> ShownEvent:
    arrivals, left = await _opened(request, event, most)
    return ShownEvent(
        event_id=event.event_id,
        type=event.type,
        received_at=event.received_at,
        notice="" if event.notice is None else _pretty(event.notice),
        arrivals=arrivals,
        left=left,
    )


async def _opened(request: PageRequest, event: Any, most: int) -> tuple[list[ArrivedBytes], int]:
    """Its bytes, for whoever sees every merchant: a delivery may hold events of several."""
    if request.viewer.merchants is not None:
        return [], 0
    runtime, name = request.runtime, (event.provider, event.account, event.provider_event_id)
    return await arrived_bytes(runtime.stores.inbox, runtime.sealer, name, most)


async def _answers(request: PageRequest, merchant_id: str, payment_id: str) -> tuple[list[AnsweredBytes], bool]:
    """What its provider answered, for whoever sees every merchant: an answer may be about another payment."""
    if request.viewer.merchants is not None:
        return [], False
    runtime = request.runtime
    return await answered_bytes(runtime.pool, runtime.sealer, merchant_id, payment_id, ANSWERS)


def _lost(rows: TraceRows, answers: Sequence[AnsweredBytes]) -> int:
    """Answers that steps and refusals name, and that are not there, or not as they were."""
    told = [*(each.evidence for each in rows.steps), *(each.evidence for each in rows.rejections)]
    named = {digest for evidence in told if (digest := named_answer(evidence)) is not None}
    return len(named - {each.digest for each in answers})


def _view(request: PageRequest, events: Sequence[ShownEvent], **more: Any) -> View:
    return View(
        template="evidence.html",
        context={
            "title": "Raw evidence",
            "steps": (),
            "older": 0,
            "answers": (),
            "more_answers": False,
            "lost": 0,
            "kept_bytes": KEPT_BYTES,
            "events": events,
            "limited": request.viewer.merchants is not None,
            "reason": request.form.get("reason"),
            "key": lambda: new_id("opa"),
            "most": EVIDENCE_CHARS,
            "lines": bounded_lines,
            "w": Words(request.runtime.clock.now()),
            **more,
        },
    )


def _pretty(evidence: Any) -> str:
    """As JSON, up to a bound: a provider may send megabytes."""
    text = evidence if isinstance(evidence, str) else msgspec.json.encode(evidence).decode()
    return bounded_lines(msgspec.json.format(text, indent=2))


def _page(name: str, path: str, handle: Any) -> Page:
    path = f"{ROOT}/{path}"
    return Page(name=name, path=path, handle=handle, right="raw_evidence", title="Raw evidence", method="POST")


PAGES: Final = (
    _page("evidence", "payments/{payment_id:str}/evidence", of_payment),
    _page("evidence_of_event", "events/{event_id:str}/evidence", of_event),
    _page("evidence_file", "events/{event_id:str}/evidence/{delivery_id:str}", file),
)
