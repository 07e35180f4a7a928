"""``payments``: found and shown, of one merchant or of all."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from msgspec import UNSET, Struct, UnsetType

from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.reading import (
    Limit,
    OpenRecord,
    Since,
    Until,
    before_option,
    id_of,
    in_utc,
    lines,
    of_each,
    owned,
    print_rows,
    require_sound,
    shown_time,
    state_option,
    with_record,
)
from tallystick.cli.tables import facts_of
from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.payment_filter import PaymentFilter
from tallystick.domain.payment_reconciliation import PaymentReconciliationView
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund
from tallystick.domain.views import MAX_MEMBERS, dispute_view, payment_view, refund_view
from tallystick.interfaces.api.routes.payments import (
    HistoryEntry,
    RejectionEntry,
    history_entry,
    rejection_entry,
)
from tallystick.oversight.payment_reconciliation import reconciliation_of
from tallystick.record.postgres.lists import Members
from tallystick.settings.load import Settings

app = typer.Typer(help="Payments, of one merchant or of all.", no_args_is_help=True)

Amount = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="In minor units. Needs --currency, --since and --until.", show_default=False),
]


class ListedPayment(Struct, frozen=True, kw_only=True):
    """A payment of a list, with the ids of its refunds and disputes."""

    payment: Payment
    in_doubt: bool
    members: Members


class ShownPayment(Struct, frozen=True, kw_only=True):
    """All that there is of a payment."""

    stored: PaymentSnapshot
    in_doubt: bool
    reconciliation: PaymentReconciliationView | None
    history: list[HistoryEntry]
    rejected: list[RejectionEntry]


def _currency(given: str | None) -> str | None:
    if given is not None and given not in EXPONENTS:
        raise typer.BadParameter("expected a currency in three capital letters, such as EUR")
    return given


def _pair(given: str | None) -> str | None:
    if given is not None and not given.partition("=")[1]:
        raise typer.BadParameter("expected KEY=VALUE")
    return given


@app.command("list")
def list_payments(
    merchant: SomeMerchant = None,
    state: Annotated[str | None, state_option(PAYMENT.states)] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The payment that the instruction with this key is about.", show_default=False)
    ] = None,
    provider_reference: Annotated[
        str | None, typer.Option(help="The provider's own name for it.", show_default=False)
    ] = None,
    since: Since = None,
    until: Until = None,
    currency: Annotated[
        str | None,
        typer.Option(
            help="Only in this currency. Needs --since and --until, at most 31 days apart.",
            show_default=False,
            callback=_currency,
        ),
    ] = None,
    min_amount: Amount = None,
    max_amount: Amount = None,
    metadata: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only with this metadata. Needs --since and --until.",
            show_default=False,
            callback=_pair,
        ),
    ] = None,
    before: Annotated[str | None, before_option("pay", "a payment")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List payments, newest first. Amounts are in minor units. Without --merchant: of all."""
    key, _, value = (metadata or "").partition("=")
    wanted = PaymentFilter(
        state=state,
        idempotency_key=idempotency_key,
        provider_reference=provider_reference,
        created_gte=in_utc(since),
        created_lt=in_utc(until),
        currency=currency,
        amount_gte=min_amount,
        amount_lte=max_amount,
        metadata=None if metadata is None else (key, value),
    )
    require_sound(wanted)
    rows = with_record(settings_from(data_dir), lambda record: _listed(record, merchant, wanted, before, limit))
    if as_json:
        print_json([_view(row) for row in rows])
        return
    cells = [(f"{row.payment.payment_id}\n{row.payment.merchant_id}", _about(row)) for row in rows]
    print_rows(cells, ("payment, merchant", "what became of it"), title="Payments", nothing="No such payment.")


