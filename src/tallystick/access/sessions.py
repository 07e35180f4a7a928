"""Signing in and out, and who is signed in.

A session is known by a random secret, of which the record has the hash. What a session may do is read anew at each
request: an operator who is disabled, or whose roles change, is so at once, in every process.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final, Literal

import asyncpg

from tallystick.access.accounts import STATEMENTS, Accounts, Credential, OperatorVersion, is_operator_id, secret_hash
from tallystick.access.passwords import Passwords, is_outdated, require_password
from tallystick.access.roles import SECOND_FACTOR_RIGHTS, needs_second_factor
from tallystick.access.throttle import Throttle
from tallystick.access.totp import matching_step, totp_row
from tallystick.access.viewer import Viewer
from tallystick.domain.errors import TallystickError
from tallystick.kit.clock import Clock
from tallystick.kit.logs import get_logger
from tallystick.record.sealing import Sealer
from tallystick.settings.load import Settings

log = get_logger("tallystick.access.sessions")

#: 256 bits.
_TOKEN_BYTES: Final = 32

#: Each use is written down at most this often: idle limits are counted in minutes.
_USED_EVERY: Final = timedelta(seconds=10)

SessionKind = Literal["browser", "command_line"]


class SignInRefused(TallystickError):
    """Nobody was signed in. The message never says which of name, password and code was wrong."""


#: The same words whatever is wrong.
_WRONG: Final = "the name, the password or the code is wrong"


class Sessions:
    """Over a pool of connections. ``sealer`` opens second factors."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, settings: Settings, sealer: Sealer) -> None:
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._sealer = sealer
        self._accounts = Accounts(pool)
        self._passwords = Passwords()
        self._throttle = Throttle(pool)

    async def sign_in(
        self, operator_id: str, password: str, code: str, address: str, kind: SessionKind = "browser"
    ) -> str:
        """The secret of a new session. Raises SignInRefused, Throttled, and what opening a seal raises."""
        now = self._clock.now()
        account = operator_id if is_operator_id(operator_id) else "nobody"
        await self._throttle.take(account, address, now)
        credential = await self._accounts.credential(account)
        stored = None if credential is None else credential.password_hash
        right = await self._passwords.matches(password, stored)
        operator = await self._accounts.find(account)
        if not right or credential is None or stored is None or operator is None or operator.state != "active":
            raise self._refused(operator, address)
        if credential.totp_secret is not None and not await self._took_code(credential, code, now):
            raise self._refused(operator, address)
        if is_outdated(stored):
            await self._pool.execute(STATEMENTS["replace_hash"], account, stored, await self._passwords.hash(password))
        await self._throttle.succeeded(account, address, now)
        return await self._begin(operator, credential.version, address, kind, now)

    async def first_sign_in(
        self, operator_id: str, invitation: str, password: str, totp_secret: bytes, code: str, address: str
    ) -> str:
        """Takes an invitation, once: sets the password, and the second factor unless neither is needed nor a code was
        given. Returns the secret of a new session. Raises SignInRefused, PasswordRefused, Throttled, SealingRefused."""
        now = self._clock.now()
        account = operator_id if is_operator_id(operator_id) else "nobody"
        await self._throttle.take(account, address, now)
        credential, operator = await self._accounts.credential(account), await self._accounts.find(account)
        if (
            credential is None
            or operator is None
            or operator.state != "active"
            or credential.invited_until is None
            or credential.invited_until < now
            or not secrets.compare_digest(credential.invitation_hash or b"", secret_hash(invitation))
        ):
            raise SignInRefused("this first sign-in is not known, was used, or is over; ask for another one")
        require_password(password, account)
        step = matching_step(totp_secret, code, now) if code else None
        if step is None and (code or self.wants_second_factor(operator)):
            raise SignInRefused("the code does not match; enter the one that your authenticator shows now")
        sealed = None if step is None else self._sealer.seal(totp_secret, totp_row(account))
        version = await self._pool.fetchval(
            STATEMENTS["set_credential"],
            account,
            credential.invitation_hash,
            await self._passwords.hash(password),
            sealed,
            step or 0,
            now,
        )
        if version is None:
            raise SignInRefused("this first sign-in was used just now; if it was not you, have it reset")
        await self._throttle.succeeded(account, address, now)
        return await self._begin(operator, version, address, "browser", now)

    async def viewer(self, token: str) -> Viewer | None:
        """Who is signed in with this secret, with what they may do now; None where nobody is."""
        now, hashed = self._clock.now(), secret_hash(token)
        session = await self._pool.fetchrow(STATEMENTS["session"], hashed)
        if session is None or session["ended_at"] is not None or self._is_over(session, now):
            return None
        operator = await self._accounts.find(session["operator_id"])
        credential = await self._accounts.credential(session["operator_id"])
        if operator is None or credential is None or operator.state != "active":
            return None
        if credential.version != session["credential_version"]:
            return None
        if now - session["used_at"] > _USED_EVERY:
            await self._pool.execute(STATEMENTS["use_session"], hashed, now)
        rights = operator.rights()
        if credential.totp_secret is None and self._settings.console_second_factor:
            rights -= SECOND_FACTOR_RIGHTS  # roles may have been raised since; a reset enrols
        return Viewer(
            operator_id=operator.operator_id,
            roles=frozenset(operator.roles),
            merchants=None if operator.merchants is None else frozenset(operator.merchants),
            rights=rights,
            signed_in_at=session["signed_in_at"],
        )

    async def sign_out(self, token: str) -> None:
        """The session is over, in every process."""
        await self._pool.execute(STATEMENTS["end_session"], secret_hash(token), self._clock.now())

    def wants_second_factor(self, operator: OperatorVersion) -> bool:
        """Whether the operator has to enrol one."""
        return self._settings.console_second_factor and needs_second_factor(operator.roles)

    def _is_over(self, session: asyncpg.Record, now: datetime) -> bool:
        idle = timedelta(milliseconds=self._settings.console_idle_ms)
        longest = timedelta(milliseconds=self._settings.console_session_ms)
        return bool(now - session["used_at"] > idle or now - session["signed_in_at"] > longest)

    async def _took_code(self, credential: Credential, code: str, now: datetime) -> bool:
        """Whether the code is right, and nobody used it before."""
        assert credential.totp_secret is not None, "asked for enrolled operators alone"
        secret = self._sealer.open(credential.totp_secret, totp_row(credential.operator_id))
        step = matching_step(secret, code, now)
        if step is None:
            return False
        taken = await self._pool.fetchval(STATEMENTS["use_code"], credential.operator_id, credential.version, step)
        return taken is not None

    async def _begin(
        self, operator: OperatorVersion, credential_version: int, address: str, kind: SessionKind, now: datetime
    ) -> str:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        await self._pool.execute(
            STATEMENTS["insert_session"],
            secret_hash(token),
            operator.operator_id,
            credential_version,
            kind,
            address,
            now,
        )
        log.info("operator signed in", operator=operator.operator_id, address=address, kind=kind)
        return token

    def _refused(self, operator: OperatorVersion | None, address: str) -> SignInRefused:
        """What was typed as a name may be a password: only names of operators are logged."""
        known = None if operator is None else operator.operator_id
        log.warning("sign-in refused", operator=known, address=address)
        return SignInRefused(_WRONG)
