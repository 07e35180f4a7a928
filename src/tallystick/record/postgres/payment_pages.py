"""Which statement lists payments: one for each filter that has an index, so that a page costs what is on it."""

from __future__ import annotations

from typing import Any, Final

#: Ids are ``pay_`` and hexadecimal digits: before and after all of them, in every collation.
BELOW_EVERY_ID: Final = ""
ABOVE_EVERY_ID: Final = "pay_g"

#: Most payments: they have an index of their own.
CAPTURED: Final = "captured"


def page_statement(
    merchant_id: str,
    *,
    state: str | None,
    floor_id: str | None,
    provider_reference: str | None,
    before_id: str | None,
    idempotency_key: str | None,
    limit: int,
) -> tuple[str, list[Any]]:
    """The name of a statement in reads.sql, and its parameters. The filter that finds the fewest payments chooses it;
    the others apply to what that one finds."""
    page = [merchant_id, floor_id or BELOW_EVERY_ID, before_id or ABOVE_EVERY_ID, limit]
    if idempotency_key is not None:
        return "payments_by_key", [*page, idempotency_key, state, provider_reference]
    if provider_reference is not None:
        return "payments_by_reference", [*page, provider_reference, state]
    if state is None:
        return "payments", page
    return ("payments_captured", page) if state == CAPTURED else ("payments_in_rare_state", [*page, state])
