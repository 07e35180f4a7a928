"""Settlement reports that are fetched from a provider: where they are, and how one is downloaded.

A report is taken from the provider's own host alone, without redirects, up to a bound, and whole: an answer that does
not say how long it is is refused. Credentials are in headers; no error and no log has a URL or a header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import aiohttp
from msgspec import Struct
from yarl import URL

#: A report of half a gigabyte on a slow line; after this the connection is given up.
DOWNLOAD_MS: Final = 600_000

#: Longest silence while it is downloaded.
SILENCE_MS: Final = 60_000

#: Written at a time.
_PIECE_BYTES: Final = 1 << 16

#: Answers that say that there is no such report, and will not be one.
_GONE: Final = frozenset({404, 410})


class ReportRefused(Exception):
    """The report cannot be had, now or later. The text names neither URL nor credential."""


class ReportNotThere(Exception):
    """The report is not there yet, or the provider does not answer: try again later."""


class Link(Struct, frozen=True, kw_only=True):
    """Where a report is. ``headers`` have credentials. ``size_bytes``: how long it is, where the provider says so."""

    url: URL
    headers: Mapping[str, str]
    size_bytes: int | None = None


class ReportSource(Protocol):
    """One account's reports. Its methods raise ReportRefused and ReportNotThere."""

    name: str
    account: str

    async def ask(self, since: date, until: date) -> Sequence[str]:
        """Ask for the reports of these days (UTC, the last one not included); their names."""

    async def link(self, report: str, url: str | None) -> Link:
        """Where the report is. ``url``: where an event said that it is, which proves nothing."""

    async def close(self) -> None: ...


async def download(link: Link, into: Path, most_bytes: int, *, connect_timeout_ms: int) -> int:
    """Write the report to a file. Returns how many bytes. Raises ReportRefused, ReportNotThere, and OSError of the
    file."""
    timeout = aiohttp.ClientTimeout(
        total=DOWNLOAD_MS / 1000, sock_connect=connect_timeout_ms / 1000, sock_read=SILENCE_MS / 1000
    )
    headers = {**link.headers, "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.get(link.url, headers=headers, allow_redirects=False) as answer,
        ):
            _require_whole(answer, link, most_bytes)
            return await _written(answer, into, most_bytes, link.size_bytes or answer.content_length)
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise ReportNotThere(f"the download was cut off: {type(error).__name__}") from None


def _require_whole(answer: aiohttp.ClientResponse, link: Link, most_bytes: int) -> None:
    if 300 <= answer.status < 400:
        raise ReportRefused(f"the provider sends us elsewhere ({answer.status}): redirects are not followed")
    if answer.status in _GONE:
        raise ReportRefused(f"the provider has no such report ({answer.status})")
    if answer.status != 200:
        raise ReportNotThere(f"the provider answered {answer.status}")
    if answer.content_length is None and answer.headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise ReportRefused("the answer does not say how long the report is: it might be cut off")
    if max(answer.content_length or 0, link.size_bytes or 0) > most_bytes:
        raise ReportRefused(f"the report has more than {most_bytes} bytes")


async def _written(answer: aiohttp.ClientResponse, into: Path, most_bytes: int, expected: int | None) -> int:
    size = 0
    with into.open("wb") as file:
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            size += len(piece)
            if size > most_bytes:
                raise ReportRefused(f"the report has more than {most_bytes} bytes")
            file.write(piece)
    if expected is not None and size != expected:
        raise ReportNotThere(f"{size} bytes came of {expected}")
    return size


def same_origin(url: str, base: str) -> URL | None:
    """The URL, if it is at the host of ``base``, by the same scheme and port and without a user; else None."""
    try:
        found, own = URL(url), URL(base)
        if found.user or found.password or found.fragment or "\\" in url:
            return None
        return found if (found.scheme, found.host, found.port) == (own.scheme, own.host, own.port) else None
    except ValueError:
        return None
