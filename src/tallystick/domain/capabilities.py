"""``GET /v1/capabilities``: what each provider can do here, rendered from what its connector declares. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.business_days import CALENDARS, DueRule
from tallystick.domain.json_types import AccountName, ProviderName, described
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.money import ACCEPTED, MAX_AMOUNT, exponent
from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.requests.commands import CAPTURE_METHODS, MAX_TOKEN_CHARS
from tallystick.domain.requests.fields import MIN_AMOUNT
from tallystick.domain.traits import LateReport, Traits

#: What is not in this platform, and whose it is.
OUT_OF_SCOPE: Final = {
    "cart": "What is bought, and its prices, are the shop's. A payment has one amount.",
    "inventory": "Stock is the shop's. No payment waits for it, and none releases it.",
    "quotes": "Exchange rates and prices are not offered. A payment is made in the currency of its amount.",
    "tax": "No tax is computed. The amount includes it.",
    "kyc": "Nobody's identity is checked. Providers check merchants and payers by their own rules.",
    "card_data": "Card numbers are refused. Payment methods are tokens of a provider.",
    "payouts": "Money is paid out by the provider, on its own schedule.",
}

#: The machines of what a merchant sees.
_SHOWN: Final = (PAYMENT, REFUND, DISPUTE)

#: Event of a payment -> the report without which it never comes. All others any provider can cause, or an operator.
_AFTER_REPORT: Final[Mapping[str, LateReport]] = {
    "capture_reversed": "capture_failed",
    "capture_added": "further_capture",
    "captured_and_refunded": "canceled_or_refunded",
}


class CurrencyCapability(Struct, frozen=True, kw_only=True):
    """A currency, and which of its amounts can be expressed at the provider."""

    currency: Annotated[str, described("The currency's ISO 4217 code.", "EUR", enum=sorted(ACCEPTED))]
    exponent: Annotated[int, described("Decimal digits of the minor unit, here.", 2, minimum=0)]
    amount_step: Annotated[
        int,
        described(
            "Amounts in minor units are multiples of it. Others are refused: `validation_failed` with"
            " `not_representable`.",
            1,
            minimum=1,
        ),
    ]


class PaymentMethodCapability(Struct, frozen=True, kw_only=True):
    """One kind of payment method. A currency that is not listed is refused: ``validation_failed`` with
    ``unknown_currency``."""

    types: Annotated[list[str], described("What such a token may stand for, in the provider's words.", ["card"])]
    pattern: Annotated[
        str,
        described(
            "A regular expression that the whole `payment_method` matches. Others are refused: `validation_failed` with"
            " `unknown_payment_method`.",
            "^(?:(pm|card|src)_[A-Za-z0-9_]+)$",
            format="regex",
        ),
    ]
    max_length: Annotated[int, described("Longest `payment_method`, in characters.", MAX_TOKEN_CHARS, minimum=1)]
    capture_methods: Annotated[
        list[Annotated[str, described("When the money is captured.", enum=CAPTURE_METHODS)]],
        described("`automatic`: charged at once. `manual`: held first.", list(CAPTURE_METHODS)),
    ]
    partial_capture: Annotated[
        bool,
        described(
            "Whether a part of a hold can be captured; the rest is released. If false, a part is refused:"
            " `validation_failed` with `not_partial`.",
            True,
        ),
    ]
    repeated_capture: Annotated[
        bool,
        described(
            "Whether a hold can be captured a second time. If false, that is refused: `transition_rejected`.", False
        ),
    ]
    capture_window_ms: Annotated[
        int,
        described("How long after it was authorized a hold is canceled here, if not captured.", 518_400_000, minimum=1),
    ]
    repeated_refund: Annotated[bool, described("Whether captured money can be refunded in several parts.", True)]
    refund_window_ms: Annotated[
        Annotated[int, described("In milliseconds.", minimum=0)] | None,
        described(
            "How long after its creation a payment can be refunded; later it is refused: `validation_failed` with"
            " `too_late`. Null: no end is known here, and the provider may decline.",
            None,
        ),
    ]
    amount_min: Annotated[
        int,
        described(
            "Smallest amount that is not refused here, in minor units. The smallest one of the provider is not known"
            " here: below it a payment is declined.",
            MIN_AMOUNT,
            minimum=MIN_AMOUNT,
        ),
    ]
    amount_max: Annotated[
        int,
        described(
            "Largest amount that is not refused here, in minor units. The provider may decline smaller ones.",
            MAX_AMOUNT,
            maximum=MAX_AMOUNT,
        ),
    ]
    currencies: Annotated[list[CurrencyCapability], described("Every currency of a new payment.")]


class SettlementDue(Struct, frozen=True, kw_only=True):
    """When the money of a movement is due from the provider: at the end of a bank's business day."""

    calendar: Annotated[str, described("The bank's calendar, with its version.", "target-v1", enum=sorted(CALENDARS))]
    business_days: Annotated[int, described("So many business days after that of the movement.", 2, minimum=0)]
    cut_off: Annotated[
        Annotated[str, described("`HH:MM`.", pattern="^[0-2][0-9]:[0-5][0-9]$")] | None,
        described("A movement after this time counts for the next business day; null: the day has none.", "17:00"),
    ]
    zone: Annotated[str, described("The IANA time zone of both.", "Europe/Berlin")]


