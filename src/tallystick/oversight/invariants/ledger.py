"""Checks on the money of one payment: amounts that bound each other, and a ledger that agrees with the state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tallystick.domain.dispute_position import DECIDED, suspended
from tallystick.domain.ledger import accounts
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.lifecycles.machines import recorded_edge
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Dispute, Subject
from tallystick.oversight.invariants import retired
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.record.postgres.stream_record import StoredTransfer, StreamRecord

#: Payment states in which the provider still holds the authorized amount.
HOLDING: Final = frozenset({"authorized", "capturing", "canceling"})

#: Refund states in which the merchant no longer has the money, and the payer does not have it yet.
IN_FLIGHT: Final = frozenset({"submitting", "pending"})

#: Kinds of ledger rows for late money.
LATE_KINDS: Final = frozenset({"late_effect", "late_capture", "late_refund", "late_movement"})

#: Events that post late money to suspense: of payments and refunds, and their former name.
LATE_EVENTS: Final = frozenset({"late_effect", "late_capture", "late_refund"})

#: Events by which late money leaves suspense, or returns to it.
LEFT_SUSPENSE: Final = frozenset({"late_money_accepted", "late_money_returned", "late_money_came_back"})

#: Events about dispute money that the course does not account for.
LATE_MOVEMENTS: Final = frozenset({"late_effect", "late_movement", "contested"})


_NOTHING: Final[list[Posting]] = []


def captured_within_authorized(record: PaymentRecord) -> Iterator[Finding]:
    """No more is captured than was held, and no more is held than was requested."""
    payment = record.payment
    if not 0 <= payment.amount_captured <= payment.amount_authorized <= payment.amount:
        amounts = f"captured {payment.amount_captured}, authorized {payment.amount_authorized}"
        yield Finding(payment.payment_id, f"{amounts}, asked for {payment.amount}")


def refunds_within_captured(record: PaymentRecord) -> Iterator[Finding]:
    """Refunded and pending amounts are at most the captured and the accepted late money, and are the sums of the
    refunds."""
    payment = record.payment
    # A capture may be reversed after a refund of it: the refund is still within the captured amount.
    captured = payment.amount_captured + payment.amount_late_accepted
    if payment.amount_refunded + payment.amount_refund_pending > captured:
        amounts = f"refunded {payment.amount_refunded}, pending {payment.amount_refund_pending}"
        yield Finding(payment.payment_id, f"{amounts}, captured {captured}")
    succeeded = sum(refund.amount for refund in record.refunds if refund.state == "succeeded")
    pending = sum(refund.amount for refund in record.refunds if refund.state in IN_FLIGHT)
    if (succeeded, pending) != (payment.amount_refunded, payment.amount_refund_pending):
        ours = f"refunded {payment.amount_refunded} and pending {payment.amount_refund_pending}"
        yield Finding(payment.payment_id, f"{ours}, its refunds add up to {succeeded} and {pending}")


def one_currency_per_payment(record: PaymentRecord) -> Iterator[Finding]:
    """Refunds, attempts and ledger rows are in the payment's currency and at its provider; so is whatever else of it
    has a currency or a provider."""
    payment = record.payment
    for subject_id, subject in record.subjects:
        currency = getattr(subject, "currency", payment.currency)
        provider = getattr(subject, "provider", payment.provider)
        if (currency, provider) != (payment.currency, payment.provider):
            theirs, ours = f"{currency} at {provider}", f"{payment.currency} at {payment.provider}"
            yield Finding(subject_id, f"is in {theirs}, its payment in {ours}")
    for transfer in record.transfers:
        if transfer.currency != payment.currency:
            where = f"version {transfer.version}, leg {transfer.leg}"
            yield Finding(transfer.subject_id, f"{where} is in {transfer.currency}, its payment in {payment.currency}")


def postings_follow_the_chart(record: StreamRecord) -> Iterator[Finding]:
    """Each step of history has exactly the ledger rows that its edge posts."""
    posted: dict[tuple[str, int], list[Posting]] = {}
    for transfer in record.transfers:
        leg = Posting(transfer.kind, transfer.debit, transfer.credit, transfer.amount)
        posted.setdefault((transfer.subject_id, transfer.version), []).append(leg)
    for subject_id, steps in record.histories.items():
        states = record.replays[subject_id].states
        for step in steps:
            if (after := states.get(step.version)) is None:
                break  # history_replays_to_state reports why
            due = _due(record, step, states.get(step.version - 1), after)
            found = posted.get((subject_id, step.version), _NOTHING)
            if found != due and [_as_named_once(leg) for leg in found] != [_as_named_once(leg) for leg in due]:
                what = f"version {step.version} ({step.event})"
                yield Finding(subject_id, f"{what} posted {_listed(found)}, the edge says {_listed(due)}")


def _due(record: StreamRecord, step: HistoryStep, before: Subject | None, after: Subject) -> Sequence[Posting]:
    edge = recorded_edge(step.subject, step.from_state, step.event)
    if edge is None or (edge.posts is None and not edge.retired):
        return _NOTHING
    if edge.retired or edge.posts is None:
        return retired.due(record, step, before, after)
    return edge.posts(before, after)


def _as_named_once(leg: Posting) -> Posting:
    """Old rows have one kind for all late money; the accounts and the edge distinguish it."""
    return leg._replace(kind="late_effect") if leg.kind in LATE_KINDS else leg


def holds_match(record: PaymentRecord) -> Iterator[Finding]:
    """The ledger holds what the provider holds for us: the authorization while it is open, and nothing after it."""
    payment = record.payment
    due = payment.amount_authorized if payment.state in HOLDING else 0
    held = _debit(record, accounts.authorized_account(payment.provider))
    against = -_debit(record, accounts.contra_account(payment.provider))
    if not held == against == due:
        yield Finding(payment.payment_id, f"is {payment.state}: must hold {due}, holds {held} against {against}")


def refunds_in_flight_match(record: PaymentRecord) -> Iterator[Finding]:
    """The clearing account of refunds holds exactly the refunds that are sent and not confirmed."""
    payment = record.payment
    in_flight = -_debit(record, accounts.refunds_account(payment.provider))
    if in_flight != payment.amount_refund_pending:
        yield Finding(payment.payment_id, f"has {in_flight} in flight, {payment.amount_refund_pending} pending")


def captured_money_is_owed(record: PaymentRecord) -> Iterator[Finding]:
    """The merchant is owed the captured and received money (late money too, once it is accepted), less refunds and the
    cost of disputes, open or lost. The provider owes us the same, less what it withdrew, plus money in suspense and
    refunds in flight."""
    payment = record.payment
    came = payment.amount_captured + payment.amount_late_accepted
    kept = came - payment.amount_reversed - payment.amount_refunded
    owed = -_debit(record, accounts.MERCHANT)
    reserved = sum(each.amount for each in record.disputes if each.state != "won" or each.contested)
    due = kept - payment.amount_refund_pending - reserved
    if owed != due:
        yield Finding(payment.payment_id, f"owes {owed} to the merchant, must {due}")
    suspended = -_debit(record, accounts.suspense_account(payment.provider))
    withdrawn = sum(dispute.amount for dispute in record.disputes if _is_withdrawn(dispute))
    receivable = _debit(record, accounts.provider_account(payment.provider))
    if receivable != kept + suspended - withdrawn:
        yield Finding(
            payment.payment_id, f"is owed {receivable} by the provider, must be {kept + suspended - withdrawn}"
        )


def disputes_are_reserved(record: PaymentRecord) -> Iterator[Finding]:
    """The reserve holds what undecided disputes may cost, and the clearing account of disputes what the provider
    withdrew of it. Decided disputes are in neither."""
    payment = record.payment
    undecided = [dispute for dispute in record.disputes if dispute.state not in DECIDED]
    reserve = -_debit(record, accounts.DISPUTE_RESERVE)
    if reserve != (due := sum(dispute.amount for dispute in undecided)):
        yield Finding(payment.payment_id, f"has {reserve} in reserve, open disputes are over {due}")
    cleared = _debit(record, accounts.disputes_account(payment.provider))
    if cleared != (due := sum(dispute.amount for dispute in undecided if dispute.funds_withdrawn)):
        yield Finding(payment.payment_id, f"has {cleared} withdrawn for disputes, must have {due}")


def _is_withdrawn(dispute: Dispute) -> bool:
    """Whether the provider has withdrawn the money on the dispute's own course; everything else is in suspense."""
    undecided = dispute.state not in DECIDED
    return dispute.state == "lost" or dispute.contested or (undecided and dispute.funds_withdrawn)


