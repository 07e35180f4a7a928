"""Payments: charged or held, captured, canceled, read, listed."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar, get_args

from msgspec import Struct, field

from tallystick.decisions.instructions import Instruction
from tallystick.domain.api_keys import KeyKind
from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.errors import problem
from tallystick.domain.json_types import (
    Actor,
    AnySubjectId,
    HasMore,
    NextCursor,
    ProviderReference,
    Time,
    described,
)
from tallystick.domain.kinds import KINDS, PAYMENT_KIND
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.table import NEW
from tallystick.domain.money import MAX_AMOUNT
from tallystick.domain.origin import Origin
from tallystick.domain.payment_filter import PaymentFilter
from tallystick.domain.requests.commands import (
    CreatePayment,
    InvalidFields,
    parse_cancel_payment,
    parse_capture_payment,
    parse_create_payment,
)
from tallystick.domain.requests.fields import MIN_AMOUNT
from tallystick.domain.requests.idempotency_key import MAX_KEY_CHARS
from tallystick.domain.views import MAX_MEMBERS, PaymentView, payment_view
from tallystick.flows.payments import instructions
from tallystick.flows.payments.idempotency import Reply, existing_or
from tallystick.flows.routing.route import DefaultProviderMissing, choose_provider
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.instruction import INSTRUCTION, ON_PAYMENT, PAYMENT_ID, InstructionKind, on_payment
from tallystick.interfaces.api.listing import filter_in_query
from tallystick.interfaces.api.paging import PAYMENTS, cut_page
from tallystick.interfaces.api.parameters import (
    IDEMPOTENCY_KEY,
    created_range,
    matching,
    one_metadata,
    one_of,
    optional_integer,
    page_of,
    text,
)
from tallystick.interfaces.api.problems import LACKS_KEY, RETRY_AFTER_S, invalid_fields, not_found, report
from tallystick.oversight.payment_reconciliation import reconciliation_of

PATH: Final = "/v1/payments"

Entry = TypeVar("Entry", bound=Struct)

#: Provider references are as long as an idempotency key, which some are made from.
MAX_REFERENCE_CHARS: Final = 255

_STATES: Final = PAYMENT.states
_FROM: Final = [NEW, *_STATES]

_Cause = Annotated[
    str,
    described(
        "What led to it: an instruction, a provider's answer or event, recovery, an operator, a settlement file.",
        "answer",
    ),
]

_KeyKind = Annotated[
    KeyKind | None,
    described(
        "What uses the API key whose instruction led to it, in whatever process it ended; null where none did, as"
        " with a provider's own event.",
        "service",
    ),
]

#: What the query's filters without an index say of themselves.
_NEEDS_RANGE: Final = (
    "Needs created_gte and created_lt, at most 31 days apart, and goes with neither idempotency_key nor"
    " provider_reference."
)


class PaymentPage(Struct, frozen=True, kw_only=True):
    """A page of payments."""

    data: Annotated[list[PaymentView], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor


#: The kinds of what belongs to a payment.
_OF_PAYMENTS: Final = [kind.name for kind in KINDS.values() if kind.stream_field == PAYMENT_KIND.stream_field]


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One transition of a payment."""

    version: Annotated[int, described("The version that it led to.", 2, minimum=1)]
    from_state: Annotated[str, described("The state before it; `new` at first.", "authorizing", enum=_FROM)] = field(
        name="from"
    )
    to_state: Annotated[str, described("The state after it.", "captured", enum=_STATES)] = field(name="to")
    event: Annotated[str, described("The edge of the lifecycle that it took.", "captured")]
    at: Annotated[Time, described("When it was recorded.")]
    occurred_at: Annotated[Time | None, described("When it happened, by what the provider says.", None)]
    cause: _Cause
    actor: Actor
    key_kind: _KeyKind
    provider_reference: Annotated[
        ProviderReference | None, described("The provider's own name for what it did; null where it gave none.")
    ]


class RejectionEntry(Struct, frozen=True, kw_only=True):
    """A transition that was refused, of the payment, its attempts or its refunds. It took no version."""

    at: Annotated[Time, described("When it was refused.")]
    subject: Annotated[str, described("The kind of its subject.", "payment", enum=_OF_PAYMENTS)]
    subject_id: AnySubjectId
    state: Annotated[str, described("The state that it met.", "captured")]
    version: Annotated[int, described("The version that it met.", 3, minimum=1)]
    event: Annotated[str, described("The edge of the lifecycle that it would have taken.", "cancel")]
    cause: _Cause
    actor: Actor
    key_kind: _KeyKind
    origin: Annotated[str, described("From which side it came.", "client", enum=get_args(Origin))]
    reason: Annotated[str, described("Why it was refused, for people.", "a captured payment cannot be canceled")]
    alert: Annotated[bool, described("Whether a person was told.", False)]
    idempotency_key: Annotated[
        str | None, described("The key of the instruction that was refused; null where there was none.", "cancel-1042")
    ]


