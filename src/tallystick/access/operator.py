"""Who acts on a command line: who signed in, the owner of an operator's API key, or the account of the machine."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.access.api_key import matches, parse_key
from tallystick.access.roles import Right
from tallystick.access.sessions import Sessions
from tallystick.access.stored_keys import StoredKeys
from tallystick.domain.api_keys import KeyKind, Scope
from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import ActName

#: Acts that move or settle money.
MONEY_ACTS: Final[frozenset[ActName]] = frozenset(
    {
        "attempt.resolve",
        "late_money.accept",
        "late_money.return",
        "dispute.state_amount",
        "case.reprocess",
        "settlement_file.withdraw",
        "settlement_row.match",
        "settlement_row.write_off",
    }
)

#: Compared with for an unknown key, as in authentication over HTTP.
_NO_HASH: Final = bytes(32)


#: Acts that cannot be undone. As those, they need a recent sign-in.
ERASING_ACTS: Final[frozenset[ActName]] = frozenset({"payment.erase", "merchant.erase"})


class NotAnOperator(TallystickError):
    """The key is not one of an operator, or may not do this; nothing was done."""


class Operator(Struct, frozen=True, kw_only=True):
    """Who acts. ``name``: ``operator:<name>``, ``key:<key id>``, or ``shell:<user>@<host>`` where nobody was
    authenticated. ``key_kind`` is the key's."""

    name: str
    key_kind: KeyKind | None = None


def operator_of_key(key_id: str, key_kind: KeyKind) -> Operator:
    """The owner of an operator's key that was found."""
    return Operator(name=f"key:{key_id}", key_kind=key_kind)


def operator_of_shell() -> Operator:
    """The account of this machine: what it calls itself, and no proof. An account that has no name, as in a container,
    is called by its number."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError, ImportError):  # which of them, depends on Python's version
        account = str(os.getuid())
    return Operator(name=f"shell:{account}@{socket.gethostname()}")


async def operator_on_command_line(keys: StoredKeys, text: str | None, scope: Scope) -> Operator:
    """Who acts with this key, or without one. Raises NotAnOperator for a key that opens nothing, is a merchant's, or
    lacks the scope."""
    if text is None:
        return operator_of_shell()
    key = parse_key(text.strip())
    stored = None if key is None else await keys.find(key.merchant_id, key.key_id)
    if key is None or not matches(key.secret, stored.secret_hash if stored else _NO_HASH) or stored is None:
        raise NotAnOperator("TALLYSTICK_OPERATOR_KEY is no valid API key; nothing was done")
    if not stored.operator:
        raise NotAnOperator("TALLYSTICK_OPERATOR_KEY is a merchant's key; this needs an operator's. Nothing was done")
    if not stored.declared.allows(scope):
        raise NotAnOperator(f"TALLYSTICK_OPERATOR_KEY lacks the scope {scope}; nothing was done")
    return operator_of_key(key.key_id, stored.declared.kind)


async def operator_signed_in(sessions: Sessions, token: str, act: ActName, now: datetime, fresh_ms: int) -> Operator:
    """Who signed in on this command line. Raises NotAnOperator for a session that is over or lacks the act's right."""
    viewer = await sessions.viewer(token)
    if viewer is None:
        raise NotAnOperator("your session is over: `tallystick login`, or `tallystick login --out`. Nothing was done")
    right: Right = "money" if act in MONEY_ACTS else "act"
    if not viewer.may(right):
        raise NotAnOperator(f"{viewer.actor} lacks the right {right}; nothing was done")
    if viewer.merchants is not None:
        raise NotAnOperator(f"{viewer.actor} is limited to merchants, and acts in the console. Nothing was done")
    if (right == "money" or act in ERASING_ACTS) and not viewer.is_fresh(now, fresh_ms):
        raise NotAnOperator("this needs a recent sign-in: `tallystick login`. Nothing was done")
    return Operator(name=viewer.actor, key_kind="human")
