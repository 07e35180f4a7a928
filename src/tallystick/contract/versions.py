"""The contract's chapter on versions: how one is chosen, and what may change without a new one."""

from __future__ import annotations

from typing import Final

from tallystick.contract import markdown
from tallystick.contract.changes import table_of_changes
from tallystick.domain.api_versions import VERSIONS

_RULES: Final = """
## Versions

A version is a date. These are served side by side:
"""

_CHOICE: Final = """
1. An API key is pinned to a version: the newest one when it is made, or the one that it is made with. The header
   `Tallystick-Version: YYYY-MM-DD` names another one for a single request. A version that is not served is
   `version_unknown`: nothing is executed, and an idempotency key that was used before is answered all the same.
2. A webhook endpoint is pinned to the version of the request that registers it, or to its `api_version`. Its messages
   are translated when they are sent, and signed as they are sent.
3. Answers and messages name their version in the same header. An answer that is given before the key is known, such
   as a 401, names none.
4. A recorded answer is replayed byte for byte, in the version that it was recorded in, whatever version asks. The same
   request is the same bytes: written in the names of another version it is another request, and
   `idempotency_key_reused`. That holds after the version has ended too, and for a request that names no version that is
   served. Where the instruction is not final yet, such a request gets its 202 in the newest version.
5. A message that is older than the version of its endpoint, which a resend may bring, goes out as it was written.
6. Whatever version asks, `id` and the types of messages have the same names.
7. A deprecated version or operation says so in each answer: `Deprecation` (RFC 9745), and `Sunset` (RFC 8594) once the
   day of its end is known. A version ends in a release after one that named that day. A key that is pinned to it then
   gets `version_unknown` for requests that name no other; a webhook endpoint that is goes on getting its messages.

What needs no new version:
"""

_NEW_VERSION: Final = """
What needs a new version, and stays as it was for clients of the versions before:
"""


def versions_chapter() -> str:
    """Versions, and the two tables of changes."""
    rows = []
    for version in VERSIONS.rows:
        ends = version.deprecation
        times = [None, None] if ends is None else [ends.since, ends.sunset]
        rows.append((f"`{version.date}`", version.changed, *("" if each is None else str(each) for each in times)))
    return "\n\n".join(
        (
            _RULES.strip("\n"),
            markdown.table(("version", "what it changed", "deprecated", "sunset"), rows),
            _CHOICE.strip("\n"),
            table_of_changes(compatible=True),
            _NEW_VERSION.strip("\n"),
            table_of_changes(compatible=False),
        )
    )
