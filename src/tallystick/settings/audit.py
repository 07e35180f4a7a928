"""Settings of the audit: whether the record is sealed, by which key, and where heads go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import count, flag, ms, secret, text, variable
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class AuditSettings(Section):
    """Sealing: one worker at a time."""

    title: ClassVar[str] = "Audit"

    audit_sealing: Annotated[bool, flag("Whether workers seal the record, so that a later change of it shows.")] = False
    audit_signing_key: Annotated[
        str | None,
        secret("What heads are signed with: 32 random bytes in base64, Ed25519. Keep it from the database's owner."),
    ] = None
    audit_sealing_interval_ms: Annotated[int, ms("How often what is new is sealed.", ge=50)] = 1_000
    audit_window_ms: Annotated[
        int,
        ms("How far back the quick look goes: longer than any transaction may take to become visible.", ge=1_000),
    ] = 300_000
    audit_sweep_interval_ms: Annotated[
        int, ms("How often everything is looked at for what the quick look did not find.", ge=1_000)
    ] = 86_400_000
    audit_merchant_groups: Annotated[
        int, count("Trees that merchants are spread over; fixed when sealing begins.", le=1_000)
    ] = 4
    audit_heads_directory: Annotated[
        str | None,
        text("Where heads are copied to, so that they are out of the database's reach; without it, nowhere."),
    ] = None
    audit_heads_interval_ms: Annotated[int, ms("How often heads are copied.", ge=100, le=60_000)] = 30_000

    def faults(self) -> Iterator[str]:
        if self.audit_sealing and self.audit_signing_key is None:
            yield f"{variable('audit_signing_key')}: it must be set where {variable('audit_sealing')} is"
