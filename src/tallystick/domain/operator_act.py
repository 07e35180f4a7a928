"""What an operator did: asked for, and as it is recorded with its effect. Pure.

An act is known by its operator and a key of the operator's own. Asked for again it is not done again: what it came to
is answered again. The same key for another act is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.errors import TallystickError
from tallystick.domain.storable import is_text
from tallystick.kit.card_data import contains_card_data
from tallystick.kit.secret_shapes import has_secret

#: What an operator can do. Recorded acts have these names for ever.
ActName = Literal[
    "dead_letter.replay",
    "dead_letter.replay_many",
    "dead_letter.discard",
    "dead_letter.discard_many",
    "event.reread",
    "attempt.resolve",
    "late_money.accept",
    "late_money.return",
    "dispute.state_amount",
    "case.acknowledge",
    "case.escalate",
    "case.give_back",
    "case.ignore",
    "case.reprocess",
    "alert.acknowledge",
    "alert.hand_on",
    "alert.give_back",
    "alert.resolve",
    "provider.pause",
    "provider.resume",
    "settlement_file.withdraw",
    "settlement_row.match",
    "settlement_row.write_off",
    "release.mark",
    "fee_schedule.set",
    "message.resend",
    "sealing_key.retire",
    "annotate",
    "operator.add",
    "operator.change",
    "operator.disable",
    "operator.reset",
    "evidence.read",
    "payment.erase",
    "merchant.erase",
    "work.take",
    "work.hand_on",
    "work.give_back",
    "audit.restored",
    "webhook_refusal.close",
]

ACT_NAMES: Final[tuple[ActName, ...]] = get_args(ActName)

#: As long as a paragraph: a reason is read beside the act, and whole documents belong elsewhere.
REASON_CHARS: Final = 500

#: Texts beside the reason, such as evidence.
WORDS_CHARS: Final = 2_000

#: A secret of the settings that is shorter than this could be an ordinary word.
_SHORTEST_SECRET: Final = 8

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class WordsRefused(TallystickError):
    """What was said of an act is empty, too long, or not to be kept. ``field``: which of its texts; ``card_data``:
    whether it looks like a card number."""

    def __init__(self, field: str, detail: str, *, card_data: bool = False) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail
        self.card_data = card_data


class ActKeyReused(TallystickError):
    """The operator used this key for another act; nothing was done."""


class OperatorAct(Struct, frozen=True, kw_only=True):
    """What an operator did, recorded with its effect and never changed. (``operator``, ``idempotency_key``) is taken
    once. ``result``: what the act came to. ``merchant_id`` and ``payment_id``: whom it is about, where that is known.
    """

    operator: str
    idempotency_key: str
    act_id: str
    act: ActName
    target: str
    merchant_id: str | None = None
    payment_id: str | None = None
    arguments: dict[str, Any]
    fingerprint: bytes
    reason: str
    key_kind: KeyKind | None = None
    change_id: str | None = None
    result: dict[str, Any]
    at: datetime


class AskedAct(Struct, frozen=True, kw_only=True):
    """An act that an operator asked for. ``operator``: ``operator:<name>`` who signed in, ``key:<id>`` of an API key,
    or ``shell:<user>@<host>`` of a command line without either. ``arguments``: what it is to be done with, beside the
    reason."""

    operator: str
    idempotency_key: str
    act_id: str
    act: ActName
    target: str
    arguments: dict[str, Any]
    reason: str
    key_kind: KeyKind | None = None

    @property
    def fingerprint(self) -> bytes:
        """What the same key has to ask for again: everything but the operator, the key and the act's own id."""
        return hashlib.sha256(_ENCODER.encode([self.act, self.target, self.arguments, self.reason])).digest()

    def done(
        self,
        result: dict[str, Any],
        at: datetime,
        *,
        change_id: str | None = None,
        merchant_id: str | None = None,
        payment_id: str | None = None,
    ) -> OperatorAct:
        """The act as it is recorded."""
        return OperatorAct(
            operator=self.operator,
            idempotency_key=self.idempotency_key,
            act_id=self.act_id,
            act=self.act,
            target=self.target,
            merchant_id=merchant_id,
            payment_id=payment_id,
            arguments=self.arguments,
            fingerprint=self.fingerprint,
            reason=self.reason,
            key_kind=self.key_kind,
            change_id=change_id,
            result=result,
            at=at,
        )

    def require_words(self, secrets: Mapping[str, str]) -> None:
        """Everything that a person wrote may be kept. ``secrets``: values that may not, by the names of their settings.
        Raises WordsRefused."""
        if not self.reason.strip():
            raise WordsRefused("reason", "must not be empty")
        for field, words in self._words():
            most = REASON_CHARS if field == "reason" else WORDS_CHARS
            if len(words) > most:
                raise WordsRefused(field, f"must have at most {most} characters")
            if _CONTROL.search(words) or not is_text(words):
                raise WordsRefused(field, "must have no control characters")
            if contains_card_data(words):
                raise WordsRefused(field, "seems to hold a card number; nothing was kept", card_data=True)
            if has_secret(words) or any(_holds(words, value) for value in secrets.values()):
                raise WordsRefused(field, "seems to hold a secret; nothing was kept")

    def _words(self) -> Iterator[tuple[str, str]]:
        yield "reason", self.reason
        yield "target", self.target
        yield "idempotency_key", self.idempotency_key
        for name, value in self.arguments.items():
            for words in value if isinstance(value, list) else (value,):
                if isinstance(words, str):
                    yield name, words


def _holds(words: str, secret: str) -> bool:
    """Whether the words have it, or one of several that a setting lists."""
    return any(len(part) >= _SHORTEST_SECRET and part in words for part in (secret, *secret.split(",")))
