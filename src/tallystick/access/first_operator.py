"""The first operator of a new record, whom `up` and `demo` invite."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.access.accounts import (
    STATEMENTS,
    OperatorVersion,
    insert_invitation,
    insert_version,
    new_invitation,
    reset_credential,
    secret_hash,
    take_bootstrap,
)
from tallystick.access.operator import operator_of_shell
from tallystick.access.roles import Role
from tallystick.domain.operator_act import AskedAct
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.connections import connect

#: Who is there before anybody has a name.
FIRST_OPERATOR: Final = "admin"

#: Everything but raw evidence, so that one person can look round.
_ROLES: Final[tuple[Role, ...]] = ("admin", "operator")

#: A command that waits longer for one row waits for a database in trouble.
_COMMAND_TIMEOUT_MS: Final = 10_000


class FirstSignIn(Struct, frozen=True, kw_only=True):
    """Shown once, to whoever started the platform."""

    operator_id: str
    invitation: str

    def __repr__(self) -> str:
        return f"FirstSignIn({self.operator_id!r})"


async def first_sign_in(database_url: str) -> FirstSignIn | None:
    """An invitation for the first operator, who is added if there is nobody; another one while they have not signed in.
    None once they have, or where others were added first."""
    connection = await connect(database_url, command_timeout_ms=_COMMAND_TIMEOUT_MS)
    try:
        taken = [row["operator_id"] for row in await connection.fetch(STATEMENTS["bootstrap"])]
        credential = await connection.fetchrow(STATEMENTS["credential"], FIRST_OPERATOR)
        if taken and (taken[0] != FIRST_OPERATOR or credential is None or credential["password_hash"] is not None):
            return None
        invitation, now, actor = new_invitation(), utc_now(), operator_of_shell().name
        async with connection.transaction():
            if taken:
                await reset_credential(connection, FIRST_OPERATOR, secret_hash(invitation), now)
            else:
                await take_bootstrap(connection, 1, FIRST_OPERATOR, actor, now)
                await insert_version(connection, _first_version(actor))
                await insert_invitation(connection, FIRST_OPERATOR, secret_hash(invitation), now)
                await insert_act(connection, _asked(actor).done({"operator": FIRST_OPERATOR, "approved_by": []}, now))
    finally:
        await connection.close()
    return FirstSignIn(operator_id=FIRST_OPERATOR, invitation=invitation)


def _first_version(actor: str) -> OperatorVersion:
    return OperatorVersion(
        operator_id=FIRST_OPERATOR,
        version=1,
        state="active",
        roles=_ROLES,
        actor=actor,
        request_id=None,
        at=utc_now(),
    )


def _asked(actor: str) -> AskedAct:
    act_id = new_id("opa")
    return AskedAct(
        operator=actor,
        idempotency_key=act_id,
        act_id=act_id,
        act="operator.add",
        target=FIRST_OPERATOR,
        arguments={"roles": list(_ROLES)},
        reason="the first operator of a new record",
    )
