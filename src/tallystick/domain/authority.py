"""Who settles what happened, where two sources disagree: one row for every pair of sources. Pure.

``docs/authority.md`` is printed from this table. Matching takes from it what is kept of a disagreement and who is told;
the tests drive each pair into disagreement.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, Literal, get_args

from msgspec import Struct

#: What says what happened. record: our history. answer: what a provider answered to our call. webhook: what it said
#: unasked. look_up: what it answered when we asked again. settlement_row and bank_entry: lines of files.
#: ledger_balance: the sum of our postings. report: what a provider publishes beside its settlement files; it is only
#: ever compared.
Source = Literal["record", "answer", "webhook", "look_up", "settlement_row", "bank_entry", "ledger_balance", "report"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)

#: What each source is, for people.
MEANINGS: Final[dict[Source, str]] = {
    "record": "our history of a payment, refund, dispute or attempt",
    "answer": "what a provider answered to our own call",
    "webhook": "what a provider said unasked, verified",
    "look_up": "what a provider answered when it was asked what became of an attempt",
    "settlement_row": "a row of a file that says what a provider's balance for us consists of",
    "bank_entry": "a booked entry of a bank statement",
    "ledger_balance": "the sum of our postings to an account",
    "report": "what a provider publishes beside its settlement files, such as a list of events",
}

#: What is kept of a disagreement. nothing_moves: the steps so far stay as they are, and the attempt is looked at again.
#: rejection: the refused step, with a case. suspense: the step, and its money apart. dead_letter: the event, with its
#: reason. evidence: the comparison, with both values. batch_fault: the batch, with the difference; nothing of it is
#: matched. violation: what `verify` prints.
Kept = Literal["nothing_moves", "rejection", "suspense", "dead_letter", "evidence", "batch_fault", "violation"]
KEPT: Final[tuple[Kept, ...]] = get_args(Kept)

#: Who hears of it. nobody: it ends by itself.
Told = Literal["nobody", "operations", "finance", "engineering"]

HOUR_H: Final = 1
DAY_H: Final = 24


class Authority(Struct, frozen=True, kw_only=True):
    """One pair. ``settles``: the source that is believed, or a person. ``lasts_at_most_h``: how long the two may
    disagree before somebody who was not told before is; None: nobody may leave it at all."""

    first: Source
    second: Source
    settles: Source | Literal["person"]
    because: str
    kept: Kept
    written: str
    told: Told
    lasts_at_most_h: int | None
    lasts: str


def _pair(
    first: Source,
    second: Source,
    settles: Source | Literal["person"],
    because: str,
    kept: Kept,
    written: str,
    told: Told,
    lasts: tuple[int | None, str],
) -> Authority:
    return Authority(
        first=first,
        second=second,
        settles=settles,
        because=because,
        kept=kept,
        written=written,
        told=told,
        lasts_at_most_h=lasts[0],
        lasts=lasts[1],
    )


_CASE: Final = (DAY_H, "24 hours without an owner")
_CHECKS: Final = (HOUR_H, "until recovery's tries are used up; then it is in doubt")
_SIGN_OFF: Final = (None, "until the period is signed off")
_AT_ONCE: Final = (0, "not at all")

#: Every pair, once. A pair is read in both directions.
AUTHORITIES: Final[tuple[Authority, ...]] = (
    _pair(
        "record", "answer", "look_up",
        "an answer to our own call that contradicts a final state is asked again before it is believed",
        "rejection", "the refused step with both values, and a case", "operations", _CASE,
    ),
    _pair(
        "record", "webhook", "look_up",
        "a webhook can be late, doubled or out of order",
        "rejection", "the refused step with the event, and a case", "operations", _CASE,
    ),
    _pair(
        "record", "look_up", "look_up",
        "the provider knows what it did; a closed subject still does not reopen",
        "suspense", "late money in `suspense:<p>`, or the refused step and a case", "operations", _CASE,
    ),
    _pair(
        "record", "settlement_row", "settlement_row",
        "money that was settled has moved; what it is for is settled by its reference alone. What only a row knows"
        " of a payment is news: an event of the inbox first",
        "evidence", "the comparison with both values; the row's money in `unexplained:<p>`", "finance", _SIGN_OFF,
    ),
    _pair(
        "record", "bank_entry", "person",
        "an entry names no payment",
        "evidence", "the entry in `unexplained:<account>`", "finance", _SIGN_OFF,
    ),
    _pair(
        "record", "ledger_balance", "record",
        "postings follow from steps, never the other way",
        "violation", "what `verify` prints, with both sums", "engineering", _AT_ONCE,
    ),
    _pair(
        "record", "report", "look_up",
        "a report says what was asked for and not what was done",
        "evidence", "the comparison with both values; nothing is posted", "operations", _SIGN_OFF,
    ),
    _pair(
        "answer", "webhook", "look_up",
        "both are the provider's word, and neither is known to be the later one",
        "rejection", "the refused step of whichever came second, and a case", "operations", _CASE,
    ),
    _pair(
        "answer", "look_up", "look_up",
        "it is the provider's word about what it has booked",
        "rejection", "the refused step, and a case", "operations", _CASE,
    ),
    _pair(
        "answer", "settlement_row", "settlement_row",
        "a declined or unknown call whose money was settled has moved money",
        "evidence", "the comparison: mismatched in state; the money in `unexplained:<p>`", "finance", _SIGN_OFF,
    ),
    _pair(
        "answer", "bank_entry", "bank_entry",
        "the booked entry is the only proof that money came to our bank, or left it",
        "evidence", "the entry, whole, in `unexplained:<account>`; the call keeps its outcome", "finance", _SIGN_OFF,
    ),
    _pair(
        "answer", "ledger_balance", "answer",
        "an answer that was accepted has posted; else it is an unknown outcome",
        "nothing_moves", "the attempt as unknown, until it is looked up", "operations", _CHECKS,
    ),
    _pair(
        "answer", "report", "look_up",
        "a report is made of events, and may lack some",
        "evidence", "the comparison; nothing is posted", "operations", _SIGN_OFF,
    ),
    _pair(
        "webhook", "look_up", "look_up",
        "a look-up is asked later, and answers from the provider's books",
        "rejection", "the refused step with the event, and a case", "operations", _CASE,
    ),
    _pair(
        "webhook", "settlement_row", "settlement_row",
        "a row is money; a webhook is news of it. One movement has one name in both, and posts once",
        "evidence", "the comparison with both values", "finance", _SIGN_OFF,
    ),
    _pair(
        "webhook", "bank_entry", "bank_entry",
        "a payout that a webhook calls paid may still fail",
        "evidence", "the payout without an entry, or the entry and the difference; nothing moves for the webhook",
        "finance", _SIGN_OFF,
    ),
    _pair(
        "webhook", "ledger_balance", "look_up",
        "an event that cannot be applied posts nothing",
        "dead_letter", "the event with the reason why it was not applied", "operations", _CHECKS,
    ),
    _pair(
        "webhook", "report", "look_up",
        "both are lists of events that may lack some",
        "evidence", "the comparison; nothing is posted", "operations", _SIGN_OFF,
    ),
    _pair(
        "look_up", "settlement_row", "settlement_row",
        "what was settled was booked, whatever a look-up says now; to a payment the look-up's word alone is posted",
        "evidence", "the comparison: mismatched in state", "finance", _SIGN_OFF,
    ),
    _pair(
        "look_up", "bank_entry", "bank_entry",
        "the bank's books have the money",
        "evidence", "the entry, whole, in `unexplained:<account>`; the payment keeps its state", "finance", _SIGN_OFF,
    ),
    _pair(
        "look_up", "ledger_balance", "look_up",
        "what the provider has and we lack is posted when it is learned",
        "suspense", "the money in `suspense:<p>` where its subject is closed", "operations", _CASE,
    ),
    _pair(
        "look_up", "report", "look_up",
        "a look-up is about one attempt, and is asked later",
        "evidence", "the comparison; nothing is posted", "operations", _SIGN_OFF,
    ),
    _pair(
        "settlement_row", "bank_entry", "bank_entry",
        "the payout's row says what was sent, the entry what arrived; the rest is a charge or missing",
        "evidence", "the batch, the entry and the difference", "finance", _SIGN_OFF,
    ),
    _pair(
        "settlement_row", "ledger_balance", "settlement_row",
        "a file that adds up is what the provider owes; each row is explained until the sums agree",
        "evidence", "one difference for each row, whose sum is that of the balances", "finance", _SIGN_OFF,
    ),
    _pair(
        "settlement_row", "report", "settlement_row",
        "a report is compared and never posted",
        "evidence", "the comparison with both values", "finance", _SIGN_OFF,
    ),
    _pair(
        "bank_entry", "ledger_balance", "bank_entry",
        "`bank:<account>` is written by entries alone, so a statement that goes on from the last one cannot disagree",
        "batch_fault", "the statement with the balance that it should open with", "finance", _AT_ONCE,
    ),
    _pair(
        "bank_entry", "report", "bank_entry",
        "a report of payouts is a forecast of entries",
        "evidence", "the comparison; nothing is posted", "finance", _SIGN_OFF,
    ),
    _pair(
        "ledger_balance", "report", "person",
        "a report's total has no rows by which it could be proved",
        "evidence", "both sums and their difference", "finance", _SIGN_OFF,
    ),
)  # fmt: skip

_BY_PAIR: Final = {frozenset((each.first, each.second)): each for each in AUTHORITIES}

#: Pairs that the table must have.
PAIRS: Final[tuple[tuple[Source, Source], ...]] = tuple(combinations(SOURCES, 2))


def authority(first: Source, second: Source) -> Authority:
    """The row of a pair, in either order. KeyError for a source and itself."""
    return _BY_PAIR[frozenset((first, second))]
