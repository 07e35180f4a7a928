"""Erasures of what is personal: asked for here, decided by somebody else, and how far each is."""

from __future__ import annotations

from typing import Any, Final

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import ActKeyReused, WordsRefused
from tallystick.flows.compliance.approvable import ask_second_person
from tallystick.flows.compliance.erasure import MERCHANT, PAYMENT, NothingToErase
from tallystick.flows.compliance.erasures_asked import AskedErasure, asked_erasures
from tallystick.flows.operations.acts import asked_act
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.place import page_at, place_in, place_text
from tallystick.interfaces.console.tables import Cell, Section
from tallystick.interfaces.console.words import Words, at, bounded, number
from tallystick.kit.ids import new_id
from tallystick.oversight.console import merchant_of
from tallystick.providers.assembly import secret_values

PATH: Final = f"{ROOT}/erasures"

#: On one page; older ones are asked for with ``before``.
PAGE_SIZE: Final = 50

#: A state -> how a row of it looks.
_KINDS: Final = {"waiting": "warn", "erasing": "warn", "erased": "good"}


async def erasures(request: PageRequest) -> Answer:
    """What was asked for, the newest first. Of those about merchants, the viewer's own alone."""
    before = place_in(request.query.get("before"))
    found = await asked_erasures(request.runtime, before, PAGE_SIZE + 1, request.viewer.merchants)
    section = Section(
        title="Erasures",
        header=("What", "Who asked, and why", "Asked (UTC)", "State", "Payments", "Events", "Ended (UTC)"),
        rows=[_row(request, each) for each in found[:PAGE_SIZE]],
        empty="Nobody has asked for an erasure.",
        says="Descriptions and metadata of payments, and what providers sent about them. Somebody else has to approve"
        " it; then it cannot be undone.",
    )
    last = found[PAGE_SIZE - 1].request if len(found) > PAGE_SIZE else None
    context: dict[str, Any] = {"lead": "", "sections": [section], "w": Words(request.runtime.clock.now())}
    if last is not None:
        context["next_page"] = page_at(PATH, "before", place_text(last.requested_at, last.request_id))
    if request.viewer.may("act"):
        context["forms"] = _forms(request.query.get("payment", ""))
    return View(template="tables.html", context=context)


async def ask(request: PageRequest) -> Answer:
    """The viewer asks. Nothing is erased before somebody else has approved it."""
    runtime, form = request.runtime, request.form
    payment_id, merchant_id = form.get("payment"), form.get("merchant")
    if bool(payment_id) == bool(merchant_id):
        raise Refused(400, "Say which payment, or which merchant. Nothing was done.")
    whose = await merchant_of(runtime.pool, payment_id) if payment_id else merchant_id
    if whose is None or not request.viewer.sees(whose):
        raise Refused(404, f"There is no {bounded(payment_id or merchant_id, 64)}. Nothing was done.")
    act, target = (PAYMENT, payment_id) if payment_id else (MERCHANT, merchant_id)
    asked = asked_act(request.viewer.actor, form.get("key") or None, act, target, form.get("reason"), key_kind="human")
    try:
        asked.require_words(secret_values(runtime.settings))
        await ask_second_person(runtime, asked)
    except (WordsRefused, ActKeyReused) as error:
        raise Refused(400, f"{error}. Nothing was done.") from None
    except NothingToErase as error:
        raise Refused(404, f"{error}.") from None
    except TallystickError as error:
        raise Refused(409, f"{error}.") from None
    return Redirect(PATH)


def erase_form(label: str, field: str, target: str = "") -> dict[str, Any]:
    """A form that asks for an erasure: of what is named, or of what a person names."""
    return {
        "name": f"erase-{field}",
        "label": label,
        "action": PATH,
        "key": new_id("opa"),
        "reason": True,
        "says": "Somebody else has to approve it. Then it cannot be undone: amounts, states and history stay.",
        "fields": ((field, f"The {field}", ((target, target),) if target else ()),),
    }


def _forms(payment_id: str) -> list[dict[str, Any]]:
    if payment_id:
        return [erase_form("Ask to erase this payment's personal fields", "payment", bounded(payment_id, 64))]
    return [
        erase_form("Ask to erase a payment's personal fields", "payment"),
        erase_form("Ask to erase all that a merchant has", "merchant"),
    ]


def _row(request: PageRequest, each: AskedErasure) -> tuple[Cell, ...]:
    asked, erasure = each.request, each.erasure
    state = each.state(request.runtime.clock.now())
    waits = f"waits: {len(each.approvers)} of {asked.needed}"
    decide = f"{ROOT}/approvals/{asked.request_id}" if request.viewer.may("approve") else ""
    about = f"{ROOT}/payments/{each.payment_id}" if each.payment_id else f"{ROOT}/merchants/{each.merchant_id}"
    return (
        Cell(each.payment_id or f"merchant {each.merchant_id}", about),
        Cell(f"{asked.requested_by}: {bounded(asked.reason, 200)}"),
        Cell(at(asked.requested_at)),
        Cell(waits if state == "waiting" else state, decide, _KINDS.get(state, "")),
        Cell(number(0 if erasure is None else erasure.payments), kind="number"),
        Cell(number(0 if erasure is None else erasure.events), kind="number"),
        Cell(at(erasure.finished_at) if erasure is not None and erasure.finished_at is not None else "-"),
    )


PAGES: Final = (
    Page(name="erasures", path=PATH, handle=erasures, right="read", title="Erasures", group="Merchants"),
    Page(name="ask_for_erasure", path=PATH, handle=ask, right="act", title="Erasures", method="POST", fresh=True),
)
