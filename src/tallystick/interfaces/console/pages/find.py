"""Find whatever has a name: the same names as ``tallystick trace`` takes, and what stands for no payment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, View
from tallystick.interfaces.console.words import Words
from tallystick.oversight.console import FoundPayment, found_by
from tallystick.providers.assembly import receivers
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings

#: The account of a provider whose settings name none.
_MAIN: Final = "main"

#: Longer than every name that the record has.
_NAME_CHARS: Final = 300

#: What is about no payment is found in its list, by how its id begins.
_ELSEWHERE: Final[Mapping[str, str]] = {
    "evt_": "dead-letters/rows",
    "case_": "cases/rows",
    "alr_": "alerts/rows",
    "att_": "in-doubt/rows",
}


def accounts_of(settings: Settings) -> list[tuple[str, str]]:
    """(provider, account) pairs whose references may be asked for."""
    return sorted({(provider, _MAIN) for provider in PROVIDERS} | receivers(settings).keys())


async def find(request: PageRequest) -> Answer:
    """One payment is shown at once; several are listed."""
    name = request.query.get("q", "").strip()[:_NAME_CHARS]
    found: list[FoundPayment] = []
    if name:
        named = await found_by(request.runtime.pool, name, accounts_of(request.runtime.settings))
        found = [each for each in named if request.viewer.sees(each.merchant_id)]
        if len(found) == 1:
            return Redirect(f"{ROOT}/payments/{found[0].payment_id}")
    elsewhere = next((path for prefix, path in _ELSEWHERE.items() if name.startswith(prefix)), None)
    context = {
        "q": name,
        "found": found,
        "elsewhere": f"{ROOT}/{elsewhere}/" if elsewhere and not found else None,
        "w": Words(request.runtime.clock.now()),
    }
    return View(template="find.html", context=context, status=200)


PAGES: Final = (Page(name="find", path=f"{ROOT}/find", handle=find, right="read", title="Find", group="Find"),)
