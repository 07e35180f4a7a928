"""What operators may do: roles, and the rights that each has. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

#: What an operator is, for people who give it. An operator may be several.
Role = Literal["viewer", "operator", "auditor", "admin"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: What an act or a page needs. ``read``: payments, cases, alerts and what waits. ``audit``: operators, their acts and
#: rights, settings. ``act``: what moves no money by itself, such as notes, owners, replays and pauses. ``money``: what
#: moves or settles money; with a fresh sign-in. ``approve``: the second person's word. ``manage``: operators and their
#: roles. ``raw_evidence``: the bytes that providers sent; no role has it, it is given by itself.
Right = Literal["read", "audit", "act", "money", "approve", "manage", "raw_evidence"]

RIGHTS: Final[tuple[Right, ...]] = get_args(Right)

#: An admin gives roles and moves no money, unless a second person made them an operator too.
RIGHTS_OF: Final[Mapping[Role, frozenset[Right]]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "act", "money", "approve"}),
    "auditor": frozenset({"read", "audit"}),
    "admin": frozenset({"read", "audit", "approve", "manage"}),
}

#: Rights that only a signed-in person with a second factor has, outside of demonstrations.
SECOND_FACTOR_RIGHTS: Final[frozenset[Right]] = frozenset({"act", "money", "approve", "manage"})


def rights_of(roles: Iterable[Role], *, raw_evidence: bool = False) -> frozenset[Right]:
    """What somebody with these roles may do."""
    own: frozenset[Right] = frozenset({"raw_evidence"}) if raw_evidence else frozenset()
    return own.union(*(RIGHTS_OF[role] for role in roles))


def needs_second_factor(roles: Iterable[Role]) -> bool:
    """Whether one of the roles may do more than read."""
    return bool(rights_of(roles) & SECOND_FACTOR_RIGHTS)
