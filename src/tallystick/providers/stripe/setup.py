"""Stripe: its settings, and what they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from tallystick.providers.event_codes import EventMeaning
from tallystick.providers.setup import ProviderSetup
from tallystick.settings.fields import comma_list, flag, has_empty_part, is_http_url, ms, secret, text
from tallystick.settings.load import Settings
from tallystick.settings.sections import ConnectorSettings

if TYPE_CHECKING:
    from tallystick.providers.stripe.calls import StripeProvider
    from tallystick.providers.stripe.receiver import StripeReceiver
    from tallystick.providers.stripe.reports import StripeReports

#: How keys of live mode begin, secret and restricted (docs.stripe.com/keys).
LIVE_KEYS: Final = ("sk_live_", "rk_live_")


@dataclass(frozen=True, kw_only=True, repr=False)
class StripeSettings(ConnectorSettings):
    """One Stripe account."""

    title: ClassVar[str] = "Stripe"

    prefix: ClassVar[str] = "stripe_"

    api_key: Annotated[str | None, secret("A secret or restricted key; the connector exists only with it.")] = None
    api_url: Annotated[str, text("URL of Stripe's API; another one is for tests.")] = "https://api.stripe.com"
    files_url: Annotated[
        str, text("URL of Stripe's files, where reports are downloaded; another one is for tests.")
    ] = "https://files.stripe.com"
    account: Annotated[str, text("The account's name in webhook paths.")] = "main"
    webhook_secrets: Annotated[
        str | None,
        secret(
            "The endpoint's signing secrets (whsec_…), comma-separated: two while one is replaced. Unset: no webhooks."
        ),
    ] = None
    payment_method_types: Annotated[
        str, text("What a payment may be paid with, comma-separated; each must be active in the Stripe account.")
    ] = "card"
    return_url: Annotated[
        str | None, text("Where customers come back to from a bank's page; methods that redirect need it.")
    ] = None
    deduplicates: Annotated[
        bool, flag("Trust Stripe's idempotency keys. Off: nothing is sent again before a list shows that it is absent.")
    ] = False
    key_lifetime_ms: Annotated[
        int, ms("Stripe forgets an idempotency key after 24 hours; used only if it deduplicates.", ge=1)
    ] = 86_400_000

    def faults(self) -> Iterator[str]:
        for name in ("api_url", "files_url"):
            if not is_http_url(getattr(self, name)):
                yield self.fault(name, "expected https://…")
        for name in ("webhook_secrets", "payment_method_types"):
            given = getattr(self, name)
            if given is not None and has_empty_part(given):
                yield self.fault(name, "expected one or more, separated by commas")


def connect(settings: Settings) -> StripeProvider | None:
    """The connector, where there is a key. Stripe's lists show a write at once."""
    own = settings.connector(StripeSettings)
    if own.api_key is None:
        return None
    from tallystick.providers.shared import connector_http, connector_traits
    from tallystick.providers.stripe.calls import StripeProvider

    traits = connector_traits(
        settings,
        deduplicates=own.deduplicates,
        lookup_is_consistent=True,
        key_lifetime_ms=own.key_lifetime_ms,
        late_reports=[],  # a PaymentIntent that succeeded stays so, and names no capture: what fails later is a dispute
        keeps_references=STRIPE.keeps_references,
    )
    return StripeProvider(
        connector_http(settings, own.api_url),
        traits,
        api_key=own.api_key,
        api_url=own.api_url,
        account=own.account,
        payment_method_types=comma_list(own.payment_method_types),
        return_url=own.return_url,
    )


def receiver(settings: Settings, _: bool) -> StripeReceiver | None:
    """The receiver, where there is a signing secret."""
    own = settings.connector(StripeSettings)
    if own.webhook_secrets is None:
        return None
    from tallystick.providers.stripe.receiver import StripeReceiver

    return StripeReceiver(own.account, comma_list(own.webhook_secrets))


def reports(settings: Settings) -> StripeReports | None:
    """Where its reports are fetched, where there is a key: it needs the right to read and write reports."""
    own = settings.connector(StripeSettings)
    if own.api_key is None:
        return None
    from tallystick.providers.shared import connector_http
    from tallystick.providers.stripe.reports import StripeReports

    return StripeReports(
        connector_http(settings, own.api_url),
        api_key=own.api_key,
        api_url=own.api_url,
        files_url=own.files_url,
        account=own.account,
    )


def moves_money(settings: Settings) -> bool:
    """Whether there is a key to Stripe."""
    return settings.connector(StripeSettings).api_key is not None


def is_live(settings: Settings) -> bool:
    """Whether the key is one of Stripe's live mode: a secret one or a restricted one."""
    return (settings.connector(StripeSettings).api_key or "").startswith(LIVE_KEYS)


def exponents() -> Mapping[str, int]:
    """Where its minor units differ from ISO 4217."""
    from tallystick.providers.stripe.codes import EXPONENTS

    return EXPONENTS


def event_codes() -> Mapping[str, EventMeaning]:
    """Every code of its events, and what it is about."""
    from tallystick.providers.stripe.event_codes import EVENT_CODES

    return EVENT_CODES


STRIPE: Final = ProviderSetup(
    name="stripe",
    settings=StripeSettings,
    connect=connect,
    receiver=receiver,
    moves_money=moves_money,
    exponents=exponents,
    event_codes=event_codes,
    keeps_references=True,
    is_live=is_live,
    reports=reports,
)
