"""Settlement rows compared with the record's postings, stage by stage. Pure.

The surest stage that finds anything decides; a later one is not asked. What fits several things is *ambiguous*, and is
never given to one of them. The last stage allows a difference that has a name: the agreed fee, rounding, or the
provider's rate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.provider_fees import FeeCheck
from tallystick.decisions.settlement_match import (
    FeesOf,
    Match,
    agreeing,
    by_type,
    converted,
    not_agreeing,
    not_moved,
    paid,
    with_fee_in_amount,
)
from tallystick.decisions.settlement_names import RowNames
from tallystick.decisions.settlement_sets import sets_of
from tallystick.decisions.settlement_tolerance import rounding_bound
from tallystick.domain.settlement_evidence import (
    OF_PAYMENTS,
    Candidate,
    CoveredPosting,
    FoundBy,
    Reason,
    Stage,
)
from tallystick.domain.settlement_row import RowKind, SettlementRow

#: The two stages that look at one reference alone, the surest first.
_EXACT: Final[tuple[tuple[FoundBy, Stage], ...]] = (
    ("provider_reference", "provider_reference"),
    ("alternative_reference", "alternative_reference"),
)

#: The stage after them: by the payment, and what the row says of it.
_BY_PAYMENT: Final[Stage] = "reference_amount_currency"

#: Not every provider gives these a name besides that of their payment: one of Stripe's charges is its PaymentIntent's.
_MAY_LACK_A_NAME: Final[frozenset[RowKind]] = frozenset({"charge", "charge_reversal"})

#: Alone such a row does not agree; with others of its reference it may.
_WAIT: Final[frozenset[Reason]] = frozenset({"amount", "reference", "not_in_record", "ambiguous"})

#: The row accounts for the posting: no other row can.
TAKES: Final[frozenset[Reason]] = frozenset(
    {"same", "fee", "conversion", "fee_in_amount", "rounding", "amount", "person"}
)

PostingKey = tuple[str, str, int, int]

#: (merchant_id, payment_id).
PaymentKey = tuple[str, str]


#: A reference is the name of what moved, and nothing else is known of names.
_ANY_NAMES: Final = RowNames()


class _Waiting(Struct, frozen=True):
    """A row that does not agree alone, and what it was compared with. ``possible``: what of it has no other name.
    ``own_name``: of which the row is the one movement."""

    match: Match
    found: Sequence[Candidate]
    possible: Sequence[Candidate]
    fees: FeesOf
    own_name: str | None

    @property
    def others(self) -> list[Candidate]:
        """Postings that have another name."""
        return [each for each in self.found if each not in self.possible]


class FileMatcher:
    """Compares rows of one account in their order: a posting is matched with one row, or with one group of rows.
    ``taken``: postings that rows have; of several matchers that share it, none takes what another one has."""

    def __init__(self, taken: set[PostingKey] | None = None) -> None:
        self._taken: set[PostingKey] = set() if taken is None else taken
        self._waiting: dict[tuple[str | None, ...], list[_Waiting]] = {}

    def add(
        self, row: SettlementRow, found: Sequence[Candidate], fees: FeesOf, names: RowNames = _ANY_NAMES
    ) -> Match | None:
        """What the row came to; None: ``rest`` has it, once all rows are known. ``names``: how rows of its format name
        what moved."""
        fee = fees(row.gross)
        if row.kind not in OF_PAYMENTS:
            return by_type(row, fee)
        possible, own_name = names.possible(row, found), names.own_name(row)
        match = self._by_reference(row, found, possible, fee)
        if match.reason in _WAIT and found and (name := row.payment_reference or row.reference):
            waiting = _Waiting(match, found, possible, fees, own_name)
            self._waiting.setdefault((row.batch, row.currency, name, own_name), []).append(waiting)
            return None
        return self._kept(match)

    def payments_in_question(self) -> Collection[PaymentKey]:
        """Payments of which ``rest`` has to know whether their captures have names of their own."""
        waiting = (each for group in self._waiting.values() for each in group)
        in_question = (each for each in waiting if _may_be_of_its_payment(each))
        return {(found.merchant_id, found.payment_id) for each in in_question for found in each.found}

    def rest(self, named: Collection[PaymentKey] = ()) -> Iterator[Match]:
        """The rows that waited for others of their batch: several may be one posting, such as a charge and what was
        taken back of it at once. ``named``: of ``payments_in_question``, those whose captures have names of their
        own."""
        for group in self._waiting.values():
            yield from self._group(group, named)
        self._waiting.clear()

    def _kept(self, match: Match) -> Match:
        if match.of is not None and match.reason in TAKES:
            self._taken.add(match.of.posting)
        return match

    def _is_free(self, each: Candidate) -> bool:
        return not each.taken and each.posting not in self._taken

    def _by_reference(
        self, row: SettlementRow, found: Sequence[Candidate], possible: Sequence[Candidate], fee: FeeCheck
    ) -> Match:
        for found_by, stage in _EXACT:
            named = [each for each in found if each.found_by == found_by]
            if named:
                fits = [each for each in possible if each.found_by == found_by]
                return self._of_named(row, named, fits, fee, stage)
        return self._by_payment(row, possible, fee)

    def _of_named(
        self,
        row: SettlementRow,
        named: Sequence[Candidate],
        possible: Sequence[Candidate],
        fee: FeeCheck,
        stage: Stage,
    ) -> Match:
        moved = [each for each in possible if each.amount is not None and each.kind == row.kind]
        if not moved:
            return not_moved(row, named, possible, fee, stage)
        free = [each for each in moved if self._is_free(each)]
        if not free:
            return not_agreeing(row, fee, "mismatched", "duplicate", stage, moved[0])
        alike = [each for each in free if (each.amount, each.currency) == paid(row)]
        if _are_one(alike):
            return agreeing(row, fee, stage, alike[0])
        if len(alike) > 1 or not _are_one(free):
            return not_agreeing(row, fee, "unexplained", "ambiguous", stage)
        if free[0].currency != paid(row)[1]:
            return converted(row, fee, stage, free[0])
        reason: Reason = "amount"
        return not_agreeing(row, fee, "mismatched", reason, stage, free[0])

    def _by_payment(self, row: SettlementRow, found: Sequence[Candidate], fee: FeeCheck) -> Match:
        """By the payment that it belongs to, its kind, amount and currency together."""
        alike = [each for each in found if each.kind == row.kind and (each.amount, each.currency) == paid(row)]
        free = [each for each in alike if self._is_free(each)]
        if _are_one(free):
            return agreeing(row, fee, _BY_PAYMENT, free[0])
        if free:
            return not_agreeing(row, fee, "unexplained", "ambiguous", _BY_PAYMENT)
        if alike:
            return not_agreeing(row, fee, "mismatched", "duplicate", _BY_PAYMENT, alike[0])
        nothing: Reason = "not_in_record" if row.reference or row.payment_reference else "no_reference"
        return not_agreeing(row, fee, "unexplained", nothing, "none")

    def _group(self, group: Sequence[_Waiting], named: Collection[PaymentKey]) -> Iterator[Match]:
        """Rows of one reference that are one posting together, exactly or but for their rounding; each as it was alone
        where they are not."""
        rows = [each.match.row for each in group]
        total, bound = sum(paid(row)[0] for row in rows), rounding_bound(len(rows))
        known = {each.posting: each for one in group for each in one.possible if each.amount is not None}
        others = {each.posting for one in group for each in one.others}
        near = [
            each
            for each in known.values()
            if self._is_free(each)
            and each.posting not in others
            and abs((each.amount or 0) - total) <= bound
            and {paid(row)[1] for row in rows} == {each.currency}
        ]
        exact = [each for each in near if each.amount == total]
        if len(rows) > 1 and len(exact) == 1:
            yield from self._grouped(group, exact[0])
        elif len(rows) > 1 and not exact and len(near) == 1 and _are_same_currency(rows, near[0]):
            yield from self._rounded(group, near[0], (near[0].amount or 0) - total, bound)
        elif len(rows) > 1 and not exact and len(near) > 1:
            for each in group:
                yield not_agreeing(each.match.row, each.match.fee, "unexplained", "ambiguous", "tolerance")
        else:
            for each in group:
                yield self._alone(each, named)

    def _of_several(self, match: Match, postings: Sequence[Candidate]) -> Match:
        """One row is several postings of one payment."""
        self._taken.update(each.posting for each in postings)
        first, *others = postings
        agreed = agreeing(match.row, match.fee, "batch_group", first, covers=match.row.gross)
        further = [
            CoveredPosting(
                subject_id=each.subject_id, subject_version=each.version, leg=each.leg, covers=each.amount or 0
            )
            for each in others
        ]
        late = any(each.late for each in postings)
        return replace(agreed, further=tuple(further), part="late" if late else agreed.part)

    def _of_its_payment(self, waiting: _Waiting, named: Collection[PaymentKey]) -> Match | None:
        """A charge without a name of its own is the one capture that its payment has, with another amount or currency.
        None, so that it is looked at again when more is known: there are several, or another row has it, and this may
        be one that the record lacks; or the row has a name that the record lacks, where captures of the payment have
        names. A payment may have any number of other movements: of those, one that does not fit is another one."""
        row, fee, stage = waiting.match.row, waiting.match.fee, _BY_PAYMENT
        payments = {(each.merchant_id, each.payment_id) for each in waiting.found}
        if row.kind != "charge" or len(payments) > 1:
            return None
        moved = [each for each in waiting.possible if each.amount is not None and each.kind == row.kind]
        has_names = row.reference is not None and not payments.isdisjoint(named)
        has_names = has_names or any(each.kind == row.kind for each in waiting.others)
        if has_names and all(each.name is None for each in moved):
            return None
        if not moved:
            return not_agreeing(row, fee, "mismatched", "state", stage, waiting.found[0])
        free = [each for each in moved if self._is_free(each)]
        if not _are_one(moved) or not free:
            return None
        if free[0].currency != paid(row)[1]:
            return converted(row, fee, stage, free[0])
        return not_agreeing(row, fee, "mismatched", "amount", stage, free[0])

    def _grouped(self, group: Sequence[_Waiting], of: Candidate) -> Iterator[Match]:
        self._taken.add(of.posting)
        for each in group:
            row = each.match.row
            yield agreeing(row, each.match.fee, "batch_group", of, covers=paid(row)[0])

    def _rounded(self, group: Sequence[_Waiting], of: Candidate, off: int, bound: int) -> Iterator[Match]:
        """The last row accounts for what is left of the posting; what it has more or less is rounding."""
        self._taken.add(of.posting)
        for number, each in enumerate(group, 1):
            row, more = each.match.row, off if number == len(group) else 0
            agreed = agreeing(row, each.match.fee, "tolerance", of, covers=row.gross + more)
            reason: Reason = agreed.reason if agreed.status == "mismatched" else "rounding"
            yield replace(agreed, reason=reason, tolerance=bound, rounding=-more)

    def _alone(self, waiting: _Waiting, named: Collection[PaymentKey]) -> Match:
        match = waiting.match
        fits = waiting.found if waiting.own_name is None else waiting.possible
        sets = sets_of(match.row, [each for each in fits if self._is_free(each)], match.of)
        if len(sets) == 1:
            return self._of_several(match, sets[0])
        if sets:
            return not_agreeing(match.row, match.fee, "unexplained", "ambiguous", "batch_group")
        if _may_be_of_its_payment(waiting):
            match = self._of_its_payment(waiting, named) or match
        if match.reason == "amount" and match.of is not None:
            if not self._is_free(match.of):
                return not_agreeing(match.row, match.fee, "mismatched", "duplicate", match.stage, match.of)
            return self._kept(with_fee_in_amount(match.row, match.of, waiting.fees) or match)
        return self._kept(match)


def _may_be_of_its_payment(waiting: _Waiting) -> bool:
    """Whether a row that fits nothing names a payment of the record, and may have no other name."""
    row, is_unknown = waiting.match.row, waiting.match.reason == "not_in_record"
    return is_unknown and (row.reference is None or row.kind in _MAY_LACK_A_NAME)


def _are_same_currency(rows: Sequence[SettlementRow], of: Candidate) -> bool:
    """What was converted is rounded by the provider's rate, and not by half a unit a row."""
    return all(row.currency == of.currency and row.payer_amount is None for row in rows)


def _are_one(found: Sequence[Candidate]) -> bool:
    """Whether it is one thing: of several equal postings of one subject any may be taken."""
    return len({(each.merchant_id, each.subject_id) for each in found}) == 1 and (
        len({(each.amount, each.currency) for each in found}) == 1
    )