class History(Struct, frozen=True, kw_only=True):
    """Everything that happened to a payment, and what was refused."""

    data: Annotated[list[HistoryEntry], described("Every transition, oldest first.")]
    rejected: Annotated[list[RejectionEntry], described("Every transition that was refused, oldest first.")]


async def create_payment(
    runtime: Runtime, caller: Caller, instruction: Instruction, _: str, command: CreatePayment
) -> Reply:
    """Charge or hold the money at the provider that the rules choose. Without the record's sealing keys nothing is
    begun: what the payer has to do next would be lost."""
    if runtime.sealer.refused is not None:
        return await _not_ready(runtime, instruction, LACKS_KEY)
    try:
        provider = choose_provider(
            runtime.providers,
            command,
            merchant_default=caller.default_provider,
            platform_default=runtime.default_provider,
            allowed=caller.allowed_providers,
            switched_off=runtime.switched_off,
        )
    except InvalidFields as invalid:
        refused = invalid_fields(invalid.errors, instruction.request_id)
        return await existing_or(runtime, instruction, refused.problem)
    except DefaultProviderMissing:
        return await _not_ready(runtime, instruction, "The merchant's default provider is not configured.")
    return await instructions.create_payment(runtime, instruction, command, provider)


async def _not_ready(runtime: Runtime, instruction: Instruction, detail: str) -> Reply:
    """503 for a new instruction; the answer of a known one."""
    not_ready = problem("not_ready", detail, request_id=instruction.request_id)
    report(not_ready, instruction.operation, key_kind=instruction.key_kind)
    return await existing_or(runtime, instruction, not_ready, RETRY_AFTER_S)


