"""The batches of a settlement file beside the entries of our banks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tallystick.decisions.bank_matching import Payout
from tallystick.decisions.payouts_at_bank import at_bank
from tallystick.domain.settlement_file import SettlementFile
from tallystick.domain.settlement_views import AtBankView
from tallystick.oversight.payment_reconciliation import rule_of
from tallystick.record.postgres.bank_book import BankBook
from tallystick.settings.load import Settings


async def batches_at_bank(
    book: BankBook, settings: Settings, file: SettlementFile, now: datetime
) -> Mapping[tuple[str, str], AtBankView]:
    """(batch, currency) -> what became of its payouts, whichever file has them; of batches with payouts alone. Raises
    what the pool raises."""
    of_batch: dict[tuple[str, str], list[Payout]] = {}
    for each in await book.payouts_of_account(file.provider, file.account):
        of_batch.setdefault((each.batch, each.currency), []).append(each)
    rule = rule_of(settings, file.provider, file.account)
    return {name: at_bank(payouts, rule, now) for name, payouts in of_batch.items()}
