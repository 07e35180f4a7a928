"""What a person can find out about an attempt in doubt. Plain data."""

from __future__ import annotations

from typing import Final, Literal, get_args

#: The effect happened, the provider refused it, or nothing happened.
Finding = Literal["executed", "declined", "not_executed"]
FINDINGS: Final[tuple[Finding, ...]] = get_args(Finding)


def finding_of(text: str) -> Finding:
    """A finding by its name. Raises ValueError for any other text."""
    for finding in FINDINGS:
        if finding == text:
            return finding
    raise ValueError(f"must be one of {', '.join(FINDINGS)}")
