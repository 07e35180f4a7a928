"""What a provider answered, made fit for the record: screened, cut, sealed, and named by the step that it led to.

It explains an outcome, and never stands in its way: an answer that cannot be kept is left out, and a line says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime
from typing import Final

from tallystick.decisions.kept_answers import is_plain_success, with_answer
from tallystick.domain.change import Change
from tallystick.domain.provider_answer import (
    HEADERS_BYTES,
    KEPT_BYTES,
    AskedFor,
    HeardAnswer,
    ProviderAnswer,
    body_of,
    cut,
    head_of,
)
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.card_mask import mask_cards
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import secret_values
from tallystick.providers.heard import Hearing
from tallystick.record.answer_seal import sealed_answer

log = get_logger("tallystick.flows.payments.kept_answers")

#: A secret of the settings that is shorter than this could be an ordinary word.
_SHORTEST_SECRET: Final = 8


#: Longer answers are screened in a thread. A byte may take 5 us, whoever chose it: 64 kB of digits took 0.3 s.
_INLINE_BYTES: Final = 1_024


class AnswerKept:
    """The answer to one call or look-up, for the change that comes of it. ``heard``: None where nobody listened. It is
    sealed once, for one change, however often that is decided again."""

    def __init__(self, runtime: Runtime, attempt: Attempt, heard: Hearing | None, asked: AskedFor) -> None:
        self._runtime = runtime
        self._attempt = attempt
        self._heard = heard
        self._asked: AskedFor = asked
        self._made: ProviderAnswer | None = None

    async def beside(self, change: Change, verdict: Verdict, at: datetime) -> Change:
        """The change with the answer, unless its outcome is a plain success, or nothing was answered."""
        if self._heard is None or is_plain_success(change, verdict):
            return change
        if self._made is None and (answer := self._heard.answer(self._asked)) is not None:
            self._made = await self._sealed(answer, change, at)
        return change if self._made is None else with_answer(change, self._made)

    async def _sealed(self, answer: HeardAnswer, change: Change, at: datetime) -> ProviderAnswer | None:
        runtime, attempt = self._runtime, self._attempt
        try:
            secrets = long_secrets(secret_values(runtime.settings).values())
            plain, masked = await _screened(answer, secrets)
            if masked:
                runtime.words.report_masked(attempt.provider, attempt.account)
            name = (change.merchant_id, change.stream_id, change.change_id)
            sealed, key = sealed_answer(runtime.sealer, plain, name)
        except Exception as error:  # no key, or a defect: money has moved or waits, and its record matters more
            log.error(
                "provider's answer cannot be kept",
                provider=attempt.provider,
                payment_id=attempt.payment_id,
                attempt_id=attempt.attempt_id,
                error=type(error).__name__,
                next="tallystick sealing-keys list",
            )
            return None
        return ProviderAnswer(
            attempt_id=attempt.attempt_id,
            asked=answer.asked,
            status=answer.status,
            size_bytes=answer.size_bytes,
            at=at,
            sealed=sealed,
            raw_key=key,
        )


async def _screened(answer: HeardAnswer, secrets: Collection[str]) -> tuple[bytes, bool]:
    """``kept_bytes``: in a thread where it may take long, so that nothing else waits for it. What is no ASCII may be
    compressed, and is as long as it is when it is read."""
    if answer.body.isascii() and len(answer.body) + sum(map(len, answer.headers.values())) <= _INLINE_BYTES:
        return kept_bytes(answer, secrets)
    return await asyncio.to_thread(kept_bytes, answer, secrets)


def kept_bytes(answer: HeardAnswer, secrets: Collection[str] = ()) -> tuple[bytes, bool]:
    """Headers, an empty line, and the beginning of the body; and whether card numbers were masked in them. They are
    masked before anything is cut: a part of one would not be found later."""
    head, body = head_of(answer, secrets), body_of(answer, secrets)
    clear_head, clear_body = mask_cards(head), mask_cards(body)
    masked = clear_head is not head or clear_body is not body
    return cut(clear_head, HEADERS_BYTES) + b"\n" + cut(clear_body, KEPT_BYTES), masked


def long_secrets(values: Collection[str]) -> list[str]:
    """The secrets of settings, and the parts of those that are lists."""
    return [part for each in values for part in (each, *each.split(",")) if len(part) >= _SHORTEST_SECRET]
