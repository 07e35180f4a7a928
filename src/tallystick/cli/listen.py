"""``listen``: forwards a merchant's messages to a server on this machine."""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct

from tallystick.cli.context import AsJson, DataDir, settings_from
from tallystick.domain.errors import TallystickError
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy, UrlRefused
from tallystick.flows.webhooks.outbound.client import EndpointClient
from tallystick.flows.webhooks.outbound.signing import SECRET_BYTES, SECRET_PREFIX, new_secret
from tallystick.flows.webhooks.outbound.try_results import DELIVERED
from tallystick.kit.clock import utc_now
from tallystick.run.ports import http_address
from tallystick.run.relay import ApiAway, Forwarded, MessageList, Relay

#: This machine's own servers may be anywhere: nothing here is reached for somebody else.
POLICY: Final = AddressPolicy(allow_private=True)

ForwardTo = Annotated[
    str, typer.Option(metavar="URL", help="Your server: http://localhost:3000/webhooks, or localhost:3000/webhooks.")
]
Api = Annotated[
    str | None, typer.Option("--api", metavar="URL", help="The API's address.", show_default="by the settings")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the merchant's API key; - is standard input.", show_default="api-key in the data directory"
    ),
]
Secret = Annotated[
    str | None, typer.Option(help="Sign with this secret (whsec_…).", show_default="a new one, which is printed")
]
Since = Annotated[
    datetime | None, typer.Option(help="Forward also what was written since then (UTC).", show_default="from now on")
]


class CannotListen(TallystickError):
    """The messages cannot be read; the message says why."""


class Line(Struct, frozen=True, kw_only=True):
    """One message that was forwarded, for programs."""

    at: datetime
    message_id: str
    type: str
    delivered: bool
    result: str
    status: int | None
    message: str
    duration_ms: int


def listen(
    forward_to: ForwardTo,
    api: Api = None,
    key_file: KeyFile = None,
    secret: Secret = None,
    since: Since = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Forward a merchant's messages to a server on this machine, signed, until Ctrl-C. They are read from the API, so
    the platform needs no connection to this machine. Each is sent once; a failure is shown and not repeated."""
    settings = settings_from(data_dir)
    address = api or http_address(settings.host, settings.port)
    key = _key(key_file or Path(settings.data_dir).expanduser() / "api-key")
    target = _target(forward_to)
    signing = _signing(secret)
    counts = {True: 0, False: 0}

    def say(forwarded: Forwarded) -> None:
        line = _line(forwarded)
        counts[line.delivered] += 1
        typer.echo(msgspec.json.encode(line).decode() if as_json else _in_words(line))

    async def run() -> None:
        messages = MessageList(address, key)
        client = EndpointClient(POLICY, timeout_ms=settings.outbound_timeout_ms, connections=1)
        relay = Relay(
            messages,
            client,
            forward_to=target,
            secret=signing,
            since=None if since is None else since.replace(tzinfo=since.tzinfo or UTC),
            say=say,
            note=lambda text: typer.echo(text, err=True),
        )
        try:
            await _begin(relay, address)
            typer.echo(f"Forwarding messages of {address} to {target}; Ctrl-C ends it.", err=True)
            if secret is None:  # one that was given is its owner's, who may keep what is printed here
                typer.echo(f"Signing secret: {signing}", err=True)
            await relay.run()
        finally:
            await client.close()
            await messages.close()

    asyncio.run(_until_interrupted(run()))
    typer.echo(f"{counts[True]} delivered, {counts[False]} failed.", err=True)


async def _begin(relay: Relay, address: str) -> None:
    try:
        await relay.begin()
    except ApiAway as error:
        raise CannotListen(f"{error}. Start the API (`tallystick up`), or name another address: --api URL") from None


async def _until_interrupted(running: Coroutine[Any, Any, None]) -> None:
    """Run until SIGINT or SIGTERM, which is no failure."""
    task, loop = asyncio.ensure_future(running), asyncio.get_running_loop()
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise


def _key(path: Path) -> str:
    """Raises CannotListen."""
    try:
        key = (typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text("utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise CannotListen(
            f"cannot read an API key from {path} ({why}): name a file with --key-file, or the directory of"
            " `tallystick up` with --data-dir"
        ) from None
    if not key.isascii() or not key.isprintable() or not key:
        raise CannotListen(f"{path} holds no API key")
    return key


def _target(written: str) -> str:
    """Raises typer.BadParameter."""
    url = written if "://" in written else f"http://{written}"
    try:
        POLICY.url(url)
    except UrlRefused as error:
        raise typer.BadParameter(str(error), param_hint="--forward-to") from None
    return url


def _signing(given: str | None) -> str:
    """Raises typer.BadParameter for what is no secret."""
    if given is None:
        return new_secret()
    try:
        length = len(base64.b64decode(given.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        length = 0
    if not given.startswith(SECRET_PREFIX) or length not in SECRET_BYTES:
        expected = f"must be {SECRET_PREFIX} and {SECRET_BYTES.start} to {SECRET_BYTES.stop - 1} bytes in base64"
        raise typer.BadParameter(expected, param_hint="--secret")
    return given


def _line(forwarded: Forwarded) -> Line:
    message, result = forwarded.message, forwarded.result
    return Line(
        at=utc_now(),
        message_id=message.id,
        type=message.type,
        delivered=result.result == DELIVERED,
        result=result.result,
        status=result.status,
        message=result.detail or f"answered with {result.status}",
        duration_ms=result.duration_ms,
    )


def _in_words(line: Line) -> str:
    """One line of at most 80 columns for most types, and one more about a failure without a status."""
    status = "---" if line.status is None else str(line.status)
    said = f"{line.at.astimezone():%H:%M:%S} {status} {line.type} {line.message_id}"
    return said if line.status is not None and line.delivered else f"{said}\n         {line.message}"
