"""What connectors have in common: how they are made, decline reasons, amounts, signatures, and answers that prove
nothing."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from tallystick.domain.money import exponents_at
from tallystick.domain.traits import LateReport, Traits
from tallystick.domain.verdicts import NotSent, Unknown, Verdict
from tallystick.kit.card_mask import mask_cards
from tallystick.providers.http import NothingSent, ProviderHttp, SentUnanswered
from tallystick.providers.port import ProviderCall
from tallystick.providers.receiver import BadSignature, StaleTimestamp
from tallystick.settings.load import Settings

#: Statuses of requests that were turned away before anything was processed: wrong credentials, or too many requests.
TURNED_AWAY: Final = frozenset({401, 403, 429})

#: Longest provider text that is kept, in characters: they are sentences.
MESSAGE_CHARS: Final = 500


def shortened(text: str, limit_chars: int = MESSAGE_CHARS) -> str:
    """As much of a provider's text as is kept. Card numbers are masked first: part of one would not be found later."""
    return text if len(text) <= limit_chars else mask_cards(text)[:limit_chars]


class DeclineReason(NamedTuple):
    """``retryable``: whether the same customer may succeed with a new instruction, without another card."""

    code: str
    retryable: bool


AUTHENTICATION_FAILED: Final = DeclineReason("authentication_failed", True)
CARD_DECLINED: Final = DeclineReason("card_declined", False)
CARD_LIMIT_EXCEEDED: Final = DeclineReason("card_limit_exceeded", True)
CARD_NOT_SUPPORTED: Final = DeclineReason("card_not_supported", False)
EXPIRED_CARD: Final = DeclineReason("expired_card", False)
INCORRECT_CARD_DETAILS: Final = DeclineReason("incorrect_card_details", False)
INSUFFICIENT_FUNDS: Final = DeclineReason("insufficient_funds", True)
ISSUER_UNAVAILABLE: Final = DeclineReason("issuer_unavailable", True)

#: For a rejected request whose own code has no meaning here.
REQUEST_REFUSED: Final = DeclineReason("request_refused", False)


def connector_http(settings: Settings, base_url: str) -> ProviderHttp:
    """A connector's session, by the settings of all providers. Call it inside a running event loop."""
    return ProviderHttp(
        base_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
        pause_limit_ms=settings.provider_retry_after_limit_ms,
    )


def connector_traits(
    settings: Settings,
    *,
    deduplicates: bool,
    lookup_is_consistent: bool,
    key_lifetime_ms: int | None,
    late_reports: Collection[LateReport],
    can_fetch: bool = True,
    keeps_references: bool = False,
) -> Traits:
    """What a connector declares, with the times by the settings."""
    return Traits(
        deduplicates=deduplicates,
        lookup_is_consistent=lookup_is_consistent,
        key_lifetime_ms=key_lifetime_ms,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
        late_reports=frozenset(late_reports),
        can_fetch=can_fetch,
        keeps_references=keeps_references,
    )


def turned_away(status: int | None, raw: dict[str, Any]) -> NotSent:
    """The verdict on a request that was answered before anything was processed."""
    return NotSent(reason=f"rejected with {status}, before processing", raw=raw)


def unanswered(error: NothingSent | SentUnanswered) -> NotSent | Unknown:
    """The verdict on a request without a complete answer."""
    return NotSent(reason=str(error)) if isinstance(error, NothingSent) else Unknown(reason=str(error))


def with_api_version(verdict: Verdict, api_version: str | None) -> Verdict:
    """A verdict with the version of the API that its answer was written by, in what is kept of the answer."""
    if verdict.raw is None or api_version is None:
        return verdict
    return replace(verdict, raw=verdict.raw | {"api_version": api_version})


class Told(NamedTuple):
    """An amount that a provider told: in our minor unit by today's tables, its currency, and the provider's number."""

    amount: int
    currency: str
    provider_amount: int


def iso_amount(amount: int, currency: str, provider_exponents: Mapping[str, int]) -> Told:
    """A provider's amount in ISO 4217 minor units. Raises ValueError where it has none."""
    return Told(exponents_at(currency, provider_exponents).from_provider(amount), currency, amount)


def provider_amount(call: ProviderCall, provider_exponents: Mapping[str, int]) -> int:
    """The call's amount in the provider's unit. Raises ValueError where that cannot express it."""
    return (call.exponents or exponents_at(call.currency, provider_exponents)).to_provider(call.amount)


def verify_timed_signature(
    body: bytes,
    signed_at_s: str,
    signatures: Sequence[str],
    secrets: Sequence[bytes],
    *,
    now: datetime,
    tolerance_ms: int,
) -> None:
    """Verify hexadecimal HMAC-SHA256 signatures of ``<seconds>.<body>``: one of them, by one of the secrets.

    Raises BadSignature; and StaleTimestamp for a right signature whose time is further than the tolerance from now.
    """
    signed = signed_at_s.encode() + b"." + body
    expected = [hmac.digest(secret, signed, "sha256").hex() for secret in secrets]
    # All are compared, whichever is right: the time that it takes reveals nothing.
    matches = [hmac.compare_digest(right, given) for right in expected for given in signatures]
    if not any(matches):
        raise BadSignature("no signature matches the body")
    if abs(int(now.timestamp() * 1000) - int(signed_at_s) * 1000) > tolerance_ms:
        raise StaleTimestamp("the signature's time is too far from now")
