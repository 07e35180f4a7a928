"""One page or act of the console: a row, and what its handler is given and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from litestar.response import Response
from msgspec import Struct

from tallystick.access.roles import Right
from tallystick.access.viewer import Viewer
from tallystick.flows.console_process import ConsoleProcess
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.forms import Form

#: Every path of the console begins so.
ROOT: Final = "/console"

#: Where people without a session are sent.
SIGN_IN: Final = f"{ROOT}/sign-in"

#: In the order of the navigation. Rows of no group are reached from others.
Group = Literal["", "Overview", "Find", "Waiting", "Providers", "Merchants", "Platform"]


def is_own(address: str) -> bool:
    """Whether it is a page of ours, in characters that a header may have."""
    ours = address == ROOT or address.startswith((f"{ROOT}/", f"{ROOT}?"))
    return ours and all(" " < character < "\x7f" and character != "\\" for character in address)


class View(Struct, frozen=True, kw_only=True):
    """A template with what it shows. ``context`` holds nothing that the viewer may not see."""

    template: str
    context: Mapping[str, Any] = {}
    status: int = 200


class Redirect(Struct, frozen=True):
    """After an act: GET another page of the console (303); the first one, where ``to`` is none of ours. ``session``:
    the secret of a new session for this browser; empty ends the one that it has."""

    to: str
    session: str | None = None


class Refused(Exception):
    """The page is not for this viewer, or there is no such thing for them. ``status``: 400, 403, 404 or 409."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status
        self.says = says


class PageRequest:
    """What a handler is given. ``path``: the parts of the address that vary; ``query``: the first value of each
    parameter; ``form``: what was sent, on a POST, after its token was checked; ``address``: the client's; ``secret``:
    what the tokens of this browser's forms are made with: its session's secret, where there is one."""

    def __init__(
        self,
        process: ConsoleProcess,
        viewer: Viewer | None,
        *,
        path: Mapping[str, str],
        query: Mapping[str, str],
        form: Form,
        address: str,
        secret: str,
    ) -> None:
        self.process = process
        self.somebody = viewer
        self.path = path
        self.query = query
        self.form = form
        self.address = address
        self.secret = secret

    @property
    def runtime(self) -> Runtime:
        """The open parts of this process."""
        return self.process.runtime

    @property
    def viewer(self) -> Viewer:
        """Who is signed in. Only pages without a right are asked by somebody who is not."""
        assert self.somebody is not None, "the page's right was checked"
        return self.somebody


Answer = View | Redirect | Response[Any]


class Page(Struct, frozen=True, kw_only=True):
    """One row of the registry. ``path``: the whole address, with parts that vary as ``{payment_id:str}``. ``right``:
    what the viewer needs; None is for everybody, signed in or not. ``title``: the page's heading, and its link.
    ``group``: where it stands in the navigation. ``fresh``: it moves money or rights, and needs a recent sign-in.
    ``by_itself``: browsers ask for it without anybody there, so that it is no use of a session. ``platform``: it is
    about the platform, and not for those who are limited to merchants."""

    name: str
    path: str
    handle: Callable[[PageRequest], Awaitable[Answer]]
    right: Right | None
    title: str
    group: Group = ""
    method: Literal["GET", "POST"] = "GET"
    fresh: bool = False
    by_itself: bool = False
    platform: bool = False
