"""What each provider declares of itself: its settings, its connector, its receiver, its limits.

A setup is light: commands that ask no provider load all of them for their settings. So ``connect`` and ``receiver``
import their own modules, and with them the provider's SDK, when they have something to make.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tallystick.providers.event_codes import EventMeaning
from tallystick.settings.load import Settings
from tallystick.settings.sections import ConnectorSettings

if TYPE_CHECKING:
    from tallystick.providers.port import Provider
    from tallystick.providers.receiver import Receiver
    from tallystick.providers.reports import ReportSource


def _never(*_: object) -> bool:
    return False


class ProviderSetup(Struct, frozen=True, kw_only=True):
    """One provider.

    ``connect``: its connector, or None where the settings lack what it needs; called inside a running event loop.
    ``receiver``: its receiver, or None; the second argument is whether real money can move by these settings.
    ``moves_money``: whether real money can move there by these settings: there is a key, be it one for tests.
    ``is_live``: whether the key is certainly not one for tests. ``is_switched_off``: whether it takes no new payments
    by these settings and stays for those that exist; the second argument is whether real money can move elsewhere.
    ``exponents``: its decimals of the currencies where they differ from ISO 4217. ``event_codes``: every code of its
    events, and what it is about. ``charges``: the provider's own list of charges, where it can be read.
    ``reports``: where its settlement reports are fetched, or None where the settings lack what that needs; called
    inside a running event loop. ``keeps_references``: whether every charge's reference is kept (``Traits`` has why).
    """

    name: str
    settings: type[ConnectorSettings]
    connect: Callable[[Settings], Provider | None]
    receiver: Callable[[Settings, bool], Receiver | None]
    moves_money: Callable[[Settings], bool]
    exponents: Callable[[], Mapping[str, int]]
    event_codes: Callable[[], Mapping[str, EventMeaning]]
    keeps_references: bool = False
    is_live: Callable[[Settings], bool] = _never
    is_switched_off: Callable[[Settings, bool], bool] = _never
    reports: Callable[[Settings], ReportSource | None] | None = None
    charges: Callable[[Settings], AsyncIterator[Mapping[str, Any]]] | None = None