async def get_payment(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One payment. Reading a payment in doubt hastens its recovery; the state shown is the stored one."""
    payment_id = request.id_in_path()
    found = await runtime.reads.payment(caller.merchant_id, payment_id)
    if found is None:
        raise not_found(request.request_id, "payment")
    payment, in_doubt = found
    if in_doubt:
        await runtime.reads.hasten(caller.merchant_id, payment_id, runtime.settings.in_doubt_hasten_interval_ms)
    members = (await runtime.stores.lists.members(caller.merchant_id, [payment_id], MAX_MEMBERS))[payment_id]
    return payment_view(
        payment,
        in_doubt=in_doubt,
        opened=runtime.actions.opened(payment),
        refunds=members.refunds,
        disputes=members.disputes,
        reconciliation=await reconciliation_of(runtime.stores.evidence, runtime.settings, payment, runtime.clock.now()),
    )


async def list_payments(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of payments, newest first."""
    wanted = await filter_in_query(PaymentFilter, runtime, request, caller)
    limit, cursor = request.query["limit"], request.query["cursor"]
    before_id = None if cursor is None else cursor[1]
    rows = await runtime.reads.payments(caller.merchant_id, wanted, before_id=before_id, limit=limit + 1)
    page = cut_page(PAYMENTS, rows, limit, lambda row: (row[0].created_at, row[0].payment_id))
    ids = [payment.payment_id for payment, _ in page.rows]
    members = await runtime.stores.lists.members(caller.merchant_id, ids, MAX_MEMBERS)
    data = [
        payment_view(
            payment,
            in_doubt=in_doubt,
            refunds=members[payment.payment_id].refunds,
            disputes=members[payment.payment_id].disputes,
        )
        for payment, in_doubt in page.rows
    ]
    return PaymentPage(data=data, has_more=page.has_more, next_cursor=page.next_cursor)


async def get_history(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """Every transition of a payment, and every refused one of it, its attempts and its refunds."""
    payment_id = request.id_in_path()
    transitions = await runtime.reads.history(caller.merchant_id, payment_id)
    if not transitions:
        raise not_found(request.request_id, "payment")
    rejections = await runtime.reads.rejections(caller.merchant_id, payment_id)
    return History(
        data=[history_entry(row) for row in transitions],
        rejected=[rejection_entry(row) for row in rejections],
    )


def history_entry(row: object) -> HistoryEntry:
    """A row of the history as a client sees it."""
    return _entry(HistoryEntry, row)


def rejection_entry(row: object) -> RejectionEntry:
    """A row of what was refused, as a client sees it."""
    return _entry(RejectionEntry, row)


def _entry(kind: type[Entry], row: object) -> Entry:
    return kind(**{name: getattr(row, name) for name in kind.__struct_fields__})


_CREATE: Final = InstructionKind(path=PATH, parse=parse_create_payment, execute=create_payment, created_at=f"{PATH}/")
_CAPTURE: Final = InstructionKind(
    path=f"{PATH}/{{id}}/capture", parse=parse_capture_payment, execute=on_payment(instructions.capture_payment)
)
_CANCEL: Final = InstructionKind(
    path=f"{PATH}/{{id}}/cancel", parse=parse_cancel_payment, execute=on_payment(instructions.cancel_payment)
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=_CREATE.path,
        name="createPayment",
        summary="Charge a payment method, or hold the money",
        description=(
            "Takes the money at once, or holds it where `capture_method` is `manual`. 201 is the final answer "
            "to this instruction, and says in `state` whether money moved: a declined payment is a 201 too. "
            "202 means that the provider's answer is not known yet. Send the same request with the same key "
            "again until an answer other than 202 comes."
        ),
        handle=_CREATE.respond,
        scope="payments:create",
        responses={201: PaymentView, 202: PaymentView},
        codes=INSTRUCTION,
        body="CreatePayment",
        body_required=True,
        parameters=(IDEMPOTENCY_KEY,),
        creates=True,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        name="listPayments",
        summary="Payments, newest first",
        description="Payments that match every filter given. Follow `next_cursor` for more.",
        handle=read(list_payments),
        scope="payments:read",
        responses={200: PaymentPage},
        codes=READ,
        parameters=(
            one_of("state", _STATES, "Only this state."),
            *created_range(),
            matching(
                "idempotency_key",
                rf"[ -~]{{1,{MAX_KEY_CHARS}}}",
                f"must be 1-{MAX_KEY_CHARS} printable ASCII characters, without quotes",
                "The payment that the instruction with this key (without quotes) is about.",
            ),
            text("provider_reference", MAX_REFERENCE_CHARS, "The provider's own name for it."),
            optional_integer(
                "amount_gte", MIN_AMOUNT, MAX_AMOUNT, f"Over this amount or more. Needs currency. {_NEEDS_RANGE}"
            ),
            optional_integer(
                "amount_lte", MIN_AMOUNT, MAX_AMOUNT, f"Over this amount or less. Needs currency. {_NEEDS_RANGE}"
            ),
            one_of("currency", sorted(EXPONENTS), f"Only this currency. {_NEEDS_RANGE}"),
            one_metadata(f"Only those with this value of a key, as metadata[key]=value. One key. {_NEEDS_RANGE}"),
            *page_of(PAYMENTS),
        ),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getPayment",
        summary="One payment",
        description=(
            "The stored state, with all that the payer has to do next. Reading a payment in doubt hastens its recovery."
        ),
        handle=read(get_payment),
        scope="payments:read",
        responses={200: PaymentView},
        codes=(*READ, "not_found"),
        parameters=(PAYMENT_ID,),
    ),
    Endpoint(
        method="POST",
        path=_CAPTURE.path,
        name="capturePayment",
        summary="Capture a hold, all of it or a part; a part releases the rest",
        description=(
            "Takes the held money, or the part in `amount`; a part releases the rest. 200 is the final "
            "answer: `captured`, or another state and the money is not taken. 202 means that the provider's answer is "
            "not known yet. Send the same request with the same key again until an answer other than 202 comes."
        ),
        handle=_CAPTURE.respond,
        scope="payments:capture",
        responses={200: PaymentView, 202: PaymentView},
        codes=ON_PAYMENT,
        body="CapturePayment",
        parameters=(PAYMENT_ID, IDEMPOTENCY_KEY),
    ),
    Endpoint(
        method="POST",
        path=_CANCEL.path,
        name="cancelPayment",
        summary="Release a hold, or stop waiting for the payer",
        description=(
            "Gives the held money back, or ends a payment whose payer has to act. 200 is the final answer: `canceled`, "
            "or `captured` or `authorized` where the provider was faster or refused it. 202 means that the provider's "
            "answer is not known yet. Send the same request with the same key again until an answer other than 202 "
            "comes."
        ),
        handle=_CANCEL.respond,
        scope="payments:cancel",
        responses={200: PaymentView, 202: PaymentView},
        codes=ON_PAYMENT,
        body="CancelPayment",
        parameters=(PAYMENT_ID, IDEMPOTENCY_KEY),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}/history",
        name="getHistory",
        summary="Every transition of a payment, and every refused one",
        description=(
            "Every transition of the payment, with its cause and its actor, and what was refused of it, its "
            "attempts and its refunds."
        ),
        handle=read(get_history),
        scope="payments:read",
        responses={200: History},
        codes=(*READ, "not_found"),
        parameters=(PAYMENT_ID,),
    ),
)
