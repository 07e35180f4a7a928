"""What an API key declares: what uses it, which operations it is for, and how much money one of them may move. Pure.

A declaration is made with the key and never changes. A key that declares nothing is a service's, and may do everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, get_args

from msgspec import Struct

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.money import MAX_AMOUNT
from tallystick.domain.requests.fields import MIN_AMOUNT

#: What uses a key: a person, a program that does what it was written for, or a program that decides by itself.
KeyKind = Literal["human", "service", "agent"]

#: How rows of history and of messages name a kind: a letter, because every payment has some.
LETTERS: Final[Mapping[KeyKind, str]] = {"human": "h", "service": "s", "agent": "a"}

#: The kind that a letter names.
KIND_OF_LETTER: Final[Mapping[str, KeyKind]] = {letter: kind for kind, letter in LETTERS.items()}

#: What an endpoint asks of a key. What ends in ``:read`` changes nothing.
Scope = Literal[
    "payments:read",
    "payments:create",
    "payments:capture",
    "payments:cancel",
    "traces:read",
    "refunds:read",
    "refunds:create",
    "disputes:read",
    "ledger:read",
    "events:read",
    "messages:read",
    "webhooks:read",
    "webhooks:write",
    "capabilities:read",
    "dead_letters:read",
    "dead_letters:write",
    "webhook_refusals:read",
    "webhook_refusals:write",
    "contract_drift:read",
    "rejections:read",
    "rejections:write",
    "in_doubt:read",
    "in_doubt:write",
    "late_money:read",
    "late_money:write",
    "alerts:read",
    "alerts:write",
    "settlements:read",
    "settlements:write",
    "acts:read",
    "acts:write",
    "audit:read",
    "erasures:read",
    "erasures:write",
]

KEY_KINDS: Final[tuple[KeyKind, ...]] = get_args(KeyKind)
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

#: What an agent's key gets that names no scopes.
READING: Final = frozenset(scope for scope in SCOPES if scope.endswith(":read"))

#: The currencies in which a key may act. Each has the most that one operation may move, in minor units; None: as much
#: as the API takes.
Limits = Mapping[str, int | None]


class KeyDeclaration(Struct, frozen=True, kw_only=True):
    """``scopes`` None: all, also those of later releases. ``limits`` None: all currencies, and no limit."""

    kind: KeyKind = "service"
    scopes: frozenset[str] | None = None
    limits: Limits | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key may use an endpoint of this scope."""
        return self.scopes is None or scope in self.scopes


#: What a key declares that says nothing.
UNDECLARED: Final = KeyDeclaration()


def declaration(
    kind: str, scopes: Collection[str] = (), currencies: Collection[str] = (), amounts: Mapping[str, int] | None = None
) -> KeyDeclaration:
    """A declaration as a person gives it. An agent's key that names no scopes may only read. Who limits amounts names
    the currencies with them: in another one the key moves no money, unless ``currencies`` has it.

    Raises ValueError, for people: an unknown kind, scope or currency, or a limit that is not an amount.
    """
    amounts = {} if amounts is None else amounts
    known_kind = next((each for each in KEY_KINDS if each == kind), None)
    if known_kind is None:
        raise ValueError(f"a key is one of: {', '.join(KEY_KINDS)}")
    for scope in scopes:
        if scope not in SCOPES:
            raise ValueError(f"there is no scope {scope}; there are {', '.join(SCOPES)}")
    for currency in (*currencies, *amounts):
        if currency not in EXPONENTS:
            raise ValueError(f"there is no currency {currency}")
    for currency, amount in amounts.items():
        if not MIN_AMOUNT <= amount <= MAX_AMOUNT:
            raise ValueError(f"the limit in {currency} must be from {MIN_AMOUNT} to {MAX_AMOUNT} minor units")
    granted = frozenset(scopes) or (READING if known_kind == "agent" else None)
    limits = dict.fromkeys(sorted(currencies)) | dict(sorted(amounts.items()))
    return KeyDeclaration(kind=known_kind, scopes=granted, limits=limits or None)


def over_limit(limits: Limits | None, currency: str, amount: int | None) -> str | None:
    """Which limit an operation is over, for people; None where it is within. ``amount``: what it moves; None for one
    that moves nothing, which is still bound to the currencies."""
    if limits is None:
        return None
    if currency not in limits:
        return f"this API key may not act in {currency}"
    most = limits[currency]
    if most is not None and amount is not None and amount > most:
        return f"this API key may move at most {most} {currency} (minor units) in one operation"
    return None
