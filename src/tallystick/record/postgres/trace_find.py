"""Which payments a name is of: an id of ours, an idempotency key, a provider's reference, or an operator's act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from tallystick.kit.ids import derived_id
from tallystick.record.postgres import sql
from tallystick.record.postgres.pipeline import Call, PipelineConnection
from tallystick.record.postgres.trace_rows import Fetches, piped

STATEMENTS: Final = sql.load("trace_find.sql")


class FoundPayment(Struct, frozen=True, kw_only=True, order=True):
    """A payment that a name is of, and what the name is."""

    merchant_id: str
    payment_id: str
    named: str


async def find_payments(
    connection: PipelineConnection, name: str, merchant_id: str | None, accounts: Sequence[tuple[str, str]]
) -> list[FoundPayment]:
    """The payments that it is of, each once, in the order of their ids; of one merchant, or of all. One round trip, and
    two where it is an operator's act: what that is about is then looked for. ``accounts``: (provider, account) pairs
    whose references it may be. Raises as ``piped``."""
    calls = [*finding(name, merchant_id, accounts), Call(STATEMENTS["find_act"], (name,))]
    *answers, acts = await piped(connection, calls)
    named = _named(answers, merchant_id)
    if acts and not named:
        ((target,),) = acts
        found = _named(await piped(connection, finding(target, merchant_id, accounts)), merchant_id)
        named = dict.fromkeys(found, "act")
    return sorted(FoundPayment(merchant_id=key[0], payment_id=key[1], named=what) for key, what in named.items())


async def merchant_of(connection: Fetches, payment_id: str) -> str | None:
    """Whose a payment is, or None. Raises what the connection raises."""
    rows = await connection.fetch(STATEMENTS["merchant_of"], payment_id)
    return rows[0][0] if rows else None


def _named(answers: Sequence[Sequence[tuple[Any, ...]]], merchant_id: str | None) -> dict[tuple[str, str], str]:
    """(merchant, payment) -> what the name is."""
    named: dict[tuple[str, str], str] = {}
    for rows in answers:
        for what, owner, payment_id in rows:
            if owner is not None and merchant_id in (None, owner):
                named.setdefault((owner, payment_id), what)
    return named


def finding(name: str, merchant_id: str | None, accounts: Sequence[tuple[str, str]]) -> list[Call]:
    """The statements that find it, to be sent together."""
    providers, at = [each[0] for each in accounts], [each[1] for each in accounts]
    derived = [derived_id("dp", *account, name) for account in accounts]  # those first heard of from a provider
    derived += [derived_id("re", *account, name) for account in accounts]
    return [
        Call(STATEMENTS["find"], (merchant_id, name, derived)),
        Call(STATEMENTS["find_event"], (name, providers, at)),
        Call(STATEMENTS["find_charge"], (name, providers, at)),
    ]


async def found_by(connection: Fetches, name: str, accounts: Sequence[tuple[str, str]]) -> list[FoundPayment]:
    """The same of all merchants, statement by statement: for a pool, which sends nothing together. Raises what the
    connection raises."""
    answers = [[tuple(row) for row in await connection.fetch(*_sent(each))] for each in finding(name, None, accounts)]
    named = _named(answers, None)
    if not named and (acts := await connection.fetch(STATEMENTS["find_act"], name)):
        target = acts[0][0]
        answers = [
            [tuple(row) for row in await connection.fetch(*_sent(each))] for each in finding(target, None, accounts)
        ]
        named = dict.fromkeys(_named(answers, None), "act")
    return sorted(FoundPayment(merchant_id=key[0], payment_id=key[1], named=what) for key, what in named.items())


def _sent(call: Call) -> tuple[Any, ...]:
    return (call.query, *call.arguments)
