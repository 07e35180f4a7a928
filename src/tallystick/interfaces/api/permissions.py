"""What an API key may ask for: whose endpoints it opens, and by which scopes. What an operation may move is looked at
where its amount is known, in ``flows/payments/instructions.py``."""

from __future__ import annotations

from tallystick.domain.errors import problem
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.problems import ProblemError


def require_caller(endpoint: Endpoint, caller: Caller, request_id: str) -> None:
    """Raises ProblemError for an operator at a merchant's endpoint, and the other way round."""
    if endpoint.callers != "either" and caller.operator != (endpoint.callers == "operator"):
        whose = "an operator" if endpoint.callers == "operator" else "a merchant's"
        raise ProblemError(problem("forbidden", f"This endpoint needs {whose} API key.", request_id=request_id))


def missing_scope(endpoint: Endpoint, caller: Caller, request_id: str) -> ProblemError | None:
    """The problem of a key that lacks the endpoint's scope."""
    if caller.declared.allows(endpoint.scope):
        return None
    detail = f"This endpoint needs an API key with the scope {endpoint.scope}; nothing was executed."
    return ProblemError(problem("scope_missing", detail, request_id=request_id))
