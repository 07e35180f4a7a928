"""How tries at signing in are slowed down: by account and address together, by account, and by address.

Nobody is locked out. Whoever guesses from one address soon waits minutes; an account that is guessed from everywhere
waits seconds, which its owner can wait too. Counted in the record, so that several processes add up, and before the
password is looked at, so that many tries at once are not one.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NamedTuple

import asyncpg

from tallystick.access.accounts import STATEMENTS
from tallystick.domain.errors import TallystickError


class Throttled(TallystickError):
    """Too many tries; the password was not looked at. ``retry_after_s``: when to come again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many tries; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class _Rule(NamedTuple):
    free: int  # tries before anybody waits
    longest_s: int


#: People mistype a few times.
_PAIR: Final = _Rule(5, 300)

#: Short, because its owner waits too: 20 tries, and then four a minute from all addresses together.
_ACCOUNT: Final = _Rule(20, 15)

#: An office behind one address.
_ADDRESS: Final = _Rule(30, 300)

#: Tries that are older than this are forgotten.
_FORGOTTEN_AFTER: Final = timedelta(hours=1)


class Throttle:
    """Over a pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def take(self, account: str, address: str, now: datetime) -> None:
        """Count one try. Raises Throttled."""
        place = _place(address)
        for subject, rule in (
            (f"{account}@{place}", _PAIR),
            (f"account {account}", _ACCOUNT),
            (f"address {place}", _ADDRESS),
        ):
            await self._take(subject, rule, now)

    async def succeeded(self, account: str, address: str, now: datetime) -> None:
        """Whoever has signed in has no tries behind them. The address keeps its own."""
        await self._pool.execute(STATEMENTS["forget_tries"], f"{account}@{_place(address)}")
        await self._pool.execute(STATEMENTS["forget_tries"], f"account {account}")
        await self._pool.execute(STATEMENTS["forget_old_tries"], now - _FORGOTTEN_AFTER)

    async def _take(self, subject: str, rule: _Rule, now: datetime) -> None:
        row = await self._pool.fetchrow(STATEMENTS["tries"], subject)
        if row is None:
            counted = await self._pool.fetchval(STATEMENTS["first_try"], subject, now)
        else:
            tries, tried_at = row["tries"], row["tried_at"]
            if now - tried_at > _FORGOTTEN_AFTER:
                tries = 0
            left_s = (tried_at + timedelta(seconds=wait_s(tries, rule)) - now).total_seconds()
            if left_s > 0:
                raise Throttled(ceil(left_s))
            counted = await self._pool.fetchval(
                STATEMENTS["next_try"], subject, row["tries"], tried_at, tries + 1, max(now, tried_at)
            )
        if counted is None:  # another try of the same subject was faster: one at a time
            raise Throttled(1)


def wait_s(tries: int, rule: _Rule) -> int:
    """How long to wait after so many tries."""
    beyond = tries - rule.free
    return 0 if beyond < 0 else min(rule.longest_s, 2 ** min(beyond, 16))


def _place(address: str) -> str:
    """An address, or the 64 bits of one that an IPv6 network gives each of its hosts many of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
