"""A note about whatever has an id, for whoever looks next."""

from __future__ import annotations

from functools import partial
from typing import Final

from tallystick.flows.operations.acts import NoSuchTarget, annotate
from tallystick.interfaces.console.acting import act_once
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused


async def note(request: PageRequest) -> Answer:
    """Keep it, and go back to where it was written."""
    runtime, form = request.runtime, request.form
    try:
        await act_once(request, "annotate", form.get("target"), partial(annotate, runtime))
    except NoSuchTarget as error:
        raise Refused(400, f"{error}. Nothing was done.") from None
    back = form.get("back")
    return Redirect(back if back.startswith(f"{ROOT}/") else ROOT)


PAGES: Final = (Page(name="note", path=f"{ROOT}/notes", handle=note, right="act", title="Note", method="POST"),)
