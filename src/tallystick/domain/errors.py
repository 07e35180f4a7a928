"""Every error that a client can get: stable codes in one table, each with its promise about what the request did.

``not_executed``: nothing was written under the key and no money moved. ``executed``: the refusal itself is recorded and
will be replayed. ``unknown``: the same request with the same key must be sent again to learn what happened. Bodies are
RFC 9457 problem documents.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Struct

from tallystick.domain.json_types import PaymentId, RequestId, WebhookEndpointId, described, example_id

#: What an error promises of the outcome.
OutcomePromise = Literal["not_executed", "executed", "unknown"]


class ErrorKind(Struct, frozen=True):
    """One row of the published error table. ``uses_key``: whether the idempotency key is taken afterwards."""

    status: int
    title: str
    retryable: bool
    outcome: OutcomePromise
    uses_key: bool = False


ERRORS: Final[dict[str, ErrorKind]] = {
    # The order is the order of the checks: the first failing check answers.
    "request_malformed": ErrorKind(400, "The request is not valid HTTP", False, "not_executed"),
    "unauthenticated": ErrorKind(401, "No valid API key", False, "not_executed"),
    "rate_limited": ErrorKind(429, "Too many requests", True, "not_executed"),
    "forbidden": ErrorKind(403, "This API key may not do that", False, "not_executed"),
    "version_unknown": ErrorKind(400, "The API has no such version", False, "not_executed"),
    "scope_missing": ErrorKind(403, "This API key lacks a scope", False, "not_executed"),
    "body_too_large": ErrorKind(413, "The body is too large", False, "not_executed"),
    "request_timeout": ErrorKind(408, "The body did not arrive in time", True, "not_executed"),
    "body_incomplete": ErrorKind(400, "The connection ended before the body did", True, "not_executed"),
    "unsupported_media_type": ErrorKind(415, "The body is not application/json", False, "not_executed"),
    "idempotency_key_missing": ErrorKind(400, "The Idempotency-Key header is missing", False, "not_executed"),
    "idempotency_key_invalid": ErrorKind(400, "The Idempotency-Key header is malformed", False, "not_executed"),
    "json_invalid": ErrorKind(400, "The body is not a valid JSON object", False, "not_executed"),
    "idempotency_key_reused": ErrorKind(422, "The Idempotency-Key was used for another request", False, "not_executed"),
    "instruction_in_flight": ErrorKind(409, "The instruction is being carried out", True, "unknown"),
    "card_data_refused": ErrorKind(422, "The request seems to contain a card number", False, "not_executed"),
    "validation_failed": ErrorKind(422, "The request is not valid", False, "not_executed"),
    "not_found": ErrorKind(404, "Not found", False, "not_executed"),
    "method_not_allowed": ErrorKind(405, "The method is not allowed here", False, "not_executed"),
    "webhook_signature_invalid": ErrorKind(401, "The webhook's signature is not valid", False, "not_executed"),
    "webhook_timestamp_stale": ErrorKind(400, "The webhook was signed too long ago", False, "not_executed"),
    "webhook_unparseable": ErrorKind(400, "The webhook cannot be read", False, "not_executed"),
    "not_replayable": ErrorKind(409, "The event cannot be replayed or discarded", False, "not_executed"),
    "case_resolved": ErrorKind(409, "The case is resolved", False, "not_executed"),
    "owner_unknown": ErrorKind(422, "No operator of this name may act on it", False, "not_executed"),
    "not_owned": ErrorKind(409, "You do not own this item", False, "not_executed"),
    "refusals_closed": ErrorKind(409, "No refused webhooks of this kind are open", False, "not_executed"),
    "alert_resolved": ErrorKind(409, "The alert is resolved", False, "not_executed"),
    "settlement_file_refused": ErrorKind(422, "The settlement file cannot be imported", False, "not_executed"),
    "settlement_file_busy": ErrorKind(409, "The settlement file is being imported", True, "not_executed"),
    "settlement_row_not_open": ErrorKind(409, "The settlement row cannot be resolved like this", False, "not_executed"),
    "settlement_file_needed": ErrorKind(409, "The settlement file cannot be withdrawn", False, "not_executed"),
    "not_reprocessable": ErrorKind(409, "The case cannot be processed again now", False, "not_executed"),
    "not_in_doubt": ErrorKind(
        409, "The attempt is not in doubt, or the finding lacks something", False, "not_executed"
    ),
    "no_late_money": ErrorKind(409, "There is no late money to decide on", False, "not_executed"),
    "not_erasable": ErrorKind(409, "Rows of the payment cannot be erased yet", False, "not_executed"),
    "approval_needed": ErrorKind(409, "The act waits for other people's approval", False, "not_executed"),
    "webhook_endpoint_exists": ErrorKind(409, "A webhook endpoint with this URL exists", False, "not_executed"),
    "webhook_endpoint_limit": ErrorKind(409, "The limit of webhook endpoints is reached", False, "not_executed"),
    "webhook_endpoint_disabled": ErrorKind(409, "The webhook endpoint is disabled", False, "not_executed"),
    "limit_exceeded": ErrorKind(403, "This API key has a lower limit", False, "not_executed"),
    "transition_rejected": ErrorKind(409, "The payment's state does not allow this", False, "executed", uses_key=True),
    "overloaded": ErrorKind(503, "Too busy: nothing was executed", True, "not_executed"),
    "not_ready": ErrorKind(503, "Not ready: nothing was executed", True, "not_executed"),
    "outcome_unknown": ErrorKind(
        503, "The database could not be reached: the outcome is not known yet", True, "unknown", uses_key=True
    ),
    "internal_error": ErrorKind(500, "Internal error", True, "unknown"),
}


class ProblemField(Struct, frozen=True):
    """One field that was refused; the value itself is never repeated."""

    field: Annotated[
        str, described("The field or parameter; `body`, `query` or `path` where it is the whole.", "amount")
    ]
    code: Annotated[str, described("Stable; made for programs.", "out_of_range")]
    detail: Annotated[str, described("For people; it may change.", "must be from 1 to 1000000000000")]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An RFC 9457 problem document with our extension members."""

    type: Annotated[
        str,
        described(
            "`urn:tallystick:error:` and the code.",
            "urn:tallystick:error:validation_failed",
            pattern="^urn:tallystick:error:[a-z_]+$",
        ),
    ]
    title: Annotated[str, described("What the code means, in a few words.", "The request is not valid")]
    status: Annotated[int, described("The status of the response.", 422, minimum=400, maximum=599)]
    code: Annotated[
        str,
        described(
            "What went wrong: stable, made for programs. A later release may have more codes: decide by `retryable` and"
            " `outcome`.",
            "validation_failed",
            enum=list(ERRORS),
        ),
    ]
    detail: Annotated[
        str,
        described("For people; it may change.", "One or more fields are not valid; nothing was executed."),
    ]
    retryable: Annotated[bool, described("Whether the same request may succeed later.", False)]
    outcome: Annotated[
        OutcomePromise,
        described(
            "What this request did. `not_executed`: nothing was written under the key, and no money moved. `executed`:"
            " no money moved either, and this refusal is what the key answers from now on. `unknown`: it may have been"
            " carried out; send the same request with the same key again. An earlier request with the key may have done"
            " more.",
            "not_executed",
        ),
    ]
    request_id: Annotated[
        RequestId | None, described("The request's id, as in the header `Request-Id`; quote it.", example_id("req"))
    ] = None
    payment_id: Annotated[
        PaymentId | None, described("The payment that the key's instruction is about, where there is one.")
    ] = None
    webhook_endpoint_id: Annotated[
        WebhookEndpointId | None, described("The endpoint that has the URL already, where that is the error.")
    ] = None
    errors: Annotated[
        list[ProblemField] | None, described("Every field that was refused, where fields are the error.")
    ] = None


