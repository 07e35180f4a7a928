"""The proof that nobody rewrote the record, for auditors: how far it is sealed, heads, proofs, a bounded comparison."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.json_types import Count, Time, described
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import any_text, integer
from tallystick.interfaces.api.problems import ProblemError, invalid_fields, not_found
from tallystick.oversight.audit import reads
from tallystick.oversight.audit.reads import MOST_LEAVES, Behind, NotProved, TooMuch

PATH: Final = "/v1/audit"

#: A day: what is older is for the command line.
MOST_MINUTES: Final = 1_440
DEFAULT_MINUTES: Final = 60

#: Differences of one answer.
MOST_FINDINGS: Final = 100

#: Of a checkpoint's or a head's number.
_MOST: Final = 9_007_199_254_740_991

_AsOf = Annotated[Time, described("When it was read. What is committed is sealed about a second later.")]

_TITLES: Final = "Lines of `name value`, as they are signed."


class GroupView(Struct, frozen=True, kw_only=True):
    """One tree."""

    group: Annotated[int, described("Its number: 0 is the platform's, 1 the inbox's.", 2, minimum=0)]
    head: Annotated[int, described("The sequence of its newest head.", 17, minimum=1)]
    leaves: Count


class AuditStatus(Struct, frozen=True, kw_only=True):
    """How far the record is sealed."""

    record: Annotated[str | None, described("The record's name in every head; null before sealing began.", "rec_1")]
    checkpoint: Annotated[int, described("The newest checkpoint; 0 where there is none.", 41, minimum=0)]
    sealed_at: Annotated[str | None, described("When it was made.", "2026-01-02T03:04:05.000006Z")]
    swept_at: Annotated[Time | None, described("When everything was looked at last.")]
    groups: Annotated[list[GroupView], described("Every tree.")]
    restores: Annotated[list[str], described(f"Declared restores. {_TITLES}", [])]
    rotations: Annotated[list[str], described(f"Changes of the signing key. {_TITLES}", [])]
    as_of: _AsOf


class HeadsFile(Struct, frozen=True, kw_only=True):
    """A checkpoint with the heads that are new in it, as it is copied outside."""

    checkpoint: Annotated[int, described("Its number: ask with it for the next one.", 41, minimum=1)]
    file: Annotated[dict[str, Any], described("The file: keep it as it is.", {"document": "tallystick checkpoint 2"})]
    as_of: _AsOf


class ProofList(Struct, frozen=True, kw_only=True):
    """Proofs, each as a file of its own."""

    data: Annotated[list[dict[str, Any]], described("One a change, the oldest first.", [])]
    as_of: _AsOf


class SealedProof(Struct, frozen=True, kw_only=True):
    """One proof, as a file."""

    proof: Annotated[dict[str, Any], described("The file.", {"proof": "tallystick consistency 1"})]
    as_of: _AsOf


class Difference(Struct, frozen=True, kw_only=True):
    """What is not as it was sealed."""

    what: Annotated[str, described("What became of it.", "changed")]
    about: Annotated[str, described("Kind, merchant and key of a thing; or a head or a checkpoint.", "head 1")]
    detail: Annotated[str, described("In words.", "it is not what was sealed")]


class Comparison(Struct, frozen=True, kw_only=True):
    """What a comparison of the last minutes found. Without heads that are kept elsewhere nothing is promised."""

    holds: Annotated[bool, described("Whether nothing differs.", True)]
    since: Annotated[
        str | None, described("What was sealed before it was not looked at; null: all was.", "checkpoint 3")
    ]
    leaves: Count
    compared: Count
    unsealed: Count
    differences: Annotated[list[Difference], described(f"{MOST_FINDINGS} at most.", [])]
    found: Annotated[int, described("How many differ in all.", 0, minimum=0)]
    late: Annotated[
        list[str],
        described(
            "What was sealed later than the window after its time: a transaction that was held back leaves one,"
            f" and so does a row that was put in with an older time. {MOST_FINDINGS} at most.",
            [],
        ),
    ]
    as_of: _AsOf


async def status(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """How far it is."""
    found = await reads.how_far(runtime.pool)
    return AuditStatus(
        record=found.record,
        checkpoint=found.checkpoint,
        sealed_at=found.sealed_at,
        swept_at=found.swept_at,
        groups=[GroupView(group=each.group, head=each.sequence, leaves=each.size) for each in found.groups],
        restores=list(found.restores),
        rotations=list(found.rotations),
        as_of=runtime.clock.now(),
    )


async def heads(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The file after a checkpoint."""
    try:
        found = await reads.heads_after(runtime.pool, request.query["after"])
    except Behind:
        raise not_found(request.request_id, "checkpoint in the record") from None
    if found is None:
        raise not_found(request.request_id, "newer checkpoint")
    return HeadsFile(checkpoint=found[0], file=msgspec.json.decode(found[1]), as_of=runtime.clock.now())


