"""Who is signed in, with what they may do and see. No I/O."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from tallystick.access.roles import Right, Role


class Viewer(Struct, frozen=True, kw_only=True):
    """A signed-in operator, as the record has them now. ``merchants``: those that they are limited to; None for all.
    ``rights``: of their roles, and ``raw_evidence`` where it was given. ``signed_in_at``: when they last proved who
    they are."""

    operator_id: str
    roles: frozenset[Role]
    merchants: frozenset[str] | None
    rights: frozenset[Right]
    signed_in_at: datetime

    @property
    def actor(self) -> str:
        """Who acts, as acts and history have it."""
        return f"operator:{self.operator_id}"

    def may(self, right: Right) -> bool:
        """Whether the viewer has the right."""
        return right in self.rights

    def sees(self, merchant_id: str | None) -> bool:
        """Whether the viewer may see what belongs to the merchant. What belongs to no merchant is for those who are
        limited to none."""
        return self.merchants is None or merchant_id in self.merchants

    def is_fresh(self, now: datetime, fresh_ms: int) -> bool:
        """Whether the last sign-in is recent enough for acts that move money."""
        return now - self.signed_in_at <= timedelta(milliseconds=fresh_ms)
