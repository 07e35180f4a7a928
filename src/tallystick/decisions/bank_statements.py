"""What is posted of a bank statement whose entries were compared. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.domain.bank_statement import Arrived, BankStatement
from tallystick.domain.change import Change


class StatementName(Struct, frozen=True, kw_only=True):
    """Which statement it is, in one currency."""

    provider: str
    account: str
    batch: str
    currency: str


class StatementSums(Struct, frozen=True, kw_only=True):
    """What the newest evidence of a statement's entries comes to, after so many comparisons."""

    comparisons: int
    root: str
    entries: int
    arrivals: Sequence[Arrived]
    fees: int
    unexplained: int
    written_off: int = 0


def statement_posted(
    stored: BankStatement | None,
    merchant_id: str,
    statement_id: str,
    name: StatementName,
    sums: StatementSums,
    cause: Cause,
) -> Change | None:
    """The statement as these sums say, or its difference to the version before. None where it is so already."""
    if stored is not None and stored.comparisons >= sums.comparisons:
        return None
    arrived = sum(each.amount for each in sums.arrivals)
    totals: dict[str, Any] = {
        "comparisons": sums.comparisons,
        "root": sums.root,
        "entries": sums.entries,
        "net": arrived + sums.unexplained + sums.written_off - sums.fees,
        "arrived": arrived,
        "arrivals": tuple(sums.arrivals),
        "fees": sums.fees,
        "unexplained": sums.unexplained,
        "written_off": sums.written_off,
    }
    builder = ChangeBuilder(merchant_id, statement_id, cause)
    if stored is None:
        builder.open(
            BankStatement(
                merchant_id=merchant_id,
                statement_id=statement_id,
                version=1,
                state="posted",
                provider=name.provider,
                account=name.account,
                statement=name.batch,
                currency=name.currency,
                created_at=cause.at,
                updated_at=cause.at,
                **totals,
            )
        )
    else:
        builder.move(stored, "compared_again", **totals)
    return builder.change(must_not_be_shed=True)
