"""The chapter on why money did not move: every code of a payment's or refund's ``failure``."""

from __future__ import annotations

from typing import Final

from tallystick.contract import markdown
from tallystick.domain.failure_codes import FAILURE_CODES

_FAILURES: Final = """
## Why money did not move

`failure` of a payment or refund says why: `code` for programs, `message` for people, and `retryable`. The list of codes
is open, so decide by `retryable`: true where the same request may succeed under the next key, false where another means
of payment may. One code may be either, by what the provider says.
"""


def failure_codes() -> str:
    """Every code with its meaning."""
    rows = [(f"`{code}`", meaning) for code, meaning in FAILURE_CODES.items()]
    return "\n\n".join((_FAILURES.strip("\n"), markdown.table(("code", "meaning"), rows)))
