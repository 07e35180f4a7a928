"""``trigger``: makes the test acquirer do something to a payment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import aiohttp
import msgspec
import typer
from msgspec import Struct

from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.tables import table_of
from tallystick.domain.errors import TallystickError
from tallystick.lab.acquirer.control_table import CONTROLS, ON_THE_ACQUIRER
from tallystick.lab.acquirer.possible import Possible
from tallystick.lab.acquirer.wording import arrival, money, named
from tallystick.providers.simulator.setup import SimulatorSettings

#: Longest wait for the acquirer, which answers at once.
TIMEOUT_S: Final = 10

NAMES: Final = tuple(dict.fromkeys(control.name for control in CONTROLS))


class CannotTrigger(TallystickError):
    """The acquirer cannot do it now; the message says why."""


class _Charge(Struct, frozen=True):
    charge_id: str
    payment_id: str
    amount: int
    currency: str
    status: str
    controls: Sequence[Possible]


class _Webhooks(Struct, frozen=True):
    state: str
    url: str | None


class _Now(Struct, frozen=True):
    """What the acquirer says that can be done."""

    webhooks: _Webhooks
    acquirer: Sequence[Possible]
    data: Sequence[_Charge]


class _Refusal(Struct, frozen=True):
    error: str = "it did not say why"


_NOW: Final = msgspec.json.Decoder(_Now)
_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


class Triggered(Struct, frozen=True, kw_only=True):
    """What was done: to which payment, or to none, by which call; and what comes of it."""

    control: str
    does: str
    call: str
    arrives: str
    webhook_url: str | None
    payment_id: str | None = None
    charge_id: str | None = None
    amount: int | None = None
    currency: str | None = None


def trigger(
    control: Annotated[str, typer.Argument(metavar="CONTROL", help="What the acquirer does; `list` shows all.")],
    payment: Annotated[
        str | None, typer.Argument(metavar="[PAYMENT]", help="The payment's id; without one the newest that fits.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make the test acquirer act on a payment, such as dispute it. Says what it did, and which webhooks will arrive."""
    if control == "list":
        if as_json:
            print_json([{"control": each.name, "does": each.does, "needs": each.needs} for each in CONTROLS])
        else:
            console.print(_all_controls())
        return
    url = settings_from(data_dir).connector(SimulatorSettings).url.rstrip("/")
    if control not in NAMES:
        raise typer.BadParameter(f"one of {', '.join(NAMES)}; `tallystick trigger list` says what they do")
    if payment is not None and control in {each.name for each in ON_THE_ACQUIRER}:
        raise typer.BadParameter(f"{control} is about the acquirer as a whole, not about one payment")
    done = asyncio.run(triggered(url, control, payment))
    if as_json:
        print_json(done)
    else:
        console.print(_said(done), highlight=False, soft_wrap=True, markup=False)


async def triggered(url: str, control: str, payment_id: str | None) -> Triggered:
    """Do it. Raises CannotTrigger, aiohttp.ClientError and TimeoutError."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        wanted = {"control": control, "limit": "1"} | ({} if payment_id is None else {"payment_id": payment_id})
        now = await _possible_now(session, url, wanted)
        charge = next(iter(now.data), None)
        possible = next((each for each in (charge.controls if charge else now.acquirer) if each.name == control), None)
        if possible is None:
            raise CannotTrigger(await _why_not(session, url, control, payment_id))
        async with session.post(url + possible.path, json=possible.body) as response:
            if response.status >= 300:
                raise CannotTrigger(f"the acquirer refused: {_reason(await response.read())}; nothing was done")
    done = Triggered(
        control=control,
        does=possible.does,
        call=possible.curl(url),
        arrives=arrival(possible.arrives, now.webhooks.state),
        webhook_url=now.webhooks.url,
    )
    if charge is None:
        return done
    paid = {name: getattr(charge, name) for name in ("payment_id", "charge_id", "amount", "currency")}
    return msgspec.structs.replace(done, **paid)


async def _possible_now(session: aiohttp.ClientSession, url: str, wanted: Mapping[str, str]) -> _Now:
    """What can be done. Raises CannotTrigger for another server, or an acquirer of another release."""
    async with session.get(f"{url}/sim/controls", params=wanted) as response:
        body = await response.read()
    if response.status == 200:
        with suppress(msgspec.MsgspecError):
            return _NOW.decode(body)
    raise CannotTrigger(f"{url} is not a test acquirer of this release; it answered {response.status}")


def _reason(body: bytes) -> str:
    with suppress(msgspec.MsgspecError):
        return _REFUSAL.decode(body).error
    return _Refusal().error


async def _why_not(session: aiohttp.ClientSession, url: str, control: str, payment_id: str | None) -> str:
    needs = " or ".join(dict.fromkeys(each.needs for each in CONTROLS if each.name == control))
    if control in {each.name for each in ON_THE_ACQUIRER}:
        return f"{control} needs {needs}; this acquirer was started without one"
    if payment_id is None:
        return f"{control} needs {needs}; the acquirer has none among its newest payments"
    now = await _possible_now(session, url, {"payment_id": payment_id})
    if not now.data:
        return f"the acquirer at {url} has no payment {payment_id}"
    could = ", ".join(dict.fromkeys(each.name for each in now.data[0].controls)) or "nothing"
    return f"{control} needs {needs}; this one is {now.data[0].status} there. Possible now: {could}"


def _said(done: Triggered) -> str:
    lines = [f"{done.control}: {done.does}"]
    if done.payment_id is not None and done.amount is not None and done.currency is not None:
        lines.append(f"  payment  {done.payment_id}, {money(done.amount, done.currency)} (charge {done.charge_id})")
    if done.arrives:
        lines.append(f"  arrives  {done.arrives}")
        lines += [f"  at       {named(done.webhook_url)}"] if done.webhook_url else []
    return "\n".join([*lines, f"  call     {done.call}"])


def _all_controls() -> Any:
    rows = [(each.name, f"{each.does}\nneeds {each.needs}") for each in CONTROLS]
    return table_of(("control", "what it does"), rows, whole=["control"])