async def prove(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """Proofs of a subject."""
    merchant_id, subject_id = (request.query[name] or "" for name in ("merchant_id", "subject_id"))
    try:
        found = await reads.proofs(runtime.pool, merchant_id, subject_id)
    except NotProved as error:
        raise _not_proved(request, str(error)) from None
    return ProofList(data=found, as_of=runtime.clock.now())


async def consistency(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """That a tree begins with what it was."""
    try:
        found = await reads.consistency(runtime.pool, request.query["group"], request.query["head"])
    except NotProved as error:
        raise _not_proved(request, str(error)) from None
    return SealedProof(proof=found, as_of=runtime.clock.now())


async def verify(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A comparison of what was sealed in the last minutes."""
    since = runtime.clock.now() - timedelta(minutes=request.query["minutes"])
    try:
        report = await reads.recent(runtime.pool, runtime.settings, since)
    except reads.NoKey:
        detail = "No public key is set here, so no signature could be checked: TALLYSTICK_AUDIT_TRUST."
        raise ProblemError(problem("not_found", detail, request_id=request.request_id)) from None
    except TooMuch as error:
        detail = f"must be less: {error.leaves} leaves were sealed since then, and {MOST_LEAVES} are compared at once"
        raise invalid_fields([ProblemField("minutes", "out_of_range", detail)], request.request_id) from None
    return Comparison(
        holds=report.holds,
        since=report.since,
        leaves=report.leaves,
        compared=report.examined,
        unsealed=report.unsealed,
        differences=[
            Difference(what=each.what, about=each.about, detail=each.detail) for each in report.findings[:MOST_FINDINGS]
        ],
        found=report.found,
        late=report.late[:MOST_FINDINGS],
        as_of=runtime.clock.now(),
    )


def _not_proved(request: ApiRequest, why: str) -> ProblemError:
    return ProblemError(problem("not_found", f"There is no proof: {why}.", request_id=request.request_id))


def _endpoint(
    path: str, name: str, view: Any, response: type[Any], summary: str, description: str, **more: Any
) -> Endpoint:
    return Endpoint(
        method="GET",
        path=f"{PATH}{path}",
        name=name,
        summary=summary,
        description=description,
        handle=read(view),
        scope="audit:read",
        responses={200: response},
        callers="operator",
        **more,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    _endpoint(
        "",
        "getAudit",
        status,
        AuditStatus,
        "How far the record is sealed",
        "The newest checkpoint and every tree; which restores and which changes of the signing key were declared.",
        codes=READ,
    ),
    _endpoint(
        "/heads",
        "getAuditHeads",
        heads,
        HeadsFile,
        "The signed heads after a checkpoint",
        "One file, as it is copied outside: keep `file` as `heads-` with twelve digits of its checkpoint and `.json`,"
        " and `tallystick audit verify --heads` takes them. 404 where there is nothing newer.",
        codes=(*READ, "not_found"),
        parameters=(integer("after", 0, _MOST, 0, "The checkpoint of the newest file that you have."),),
    ),
    _endpoint(
        "/proofs",
        "getAuditProofs",
        prove,
        ProofList,
        "Proofs that the changes of a payment are sealed",
        "One file a change, with the leaf, its place, and the signed head; `examples/check_audit.py` checks them with"
        " nothing of ours. The values of personal fields are in them.",
        codes=(*READ, "not_found"),
        parameters=(
            any_text("merchant_id", "Whose it is."),
            any_text("subject_id", "A payment, refund, dispute or case."),
        ),
    ),
    _endpoint(
        "/consistency",
        "getAuditConsistency",
        consistency,
        SealedProof,
        "Proof that a tree begins with what it was",
        "That nothing was changed or removed in a group's tree since an earlier head of it.",
        codes=(*READ, "not_found"),
        parameters=(
            integer("group", 0, 32_767, 0, "The group's number."),
            integer("head", 1, _MOST, 1, "The sequence of the earlier head."),
        ),
    ),
    _endpoint(
        "/verify",
        "verifyAudit",
        verify,
        Comparison,
        "Compare what was sealed in the last minutes with the record",
        f"At most {MOST_LEAVES} leaves at once; `tallystick audit verify` compares everything. Without heads that you"
        " keep yourself it says that the record is consistent in itself, and no more.",
        codes=(*READ, "not_found"),
        parameters=(integer("minutes", 1, MOST_MINUTES, DEFAULT_MINUTES, "How far back."),),
    ),
)
