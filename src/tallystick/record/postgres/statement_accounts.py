"""Whether the statements of a file are of the bank account that earlier statements are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tallystick.decisions.balance_accounts import is_another_account
from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.domain.settlement_file import FileRefused, SettlementBatch
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("bank.sql")

_FORMATS: Final = list(STATEMENT_FORMATS)


async def require_same_account(connection: Any, file_id: str, parts: Sequence[SettlementBatch]) -> None:
    """In the transaction that ends an import. Raises FileRefused for a bank's file whose statements name another
    account than all earlier ones of this account and currency: each would take the other's numbers."""
    named = {(each.currency, each.balance_account) for each in parts if each.balance_account is not None}
    if not named:
        return
    own = await connection.fetchval(STATEMENTS["format_of_statements"], file_id, _FORMATS)
    if own is None:
        return
    about = parts[0]
    before = await connection.fetch(STATEMENTS["balance_accounts"], about.provider, about.account, _FORMATS)
    for currency, name in sorted(named):
        known = [(row["balance_account"], row["format"] == own) for row in before if row["currency"] == currency]
        if is_another_account(name, currency, known):
            raise FileRefused(
                "another_account",
                f"its statements in {currency} are of another bank account than those of "
                f"{about.provider}/{about.account} before: import it under an account of its own",
            )