@app.command("show")
def show_payment(
    payment: Annotated[
        str, typer.Argument(metavar="PAYMENT", help="The payment's id, pay_….", callback=id_of("pay", "a payment"))
    ],
    merchant: SomeMerchant = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print one payment with its attempts, refunds, disputes and history."""
    settings = settings_from(data_dir)
    shown = with_record(settings, lambda record: _shown(record, settings, payment, merchant))
    if as_json:
        print_json(_document(shown))
        return
    _print_payment(shown.stored.payment, shown.in_doubt, shown.reconciliation)
    _print_parts(shown)


async def _listed(
    record: OpenRecord, merchant: str | None, wanted: PaymentFilter, before: str | None, limit: int
) -> list[ListedPayment]:
    async def page(one: str) -> list[tuple[Payment, bool]]:
        return await record.reads.payments(one, wanted, before_id=before, limit=limit)

    async def members_of(owner: str) -> None:
        members.update(await record.stores.lists.members(owner, ids[owner], MAX_MEMBERS))

    if before is not None:
        await record.owner_of("payment", before, None)
    found = await record.newest(merchant, limit, page, lambda row: row[0].payment_id)
    ids: dict[str, list[str]] = {}
    for owner, (payment, _) in found:
        ids.setdefault(owner, []).append(payment.payment_id)
    members: dict[str, Members] = {}
    await of_each(ids, members_of)
    return [
        ListedPayment(payment=payment, in_doubt=in_doubt, members=members[payment.payment_id])
        for _, (payment, in_doubt) in found
    ]


async def _shown(record: OpenRecord, settings: Settings, payment_id: str, merchant: str | None) -> ShownPayment:
    owner = await record.owner_of("payment", payment_id, merchant)
    loaded, read = await record.reads.load(owner, payment_id), await record.reads.payment(owner, payment_id)
    assert loaded is not None and read is not None, "payments are never deleted"
    return ShownPayment(
        stored=loaded.stored,
        in_doubt=read[1],
        reconciliation=await reconciliation_of(
            record.stores.evidence, settings, loaded.stored.payment, record.clock.now()
        ),
        history=[history_entry(row) for row in await record.reads.history(owner, payment_id)],
        rejected=[rejection_entry(row) for row in await record.reads.rejections(owner, payment_id)],
    )


def _view(row: ListedPayment, reconciliation: PaymentReconciliationView | UnsetType | None = UNSET) -> dict[str, Any]:
    members = row.members
    view = payment_view(
        row.payment,
        in_doubt=row.in_doubt,
        refunds=members.refunds,
        disputes=members.disputes,
        reconciliation=reconciliation,
    )
    return owned(row.payment.merchant_id, view)


def _document(shown: ShownPayment) -> dict[str, Any]:
    """As the API shows each part; attempts as they are stored."""
    stored = shown.stored
    members = Members(
        refunds=[each.refund_id for each in reversed(stored.refunds)],
        disputes=[each.dispute_id for each in reversed(stored.disputes)],
    )
    listed = ListedPayment(payment=stored.payment, in_doubt=shown.in_doubt, members=members)
    unknown = {each.refund_id for each in stored.attempts if each.state == "unknown"}
    return {
        "payment": _view(listed, shown.reconciliation),
        "attempts": stored.attempts,
        "refunds": [refund_view(each, in_doubt=each.refund_id in unknown) for each in stored.refunds],
        "disputes": [dispute_view(each) for each in stored.disputes],
        "history": shown.history,
        "rejected": shown.rejected,
    }


def _reconciled(found: PaymentReconciliationView | None) -> str:
    if found is None:
        return "no settlement is expected"
    due = "" if found.due is None else f"due {shown_time(found.due)} UTC"
    batch = "" if found.batch is None else f"batch {found.batch}, fee {found.fee}, net {found.net} {found.currency}"
    return ", ".join(part for part in (found.state, due, batch) if part)


def _print_payment(payment: Payment, in_doubt: bool, reconciliation: PaymentReconciliationView | None) -> None:
    failure = payment.failure
    facts = (
        ("payment", payment.payment_id),
        ("merchant", payment.merchant_id),
        ("state", _state(payment.state, in_doubt)),
        ("amount", f"{payment.amount} {payment.currency}"),
        ("authorized", str(payment.amount_authorized)),
        ("captured", str(payment.amount_captured)),
        ("refunded", f"{payment.amount_refunded}, pending {payment.amount_refund_pending}"),
        ("provider", f"{payment.provider} {payment.provider_reference or ''}".rstrip()),
        ("method", payment.payment_method),
        ("reconciliation", _reconciled(reconciliation)),
        ("failure", "" if failure is None else f"{failure.code}: {failure.message}"),
        ("description", payment.description or ""),
        ("created", f"{shown_time(payment.created_at)} UTC"),
    )
    console.print(facts_of(facts))


def _print_parts(shown: ShownPayment) -> None:
    stored = shown.stored
    parts = (
        ("Attempts", "attempt", [(each.attempt_id, _attempted(each)) for each in stored.attempts]),
        ("Refunds", "refund", [(each.refund_id, _moved(each)) for each in stored.refunds]),
        ("Disputes", "dispute", [(each.dispute_id, _moved(each)) for each in stored.disputes]),
        ("History", "when (UTC)", [(shown_time(step.at), _step(step)) for step in shown.history]),
        ("Refused", "when (UTC)", [(shown_time(each.at), _refused(each)) for each in shown.rejected]),
    )
    for title, first, rows in parts:
        if rows:
            print_rows(rows, (first, "what"), title=title, nothing="")


def _step(step: HistoryEntry) -> str:
    return lines(f"{step.event}: {step.from_state} to {step.to_state}", f"{step.cause} by {step.actor}")


def _refused(entry: RejectionEntry) -> str:
    return lines(f"{entry.event}: {entry.reason}", f"{entry.cause} by {entry.actor}", entry.subject_id)


def _attempted(attempt: Attempt) -> str:
    about = f"{attempt.operation} {attempt.amount} {attempt.currency}: {attempt.state} at {attempt.provider}"
    return lines(about, attempt.provider_reference)


def _moved(one: Refund | Dispute) -> str:
    return lines(f"{one.amount} {one.currency}: {one.state} at {one.provider}", one.provider_reference)


def _about(row: ListedPayment) -> str:
    payment = row.payment
    said = f"{payment.amount} {payment.currency}: {_state(payment.state, row.in_doubt)}"
    at = f"{payment.provider}, {shown_time(payment.created_at)} UTC"
    return lines(said, payment.provider_reference, at)


def _state(state: str, in_doubt: bool) -> str:
    return f"{state}, in doubt" if in_doubt else state
