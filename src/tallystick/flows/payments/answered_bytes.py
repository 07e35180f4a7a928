"""What a provider answered, opened for a person who may read it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.provider_answer import KEPT_BYTES, AskedFor
from tallystick.kit.card_mask import mask_cards
from tallystick.record.answer_seal import opened_answer
from tallystick.record.postgres.provider_answers import KeptAnswer, answers_of
from tallystick.record.sealing import SealBroken, Sealer

#: Why nothing is shown of an answer that an erasure took.
ERASED: Final = "its bytes are erased"


class AnsweredBytes(Struct, frozen=True, kw_only=True):
    """One kept answer. ``text``: headers, an empty line, the beginning of the body; None where it cannot be opened, and
    ``why``. ``cut``: whether more came than is kept. ``digest``: as the step that it explains names it."""

    attempt_id: str
    asked: AskedFor
    status: int
    size_bytes: int
    at: datetime
    digest: str
    text: str | None
    why: str = ""

    @property
    def cut(self) -> bool:
        """A body that was written anew without what is withheld may be shorter than the one that came."""
        return self.size_bytes > KEPT_BYTES


async def answered_bytes(
    pool: asyncpg.Pool, sealer: Sealer, merchant_id: str, payment_id: str, most: int
) -> tuple[list[AnsweredBytes], bool]:
    """The newest ``most`` answers of a payment, the oldest of these first, and whether there are more."""
    found = await answers_of(pool, merchant_id, payment_id, most + 1)
    return [_opened(sealer, each, merchant_id, payment_id) for each in reversed(found[:most])], len(found) > most


def _opened(sealer: Sealer, kept: KeptAnswer, merchant_id: str, payment_id: str) -> AnsweredBytes:
    text, why = None, ERASED
    if kept.erased_by is None:
        try:
            plain = opened_answer(sealer, kept.sealed, kept.raw_key, (merchant_id, payment_id, kept.change_id))
            text, why = mask_cards(plain.decode("utf-8", "backslashreplace")), ""
        except SealBroken as error:
            why = f"its bytes cannot be opened: {error}"
    return AnsweredBytes(
        attempt_id=kept.attempt_id,
        asked=kept.asked,
        status=kept.status,
        size_bytes=kept.size_bytes,
        at=kept.at,
        digest=hashlib.sha256(kept.sealed).hexdigest(),
        text=text,
        why=why,
    )
