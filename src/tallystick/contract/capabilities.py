"""The chapter on capabilities: what is refused by what is declared, and what is out of scope."""

from __future__ import annotations

from typing import Final

from tallystick.contract import markdown
from tallystick.domain.capabilities import OUT_OF_SCOPE


def capabilities() -> str:
    """What is refused by what is declared, and what is not here."""
    return "\n\n".join(
        (
            "## Capabilities",
            _CAPABILITIES.strip("\n"),
            markdown.table(("said", "a request beyond it"), _REFUSALS),
            "Out of scope:",
            markdown.table(("what", "why"), [(f"`{what}`", why) for what, why in OUT_OF_SCOPE.items()]),
        )
    )


_CAPABILITIES: Final = """
`GET /v1/capabilities` shows every account at a provider that is configured, from the declarations of its connector:
kinds of payment methods, currencies and the step of their amounts, captures, the refund window, look-up, key
lifetime, settlement delay; and when its money is due (`settlement_due`), by the calendar that a payment's
`reconciliation` goes by. Requests are checked by the same rows, and a test asks both about every provider, method
and currency. `after_final` of a provider lists each step that may still follow a final state of a payment made there.
A currency or an amount that is not refused here can still be declined: what an account at a provider is enabled for
only the provider knows. Neither Stripe nor Adyen publishes a smallest amount or a refund window that holds for every
account and payment method. So no connector declares any: `amount_min` is the smallest amount of this API,
`refund_window_ms` is null, and what is below or later than the provider takes is a declined payment or a failed refund.
"""

_REFUSALS: Final = (
    ("`takes_new_payments` is false", "422 `validation_failed`: `provider`, `unknown_provider`"),
    ("`pattern`, `max_length`", "422 `validation_failed`: `payment_method`, `unknown_payment_method` or `too_long`"),
    ("`currencies`", "422 `validation_failed`: `currency`, `unknown_currency`"),
    ("`amount_min`, `amount_max`", "422 `validation_failed`: `amount`, `out_of_range`"),
    ("`amount_step`", "422 `validation_failed`: `amount`, `not_representable`; captures and refunds too"),
    ("`partial_capture` is false", "422 `validation_failed`: `amount`, `not_partial`"),
    ("`repeated_capture` is false", "409 `transition_rejected`"),
    ("`refund_window_ms`", "422 `validation_failed`: `payment`, `too_late`; null: no end is known here"),
)
