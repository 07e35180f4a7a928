"""Refusals and failures as RFC 9457 answers: the one place where error codes meet HTTP."""

from __future__ import annotations

import traceback
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException

from tallystick.domain.errors import Problem, ProblemField, TallystickError, problem
from tallystick.domain.views import encode
from tallystick.kit.ids import new_id
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger

log = get_logger("tallystick.interfaces.api")

#: A full queue drains within a second; a database that restarts takes a few.
RETRY_AFTER_S: Final = 1

#: Answers of a whole process that is busy or without its database: they come in floods, and nothing was executed. An
#: outcome that is unknown, or a defect, has a line of its own.
_SAMPLED_CODES: Final = ("overloaded", "not_ready")

_lines: Final = SampledLines()


class Refused(TallystickError):
    """A request that gets a problem document, with more headers where the code calls for them."""

    def __init__(self, refused: Problem, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(refused.code)
        self.problem = refused
        self.headers = headers


def refused_fields(errors: list[ProblemField], request_id: str) -> Refused:
    """422 naming every field that is wrong."""
    detail = "One or more fields are not valid; nothing was executed."
    return Refused(problem("validation_failed", detail, request_id=request_id, errors=errors))


def not_found(request_id: str, thing: str) -> Refused:
    """404: it does not exist, or it is another merchant's; nobody can tell which."""
    return Refused(problem("not_found", f"There is no such {thing}.", request_id=request_id))


def busy(code: str, detail: str, request_id: str, *headers: tuple[bytes, bytes]) -> Refused:
    """503 with Retry-After, for one of the codes that say so."""
    return Refused(problem(code, detail, request_id=request_id), (b"retry-after", b"%d" % RETRY_AFTER_S), *headers)


def report(refused: Problem, operation: str, error: BaseException | None = None, **known: str | None) -> None:
    """One line for an answer of 500 or more, sampled where they come in floods. Of the error only type and place: its
    text may repeat client input."""
    cause: dict[str, str] = {}
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        cause = {"error": type(error).__name__, "raised_at": place}

    def say(since_last_line: int | None = None) -> None:
        number = {} if since_last_line is None else {"since_last_line": since_last_line}
        log.error(
            "request failed",
            operation=operation,
            status=refused.status,
            code=refused.code,
            request_id=refused.request_id,
            **known,
            **cause,
            **number,
        )

    if refused.code in _SAMPLED_CODES:
        _lines.line((operation, refused.code, *cause.values()), say)
    else:
        say()


def tell_what_was_left_out() -> None:
    """Before the process ends: how many answers the sampled lines have not told of yet."""
    _lines.flush()


def on_framework_refusal(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What Litestar's router refuses before a handler is reached: no such path, or no such method on it."""
    request_id = new_id("req")
    headers = {"request-id": request_id}
    if isinstance(error, MethodNotAllowedException):
        allow = (error.headers or {}).get("allow", "")
        headers["allow"] = ", ".join(sorted(allow.split(", ")))
        refused = problem("method_not_allowed", "The path knows other methods; see Allow.", request_id=request_id)
    elif isinstance(error, HTTPException) and error.status_code < 500:
        refused = problem("not_found", "There is no such path.", request_id=request_id)
    else:
        refused = problem("internal_error", "A defect of ours; the log has the place.", request_id=request_id)
        report(refused, "routing", error)
    return Response(encode(refused), status_code=refused.status, media_type="application/problem+json", headers=headers)
