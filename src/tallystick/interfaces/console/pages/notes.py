"""A note about whatever has an id, for whoever looks next."""

from __future__ import annotations

from functools import partial
from typing import Final

from tallystick.flows.operations.acts import NoSuchTarget, annotate
from tallystick.interfaces.console.acting import act_once
from tallystick.interfaces.console.names import is_seen
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused
from tallystick.interfaces.console.words import bounded

#: Longer than every id.
_NAME_CHARS: Final = 300


async def note(request: PageRequest) -> Answer:
    """Keep it, and go back to where it was written."""
    runtime, form = request.runtime, request.form
    target = form.get("target")[:_NAME_CHARS]
    if not await is_seen(request, target):
        raise Refused(404, f"There is no {bounded(target, 64)}. Nothing was done.")
    try:
        await act_once(request, "annotate", target, partial(annotate, runtime))
    except NoSuchTarget as error:
        raise Refused(400, f"{error}. Nothing was done.") from None
    return Redirect(form.get("back"))


PAGES: Final = (Page(name="note", path=f"{ROOT}/notes", handle=note, right="act", title="Note", method="POST"),)
