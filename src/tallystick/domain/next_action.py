"""A payer's next action as it may be stored: its type in clear, and all of it sealed. Pure.

Providers put secrets of the payer into it (Stripe's ``client_secret``, URLs with tokens, Adyen's ``paymentData``), and
add new ones without notice. So only its type is ever stored in clear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from tallystick.domain.notices import AttemptNotice, ChargeNotice, StoredNotice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import RequiresAction

Some = TypeVar("Some", bound=StoredNotice)

#: The member of a stored action that holds the whole action, encrypted.
SEALED: Final = "sealed"

#: Types are names (``redirect_to_url``, ``threeDS2``); anything else is not shown.
_TYPE: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)


def public_part(action: Mapping[str, Any]) -> dict[str, Any]:
    """The part that may be shown to anyone: its type, if it has one."""
    kind = action.get("type")
    return {"type": kind} if isinstance(kind, str) and _TYPE.fullmatch(kind) else {}


def kept_part(action: Mapping[str, Any]) -> dict[str, Any]:
    """The part that may be stored: its type and its seal. An unsealed action is dropped here."""
    sealed = action.get(SEALED)
    return public_part(action) | ({SEALED: sealed} if isinstance(sealed, str) else {})


def due_action(payment: Payment) -> dict[str, Any] | None:
    """The stored action of a payment whose payer has to act now; None for every other payment."""
    return payment.next_action if payment.state == "requires_action" else None


def with_action(notice: Some, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Some:
    """The notice with its action changed; a notice without an action is returned as it is."""
    if not isinstance(notice, AttemptNotice | ChargeNotice) or not isinstance(notice.verdict, RequiresAction):
        return notice
    return replace(notice, verdict=replace(notice.verdict, next_action=change(notice.verdict.next_action)))
