"""A text that is cut holds no part of a card number."""

from __future__ import annotations

import re

import pytest

from tallystick.providers.shared import MESSAGE_CHARS, shortened
from tallystick.providers.simulator.calls import RAW_LIMIT, _text

NUMBER = "4111 1111 1111 1111"


@pytest.mark.parametrize("kept_chars", range(1, len(NUMBER)))
def test_a_number_that_the_cut_would_go_through_is_masked(kept_chars: int) -> None:
    message = shortened("x" * (MESSAGE_CHARS - kept_chars) + NUMBER)
    assert len(message) == MESSAGE_CHARS and not re.search("[0-9]", message)
    raw = _text(("x" * (RAW_LIMIT - kept_chars) + NUMBER).encode())
    assert len(raw) == RAW_LIMIT and not re.search("[0-9]", raw)


def test_a_short_text_stays_as_it_is() -> None:
    assert shortened("Your card was declined.") == "Your card was declined."
