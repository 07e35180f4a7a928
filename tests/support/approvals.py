"""Operators who have signed in at a console in this process, and their words on what needs a second person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick.access.accounts import Granted
from tallystick.access.viewer import Viewer
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.compliance.four_eyes import Approvable, Approval
from tallystick.flows.operations import operators
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.app import SESSION_COOKIE
from tests.support.console import InsideConsole

#: What those have who take the two places that need nobody else's word.
AUDITOR: Final = Granted(roles=["auditor"])


class World:
    """A console with people who have signed in. ``acts``: what needs a second person beside what the product has."""

    def __init__(self, console: InsideConsole, acts: Mapping[str, Approvable] | None = None) -> None:
        self.console = console
        self.acts = {**APPROVABLE, **(acts or {})}
        self.runtime: Runtime = console.process.runtime

    async def person(self, operator_id: str, *roles: Any, **granted: Any) -> Viewer:
        """Somebody with these roles, signed in."""
        person = await self.console.signed_in(*roles or ("admin",), operator_id=operator_id, **granted)
        viewer = await self.console.process.sessions.viewer(person.http.cookies[SESSION_COOKIE])
        assert viewer is not None
        return viewer

    async def bootstrap(self) -> None:
        """The two places are taken."""
        for name in ("first", "second"):
            await operators.add(self.runtime, name, AUDITOR, actor="shell:root@host", reason="begin")

    async def asked(self, actor: str, name: str = "new") -> four_eyes.ApprovalRequest:
        """Somebody asks for another operator."""
        invited = await operators.add(self.runtime, name, AUDITOR, actor=actor, reason="joined the team")
        assert invited.request is not None
        return invited.request

    async def decide(
        self, request: four_eyes.ApprovalRequest, viewer: Viewer, approves: bool = True, **other: Any
    ) -> Approval:
        """Their word on it."""
        given: dict[str, Any] = {"seen_hash": request.shown_hash, "reason": "looked at it"} | other
        return await four_eyes.decide(self.runtime, self.acts, request.request_id, viewer, approves=approves, **given)

    async def count(self, table: str) -> int:
        """Rows of the new operator."""
        column = {"operator_version": "operator_id", "operator_act": "target"}[table]
        return int(await self.runtime.pool.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = 'new'"))
