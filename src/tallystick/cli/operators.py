"""``operators``: who operates the platform, and what waits for a second person's word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from tallystick.access.accounts import Granted, OperatorVersion
from tallystick.access.operator import NotAnOperator, operator_of_shell
from tallystick.access.roles import ROLES, Right, Role
from tallystick.access.sessions import Sessions
from tallystick.access.viewer import Viewer
from tallystick.cli.acts import Reason, with_runtime
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.reading import NotFound, OpenRecord, id_of, lines, print_rows, shown_time, with_record
from tallystick.cli.session_file import kept_session
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.compliance.four_eyes import Approval
from tallystick.flows.operations import operators as flow
from tallystick.flows.runtime import Runtime

Result = TypeVar("Result")

app = typer.Typer(help="Operators of the platform, and what needs a second one.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The operator's name, for good.")]
Roles = Annotated[
    list[str], typer.Option("--role", metavar=f"[{'|'.join(ROLES)}]", help="What they are; repeat it for more.")
]
Merchants = Annotated[
    list[str] | None,
    typer.Option("--merchant", help="Limit them to this merchant; repeat it for more.", show_default=False),
]
RawEvidence = Annotated[bool, typer.Option("--raw-evidence", help="They may read the bytes that providers sent.")]
RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST", help="The request's id, apr_….", callback=id_of("apr", "a request"))
]


@app.command()
def add(
    name: Name,
    role: Roles,
    reason: Reason,
    merchant: Merchants = None,
    raw_evidence: RawEvidence = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Add an operator, and print the secret of their first sign-in, once. After the first two operators a second
    person has to approve it."""
    granted = _granted(role, merchant, raw_evidence)

    async def added(runtime: Runtime, actor: str) -> flow.Invited:
        return await flow.add(runtime, name, granted, actor=actor, reason=reason)

    _print_invited(managing(data_dir, added), as_json)


