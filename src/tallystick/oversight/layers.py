"""The layers above single rows: what a provider or bank says that it has for us beside the ledger, payouts beside what
arrived, and entries of a bank beside what explains them. Each difference is named, to the minor unit.

What is theirs and ours is taken from statements and from the ledger; the causes are taken from batches, payouts and
evidence. So what is left over is proof, and is zero unless something is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, Literal

from msgspec import Struct

from tallystick.decisions.payouts_at_bank import Way, way_of
from tallystick.decisions.statement_continuity import breaks, by_account
from tallystick.domain.bank_statement import StatementHead
from tallystick.domain.ledger.accounts import (
    bank_account,
    bank_in_transit_account,
    provider_balance_account,
    unexplained_account,
)
from tallystick.oversight.cause import Cause
from tallystick.record.postgres.balance_reads import BalanceReads, Balances, Stated

#: stated_balance: what a statement closes with, and the ledger. payouts: what arrived, and what was sent. entries: what
#: a bank's entries moved, and what of it is explained.
LayerName = Literal["stated_balance", "payouts", "entries"]


class Layer(Struct, frozen=True, kw_only=True):
    """One layer in one currency. ``about``: the account of the ledger. ``difference`` is ``theirs - ours``, in minor
    units; ``unexplained_remainder`` is what the causes do not come to. ``until``: the newest statement."""

    layer: LayerName
    about: str
    currency: str
    theirs: int
    ours: int
    difference: int
    causes: Sequence[Cause]
    unexplained_remainder: int
    until: str | None = None


async def layers_of(reads: BalanceReads, provider: str) -> list[Layer]:
    """Every layer of a provider or bank that has something to say. Raises what the database raises."""
    first = await reads.of(provider, [provider_balance_account(provider), bank_in_transit_account(provider)])
    own = sorted({each.account for each in first.statements if each.is_bank})
    if not own:
        return [*_stated(provider, first), *_payouts(provider, first)]
    names = [bank_account(provider, account) for account in own]
    found = await reads.of(provider, [*names, *(unexplained_account(name) for name in names)])
    return [*_stated(provider, found), *_entries(provider, found)]


async def stated_layers(reads: BalanceReads, provider: str) -> list[tuple[Layer, datetime]]:
    """The balances that a provider states beside the ledger, each with when the newest fault in it came. Raises what
    the database raises."""
    found = await reads.stated(provider, [provider_balance_account(provider)])
    return [
        (each, _since([said for said in found.statements if said.currency == each.currency]))
        for each in _stated(provider, found)
    ]


def _since(statements: Sequence[Stated]) -> datetime:
    """When the newest statement came that does not go on, or is not what its rows are; of none, when the newest
    came."""
    broken = [each.since for each in breaks([_head(each) for each in statements]) if each.kind in _BREAKS]
    return max(
        [*broken, *(each.imported_at for each in statements if _off(each))] or [each.imported_at for each in statements]
    )


def _off(each: Stated) -> int:
    """What the rows of a statement come to besides its balances; 0 where it is not posted."""
    return 0 if each.doubled or each.moved is None else each.closing - each.opening - each.moved


def _stated(provider: str, found: Balances) -> Iterator[Layer]:
    """What the newest statements close with, and the ledger."""
    by_account = sorted(found.statements, key=lambda each: (_ledger_account(each), each.currency))
    for (about, currency), group in groupby(by_account, key=lambda each: (_ledger_account(each), each.currency)):
        statements = list(group)
        kept = [each for each in statements if not each.doubled]
        if not kept:
            continue  # the statement that they are doubles of was withdrawn
        causes = [*_of_statements(statements, kept)]
        if not kept[0].is_bank:
            causes += [
                Cause(
                    cause="not_stated",
                    detail="batches that no statement has",
                    count=each.batches,
                    amount=-each.moved,
                    absolute=each.absolute,
                )
                for each in found.not_stated
                if each.currency == currency
            ]
        last = [each[-1] for each in _series(kept)]
        yield _layer(
            "stated_balance",
            about,
            currency,
            theirs=sum(each.closing for each in last),
            ours=found.ledger.get((about, currency), 0),
            causes=causes,
            until=last[-1].batch,
        )


def _of_statements(statements: Sequence[Stated], kept: Sequence[Stated]) -> Iterator[Cause]:
    for each in _series(kept):
        yield _cause("before_first", "what the first statement opens with", [each[0].opening])
    for kind, said in _BREAKS.items():
        found = [each for each in breaks([_head(each) for each in statements]) if each.kind == kind]
        yield _cause(kind, said, [each.amount for each in found])
    waiting = [each.closing - each.opening for each in kept if each.moved is None]
    yield _cause("not_posted", "statements that are not posted yet", waiting)
    off = [amount for each in kept if (amount := _off(each))]
    yield _cause("not_as_stated", "rows come to something else than the balances", off)


#: Where statements do not go on from each other; a double moves nothing.
_BREAKS: Final = {
    "gap": "statements are missing between two",
    "opening": "a statement opens with another balance than the one before it closed with",
}


def _payouts(provider: str, found: Balances) -> Iterator[Layer]:
    """What arrived at our banks of what the provider says that it sent, of batches that are posted."""
    about = bank_in_transit_account(provider)
    settled = [each for each in found.payouts if each.settled]
    for currency in sorted({each.currency for each in settled}):
        of = [each for each in settled if each.currency == currency]
        sent = sum(each.amount for each in of)
        yield _layer(
            "payouts",
            about,
            currency,
            theirs=sent - found.ledger.get((about, currency), 0),
            ours=sent,
            causes=[
                _cause(name, said, [each.arrived - each.amount for each in of if way_of(each) == way])
                for way, (name, said) in _WAYS.items()
            ],
        )


#: What can have become of a payout that did not arrive as it was sent: the cause, and what it says.
_WAYS: Final[dict[Way, tuple[str, str]]] = {
    "not_arrived": ("not_arrived", "payouts without an entry of a bank"),
    "came_back": ("came_back", "payouts that the provider took back"),
    "other_amount": ("mismatched: amount", "payouts that arrived with another amount"),
}


def _entries(provider: str, found: Balances) -> Iterator[Layer]:
    """What a bank's entries moved, and what of it is payouts or charges."""
    by_account = sorted(found.entries, key=lambda each: (each.account, each.currency))
    for (account, currency), group in groupby(by_account, key=lambda each: (each.account, each.currency)):
        sums, about = list(group), bank_account(provider, account)
        explained = found.ledger.get((about, currency), 0) + found.ledger.get((unexplained_account(about), currency), 0)
        yield _layer(
            "entries",
            about,
            currency,
            theirs=sum(each.net for each in sums),
            ours=explained,
            causes=[
                Cause(
                    cause=f"{each.status}: {each.reason}",
                    detail="entries that are no payout and no charge",
                    count=each.entries,
                    amount=each.net,
                    absolute=each.absolute,
                )
                for each in sums
                if each.part == "unexplained"
            ],
        )