def suspense_is_explained(record: PaymentRecord) -> Iterator[Finding]:
    """Money in suspense has a late effect in history, and each late effect has its rejection and alert. For a dispute
    it is the money that its course does not account for."""
    suspense = accounts.suspense_account(record.payment.provider)
    rows = [row for row in record.transfers if suspense in (row.debit, row.credit)]
    if not (rows or record.refunds or record.disputes or _has_late_money(record)):
        return
    for transfer in rows:
        if not _is_late(record, transfer):
            yield Finding(transfer.subject_id, f"version {transfer.version} posted to suspense without a late effect")
    for subject_id, events, amount in _late_amounts(record):
        stands = -sum(
            _moves(row, suspense)
            for row in rows
            if row.subject_id == subject_id
            and (step := record.step(subject_id, row.version)) is not None
            and step.event in events
        )
        if stands != amount:
            yield Finding(subject_id, f"has {stands} in suspense by {events[0]}, its late money is {amount}")
    yield from _left_suspense(record, rows)
    alerts = {rejection.subject_id for rejection in record.rejections if rejection.alert}
    for watched in record.attempts:
        attempt = watched.attempt
        if attempt.late_effect and not {attempt.attempt_id, attempt.payment_id} & alerts:
            yield Finding(attempt.attempt_id, "had a late effect, and no rejection raised an alert")
    for dispute in record.disputes:
        moved = [_moves(row, suspense) for row in rows if row.subject_id == dispute.dispute_id]
        late = any(step.event in LATE_MOVEMENTS for step in record.histories.get(dispute.dispute_id, ()))
        if (late or any(moved)) and dispute.dispute_id not in alerts:
            yield Finding(dispute.dispute_id, "had a late effect, and no rejection raised an alert")
        if (stands := -sum(moved)) != (due := suspended(dispute)):
            yield Finding(dispute.dispute_id, f"has {stands} in suspense, its movements leave {due} unexplained")