class StillPossible(Struct, frozen=True, kw_only=True):
    """What may still happen to something that is final. ``message``: the type of the message that reports it."""

    object: Annotated[str, described("What it is.", "refund", enum=[machine.name for machine in _SHOWN])]
    state: Annotated[str, described("Its final state.", "succeeded")]
    event: Annotated[str, described("What may still happen, as history names it.", "failed")]
    to: Annotated[str, described("The state after it.", "failed")]
    message: Annotated[str | None, described("The message's type; null for a step without one.", "refund.failed")]


class ProviderCapability(Struct, frozen=True, kw_only=True):
    """One account at a provider."""

    provider: Annotated[ProviderName, described("Its name in requests.", "stripe")]
    account: Annotated[AccountName, described("The account's name in webhook paths.", "main")]
    takes_new_payments: Annotated[
        bool,
        described(
            "Whether this merchant's new payments can go there. If false they are refused: `validation_failed` with"
            " `unknown_provider`. Payments that exist go on.",
            True,
        ),
    ]
    is_default: Annotated[bool, described("Whether payments that name no provider go there.", True)]
    look_up: Annotated[
        bool, described("Whether it can be asked what became of an instruction. If not, its events say.", True)
    ]
    look_up_proves_absence: Annotated[
        bool, described('Whether "no such charge" is proof, after `settlement_delay_ms`.', True)
    ]
    deduplicates: Annotated[bool, described("Whether its idempotency keys are relied upon.", True)]
    key_lifetime_ms: Annotated[
        Annotated[int, described("In milliseconds.", minimum=0)] | None,
        described("How long it keeps an idempotency key of ours; null: for ever.", 86_400_000),
    ]
    settlement_delay_ms: Annotated[
        int, described("How long after a request its own books are complete about it.", 10_000, minimum=0)
    ]
    delivery_delay_ms: Annotated[
        int, described("Longest time between sending a request and its arrival.", 10_000, minimum=0)
    ]
    settlement_due: Annotated[
        SettlementDue | None,
        described("When its money is due, as the platform's operator has set it; null: it is not set."),
    ]
    payment_methods: Annotated[
        list[PaymentMethodCapability], described("Its kinds of payment methods; the first that matches counts.")
    ]
    after_final: Annotated[
        list[StillPossible], described("What may still happen after each final state of a payment made here.")
    ]


class OutOfScope(Struct, frozen=True, kw_only=True):
    """Something that is not here."""

    what: Annotated[str, described("Its name.", "tax", enum=list(OUT_OF_SCOPE))]
    why: Annotated[str, described("Who does it instead, or what a payment has of it.", OUT_OF_SCOPE["tax"])]


class Capabilities(Struct, frozen=True, kw_only=True):
    """What can be done here. A request is checked by the same rows."""

    providers: Annotated[list[ProviderCapability], described("Every account that is configured, by name.")]
    after_final: Annotated[
        list[StillPossible],
        described("What may still happen after each final state, at any provider: see each for its own."),
    ]
    out_of_scope: Annotated[list[OutOfScope], described("What is not here.")]


def method_capability(kind: PaymentTokens, steps: dict[str, int], *, capture_window_ms: int) -> PaymentMethodCapability:
    """One kind of token. ``steps``: the provider's step of each currency."""
    return PaymentMethodCapability(
        types=list(kind.types),
        pattern=f"^(?:{kind.pattern})$",
        max_length=MAX_TOKEN_CHARS,
        capture_methods=list(CAPTURE_METHODS),
        partial_capture=kind.partial_capture,
        repeated_capture=next_state("payment", "captured", "capture") is not None,
        capture_window_ms=capture_window_ms,
        repeated_refund=next_state("payment", "captured", "refund_opened") == "captured",
        refund_window_ms=kind.refund_window_ms,
        amount_min=MIN_AMOUNT,
        amount_max=MAX_AMOUNT,
        currencies=[
            CurrencyCapability(currency=currency, exponent=exponent(currency), amount_step=steps[currency])
            for currency in sorted(ACCEPTED)
        ],
    )


def provider_capability(
    name: str,
    account: str,
    traits: Traits,
    methods: list[PaymentMethodCapability],
    *,
    takes_new_payments: bool,
    is_default: bool,
    due: DueRule | None,
) -> ProviderCapability:
    """One account, by the traits that recovery is built on. ``due``: its calendar, where it has one."""
    return ProviderCapability(
        provider=name,
        account=account,
        takes_new_payments=takes_new_payments,
        is_default=is_default,
        look_up=traits.can_fetch,
        look_up_proves_absence=traits.can_fetch and traits.lookup_is_consistent,
        deduplicates=traits.deduplicates,
        key_lifetime_ms=traits.key_lifetime_ms,
        settlement_delay_ms=traits.settling_time_ms,
        delivery_delay_ms=traits.max_delivery_delay_ms,
        settlement_due=None if due is None else _settlement_due(due),
        payment_methods=methods,
        after_final=[each for each in after_final() if _AFTER_REPORT.get(each.event) in {None, *traits.late_reports}],
    )


def _settlement_due(rule: DueRule) -> SettlementDue:
    cut_off = None if rule.cut_off == time.max else f"{rule.cut_off:%H:%M}"
    return SettlementDue(calendar=rule.calendar, business_days=rule.days, cut_off=cut_off, zone=rule.zone)


def after_final() -> list[StillPossible]:
    """Every step out of a final state, of what a merchant sees."""
    return [
        StillPossible(object=machine.name, state=state, event=event, to=edge.to, message=edge.told)
        for machine in _SHOWN
        for state, event, edge in machine.live_edges()
        if state in machine.final
    ]


def out_of_scope() -> list[OutOfScope]:
    """What is not here."""
    return [OutOfScope(what=what, why=why) for what, why in OUT_OF_SCOPE.items()]
