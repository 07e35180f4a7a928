"""Compares tables that are not sealed themselves with what is: whose charge a provider's reference names, which charges
have to be known, and what each API key may do. And acts that say of a restore what nobody signed."""

from __future__ import annotations

from typing import Any, Final

from tallystick.oversight.audit.report import KEPT, AuditReport, thing_name
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("audit_folds.sql")

#: References, or attempts, in one read.
_PAGE: Final = 5_000

#: Of the act of a restore. Its declaration is signed, and names the act.
RESTORED: Final = "audit.restored"


async def compare_folds(connection: Any, declared_acts: set[str], report: AuditReport) -> None:
    """Tell the report what is not what history and acts say. ``declared_acts``: the ids of acts that a signed
    declaration names. Raises what asyncpg raises."""
    await _compare_references(connection, report)
    await _look_for_references(connection, report)
    for row in await connection.fetch(STATEMENTS["keys_gone"], KEPT):
        about = f"api_key {row['merchant_id']} {row['key_id']}"
        report.add("removed", about, "an act made it, and it is not there; a key that is given up stays, revoked")
    for row in await connection.fetch(STATEMENTS["keys_unlike_their_acts"], KEPT):
        detail = "it is not what the last act about it made" if row["known"] else "no act made it"
        report.add("changed" if row["known"] else "inserted", f"api_key {row['merchant_id']} {row['key_id']}", detail)
    await _compare_restores(connection, declared_acts, report)


async def _compare_restores(connection: Any, declared_acts: set[str], report: AuditReport) -> None:
    acts = await connection.fetch(STATEMENTS["acts_named"], RESTORED)
    for row in acts:
        if row["act_id"] not in declared_acts:
            about = thing_name("operator_act", "", f"{row['operator']}/{row['idempotency_key']}")
            report.add("stray", about, "it says that the record was restored, and no signed declaration does")
    requests = [row["idempotency_key"] for row in acts]
    ended = {row["request_id"] for row in await connection.fetch(STATEMENTS["approved"], requests)}
    approved = {row["act_id"] for row in acts if row["idempotency_key"] in ended}
    for act in sorted(declared_acts - approved):
        report.add("stray", f"restore of the act {act}", "it was declared, and no second person approved it")


async def _compare_references(connection: Any, report: AuditReport) -> None:
    after, compared = ("", "", ""), 0
    while page := await connection.fetch(STATEMENTS["references"], *after, _PAGE):
        columns = [list(column) for column in zip(*(tuple(row) for row in page), strict=True)]
        proved = {tuple(row) for row in await connection.fetch(STATEMENTS["references_in_history"], *columns)}
        for row in page:
            if tuple(row) not in proved:
                about = thing_name("provider_reference", "", "/".join(tuple(row)[:3]))
                report.add("stray", about, f"no step of {row['payment_id']} names this charge")
        after, compared = tuple(page[-1])[:3], compared + len(page)
    there = await connection.fetchval(STATEMENTS["references_there"])
    if there != compared:
        detail = f"it has {there:,} rows, and {compared:,} were found in the order of their keys"
        report.add("stray", "provider_reference", detail)


async def _look_for_references(connection: Any, report: AuditReport) -> None:
    """Charges that history keeps, and that are not known: what is told of them would be nobody's."""
    keeping = [name for name, setup in PROVIDERS.items() if setup.keeps_references]
    after: tuple[str, ...] | None = ("", "", "")
    while after is not None:
        end = await connection.fetchrow(STATEMENTS["attempts_end"], *after, _PAGE)
        upto = (None, None, None) if end is None else tuple(end)
        kept = [tuple(row) for row in await connection.fetch(STATEMENTS["references_kept"], *after, *upto, keeping)]
        columns = [list(column) for column in zip(*kept, strict=True)][:3]
        known = {tuple(row) for row in await connection.fetch(STATEMENTS["references_known"], *columns)} if kept else ()
        for *name, payment_id in kept:
            if tuple(name) not in known:
                about = thing_name("provider_reference", "", "/".join(name))
                report.add("removed", about, f"the history of {payment_id} keeps this charge, and it is not there")
        after = None if end is None else tuple(end)