def problem(
    code: str,
    detail: str,
    *,
    request_id: str | None = None,
    payment_id: str | None = None,
    webhook_endpoint_id: str | None = None,
    errors: list[ProblemField] | None = None,
) -> Problem:
    """A problem document for one of the codes above; KeyError for a code that is not in the table."""
    kind = ERRORS[code]
    return Problem(
        type=f"urn:tallystick:error:{code}",
        title=kind.title,
        status=kind.status,
        code=code,
        detail=detail,
        retryable=kind.retryable,
        outcome=kind.outcome,
        request_id=request_id,
        payment_id=payment_id,
        webhook_endpoint_id=webhook_endpoint_id,
        errors=errors,
    )


class TallystickError(Exception):
    """Base of the errors that callers of this package catch."""


class Overloaded(TallystickError):
    """A bounded queue is full; nothing was written."""


class ProviderNotConfigured(TallystickError):
    """The settings of this process lack the provider's account that an act needs; nothing was written."""


class OutcomeUnknown(TallystickError):
    """A change was queued, and it is not known yet whether it was committed."""


class ChangeRefused(TallystickError):
    """The database refused this change permanently (a defect of ours): nothing of it was written."""


class IllegalTransition(TallystickError):
    """A decision tried an edge that does not exist (a defect of ours)."""
