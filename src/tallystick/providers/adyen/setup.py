"""Adyen: its settings, and what they make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final
from urllib.parse import urlsplit

from tallystick.providers.event_codes import EventMeaning
from tallystick.providers.setup import ProviderSetup
from tallystick.settings.fields import comma_list, is_http_url, secret, text
from tallystick.settings.load import Settings
from tallystick.settings.sections import ConnectorSettings

if TYPE_CHECKING:
    from tallystick.providers.adyen.calls import AdyenProvider
    from tallystick.providers.adyen.receiver import AdyenReceiver
    from tallystick.providers.adyen.reports import AdyenReports

#: Adyen keeps idempotency keys for 31 days at least; a week is longer than anything here is in doubt unseen.
KEY_LIFETIME_MS: Final = 604_800_000

#: Adyen's own hosts; those for tests are called ``checkout-test…``, live ones ``<prefix>-checkout-live…``.
ADYEN_HOSTS: Final = (".adyen.com", ".adyenpayments.com")

#: Whole bytes in hexadecimal.
_HMAC_KEY: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)


@dataclass(frozen=True, kw_only=True, repr=False)
class AdyenSettings(ConnectorSettings):
    """One merchant account at Adyen."""

    title: ClassVar[str] = "Adyen"

    prefix: ClassVar[str] = "adyen_"

    api_key: Annotated[str | None, secret("An API key; the connector exists only with it.")] = None
    api_url: Annotated[
        str, text("Where the Checkout API is, with its version; the live one has a prefix of your own.")
    ] = "https://checkout-test.adyen.com/v72"
    merchant_account: Annotated[
        str | None, text("The merchant account at Adyen: calls are made for it, and only its webhooks are taken.")
    ] = None
    report_api_key: Annotated[
        str | None, secret("The API key of the report user, who may download reports. Unset: reports are not fetched.")
    ] = None
    reports_url: Annotated[
        str, text("Where reports are downloaded; live ones are at https://ca-live.adyen.com. No other host is asked.")
    ] = "https://ca-test.adyen.com"
    account: Annotated[str, text("The account's name in webhook paths.")] = "main"
    hmac_keys: Annotated[
        str | None,
        secret("HMAC keys of the standard webhook (hex), comma-separated: two while one is replaced. Unset: none."),
    ] = None
    return_url: Annotated[
        str | None, text("Where customers come back to from a bank's page; payments that redirect need it.")
    ] = None

    def faults(self) -> Iterator[str]:
        for name in ("api_url", "reports_url"):
            if not is_http_url(getattr(self, name)):
                yield self.fault(name, "expected https://…")
        keys = [] if self.hmac_keys is None else self.hmac_keys.split(",")
        if not all(_HMAC_KEY.fullmatch(key.strip()) for key in keys):
            yield self.fault("hmac_keys", "expected one or more keys in hexadecimal, separated by commas")
        if (self.api_key is not None or self.hmac_keys is not None) and self.merchant_account is None:
            yield self.fault("merchant_account", "it is needed beside a key")


def connect(settings: Settings) -> AdyenProvider | None:
    """The connector, where there is a key and a merchant account. Adyen has no look-up; its notifications name our own
    attempts. Call it inside a running event loop."""
    own = settings.connector(AdyenSettings)
    if own.api_key is None or own.merchant_account is None:
        return None
    from tallystick.providers.adyen.calls import AdyenProvider
    from tallystick.providers.shared import connector_http, connector_traits

    traits = connector_traits(
        settings,
        deduplicates=True,
        lookup_is_consistent=False,
        key_lifetime_ms=KEY_LIFETIME_MS,
        late_reports=["capture_failed", "further_capture", "canceled_or_refunded"],
        can_fetch=False,
    )
    return AdyenProvider(
        connector_http(settings, own.api_url),
        traits,
        api_key=own.api_key,
        api_url=own.api_url,
        merchant_account=own.merchant_account,
        account=own.account,
        return_url=own.return_url,
    )


def receiver(settings: Settings, _: bool) -> AdyenReceiver | None:
    """The receiver, where there is an HMAC key and a merchant account."""
    own = settings.connector(AdyenSettings)
    if own.hmac_keys is None or own.merchant_account is None:
        return None
    from tallystick.providers.adyen.receiver import AdyenReceiver

    return AdyenReceiver(own.account, own.merchant_account, comma_list(own.hmac_keys))


def reports(settings: Settings) -> AdyenReports | None:
    """Where its reports are fetched, where there is a key of a report user and a merchant account."""
    own = settings.connector(AdyenSettings)
    if own.report_api_key is None or own.merchant_account is None:
        return None
    from tallystick.providers.adyen.reports import AdyenReports

    return AdyenReports(
        api_key=own.report_api_key,
        reports_url=own.reports_url,
        merchant_account=own.merchant_account,
        account=own.account,
    )


def moves_money(settings: Settings) -> bool:
    """Whether there is a key to Adyen."""
    return settings.connector(AdyenSettings).api_key is not None


def is_live(settings: Settings) -> bool:
    """Whether calls go to Adyen's live platform: to a host of Adyen's that is not one for tests."""
    own = settings.connector(AdyenSettings)
    host = urlsplit(own.api_url).hostname or ""
    return own.api_key is not None and host.endswith(ADYEN_HOSTS) and "-test" not in host


def exponents() -> Mapping[str, int]:
    """Where its minor units differ from ISO 4217."""
    from tallystick.providers.adyen.codes import EXPONENTS

    return EXPONENTS


def event_codes() -> Mapping[str, EventMeaning]:
    """Every code of its events, and what it is about."""
    from tallystick.providers.adyen.event_codes import EVENT_CODES

    return EVENT_CODES


ADYEN: Final = ProviderSetup(
    name="adyen",
    settings=AdyenSettings,
    connect=connect,
    receiver=receiver,
    moves_money=moves_money,
    exponents=exponents,
    event_codes=event_codes,
    is_live=is_live,
    reports=reports,
)
