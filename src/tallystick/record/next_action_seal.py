"""Seals payers' next actions before they are stored, and opens them for the merchant's own request.

A seal is bound to its payment; in the inbox, where the payment may not be known yet, to the event.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from tallystick.domain.next_action import SEALED, due_action, kept_part, public_part, with_action
from tallystick.domain.notices import Notice, StoredNotice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import RequiresAction, Verdict
from tallystick.kit.logs import get_logger
from tallystick.record.sealing import SealBroken, Sealer, SealingRefused, key_id_of, payment_row

log = get_logger("tallystick.record.next_action_seal")

#: What a person types first, where no key here seals or opens.
LIST_KEYS: Final = "tallystick sealing-keys list"

#: No key that may seal or that opens, or a value that cannot be written or read as JSON.
_NOT_SEALED: Final = (SealingRefused, ValueError, msgspec.MsgspecError)
_NOT_OPENED: Final = (SealBroken, ValueError, msgspec.MsgspecError)

_ACTION: Final = msgspec.json.Decoder(dict[str, Any])


class ActionSeal:
    """Seals and opens next actions with one process's keys. A missing key is not an error here: money has moved or
    waits, and its record matters more than the payer's next action, which is then left out."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._alerted: set[bytes | None] = set()

    def verdict(self, verdict: Verdict, merchant_id: str, payment_id: str) -> Verdict:
        """A verdict with its next action sealed for the payment."""
        if not isinstance(verdict, RequiresAction):
            return verdict
        return replace(verdict, next_action=self._seal(verdict.next_action, payment_row(merchant_id, payment_id)))

    def notice(self, notice: StoredNotice, event_id: str) -> StoredNotice:
        """A notice with its next action sealed for the event, for the inbox."""
        return with_action(notice, lambda action: self._seal(action, _event(event_id)))

    def delivered(self, notice: Notice, event_id: str, merchant_id: str, payment_id: str) -> Notice:
        """A notice from the inbox, sealed again for its payment, which is known now."""

        def resealed(action: Mapping[str, Any]) -> dict[str, Any]:
            opened = self._open(action, _event(event_id))
            return public_part(action) if opened is None else self._seal(opened, payment_row(merchant_id, payment_id))

        return with_action(notice, resealed)

    def opened(self, payment: Payment) -> dict[str, Any] | None:
        """The complete next action while the payer has to act; None if there is none, or no key opens it."""
        action = due_action(payment)
        return None if action is None else self._open(action, payment_row(payment.merchant_id, payment.payment_id))

    def _seal(self, action: Mapping[str, Any], about: bytes) -> dict[str, Any]:
        kept = public_part(action)
        try:
            sealed = self._sealer.seal(msgspec.json.encode(action), about)
        except _NOT_SEALED as error:
            log.error(
                "next action cannot be sealed",
                alert=True,
                about=about.decode(),
                error=type(error).__name__,
                next=LIST_KEYS,
            )
            return kept
        return kept | {SEALED: base64.b64encode(sealed).decode()}

    def _open(self, action: Mapping[str, Any], about: bytes) -> dict[str, Any] | None:
        sealed = kept_part(action).get(SEALED)
        if sealed is None:
            return None
        value = b""
        try:
            value = base64.b64decode(sealed, validate=True)
            return _ACTION.decode(self._sealer.open(value, about))
        except _NOT_OPENED as error:
            self._say_closed(key_id_of(value), about, error)
            return None

    def _say_closed(self, key_id: bytes | None, about: bytes, error: Exception) -> None:
        """One alert for a key: a payment may be read often, and the key is what a person has to find."""
        known = {"key": None if key_id is None else key_id.hex(), "about": about.decode()}
        log.error(
            "next action cannot be opened", alert=key_id not in self._alerted, error=str(error), next=LIST_KEYS, **known
        )
        self._alerted.add(key_id)


def _event(event_id: str) -> bytes:
    return f"next_action/event/{event_id}".encode()