def disputed_money_is_known(record: PaymentRecord) -> Iterator[Finding]:
    """What a provider moved because of a dispute has an amount in the dispute's currency, and is in the books."""
    for dispute in record.disputes:
        for moved in dispute.movements:
            if moved.amount is None:
                what = f"{moved.moved_amount} {moved.moved_currency} {moved.funds} ({moved.reference})"
                yield Finding(dispute.dispute_id, f"{what}: what that is in {dispute.currency} is not known")


def _left_suspense(record: PaymentRecord, rows: Sequence[StoredTransfer]) -> Iterator[Finding]:
    """What went back, less what came back from there, is what our own returns and the provider's movements add up to;
    what is on its way is what the open returns are for; and no more than came in has found its way out. ``rows``: the
    ledger rows of the suspense account."""
    payment = record.payment
    suspense = accounts.suspense_account(payment.provider)
    posted = sum(
        _moves(row, suspense)
        for row in rows
        if row.subject_id == payment.payment_id and row.kind in ("late_money_returned", "late_money_came_back")
    )
    returns = [each.attempt for each in record.attempts if each.attempt.purpose == "late_return"]
    ours = sum(each.amount for each in returns if each.state == "approved")
    ours += sum(each.amount for each in returns if each.late_effect and _posted_with(record, each.attempt_id))
    theirs = sum(each.amount * (1 if each.way == "out" else -1) for each in payment.late_movements)
    if not posted == payment.amount_late_returned == ours + theirs:
        said = f"has {posted} of late money posted as returned, says {payment.amount_late_returned}"
        yield Finding(payment.payment_id, f"{said}, and its returns add up to {ours + theirs}")
    under_way = sum(each.amount for each in returns if each.state in ATTEMPT_OPEN)
    if under_way != payment.amount_late_returning:
        said = f"has {payment.amount_late_returning} of late money on its way back"
        yield Finding(payment.payment_id, f"{said}, and its open returns are for {under_way}")
    out = payment.amount_late_accepted + payment.amount_late_returned + payment.amount_late_returning
    if out > payment.amount_late:
        yield Finding(payment.payment_id, f"has {out} of late money decided on, and {payment.amount_late} came")


def _has_late_money(record: PaymentRecord) -> bool:
    """Whether the payment or an attempt says that money moved late."""
    payment = record.payment
    return bool(
        payment.amount_late
        or payment.amount_late_accepted
        or payment.amount_late_returning
        or payment.amount_late_returned
        or payment.late_movements
        or any(each.attempt.late_effect or each.attempt.purpose == "late_return" for each in record.attempts)
    )


def _posted_with(record: PaymentRecord, attempt_id: str) -> bool:
    """Whether the change in which an attempt had its late effect returned late money."""
    changes = {step.change_id for step in record.histories.get(attempt_id, ()) if step.event == "late_refund"}
    steps = record.histories.get(record.payment.payment_id, ())
    return any(step.event == "late_money_returned" and step.change_id in changes for step in steps)


def _late_amounts(record: PaymentRecord) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """The late amounts of the payment and its refunds: received, accepted and paid out, with the events that post each.
    Money of the retired edge was counted by migration 0013."""
    payment = record.payment
    yield payment.payment_id, ("late_capture", "late_effect"), payment.amount_late
    yield payment.payment_id, ("late_money_accepted",), -payment.amount_late_accepted
    for refund in record.refunds:
        yield refund.refund_id, ("late_refund", "late_effect"), -refund.amount_late


def _is_late(record: PaymentRecord, transfer: StoredTransfer) -> bool:
    """Whether a late effect explains the transfer: one that marks its attempt in the same change. For disputes the sum
    is compared instead."""
    step = record.step(transfer.subject_id, transfer.version)
    if step is None or step.subject == "dispute":
        return step is not None
    if step.event in LEFT_SUSPENSE:
        return True  # their sums are compared
    return step.event in LATE_EVENTS and any(
        other.event in LATE_EVENTS and other.change_id == step.change_id
        for watched in record.attempts
        for other in record.histories.get(watched.attempt.attempt_id, ())
    )


def _debit(record: PaymentRecord, account: str) -> int:
    """The balance of the payment's ledger rows on an account: debits less credits."""
    return record.debits.get(account, 0)


def _moves(transfer: StoredTransfer, account: str) -> int:
    return transfer.amount * ((transfer.debit == account) - (transfer.credit == account))


def _listed(legs: Sequence[Posting]) -> str:
    return ", ".join(f"{p.kind} {p.amount} ({p.debit} from {p.credit})" for p in legs) or "nothing"
