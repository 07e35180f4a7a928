"""Who has a piece of work that waits for a person: an operator, an API key, or the account of a command line. Pure.

An owner is named as acts name who did them: ``operator:<name>``, ``key:<key id>``, ``shell:<user>@<host>``. Rows of
before may have a bare name, which is read as the operator's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tallystick.domain.errors import TallystickError

#: Before the name of an operator who signed in.
PERSON: Final = "operator:"


class OwnerUnknown(TallystickError):
    """No enabled operator of this name may act on it; nothing was written."""

    code: Final = "owner_unknown"


class NotOwned(TallystickError):
    """It does not wait, somebody else has it, or nobody does; nothing was written."""

    code: Final = "not_owned"


def names_of(owner: str) -> list[str]:
    """Every way in which rows name this owner."""
    bare = owner.removeprefix(PERSON)
    return [owner] if ":" in bare else [PERSON + bare, bare]


def require_takeable(owner: str | None, by: str) -> None:
    """Nobody else has it. Raises NotOwned."""
    if owner is not None and owner not in names_of(by):
        raise NotOwned(f"{owner} has it; hand it on instead")


def require_owned(owner: str | None) -> None:
    """Somebody has it. Raises NotOwned."""
    if owner is None:
        raise NotOwned("nobody has it")


def may_own(merchants: Collection[str] | None, merchant_id: str | None) -> bool:
    """Whether somebody who is limited to these merchants, None is all, sees what belongs to the merchant. What belongs
    to none is for those who are limited to none."""
    return merchants is None or merchant_id in merchants
