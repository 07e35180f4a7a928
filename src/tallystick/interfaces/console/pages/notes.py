"""A note about whatever has an id, for whoever looks next."""

from __future__ import annotations

from typing import Final

from tallystick.domain.operator_act import ActKeyReused, WordsRefused
from tallystick.flows.operations.acts import NoSuchTarget, annotate, asked_act, perform
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused


async def note(request: PageRequest) -> Answer:
    """Keep it, and go back to where it was written."""
    runtime, form = request.runtime, request.form
    asked = asked_act(request.viewer.actor, form.get("key") or None, "annotate", form.get("target"), form.get("reason"))
    try:
        await perform(runtime.stores.acts, runtime.settings, asked, lambda: annotate(runtime, asked))
    except (WordsRefused, ActKeyReused, NoSuchTarget) as error:
        raise Refused(400, f"{error}. Nothing was kept.") from None
    back = form.get("back")
    return Redirect(back if back.startswith(f"{ROOT}/") else ROOT)


PAGES: Final = (Page(name="note", path=f"{ROOT}/notes", handle=note, right="act", title="Note", method="POST"),)
