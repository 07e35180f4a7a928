"""Runs the checks: all of them for ``doctor``, and a command's own at its start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import asyncpg

from tallystick.domain.errors import TallystickError
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.hosts import open_connection
from tallystick.record.postgres.server_facts import ServerFacts, read_server_facts
from tallystick.run.doctor import machine, record
from tallystick.run.doctor.connections import server_connections
from tallystick.run.doctor.server import OWNER_CHECKS, SERVER_CHECKS
from tallystick.run.doctor.table import CHECKS, LEVEL_OF, Command, Finding, asked_by
from tallystick.run.exponents_check import (
    ExponentsChanged,
    require_unchanged_exponents,
    require_unchanged_exponents_as_owner,
)
from tallystick.settings.load import Settings

#: A database that takes longer to connect or to answer is not usable.
TIMEOUT_MS: Final = 10_000

#: What the checks of the record need: without it they find nothing else.
_BEFORE_THE_RECORD: Final = frozenset({"database", "encoding", "application_role", "database_version"})


class StartRefused(TallystickError):
    """A check of level *refuse* found something; the message is what it says."""


class Examination:
    """What was asked so far, and what was found. ``command``: who starts; None for ``doctor``, which has ``in_words``
    for a database that cannot be used: a command ends with the error itself."""

    def __init__(
        self, settings: Settings, command: Command | None = None, in_words: Callable[[Exception], str] = str
    ) -> None:
        self._settings = settings
        self._command = command
        self._in_words = in_words
        self._wanted = asked_by(command)
        self.asked: set[str] = set()
        self._found: dict[str, list[str]] = {}
        self.server: ServerFacts | None = None

    def findings(self) -> list[Finding]:
        """In the order of the table."""
        return [
            Finding(check=check.name, level=check.level, says=says)
            for check in CHECKS
            for says in self._found.get(check.name, ())
        ]

    def require_start(self) -> list[Finding]:
        """What was found and stops no start. Raises StartRefused."""
        findings = self.findings()
        if refused := [finding.says for finding in findings if finding.level == "refuse"]:
            raise StartRefused("; ".join(refused))
        return findings

    def machine(self) -> None:
        """Settings, descriptors, disk."""
        for name, check in (
            ("packages", machine.packages),
            ("providers", machine.providers),
            ("file_descriptors", machine.file_descriptors),
            ("provider_peak", machine.provider_peak),
            ("disk_space", machine.disk_space),
        ):
            if name in self._wanted:
                self._note(name, check(self._settings))

    async def ports(self) -> None:
        """Apart from the others: `up` asks them once it knows that it does not run here already."""
        if "ports" in self._wanted:
            self._note("ports", await machine.ports(self._settings, self._command))

    async def as_application(self, database_url: str) -> None:
        """The server and the record, as running processes see them. A database that cannot be reached is a finding."""
        if (facts := await self._server(database_url)) is None:
            return
        for name, check in SERVER_CHECKS.items():
            if name in self._wanted:
                self._note(name, check(facts))
        if "server_connections" in self._wanted:
            self._note("server_connections", server_connections(facts, self._settings))
        if not any(self._found.get(name) for name in _BEFORE_THE_RECORD):
            await self._record(database_url)

    async def as_owner(self, owner_url: str) -> None:
        """The server, and what the owner of the schema may do. ``doctor`` has asked the rest as the application."""
        if (facts := await self._server(owner_url)) is None:
            return
        for name, check in OWNER_CHECKS.items():
            if name in self._wanted and name not in self.asked:
                self._note(name, check(facts))
        if "sealing_keys" in self._wanted and "sealing_keys" not in self.asked and not self._refuses():
            await self._sealing_keys(owner_url)
        if "exponents" in self._wanted and "exponents" not in self.asked and not self._refuses():
            try:
                await require_unchanged_exponents_as_owner(owner_url)
            except ExponentsChanged as error:
                self._note("exponents", [str(error)])

    async def _sealing_keys(self, owner_url: str) -> None:
        """Of `up`, before its children, which ask for themselves: their words are among many lines."""
        connection = await open_connection(owner_url, timeout=TIMEOUT_MS / 1000, command_timeout=TIMEOUT_MS / 1000)
        try:
            self._note("sealing_keys", await record.sealing_keys(connection, self._settings))
        finally:
            await connection.close()

    async def _server(self, url: str) -> ServerFacts | None:
        try:
            facts = await read_server_facts(url, TIMEOUT_MS)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            if self._command is not None:
                raise
            self._note("database", [self._in_words(error)])
            return None
        self._note("database", ())
        self.server = facts
        return facts

    async def _record(self, database_url: str) -> None:
        connection = await connect(database_url, command_timeout_ms=TIMEOUT_MS)
        try:
            self._note("clock", await record.clock(connection))
            self._note("schema", missing := await record.schema(connection))
            if missing:
                return
            self._note("schema_release", other := await record.schema_release(connection))
            if not other:
                self._note("sealing_keys", await record.sealing_keys(connection, self._settings))
                self._note("open_work", await record.open_work(connection, self._settings))
                self._note("merchant_defaults", await record.wrong_defaults(connection, self._settings))
        finally:
            await connection.close()
        try:
            await require_unchanged_exponents(database_url)
            self._note("exponents", ())
        except ExponentsChanged as error:
            self._note("exponents", [str(error)])

    def _note(self, check: str, said: Iterable[str]) -> None:
        self.asked.add(check)
        found = self._found.setdefault(check, [])
        found.extend(says for says in said if says not in found)  # the owner's connection may meet the same again

    def _refuses(self) -> bool:
        return any(said and LEVEL_OF[name] == "refuse" for name, said in self._found.items())


async def examine(settings: Settings, database: DatabaseUrls, in_words: Callable[[Exception], str]) -> Examination:
    """Every check. The owner's are asked where the settings name one: a running process does not know it."""
    examination = Examination(settings, in_words=in_words)
    examination.machine()
    await examination.ports()
    await examination.as_application(database.app_url)
    if database.owner_url != database.app_url:
        await examination.as_owner(database.owner_url)
    return examination


async def require_start(command: Command, settings: Settings, database: DatabaseUrls) -> Examination:
    """A role's checks, at its start. Raises StartRefused, and what connecting to the database raises."""
    examination = Examination(settings, command)
    examination.machine()
    await examination.ports()
    examination.require_start()
    await examination.as_application(database.app_url)
    examination.require_start()
    return examination


def by_check(examination: Examination) -> Mapping[str, list[Finding]]:
    """The findings of each check that was asked, in the order of the table."""
    found = examination.findings()
    return {
        check.name: [each for each in found if each.check == check.name]
        for check in CHECKS
        if check.name in examination.asked
    }
