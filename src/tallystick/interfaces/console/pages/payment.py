"""One payment: what happened, where its money is, who acts next, and all that is recorded of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tallystick.decisions.kept_answers import named_answer
from tallystick.domain.lifecycles.table import NEW
from tallystick.flows.payments.attempts import fetch_verdict
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, View
from tallystick.interfaces.console.payment_timeline import LANES, parts_of
from tallystick.interfaces.console.state_graph import state_graph
from tallystick.interfaces.console.trace_of_payment import rows_of
from tallystick.interfaces.console.words import Words
from tallystick.kit.ids import new_id
from tallystick.oversight.console import TraceRows
from tallystick.oversight.trace.payment import PaymentTrace, rebuilt_trace, trace_of
from tallystick.oversight.trace.rebuild import ProvidersWord

#: Attempts of one payment that the provider is asked about in one go: each is a call that may time out.
ASKED: Final = 10


async def payment(request: PageRequest) -> Answer:
    """From durable rows alone."""
    rows = await rows_of(request)
    return _view(request, rows, trace_of(rows, request.runtime.settings), asked=False)


async def ask(request: PageRequest) -> Answer:
    """What the provider says of it now, beside the record. Nothing is recorded of the answer."""
    rows = await rows_of(request)
    attempts = [each.attempt for each in rows.record.attempts][-ASKED:]
    word: list[ProvidersWord] = [
        (attempt, await fetch_verdict(request.runtime, rows.record.payment, attempt)) for attempt in attempts
    ]
    return _view(request, rows, rebuilt_trace(rows, request.runtime.settings, word), asked=True)


def _view(request: PageRequest, rows: TraceRows, trace: PaymentTrace, *, asked: bool) -> View:
    attempts = [each.attempt for each in rows.record.attempts]
    return View(
        template="payment.html",
        context={
            "title": f"Payment {trace.payment_id}",
            "trace": trace,
            "payment": rows.record.payment,
            "facts": trace.facts,
            "parts": parts_of(trace.timeline),
            "entries": len(trace.timeline),
            "lanes": LANES,
            "graph": state_graph(_states(rows)),
            "attempts": [(each, [s for s in trace.timeline if s.subject_id == each.attempt_id]) for each in attempts],
            "kept_answers": kept_answers(rows),
            "transfers": rows.transfers,
            "messages": [(each, _sends(rows, each.message_id)) for each in rows.messages],
            "events": rows.events,
            "asked": asked,
            "may_ask": request.viewer.may("act"),
            "may_see_evidence": request.viewer.may("raw_evidence"),
            "evidence_path": f"{ROOT}/payments/{trace.payment_id}/evidence",
            "evidence_key": new_id("opa"),
            "ask_path": f"{ROOT}/payments/{trace.payment_id}/ask",
            "w": Words(request.runtime.clock.now()),
        },
    )


def kept_answers(rows: TraceRows) -> Mapping[str, int]:
    """How many answers of the provider are kept of each attempt, by what its steps and refusals name."""
    told = [(each.subject_id, each.evidence) for each in rows.steps]
    told += [(each.subject_id, each.evidence) for each in rows.rejections]
    named = {(subject_id, digest) for subject_id, evidence in told if (digest := named_answer(evidence)) is not None}
    return Counter(subject_id for subject_id, _ in named)


def _states(rows: TraceRows) -> Sequence[str]:
    """The states that the payment entered, in the order of its versions."""
    steps = sorted(
        (each for each in rows.steps if each.subject_id == rows.record.payment.payment_id),
        key=lambda each: each.version,
    )
    return [NEW, *(each.to_state for each in steps)]


def _sends(rows: TraceRows, message_id: str) -> list[Any]:
    """(delivery, its tries) of one message."""
    return [
        (
            delivery,
            [each for each in rows.sends if each.message_id == message_id and each.endpoint_id == delivery.endpoint_id],
        )
        for delivery in rows.deliveries
        if delivery.message_id == message_id
    ]


PAGES: Final = (
    Page(name="payment", path=f"{ROOT}/payments/{{payment_id:str}}", handle=payment, right="read", title="Payment"),
    Page(
        name="ask_provider",
        path=f"{ROOT}/payments/{{payment_id:str}}/ask",
        handle=ask,
        right="act",
        title="Payment",
        method="POST",
    ),
)
