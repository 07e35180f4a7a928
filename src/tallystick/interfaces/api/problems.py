"""Errors as RFC 9457 problem documents: the one place where error codes meet HTTP."""

from __future__ import annotations

import traceback
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException

from tallystick.domain.errors import OutcomeUnknown, Problem, ProblemField, TallystickError, problem
from tallystick.domain.views import encode
from tallystick.flows.failures import DATABASE_AWAY
from tallystick.interfaces.api.request_form import malformed, no_such_path
from tallystick.kit.ids import new_id
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger

log = get_logger("tallystick.interfaces.api")

#: Retry-After: a full queue drains within a second; a database that restarts takes a few.
RETRY_AFTER_S: Final = 1

#: What a client reads where nothing can be sealed. /readyz and the log say why; an answer names no keys, no commands.
LACKS_KEY: Final = "This process lacks a key of the platform's record."

#: Responses of a whole process that is busy or without its database: they come in floods, and have one cause. A defect
#: has a line of its own.
_SAMPLED_CODES: Final = ("overloaded", "not_ready")
_SAMPLED_ERRORS: Final[tuple[type[Exception], ...]] = (OutcomeUnknown, *DATABASE_AWAY)

_lines: Final = SampledLines()


class ProblemError(TallystickError):
    """A request that gets a problem document, with more headers where the code calls for them."""

    def __init__(self, document: Problem, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(document.code)
        self.problem = document
        self.headers = headers


def invalid_fields(errors: list[ProblemField], request_id: str) -> ProblemError:
    """422 naming every field that is wrong."""
    detail = "One or more fields are not valid; nothing was executed."
    return ProblemError(problem("validation_failed", detail, request_id=request_id, errors=errors))


def not_found(request_id: str, thing: str) -> ProblemError:
    """404: it does not exist, or it is another merchant's; a client cannot see which."""
    return ProblemError(problem("not_found", f"There is no such {thing}.", request_id=request_id))


def busy(code: str, detail: str, request_id: str, *headers: tuple[bytes, bytes]) -> ProblemError:
    """503 with Retry-After, for one of the codes that say so."""
    return ProblemError(problem(code, detail, request_id=request_id), (b"retry-after", b"%d" % RETRY_AFTER_S), *headers)


def internal_error(request_id: str) -> ProblemError:
    """500: a defect of this release. The log line of this request names its place."""
    return ProblemError(problem("internal_error", "Internal error. Quote the request id.", request_id=request_id))


def report(document: Problem, operation: str, error: BaseException | None = None, **known: str | None) -> None:
    """One log line for a response of 500 or more, sampled where they come in floods. Of the error only type and place:
    its text may repeat client input."""
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
            status=document.status,
            code=document.code,
            request_id=document.request_id,
            **known,
            **cause,
            **number,
        )

    if isinstance(error, _SAMPLED_ERRORS):
        _lines.line(document.code, say)  # whatever was asked, and wherever it failed
    elif document.code in _SAMPLED_CODES:
        _lines.line((operation, document.code, *cause.values()), say)
    else:
        say()


def defect(error: Exception, request_id: str | None = None) -> Problem:
    """500, and its line in the log, for what failed outside of every handler's own answer to failures."""
    document = internal_error(request_id or new_id("req")).problem
    report(document, "routing", error)
    return document


def flush_sampled_lines() -> None:
    """Before the process ends: log how many responses the sampled lines have not counted yet."""
    _lines.flush()


def on_framework_error(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What Litestar's router refuses before a handler is reached: no valid Host, no such path, no such method on it."""
    request_id = new_id("req")
    headers = {"request-id": request_id}
    if isinstance(error, MethodNotAllowedException):
        allow = (error.headers or {}).get("allow", "")
        headers["allow"] = ", ".join(sorted(allow.split(", ")))
        document = problem("method_not_allowed", "The path has other methods; see Allow.", request_id=request_id)
    elif isinstance(error, HTTPException) and error.status_code == 400:
        document = malformed(request_id)
    elif isinstance(error, HTTPException) and error.status_code < 500:
        document = no_such_path(request_id)
    else:
        document = defect(error, request_id)
    return Response(
        encode(document), status_code=document.status, media_type="application/problem+json", headers=headers
    )
