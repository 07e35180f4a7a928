"""What a provider charges: its kinds of payment method tokens, as its connector declares them. Pure.

A request is checked by these rows, and ``GET /v1/capabilities`` shows them: what one refuses the other says.
"""

from __future__ import annotations

import re

from msgspec import Struct


class PaymentTokens(Struct, frozen=True, kw_only=True):
    """One kind of token that a provider knows.

    ``types``: what such a token may stand for, in the provider's words. ``pattern``: a regular expression for the whole
    token, in the syntax that Python and ECMA-262 share; whether the token exists the provider knows.
    ``partial_capture``: whether less than a hold can be captured, and the rest released. ``refund_window_ms``: for how
    long after the payment was made it can be refunded; None where there is no end that is known here.
    """

    types: tuple[str, ...]
    pattern: str
    partial_capture: bool
    refund_window_ms: int | None = None

    def accepts(self, token: str) -> bool:
        """Whether the token is of this kind."""
        return re.fullmatch(self.pattern, token, re.ASCII) is not None
