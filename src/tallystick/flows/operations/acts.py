"""How an operator's act is done once: asked for again it is answered from the record, by whichever process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from tallystick.domain.errors import TallystickError
from tallystick.domain.kinds import KINDS
from tallystick.domain.operator_act import ActKeyReused, AskedAct, OperatorAct
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import is_id, new_id
from tallystick.providers.assembly import secret_values
from tallystick.record.postgres.acts import ActBook
from tallystick.settings.load import Settings

#: What may be annotated beside every subject of the record: whatever has an id with one of these prefixes.
ANNOTATED: Final = ("evt", "msg", "we", "opa", "dep", "chg", "rej", "wrf")


class NoSuchTarget(TallystickError):
    """The target is no id of anything that can have a note; nothing was written."""


async def once(acts: ActBook, asked: AskedAct, do: Callable[[], Awaitable[OperatorAct]]) -> tuple[OperatorAct, bool]:
    """The act as it is recorded, and whether it was done before. ``do`` writes the effect and the record of it in one
    transaction, so that there is never one without the other.

    Raises ActKeyReused where the operator used the key for another act, and what ``do`` raises.
    """
    known = await known_act(acts, asked)
    if known is not None:
        return known, True
    try:
        return await do(), False
    except (TallystickError, asyncpg.UniqueViolationError):
        # A twin may have been faster: it took the key, or has left nothing to do. Or the commit had no answer.
        known = await known_act(acts, asked)
        if known is None:
            raise
        return known, True


async def known_act(acts: ActBook, asked: AskedAct) -> OperatorAct | None:
    """The act where it was done before. Raises ActKeyReused where another one was done under its key."""
    known = await acts.find(asked.operator, asked.idempotency_key)
    if known is not None and known.fingerprint != asked.fingerprint:
        raise ActKeyReused(f"the key was used for another act ({known.act} of {known.target}); nothing was done")
    return known


async def perform(
    acts: ActBook, settings: Settings, asked: AskedAct, do: Callable[[], Awaitable[OperatorAct]]
) -> tuple[OperatorAct, bool]:
    """``once``, for an act whose words may be kept. Raises WordsRefused too."""
    asked.require_words(secret_values(settings))
    return await once(acts, asked, do)


async def recorded(acts: ActBook, asked: AskedAct) -> OperatorAct:
    """The act, after the flow that carries it out has committed it. LookupError where it has not: a defect."""
    found = await acts.find(asked.operator, asked.idempotency_key)
    if found is None:
        raise LookupError(f"act {asked.act_id} was carried out and is not recorded")
    return found


async def annotate(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """A note: it consists in its record. The note is the reason. Raises NoSuchTarget for a target that cannot have
    one."""
    prefixes = (*ANNOTATED, *(kind.id_prefix for kind in KINDS.values()))
    if not any(is_id(prefix, asked.target) for prefix in prefixes):
        raise NoSuchTarget(f"{asked.target!r} is no id of anything that can be annotated")
    payment_id = asked.target if asked.target.startswith("pay_") else None
    act = asked.done({}, runtime.clock.now(), payment_id=payment_id)
    await runtime.stores.acts.record(act)
    return act


def asked_act(
    operator: str, key: str | None, act: Any, target: str, reason: str, *, key_kind: Any = None, **arguments: Any
) -> AskedAct:
    """An act as it is asked for. Without a key it has one of its own, and is another act each time."""
    act_id = new_id("opa")
    return AskedAct(
        operator=operator,
        idempotency_key=act_id if key is None else key,
        act_id=act_id,
        act=act,
        target=target,
        arguments={name: value for name, value in arguments.items() if value is not None},
        reason=reason.strip(),
        key_kind=key_kind,
    )