def _layer(
    layer: LayerName,
    about: str,
    currency: str,
    *,
    theirs: int,
    ours: int,
    causes: Sequence[Cause],
    until: str | None = None,
) -> Layer:
    kept = [each for each in causes if each.absolute]
    return Layer(
        layer=layer,
        about=about,
        currency=currency,
        theirs=theirs,
        ours=ours,
        difference=theirs - ours,
        causes=kept,
        unexplained_remainder=theirs - ours - sum(each.amount for each in kept),
        until=until,
    )


def _cause(name: str, said: str, amounts: Sequence[int]) -> Cause:
    return Cause(
        cause=name, detail=said, count=len(amounts), amount=sum(amounts), absolute=sum(abs(each) for each in amounts)
    )


def _ledger_account(each: Stated) -> str:
    return bank_account(each.provider, each.account) if each.is_bank else provider_balance_account(each.provider)


def _series(statements: Sequence[Stated]) -> list[list[Stated]]:
    """The statements of each balance, in the order in which they follow each other. They are of one currency."""
    stated = {(each.account, each.batch): each for each in statements}
    found = by_account([_head(each) for each in statements])
    return [[stated[head.account, head.batch] for head in each] for each in found]


def _head(each: Stated) -> StatementHead:
    return StatementHead(
        **{name: getattr(each, name) for name in StatementHead.__struct_fields__ if name != "counts"},
        counts=each.moved is not None,
    )
