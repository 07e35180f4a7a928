"""Settings of the audit: whether the record is sealed, by which key, and where heads go."""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from tallystick.settings.fields import comma_list, count, flag, ms, secret, text, variable
from tallystick.settings.sections import Section

#: What a window is at least, where it is not set.
WINDOW_MS: Final = 300_000

#: Of an Ed25519 key.
_KEY_BYTES: Final = 32

#: Outcomes are written for so many commit time-outs.
_COMMITS: Final = 6


@dataclass(frozen=True, kw_only=True, repr=False)
class AuditSettings(Section):
    """Sealing: one worker at a time."""

    title: ClassVar[str] = "Audit"

    audit_sealing: Annotated[bool, flag("Whether workers seal the record, so that a later change of it shows.")] = False
    audit_signing_key: Annotated[
        str | None,
        secret("What heads are signed with: 32 random bytes in base64, Ed25519. Keep it from the database's owner."),
    ] = None
    audit_trust: Annotated[
        str | None,
        text("Whose signatures the API believes when an auditor compares: public keys in base64, with commas between."),
    ] = None
    audit_sealing_interval_ms: Annotated[int, ms("How often what is new is sealed.", ge=50)] = 1_000
    audit_window_ms: Annotated[
        int,
        ms(
            "How far back the quick look goes: longer than any transaction may take to become visible. 0 takes five"
            " minutes, or what the time-outs of requests, providers and commits and the margin of clocks come to, if"
            " that is more."
        ),
    ] = 0
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
    audit_heads_command: Annotated[
        str | None,
        text(
            "A command that takes heads: its words, as a shell would split them; no shell runs it. It gets the file's"
            " name as its last word and the file at its standard input, and has taken it when it ends with 0."
        ),
    ] = None
    audit_heads_url: Annotated[
        str | None,
        secret("Where heads are sent by POST, by the rules that merchants' endpoints have; a 2xx has taken them."),
    ] = None
    audit_heads_interval_ms: Annotated[int, ms("How often heads are copied.", ge=100, le=60_000)] = 30_000
    audit_heads_timeout_ms: Annotated[int, ms("How long the command, or the URL, may take.", ge=100, le=600_000)] = (
        30_000
    )

    def faults(self) -> Iterator[str]:
        if self.audit_sealing and self.audit_signing_key is None:
            yield f"{variable('audit_signing_key')}: it must be set where {variable('audit_sealing')} is"
        if not all(map(_is_key, comma_list(self.audit_trust or ""))):
            yield f"{variable('audit_trust')}: expected public keys, 32 bytes in base64 each"
        if self.audit_heads_command is not None and not _words(self.audit_heads_command):
            yield f"{variable('audit_heads_command')}: expected the words of a command; every quote has its end"
        if self.audit_window_ms and self.audit_window_ms < longest_write_ms(self):
            least = f"{variable('audit_window_ms')}: expected 0, or {longest_write_ms(self)} or more"
            yield f"{least}: so long may a change take to be visible, by the time-outs that are set"


def heads_command(settings: Any) -> list[str]:
    """The words of the command that takes heads; none where there is none."""
    return _words(settings.audit_heads_command or "")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _words(command: str) -> list[str]:
    """None where a quote has no end."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def longest_write_ms(settings: Any) -> int:
    """How long it may take from a change's time until it is visible: its request's body, the provider's answer, six
    tries to commit, and the difference of clocks."""
    return int(
        settings.request_body_timeout_ms
        + settings.provider_request_timeout_ms
        + _COMMITS * settings.journal_commit_timeout_ms
        + settings.clock_margin_ms
    )


def sealing_window_ms(settings: Any) -> int:
    """How far back the quick look goes."""
    return int(settings.audit_window_ms or max(WINDOW_MS, longest_write_ms(settings)))
