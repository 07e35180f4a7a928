"""Every check: its level, who asks it at start, and why it is there. Pure; the probes are beside this module."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

#: ``refuse``: no process starts. ``not ready``: processes start, and cannot serve until it is repaired. ``warn``: they
#: serve.
Level = Literal["refuse", "not ready", "warn"]

Command = Literal["serve", "work", "console", "up", "migrate"]

#: The processes that move money. ``up`` starts both, as children that ask for themselves.
ROLES: Final[tuple[Command, ...]] = ("serve", "work")

#: The processes that read and write the record: those, and the console, by which people act.
ON_RECORD: Final[tuple[Command, ...]] = ("serve", "work", "console")

#: What looks at the server: the roles, and whatever changes the schema.
ALL: Final[tuple[Command, ...]] = ("serve", "work", "console", "up", "migrate")

#: What changes the schema, as its owner.
OWNERS: Final[tuple[Command, ...]] = ("up", "migrate")


class Check(Struct, frozen=True, kw_only=True):
    """One row. ``at_start``: the commands that ask it before they begin; ``doctor`` asks every one."""

    name: str
    level: Level
    at_start: tuple[Command, ...]
    why: str


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found, with the same text everywhere."""

    check: str
    level: Level
    says: str


CHECKS: Final[tuple[Check, ...]] = (
    Check(
        name="packages",
        level="refuse",
        at_start=ALL,
        why="A process that lacks a package ends in the middle of its start, or at the first call that needs it.",
    ),
    Check(
        name="providers",
        level="refuse",
        at_start=("serve", "work", "console", "up"),
        why="A default provider that does not exist, is off or has no key fails every payment that names none; a test"
        " acquirer beside a live key credits money that nobody paid.",
    ),
    Check(
        name="ports",
        level="refuse",
        at_start=("serve", "work", "console", "up"),
        why="Processes of the API share their port. A start on a port of another program would share it with that.",
    ),
    Check(
        name="file_descriptors",
        level="warn",
        at_start=ROLES,
        why="Each client and each call to a provider needs one. Without one a call is `not_sent`, and a client waits.",
    ),
    Check(
        name="provider_peak",
        level="warn",
        at_start=ROLES,
        why="A slow provider keeps each call longer: rate times p99 of them are under way. Calls beyond the connections"
        " are `not_sent`, and new payments beyond the limit in flight get 503.",
    ),
    Check(
        name="disk_space",
        level="warn",
        at_start=("serve", "work", "up", "migrate"),
        why="The embedded database stops on a full disk. Its log alone may grow by 4 GB between two checkpoints.",
    ),
    Check(
        name="database",
        level="refuse",
        at_start=ALL,
        why="A process that never reached its database is misconfigured. One that loses it later waits for it.",
    ),
    Check(
        name="database_version",
        level="refuse",
        at_start=ALL,
        why="The statements need PostgreSQL 15 or newer.",
    ),
    Check(
        name="newer_database",
        level="warn",
        at_start=ALL,
        why="The release was not tested on a PostgreSQL newer than 18.",
    ),
    Check(
        name="encoding",
        level="refuse",
        at_start=ALL,
        why="Text of clients and providers is Unicode. What an encoding lacks would fail the commit of an outcome, and"
        " SQL_ASCII keeps bytes that no driver reads as text.",
    ),
    Check(
        name="durability",
        level="refuse",
        at_start=ALL,
        why="What was answered must be on disk: without `fsync` or `synchronous_commit` a crash takes back recorded"
        " payments.",
    ),
    Check(
        name="full_page_writes",
        level="warn",
        at_start=ALL,
        why="Without it a crash may leave pages half written. It may be off only where the file system never does so.",
    ),
    Check(
        name="owner_role",
        level="refuse",
        at_start=OWNERS,
        why="The owner of the schema makes the role `tallystick_app`, grants to it and creates tables.",
    ),
    Check(
        name="application_role",
        level="refuse",
        at_start=ON_RECORD,
        why="Every connection acts as `tallystick_app`, which can add to history and ledger and change nothing there.",
    ),
    Check(
        name="server_connections",
        level="warn",
        at_start=ROLES,
        why="A process that gets no connection waits for one, and payments with it. No connection is left for an"
        " operator.",
    ),
    Check(
        name="clock",
        level="refuse",
        at_start=ON_RECORD,
        why="Receivers refuse messages that are signed with a time ten minutes off. A running process goes on, whatever"
        " its clock says.",
    ),
    Check(
        name="schema",
        level="refuse",
        at_start=ON_RECORD,
        why="There is nothing to read or write before the first `tallystick migrate`.",
    ),
    Check(
        name="schema_release",
        level="not ready",
        at_start=ON_RECORD,
        why="Processes of a new release may start before the migration, and serve after it.",
    ),
    Check(
        name="writable",
        level="not ready",
        at_start=ROLES,
        why="A standby or a read-only database takes no payments. After a failover it may take them.",
    ),
    Check(
        name="sealing_keys",
        level="not ready",
        at_start=("serve", "work", "up"),
        why="What one process sealed with another key could not be opened by the others, and a key that replaced a lost"
        " one would hide the loss. The missing key can be put back while a process waits for it, and `/readyz` says so"
        " meanwhile.",
    ),
    Check(
        name="exponents",
        level="refuse",
        at_start=ALL,
        why="Balances would add up amounts in different units.",
    ),
    Check(
        name="open_work",
        level="warn",
        at_start=ROLES,
        why="Payments at a provider that is not configured here wait. Those of other providers go on.",
    ),
    Check(
        name="merchant_defaults",
        level="warn",
        at_start=ROLES,
        why="A merchant's payments that name no provider fail where the default one takes none. Other payments go on.",
    ),
)

LEVEL_OF: Final = {check.name: check.level for check in CHECKS}


def asked_by(command: Command | None) -> frozenset[str]:
    """The checks of a command at start; all for None, which is ``doctor``."""
    return frozenset(check.name for check in CHECKS if command is None or command in check.at_start)
