"""A connection to the one of several hosts that takes writes.

asyncpg and libpq try hosts one after the other. A host that is lost with its network refuses nothing: it does not
answer, and asyncpg would spend all of its time on the first one, at every try. So the next host is tried after a
moment, beside those that have not answered yet (as RFC 8305 does with addresses).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import asyncpg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tallystick.kit.tried_address import note_tried
from tallystick.record.postgres.array_types import know_arrays

#: A server of the same site answers in a few milliseconds, a busy one in some tens.
HEAD_START_S: Final = 0.3

#: For each host, where a person waits: at the start, and for a migration.
OWNER_CONNECT_TIMEOUT_S: Final = 10

#: What every connection here is for. It matters where there are several hosts: one may be a standby.
TARGET: Final = "read-write"


def hosts_of(url: str) -> list[tuple[str, int]]:
    """Hosts (or directories of sockets) and ports in their order; empty where the URL leaves the host to the driver."""
    parts = conninfo_to_dict(url)
    hosts = [host for host in str(parts.get("host") or "").split(",") if host]
    ports = [int(port or 5432) for port in str(parts.get("port") or "5432").split(",")]
    if len(ports) == 1:
        ports = ports * len(hosts)
    return list(zip(hosts, ports, strict=True))


class Endable(Protocol):
    """A connection that can be dropped."""

    def terminate(self) -> None:
        """Drop the connection."""


Connection = TypeVar("Connection", bound=Endable)


async def open_connection(url: str, *, timeout: float, **options: Any) -> asyncpg.Connection:
    """A connection of asyncpg; see ``open_on_hosts``. Raises what asyncpg raises."""

    async def attempt(**target: Any) -> asyncpg.Connection:
        connection: asyncpg.Connection = await asyncpg.connect(url, timeout=timeout, **target, **options)
        know_arrays(connection)
        return connection

    return await open_on_hosts(url, attempt, timeout=timeout)


async def open_on_hosts(
    url: str, attempt: Callable[..., Coroutine[Any, Any, Connection]], *, timeout: float
) -> Connection:
    """A connection to the host of the URL, or to the first of several that takes writes. ``attempt`` gets host and port
    where there are several, and the kind of server that is looked for unless the URL names one. ``timeout``: in
    seconds, for all hosts together. Raises what ``attempt`` raises, with the addresses noted."""
    hosts = hosts_of(url)
    wanted = {} if "target_session_attrs" in conninfo_to_dict(url) else {"target_session_attrs": TARGET}
    try:
        if len(hosts) < 2:
            return await attempt()
        async with asyncio.timeout(timeout):
            return await _first_of([attempt(host=host, port=port, **wanted) for host, port in hosts])
    except Exception as error:
        note_tried(error, hosts)
        raise


async def _first_of(connects: list[Coroutine[Any, Any, Connection]]) -> Connection:
    """The first connection of those that are being made, each begun a moment after the one before it, or as soon as
    that has failed. Raises the error of the last one where all fail."""
    waiting = iter(connects)
    tasks: set[asyncio.Task[Connection]] = set()
    error: BaseException = OSError("the URL names no host")
    try:
        while True:
            following = next(waiting, None)
            if following is not None:
                tasks.add(asyncio.ensure_future(following))
            elif not tasks:
                raise error
            done, tasks = await asyncio.wait(
                tasks, timeout=None if following is None else HEAD_START_S, return_when=asyncio.FIRST_COMPLETED
            )
            made = [task.result() for task in done if task.exception() is None]
            for spare in made[1:]:
                spare.terminate()
            if made:
                return made[0]
            error = next((task.exception() for task in done), None) or error
    finally:
        for task in tasks:
            task.add_done_callback(_terminate)
            task.cancel()
        for never_begun in waiting:
            never_begun.close()


def _terminate(task: asyncio.Task[Connection]) -> None:
    """A connection that was made at the moment in which it was no longer wanted."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def conninfo_for_writing(url: str) -> str:
    """The URL for libpq, with the same rules for several hosts."""
    if len(hosts_of(url)) < 2:
        return url
    given = conninfo_to_dict(url)
    return make_conninfo(
        url,
        target_session_attrs=given.get("target_session_attrs") or TARGET,
        connect_timeout=given.get("connect_timeout") or OWNER_CONNECT_TIMEOUT_S,
    )
