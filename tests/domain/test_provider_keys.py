"""The provider key of an instruction: rows leave it out where it follows from the others, so the rule never changes."""

from __future__ import annotations

import pytest

from tallystick.domain.provider_keys import key_of_instruction, provider_key

#: By ``printf 'm1\nkey-1\nauthorize\n1' | sha256sum``.
KEY = "9215eb03e7b6b9e9875c7a9adc54550d5fffe681be4a4cafce9df38229cdeb99"


def test_the_rule_is_what_it_was_when_the_first_row_was_written() -> None:
    assert provider_key("m1", "key-1", "authorize", 1) == KEY


def test_an_attempt_of_an_instruction_has_the_instruction_s_key() -> None:
    fields = {"merchant_id": "m1", "idempotency_key": "key-1", "operation": "authorize"}
    assert key_of_instruction(fields) == KEY


@pytest.mark.parametrize("fields", [{}, {"idempotency_key": None}], ids=["left out", "null"])
def test_an_attempt_of_the_platform_itself_has_a_key_of_its_own(fields: dict[str, None]) -> None:
    assert key_of_instruction({"merchant_id": "m1", "operation": "cancel", **fields}) is None
