"""What a request must be before it is routed: one Host, and a path in its one spelling.

The router would drop empty segments and decode escapes. Each path would then have many spellings, and a proxy in front
that allows, limits or caches by path would know only one of them.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from litestar.types import HTTPScope

from tallystick.domain.errors import Problem, problem
from tallystick.kit.ids import new_id

#: What a path may hold without an escape (RFC 3986 section 3.3): pchar, and the slash between segments.
PATH_CHARACTERS: Final = "/-._~!$&'()*+,;=:@"


#: As granian and as ASGI write it. It needs no Host: some load balancers ask for health that way.
HTTP_1_0: Final = ("1", "1.0")

#: What a Host may be (RFC 9110 section 7.2): a name or an address, and a port; no user.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[A-Za-z0-9:.%]+\])(?::[0-9]{0,5})?")


def malformed(request_id: str) -> Problem:
    """400: no server should guess whom the request is for."""
    return problem("request_malformed", "Send one valid Host header.", request_id=request_id)


def no_such_path(request_id: str) -> Problem:
    """404 for a path that nothing answers."""
    return problem("not_found", "There is no such path.", request_id=request_id)


def refusal(scope: HTTPScope) -> Problem | None:
    """The problem of a request that is not routed, or None."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    # RFC 9112 section 3.2. Where there is none, granian puts an empty one, which no request by http may have.
    if len(hosts) > 1 or (not any(hosts) and scope["http_version"] not in HTTP_1_0):
        return malformed(new_id("req"))
    if any(host and _HOST.fullmatch(host) is None for host in hosts):
        return malformed(new_id("req"))
    path = scope["path"]
    if "//" in path or (path.endswith("/") and path != "/") or _is_escaped_otherwise(path, scope["raw_path"]):
        return no_such_path(new_id("req"))
    return None


def _is_escaped_otherwise(path: str, raw_path: bytes) -> bool:
    """Whether the path holds an escape that it does not need, or one that hides a slash."""
    return b"%" in raw_path and quote(path, safe=PATH_CHARACTERS).encode() != raw_path
