"""What has a name, of what the viewer may see."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.console.page import PageRequest
from tallystick.oversight.console import FoundPayment, Named, found_by, named_by
from tallystick.providers.assembly import receivers
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings

#: The account of a provider whose settings name none.
_MAIN: Final = "main"


def accounts_of(settings: Settings) -> list[tuple[str, str]]:
    """(provider, account) pairs whose references may be asked for."""
    return sorted({(provider, _MAIN) for provider in PROVIDERS} | receivers(settings).keys())


async def payments_named(request: PageRequest, name: str) -> list[FoundPayment]:
    """The payments that it is a name of."""
    found = await found_by(request.runtime.pool, name, accounts_of(request.runtime.settings))
    return [each for each in found if request.viewer.sees(each.merchant_id)]


async def named_things(request: PageRequest, name: str) -> list[Named]:
    """What is no payment and has the name."""
    found = await named_by(request.runtime.pool, name, accounts_of(request.runtime.settings))
    return [each for each in found if request.viewer.sees(each.merchant_id)]


async def is_seen(request: PageRequest, name: str) -> bool:
    """Whether the viewer may see what has the name. Whoever is limited to no merchant sees whatever there is."""
    if request.viewer.merchants is None:
        return True
    return bool(await payments_named(request, name) or await named_things(request, name))
