"""The version of one request: named by its header or by its key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from functools import cache
from typing import Final

from tallystick.domain.api_versions import VERSIONS, ApiVersion, Deprecation
from tallystick.domain.errors import problem
from tallystick.interfaces.api.problems import ProblemError, busy

#: The request names a version with it, and the answer the version that it is in.
HEADER: Final = b"tallystick-version"


def served() -> str:
    """The versions that there are, for people."""
    return ", ".join(version.date for version in VERSIONS.rows)


def version_of(named: Sequence[str], pinned: ApiVersion | None, request_id: str) -> ApiVersion:
    """The version that a request's headers name, or else the one that its key is pinned to. Raises ProblemError."""
    if not named:
        if pinned is None:  # by a newer release
            raise busy("not_ready", "This process does not serve the version of this key.", request_id)
        if pinned.ended:
            detail = f"The version of this key, {pinned.date}, has ended. Send Tallystick-Version, of: {served()}."
            raise ProblemError(problem("version_unknown", detail, request_id=request_id))
        return pinned
    version = VERSIONS.find(named[0]) if len(named) == 1 else None
    if version is None:
        detail = f"Send one Tallystick-Version, of: {served()}. Without one the version of the key counts."
        raise ProblemError(problem("version_unknown", detail, request_id=request_id))
    return version


@cache
def headers_of(version: ApiVersion, operation: Deprecation | None) -> tuple[tuple[bytes, bytes], ...]:
    """What an answer says of its version, and of what is deprecated: the version or the operation. Of two deprecations
    the earlier times count."""
    found = [each for each in (version.deprecation, operation) if each is not None]
    sunsets = [each.sunset for each in found if each.sunset is not None]
    headers = [(HEADER, version.date.encode())]
    if found:
        headers.append((b"deprecation", b"@%d" % _midnight(min(each.since for each in found)).timestamp()))
    if sunsets:
        headers.append((b"sunset", format_datetime(_midnight(min(sunsets)), usegmt=True).encode()))
    return tuple(headers)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
