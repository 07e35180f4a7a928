"""Checks of the database server, by the facts that were read from it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tallystick.record.postgres.migrate import APP_ROLE
from tallystick.record.postgres.server_facts import ServerFacts

#: The oldest and the newest major version that the suites run on or the statements are written for.
OLDEST: Final = 15
NEWEST: Final = 18

#: Since this version a member of a role may act as it only if that was granted too, and only the admin option grants.
ROLES_CHANGED: Final = 16


def database_version(facts: ServerFacts) -> Iterator[str]:
    if _major(facts) < OLDEST:
        yield f"the database is PostgreSQL {facts.version}; {OLDEST} or later is needed"


def newer_database(facts: ServerFacts) -> Iterator[str]:
    if _major(facts) > NEWEST:
        yield f"the database is PostgreSQL {facts.version}; this release was tested up to {NEWEST}"


def encoding(facts: ServerFacts) -> Iterator[str]:
    if facts.encoding != "UTF8":
        create = "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        yield f"the database {facts.name} has the encoding {facts.encoding}, and UTF8 is needed: {create}"


def durability(facts: ServerFacts) -> Iterator[str]:
    for name, is_off in (("fsync", not facts.fsync), ("synchronous_commit", facts.synchronous_commit == "off")):
        if is_off:
            yield f"the database has {name} off: a crash would lose payments that were answered; switch it on"


def full_page_writes(facts: ServerFacts) -> Iterator[str]:
    if not facts.full_page_writes:
        yield "the database has full_page_writes off: a crash may damage it, unless its file system never tears a page"


def writable(facts: ServerFacts) -> Iterator[str]:
    if facts.read_only:
        yield f"the database {facts.name} is read-only: it is a standby, or set so"


def application_role(facts: ServerFacts) -> Iterator[str]:
    if not facts.app_role_exists:
        yield f"the role {APP_ROLE} is missing; run `tallystick migrate`"
    elif not facts.may_act_as_app:
        yield f"the role {facts.login} may not act as {APP_ROLE}; as an administrator: {_grant(facts)}"


def owner_role(facts: ServerFacts) -> Iterator[str]:
    if not facts.app_role_exists and not facts.may_create_roles:
        yield (
            f"the role {APP_ROLE} is missing, and {facts.login} may not create it (it lacks CREATEROLE);"
            f" as an administrator: CREATE ROLE {APP_ROLE} LOGIN; {_grant(facts)}"
        )
    elif facts.app_role_exists and not facts.may_act_as_app and not _may_grant(facts):
        yield (
            f"the role {facts.login} may not act as {APP_ROLE}, nor grant that to itself (it lacks the admin option);"
            f" as an administrator: {_grant(facts)}"
        )
    if not facts.may_create_tables:
        yield (
            f"the role {facts.login} may not create tables in the schema {facts.schema or '(none exists)'}: `migrate`"
            f" needs the owner, in TALLYSTICK_MIGRATION_DATABASE_URL"
        )


#: Check -> what it says of a server; nothing where all is well.
SERVER_CHECKS: Final[Mapping[str, Callable[[ServerFacts], Iterator[str]]]] = {
    "database_version": database_version,
    "newer_database": newer_database,
    "encoding": encoding,
    "durability": durability,
    "full_page_writes": full_page_writes,
    "application_role": application_role,
    "writable": writable,
}

#: The same of the connection of the schema's owner.
OWNER_CHECKS: Final = {
    "database_version": database_version,
    "newer_database": newer_database,
    "encoding": encoding,
    "durability": durability,
    "full_page_writes": full_page_writes,
    "owner_role": owner_role,
}


def _major(facts: ServerFacts) -> int:
    return facts.version_number // 10_000


def _may_grant(facts: ServerFacts) -> bool:
    return facts.has_admin_option or (facts.may_create_roles and _major(facts) < ROLES_CHANGED)


def _grant(facts: ServerFacts) -> str:
    option = " WITH SET TRUE" if _major(facts) >= ROLES_CHANGED else ""
    return f'GRANT {APP_ROLE} TO "{facts.login}"{option}'
