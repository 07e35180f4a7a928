"""The test acquirer: its settings, and what they make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from tallystick.providers.event_codes import EventMeaning
from tallystick.providers.setup import ProviderSetup
from tallystick.settings.fields import flag, is_http_url, ms, port, secret, text
from tallystick.settings.load import Settings
from tallystick.settings.sections import ConnectorSettings

if TYPE_CHECKING:
    from tallystick.providers.simulator.calls import SimulatorProvider
    from tallystick.providers.simulator.receiver import SimulatorReceiver

#: Everybody knows it.
PUBLISHED_SECRET: Final = "whsec_simulator"


@dataclass(frozen=True, kw_only=True, repr=False)
class SimulatorSettings(ConnectorSettings):
    """The test acquirer: the connector to it, and the program itself (``tallystick simulate``)."""

    title: ClassVar[str] = "Test acquirer"

    prefix: ClassVar[str] = "simulator_"

    url: Annotated[str, text("URL of the test acquirer.")] = "http://127.0.0.1:8401"
    port: Annotated[int, port("Port that the test acquirer listens on.")] = 8401
    forgetful: Annotated[
        bool, flag("The test acquirer ignores idempotency keys: send again only on negative evidence.")
    ] = False
    late_ms: Annotated[
        int,
        ms("Wait before each scripted step of the test acquirer: disputes, late failures, delayed events."),
    ] = 3_000
    account: Annotated[str, text("The account's name in webhook paths.")] = "main"
    return_url: Annotated[
        str | None, text("Where customers come back to from the test acquirer's page. Unset: the page ends there.")
    ] = None
    webhook_secrets: Annotated[
        str,
        secret(
            "Webhook secrets, comma-separated: the test acquirer signs with the first, any is accepted. It moves no"
            " real money, so the default is public; set your own where strangers can reach the API."
        ),
    ] = PUBLISHED_SECRET

    beside_live: Annotated[
        bool, flag("Allows the test acquirer beside a live key: an API key can then make up captured money.")
    ] = False

    @property
    def signing_secret(self) -> str:
        """What the test acquirer signs with."""
        return self.webhook_secrets.partition(",")[0]

    def faults(self) -> Iterator[str]:
        if not all(self.webhook_secrets.split(",")):
            yield self.fault("webhook_secrets", "expected secret,secret")
        if not is_http_url(self.url):
            yield self.fault("url", "expected http://… or https://…")
        if self.return_url is not None and not is_http_url(self.return_url):
            yield self.fault("return_url", "expected http://… or https://…")


def connect(settings: Settings) -> SimulatorProvider:
    """The connector. The acquirer's look-up reads its own books: consistent at once."""
    from tallystick.providers.shared import connector_http, connector_traits
    from tallystick.providers.simulator.calls import SimulatorProvider

    own = settings.connector(SimulatorSettings)
    traits = connector_traits(
        settings,
        deduplicates=not own.forgetful,
        lookup_is_consistent=True,
        key_lifetime_ms=None,
        late_reports=["capture_failed"],
    )
    return SimulatorProvider(connector_http(settings, own.url), traits, own.account, return_url=own.return_url)


def receiver(settings: Settings, real_money: bool) -> SimulatorReceiver | None:
    """The receiver, while the acquirer is on. The published secret is not accepted beside a real provider: a stranger
    could fill the inbox."""
    own = settings.connector(SimulatorSettings)
    if is_switched_off(settings, real_money):
        return None
    if own.webhook_secrets == PUBLISHED_SECRET and real_money:
        return None
    from tallystick.providers.simulator.receiver import SimulatorReceiver

    return SimulatorReceiver(own.account, own.webhook_secrets.split(","))


def moves_money(_: Settings) -> bool:
    """Never real money."""
    return False


def is_switched_off(settings: Settings, real_money: bool) -> bool:
    """Whether it takes no new payments: by its switch, and by itself where a real provider has a key."""
    return settings.simulator == "off" or (settings.simulator == "auto" and real_money)


def charges(settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """The acquirer's list of charges. Raises aiohttp.ClientError and TimeoutError."""
    from tallystick.providers.simulator.charges import list_charges

    return list_charges(settings.connector(SimulatorSettings).url)


def exponents() -> Mapping[str, int]:
    """Where its minor units differ from ISO 4217."""
    from tallystick.providers.simulator.calls import EXPONENTS

    return EXPONENTS


def event_codes() -> Mapping[str, EventMeaning]:
    """Every code of its events, and what it is about."""
    from tallystick.providers.simulator.event_codes import EVENT_CODES

    return EVENT_CODES


SIMULATOR: Final = ProviderSetup(
    name="simulator",
    settings=SimulatorSettings,
    connect=connect,
    receiver=receiver,
    moves_money=moves_money,
    exponents=exponents,
    event_codes=event_codes,
    is_switched_off=is_switched_off,
    charges=charges,
)
