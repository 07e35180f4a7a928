"""What a provider answered, made fit for the record: screened, cut, sealed, and named by the step that it led to.

It explains an outcome, and never stands in its way: an answer that cannot be kept is left out, and a line says so.
"""

from __future__ import annotations

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
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.runtime import Runtime
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import secret_values
from tallystick.providers.heard import Hearing
from tallystick.record.answer_seal import sealed_answer

log = get_logger("tallystick.flows.payments.kept_answers")

#: A secret of the settings that is shorter than this could be an ordinary word.
_SHORTEST_SECRET: Final = 8


class AnswerKept:
    """The answer to one call or look-up, for the change that comes of it. ``heard``: None where nobody listened. It is
    sealed once, for one change, however often that is decided again."""

    def __init__(self, runtime: Runtime, attempt: Attempt, heard: Hearing | None, asked: AskedFor) -> None:
        self._runtime = runtime
        self._attempt = attempt
        self._heard = heard
        self._asked: AskedFor = asked
        self._made: ProviderAnswer | None = None

    def beside(self, change: Change, verdict: Verdict, at: datetime) -> Change:
        """The change with the answer, unless its outcome is a plain success, or nothing was answered."""
        if self._heard is None or is_plain_success(change, verdict):
            return change
        if self._made is None and (answer := self._heard.answer(self._asked)) is not None:
            self._made = self._sealed(answer, change, at)
        return change if self._made is None else with_answer(change, self._made)

    def _sealed(self, answer: HeardAnswer, change: Change, at: datetime) -> ProviderAnswer | None:
        runtime, attempt = self._runtime, self._attempt
        try:
            secrets = long_secrets(secret_values(runtime.settings).values())
            plain = kept_bytes(answer, runtime.words, attempt.provider, attempt.account, secrets)
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


def kept_bytes(
    answer: HeardAnswer, words: ProviderWords, provider: str, account: str, secrets: Collection[str] = ()
) -> bytes:
    """Headers, an empty line, and the beginning of the body. Card numbers are masked before anything is cut: a part of
    one would not be found later."""
    head = words.screened_text(head_of(answer, secrets), provider, account)
    body = words.screened_text(body_of(answer, secrets), provider, account)
    return cut(head, HEADERS_BYTES) + b"\n" + cut(body, KEPT_BYTES)


def long_secrets(values: Collection[str]) -> list[str]:
    """The secrets of settings, and the parts of those that are lists."""
    return [part for each in values for part in (each, *each.split(",")) if len(part) >= _SHORTEST_SECRET]
