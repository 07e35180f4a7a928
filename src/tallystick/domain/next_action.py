"""What a payer has to do next, as it may be kept: its type in clear, and all of it sealed. Pure.

Providers put secrets into it that belong to the payer alone (Stripe's ``client_secret``, addresses with tokens in them,
Adyen's ``paymentData``), and new ones without notice. So nothing of it but its type is ever kept as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from tallystick.domain.notices import AttemptNotice, ChargeNotice, Notice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import RequiresAction

#: The member of a kept action that holds the whole of it, encrypted.
SEALED: Final = "sealed"

#: Types are names (``redirect_to_url``, ``threeDS2``); what is none could be anything.
_TYPE: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)


def public_part(action: Mapping[str, Any]) -> dict[str, Any]:
    """What anybody may see of it: its type, where it has one."""
    kind = action.get("type")
    return {"type": kind} if isinstance(kind, str) and _TYPE.fullmatch(kind) else {}


def kept_part(action: Mapping[str, Any]) -> dict[str, Any]:
    """What may be stored of it: its type and its seal. What nobody sealed does not get any further than here."""
    sealed = action.get(SEALED)
    return public_part(action) | ({SEALED: sealed} if isinstance(sealed, str) else {})


def due_action(payment: Payment) -> dict[str, Any] | None:
    """The kept action of a payment whose payer has to act now; None for every other."""
    return payment.next_action if payment.state == "requires_action" else None


def with_action(notice: Notice, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Notice:
    """The notice with the action in it changed; one without an action as it is."""
    if not isinstance(notice, AttemptNotice | ChargeNotice) or not isinstance(notice.verdict, RequiresAction):
        return notice
    return replace(notice, verdict=replace(notice.verdict, next_action=change(notice.verdict.next_action)))
