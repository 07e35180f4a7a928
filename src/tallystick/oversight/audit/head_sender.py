"""Heads on their way to a command or to a URL: one file after another, in the order of their checkpoints.

How far a place has taken them is a row. A place that fails is told again from there; what comes meanwhile is in that
file, or waits in the record. One worker at a time sends to a place. Where it dies between a file that was taken
and its row, the next one sends those heads again, with what is newer: who compares takes heads that two files have.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, cast

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.client import NEVER_TOO_LATE, EndpointClient
from tallystick.flows.webhooks.outbound.try_results import DELIVERED
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.audit.anchors import anchor_name, believed_restores, next_anchor
from tallystick.oversight.audit.heads import digest
from tallystick.record.postgres.audit_rows import AuditRows
from tallystick.record.postgres.number_reads import Watch
from tallystick.settings.audit import heads_command
from tallystick.settings.load import Settings

#: What a command sees of the worker's environment. The signing key is in that, and is none of its business.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")

#: The name of a file that is posted.
NAME_HEADER: Final = "Tallystick-Heads"

#: Of a command's or an address's digest: enough to tell a few apart.
_DIGEST_CHARS: Final = 16

#: A lease is held for so many time limits: a worker that waits for a place keeps it.
_LEASES: Final = 2

Send = Callable[[str, bytes], Awaitable[None]]


class NotTaken(TallystickError):
    """A place did not take a file; the message says why, without the address."""


class Place(Struct, frozen=True):
    """Where heads are sent. ``name``: as the record has it."""

    name: str
    send: Send
    close: Callable[[], Awaitable[None]]


def place_names(settings: Settings) -> list[str]:
    """How the record names the places of these settings."""
    found = [("command", "\0".join(heads_command(settings))), ("url", settings.audit_heads_url or "")]
    return [f"{kind} {_digest(text)}" for kind, text in found if text]


def places_of(settings: Settings, clock: Clock) -> list[Place]:
    """The command and the URL of the settings. Make it inside a running event loop."""
    found, names = [], place_names(settings)
    if words := heads_command(settings):
        found.append(Place(names.pop(0), _to_command(words, settings.audit_heads_timeout_ms), _nothing))
    if settings.audit_heads_url is not None:
        policy = AddressPolicy(allow_private=settings.webhook_allow_private_addresses)
        client = EndpointClient(policy, timeout_ms=settings.audit_heads_timeout_ms, connections=1)
        found.append(Place(names.pop(0), _to_url(client, settings.audit_heads_url, clock), client.close))
    return found


class HeadSender:
    """Sends to one place, as one of any number of processes. ``key``: the public one of the key that signs."""

    def __init__(
        self, pool: asyncpg.Pool, clock: Clock, settings: Settings, place: Place, key: Ed25519PublicKey
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._place = place
        self._key = key
        self._watch = Watch(pool, clock, f"heads to {place.name}", new_id("lse"))
        self._lease_ms = _LEASES * settings.audit_heads_timeout_ms

    async def round(self) -> int:
        """Send the next file: 1 where there was one. Raises NotTaken, Behind, BadDocument, and what the database
        raises."""
        if not await self._watch.hold(self._lease_ms):
            return 0
        async with self._pool.acquire() as proxy:
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            outside, held = await rows.anchored(self._place.name)
            found = await next_anchor(rows, outside, await believed_restores(rows, self._key), held)
        if found is None:
            return 0
        checkpoint, text = found
        await self._place.send(sent_name(checkpoint.number, text), text.encode())
        async with self._pool.acquire() as proxy:
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            sent = digest(checkpoint.document)
            await rows.note_anchored(self._place.name, checkpoint.number, self._clock.now(), sent)
        return 1

    async def leave(self) -> None:
        """Let another process send. Raises what the database raises."""
        await self._watch.leave()
        await self._place.close()


def sent_name(number: int, text: str) -> str:
    """What a file is called at a place that may write over what it has: after a restore the record makes other
    checkpoints of numbers that are outside."""
    return f"{anchor_name(number).removesuffix('.json')}-{_digest(text)}.json"


def _to_command(words: Sequence[str], timeout_ms: int) -> Send:
    async def send(name: str, body: bytes) -> None:
        environment = {each: os.environ[each] for each in _ENVIRONMENT if each in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                name,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise NotTaken(f"the command cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await process.communicate(body)
        except TimeoutError:
            raise NotTaken(f"the command did not end within {timeout_ms} ms") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                await process.wait()
        if process.returncode != 0:
            raise NotTaken(f"the command ended with {process.returncode}")

    return send


def _to_url(client: EndpointClient, url: str, clock: Clock) -> Send:
    async def send(name: str, body: bytes) -> None:
        headers = {NAME_HEADER: name}
        result = await client.send(url, headers, body, write_by_ms=NEVER_TOO_LATE, now=clock.now())
        if result.result != DELIVERED:
            raise NotTaken(f"the URL did not take it: {result.detail or result.result}")

    return send


async def _nothing() -> None:
    """A command has nothing open between files."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