@app.command("change")
def change_rights(
    name: Name,
    role: Roles,
    reason: Reason,
    merchant: Merchants = None,
    raw_evidence: RawEvidence = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give an operator these roles, in the place of those that they have. What gives more waits for a second person."""
    granted = _granted(role, merchant, raw_evidence)

    async def changed(runtime: Runtime, actor: str) -> flow.Changed:
        return await flow.change(runtime, name, granted, actor=actor, reason=reason)

    done = managing(data_dir, changed)
    request_id = None if done.request is None else done.request.request_id
    sentence = f"Operator {name} is changed." if request_id is None else _waits(request_id)
    _say({"operator": name, "request_id": request_id}, sentence, as_json)


@app.command()
def disable(name: Name, reason: Reason, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Disable an operator for good: every session of theirs is over at once."""

    async def disabled(runtime: Runtime, actor: str) -> None:
        await flow.disable(runtime, name, actor=actor, reason=reason)

    managing(data_dir, disabled)
    _say({"operator": name, "state": "disabled"}, f"Operator {name} is disabled.", as_json)


@app.command()
def reset(name: Name, reason: Reason, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Forget an operator's password and second factor, and print the secret of another first sign-in, once. After the
    first two operators a second person has to approve it."""

    async def done(runtime: Runtime, actor: str) -> flow.Invited:
        return await flow.reset(runtime, name, actor=actor, reason=reason)

    _print_invited(managing(data_dir, done), as_json)


@app.command("list")
def list_operators(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List operators as they are now."""

    async def found(record: OpenRecord) -> list[dict[str, Any]]:
        accounts = record.stores.accounts
        return [
            {**_document(each), "last_sign_in": await accounts.last_sign_in(each.operator_id)}
            for each in await accounts.newest()
        ]

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
        return
    print_rows(
        [(each["operator"], _rights_lines(each), shown_time(each["last_sign_in"]) or "never") for each in rows],
        ("operator", "may", "last sign-in (UTC)"),
        title="Operators",
        nothing="No operators; `tallystick operators add` adds the first.",
    )


@app.command()
def review(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Who had which rights when, who gave them, and what a second person approved: every version of every operator."""

    async def found(record: OpenRecord) -> list[dict[str, Any]]:
        return await _review(record)

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
        return
    print_rows(
        [
            (
                each["operator"],
                _rights_lines(each),
                lines(
                    f"{shown_time(each['from'])} to {shown_time(each['until']) or 'now'}",
                    f"by {each['given_by']}",
                    f"approved by {', '.join(each['approved_by'])}" if each["approved_by"] else "",
                    each["request_id"],
                ),
            )
            for each in rows
        ],
        ("operator", "had", "from, until (UTC), by"),
        title="Access review",
        nothing="No operators.",
    )


@app.command()
def requests(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what somebody asked a second person for, newest first."""

    async def found(runtime: Runtime) -> list[Approval]:
        return await four_eyes.waiting(runtime)

    rows = with_runtime(settings_from(data_dir), found)
    if as_json:
        print_json([_approval_document(each) for each in rows])
        return
    print_rows(
        [
            (
                each.request.request_id,
                lines(
                    f"{each.request.act} {each.request.target}",
                    each.request.requested_by,
                    each.request.reason,
                    msgspec.json.encode(each.request.shown).decode(),
                ),
                "waits" if each.outcome is None else f"{each.outcome.outcome}\n{each.outcome.detail}",
            )
            for each in rows
        ],
        ("request", "what, who, why, what was shown", "state"),
        title="Requests",
        nothing="Nothing was asked for.",
    )


@app.command()
def approve(request: RequestId, reason: Reason, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Approve what somebody else asked for, as who is signed in. Enough approvals carry it out."""
    _decide(request, reason, True, as_json, data_dir)


@app.command()
def reject(request: RequestId, reason: Reason, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Reject what somebody else asked for, as who is signed in."""
    _decide(request, reason, False, as_json, data_dir)


def _decide(request_id: str, reason: str, approves: bool, as_json: bool, data_dir: DataDir) -> None:
    async def decided(runtime: Runtime) -> Approval:
        viewer = await _signed_in(runtime)
        if viewer is None:
            raise NotAnOperator("sign in first: `tallystick login`. An unauthenticated command line never approves")
        _require(runtime, viewer, "approve")
        seen = await four_eyes.read(runtime, request_id)
        if seen is None:
            raise NotFound(f"there is no request {request_id}")
        return await four_eyes.decide(
            runtime,
            APPROVABLE,
            request_id,
            viewer,
            approves=approves,
            seen_hash=seen.request.shown_hash,
            reason=reason,
        )

    approval = with_runtime(settings_from(data_dir), decided)
    ended = None if approval.outcome is None else approval.outcome.outcome
    sentence = f"{approval.request.act} {approval.request.target}: {ended or 'more people have to approve it'}."
    _say(_approval_document(approval), sentence, as_json)


def managing(data_dir: DataDir, do: Callable[[Runtime, str], Awaitable[Result]]) -> Result:
    """As who is signed in, who must have the right; or as the shell, which asks and never approves."""

    async def done(runtime: Runtime) -> Result:
        viewer = await _signed_in(runtime)
        if viewer is None:
            return await do(runtime, operator_of_shell().name)
        _require(runtime, viewer, "manage")
        if viewer.merchants is not None:  # what is managed is the platform's
            raise NotAnOperator(f"{viewer.actor} is limited to merchants; nothing was done")
        return await do(runtime, viewer.actor)

    return with_runtime(settings_from(data_dir), done)


async def _signed_in(runtime: Runtime) -> Viewer | None:
    """Who signed in on this command line. Raises NotAnOperator where their session is over."""
    token = kept_session()
    if token is None:
        return None
    viewer = await Sessions(runtime.pool, runtime.clock, runtime.settings, runtime.sealer).viewer(token)
    if viewer is None:
        raise NotAnOperator("your session is over: `tallystick login`, or `tallystick login --out`. Nothing was done")
    return viewer


def _require(runtime: Runtime, viewer: Viewer, right: Right) -> None:
    if not viewer.may(right):
        raise NotAnOperator(f"{viewer.actor} lacks the right {right}; nothing was done")
    if not viewer.is_fresh(runtime.clock.now(), runtime.settings.console_fresh_ms):
        raise NotAnOperator("this needs a recent sign-in: `tallystick login`. Nothing was done")


def _granted(roles: list[str], merchants: list[str] | None, raw_evidence: bool) -> Granted:
    if not set(roles) <= set(ROLES):
        raise typer.BadParameter(f"expected one of {', '.join(ROLES)}", param_hint="--role")
    given: list[Role] = [role for role in ROLES if role in roles]
    return Granted(roles=given, merchants=merchants or None, raw_evidence=raw_evidence)


async def _review(record: OpenRecord) -> list[dict[str, Any]]:
    versions = await record.stores.accounts.versions()
    rows = []
    for each, later in zip(versions, [*versions[1:], None], strict=True):
        until = later.at if later is not None and later.operator_id == each.operator_id else None
        decisions = [] if each.request_id is None else await record.stores.approvals.decisions(each.request_id)
        approved_by = [decision.decided_by for decision in decisions if decision.approves]
        rows.append({**_document(each), "from": each.at, "until": until, "approved_by": approved_by})
    return rows


def _document(each: OperatorVersion) -> dict[str, Any]:
    return {
        "operator": each.operator_id,
        "version": each.version,
        "state": each.state,
        "roles": list(each.roles),
        "rights": sorted(each.rights()) if each.state == "active" else [],
        "merchants": each.merchants,
        "raw_evidence": each.raw_evidence,
        "given_by": each.actor,
        "request_id": each.request_id,
    }


def _approval_document(approval: Approval) -> dict[str, Any]:
    request = approval.request
    return {
        "request_id": request.request_id,
        "act": request.act,
        "target": request.target,
        "shown": request.shown,
        "shown_hash": request.shown_hash.hex(),
        "reason": request.reason,
        "requested_by": request.requested_by,
        "requested_at": request.requested_at,
        "expires_at": request.expires_at,
        "needed": request.needed,
        "decisions": [{"by": each.decided_by, "approves": each.approves, "at": each.at} for each in approval.decisions],
        "outcome": None if approval.outcome is None else approval.outcome.outcome,
    }


def _rights_lines(each: dict[str, Any]) -> str:
    of = "all merchants" if each["merchants"] is None else f"only {', '.join(each['merchants'])}"
    evidence = "raw evidence" if each["raw_evidence"] else ""
    return lines(f"{', '.join(each['roles'])} ({each['state']})", of, evidence)


def _print_invited(invited: flow.Invited, as_json: bool) -> None:
    request_id = None if invited.request is None else invited.request.request_id
    document = {"operator": invited.operator_id, "invitation": invited.invitation, "request_id": request_id}
    if as_json:
        print_json(document)
        return
    console.print(
        lines(
            f"First sign-in of {invited.operator_id}, once, within a day, at /console/first-sign-in:",
            invited.invitation,
            "" if request_id is None else f"It opens nothing yet. {_waits(request_id)}",
        ),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _waits(request_id: str) -> str:
    return f"A second person has to approve it: tallystick operators approve {request_id}"


def _say(document: object, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
