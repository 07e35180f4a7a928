"""The fields of Adyen's answers and notification items that are read here, and the values of them that are known. Data
alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick.providers.adyen.codes import (
    ACTIONS,
    DECLINES,
    DECLINING,
    ERRORS,
    ERRORS_THAT_DECLINE,
    REASONS,
    UNDER_WAY,
    WAITING,
    reason_word,
)
from tallystick.providers.adyen.event_codes import EVENT_CODES, READ
from tallystick.providers.contract_drift import Drift, ReadField, ReadObject, is_one_of

_RESULTS: Final = frozenset({"Authorised", "Error"}) | DECLINING | ACTIONS | WAITING

_refused = is_one_of("resultCode", DECLINING | {"Error"})
_authorised = is_one_of("resultCode", {"Authorised"})
_moves_money = is_one_of("eventCode", READ)
_is_of_a_payment = is_one_of("eventCode", READ - {"AUTHORISATION"})


class _KnownReasons:
    """Reasons as notifications write them, with the acquirer's code before them."""

    def __contains__(self, written: object) -> bool:
        return isinstance(written, str) and reason_word(written) in REASONS


def _says_why(item: Mapping[str, Any]) -> bool:
    """Whether its reason is a word of theirs, of a card that was refused."""
    refused = item.get("eventCode") == "AUTHORISATION" and item.get("success") in (False, "false")
    return refused and isinstance(item.get("reason"), str)


PAID: Final = ReadObject(
    "payment",
    ReadField("pspReference"),
    ReadField("resultCode", known=_RESULTS),
    ReadField("merchantReference"),
    ReadField("amount", (dict,), when=_authorised),
    ReadField("amount.value", (int,), when=_authorised),
    ReadField("amount.currency", when=_authorised),
    ReadField("refusalReasonCode", known={*DECLINES, *ERRORS_THAT_DECLINE}, when=_refused),
    ReadField("refusalReason", when=_refused),
    ReadField("action", (dict,), when=is_one_of("resultCode", ACTIONS)),
)

MODIFIED: Final = ReadObject(
    "modification",
    ReadField("pspReference"),
    ReadField("status", known={"received"}),
    ReadField("paymentPspReference"),
    ReadField("reference"),
)

ERROR: Final = ReadObject(
    "error",
    ReadField("errorCode", known={*ERRORS, *UNDER_WAY}),
    ReadField("message"),
)

ITEM: Final = ReadObject(
    "item",
    ReadField("eventCode", known=EVENT_CODES),
    ReadField("pspReference"),
    ReadField("merchantAccountCode"),
    ReadField("merchantReference", optional=True, when=_moves_money, decides=True),  # whether it is a sale, and whose
    ReadField("originalReference", optional=True, when=_is_of_a_payment, decides=True),
    ReadField("success", (str, bool), known={"true", "false", True, False}),
    ReadField("amount", (dict,), when=_moves_money),
    ReadField("amount.value", (int, str), when=_moves_money),
    ReadField("amount.currency", when=_moves_money),
    ReadField("eventDate"),
    ReadField("reason", optional=True, when=_moves_money),
    ReadField("reason", known=_KnownReasons(), when=_says_why),
)


def error_drift(body: object) -> tuple[Drift, ...]:
    """Of the body of an error answer; of one that Adyen did not write nothing."""
    return ERROR.drift_in(body) if isinstance(body, Mapping) and "errorCode" in body else ()
