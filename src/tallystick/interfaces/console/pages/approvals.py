"""What waits for a second person's word: shown as it was asked for, and decided on its hash."""

from __future__ import annotations

from typing import Any, Final

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import REASON_CHARS
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.compliance.four_eyes import Approval
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.place import id_in

LIST: Final = f"{ROOT}/approvals"

#: On one page; older ones are asked for with ``before``.
PAGE_SIZE: Final = 50


async def approvals(request: PageRequest) -> Answer:
    """Requests, the newest first. Of those about merchants, the viewer's own alone."""
    before, merchants = id_in(request.query.get("before"), "apr"), request.viewer.merchants
    found = await four_eyes.waiting(request.runtime, before, PAGE_SIZE + 1, merchants)
    more = found[PAGE_SIZE - 1].request.request_id if len(found) > PAGE_SIZE else None
    return View(template="approvals.html", context={"approvals": found[:PAGE_SIZE], "more": more})


async def approval(request: PageRequest) -> Answer:
    """One request."""
    return _shown(await _found(request))


async def deciding(request: PageRequest) -> Answer:
    """The viewer's word. The hash is that of the page which they saw."""
    form, wanted = request.form, await _found(request)
    word, reason = form.get("word"), form.get("reason")
    try:
        seen_hash = bytes.fromhex(form.get("seen"))
    except ValueError:
        raise Refused(400, "The form cannot be read.") from None
    if word not in ("approve", "reject") or not 0 < len(reason) <= REASON_CHARS:
        return _shown(wanted, f"Say approve or reject, and why, in at most {REASON_CHARS} characters.", 400)
    try:
        await four_eyes.decide(
            request.runtime,
            APPROVABLE,
            wanted.request.request_id,
            request.viewer,
            approves=word == "approve",
            seen_hash=seen_hash,
            reason=reason,
        )
    except TallystickError as error:
        return _shown(await _found(request), f"{error}.", 409)
    return Redirect(f"{LIST}/{wanted.request.request_id}")


async def _found(request: PageRequest) -> Approval:
    """Raises Refused for one that is not there, or not for this viewer."""
    found = await four_eyes.read(request.runtime, request.path["request_id"])
    if found is None or not request.viewer.sees(found.request.merchant_id):
        raise Refused(404, "There is no such request.")
    return found


def _shown(found: Approval, wrong: str = "", status: int = 200) -> Answer:
    facts = sorted(_flat("", found.request.shown))
    return View(template="approval.html", context={"approval": found, "facts": facts, "wrong": wrong}, status=status)


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    """Names and values, one a line."""
    if isinstance(value, dict):
        return [each for key, below in value.items() for each in _flat(f"{name} {key}".strip(), below)]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, "" if value is None else str(value))]


PAGES: Final = (
    Page(name="approvals", path=LIST, handle=approvals, right="approve", title="Approvals", group="Waiting"),
    Page(name="approval", path=f"{LIST}/{{request_id:str}}", handle=approval, right="approve", title="Second person"),
    Page(
        name="deciding",
        path=f"{LIST}/{{request_id:str}}",
        handle=deciding,
        right="approve",
        title="Second person",
        method="POST",
        fresh=True,
    ),
)
