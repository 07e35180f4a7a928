"""Every check finds what it is there for, on a real server, and a start says the same of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest

from tallystick import __version__
from tallystick.cli.command import ROLES
from tallystick.domain.errors import TallystickError
from tallystick.flows.assembly import open_runtime
from tallystick.record.postgres.embedded.server import APP_ROLE, DATABASE, OWNER_ROLE, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate as apply_migrations
from tallystick.record.postgres.migrate import newest_revision
from tallystick.run.doctor import machine, server, start
from tallystick.run.doctor.table import CHECKS, LEVEL_OF
from tallystick.run.supervisor import EXIT_AWAY, EXIT_MISCONFIGURED
from tests.support.clusters import Clusters
from tests.support.commands import Ran, run_here
from tests.support.database import DEEP
from tests.support.host_clock import set_host_clock
from tests.support.polling import eventually
from tests.support.ports import free_port
from tests.support.runtime import SETTINGS
from tests.support.sample import make_sample

COMMANDS: Final = ("serve", "work", "console", "up", "migrate")

#: Said by a command that got past its checks.
WENT_ON: Final = "went on"


class World(NamedTuple):
    """A server of these tests alone: what is wrong with it would be wrong for others too."""

    postgres: EmbeddedPostgres
    names: Iterator[int]

    def run(self, *statements: str, database: str = "postgres") -> None:
        """As the superuser, each in a transaction of its own."""
        with psycopg.connect(self.postgres.superuser_url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def database(self, options: str = f"TEMPLATE {DATABASE}") -> str:
        """A new database, by default with the schema."""
        name = f"doctor_{next(self.names)}"
        self.run(f"CREATE DATABASE {name} OWNER {OWNER_ROLE} {options}")
        return name

    def url(self, role: str, database: str) -> str:
        return self.postgres.superuser_url(database).replace("postgres@", f"{role}@", 1)

    def settings(self, database: str, app: str = APP_ROLE, owner: str = OWNER_ROLE) -> dict[str, str]:
        return {"database_url": self.url(app, database), "migration_database_url": self.url(owner, database)}


@pytest.fixture(scope="module")
def world(clusters: Clusters) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as path:
        clusters.put_into(Path(path))
        with EmbeddedPostgres(Path(path)) as postgres:
            yield World(postgres, count(1))


class Said(NamedTuple):
    """What a case expects: the check, and its words as a pattern."""

    check: str
    says: str


Case = Callable[[World, pytest.MonkeyPatch], Any]
CASES: dict[str, tuple[Said, Case]] = {}


def case(check: str, says: str) -> Callable[[Callable[..., Iterator[dict[str, str]]]], None]:
    """One thing that is wrong; inside of it the settings hold."""

    def register(made: Callable[..., Iterator[dict[str, str]]]) -> None:
        CASES[made.__name__] = (Said(check, says), contextmanager(made))

    return register


def _server_setting(world: World, name: str, value: str) -> Iterator[dict[str, str]]:
    def now() -> str:
        with psycopg.connect(world.postgres.superuser_url("postgres")) as connection:
            row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            assert row is not None
            return str(row[0])

    before = now()
    world.run(f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()")
    eventually(now, until=lambda given: given == value)
    try:
        yield world.settings(world.database())
    finally:
        world.run(f"ALTER SYSTEM RESET {name}", "SELECT pg_reload_conf()")
        eventually(now, until=lambda given: given == before)


@case("providers", "TALLYSTICK_DEFAULT_PROVIDER: expected one of ")
def a_default_provider_that_does_not_exist(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(world.database()) | {"default_provider": "strpe"}


@case("ports", r"cannot listen on 127\.0\.0\.1 port \d+: ")
def a_port_of_another_program(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        yield world.settings(world.database()) | {"port": taken, "worker_health_port": taken, "console_port": taken}


@case("file_descriptors", r"a process may open 1024 files and may need \d+ at its limits")
def few_file_descriptors(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 1_024))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    yield world.settings(world.database())


@case("packages", "not installed here: nothing-of-this-name; install what this release needs")
def a_package_that_is_not_installed(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setattr(metadata, "requires", lambda _: ["nothing-of-this-name>=2"])
    yield world.settings(world.database())


@case("provider_peak", r"TALLYSTICK_PROVIDER_CONNECTIONS carries 333 payments/s of 1000 .* set it to 3000, or")
def too_few_connections(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(world.database()) | {"provider_connections": "1000"}


@case("provider_peak", r"TALLYSTICK_IN_FLIGHT_LIMIT carries 800 payments/s of 1000 .* set it to 3750, or")
def too_few_payments_in_flight(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(world.database()) | {"in_flight_limit": "3000"}


@case("disk_space", r"\d+ MiB are free in ")
def a_disk_that_is_almost_full(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Of the embedded database, which needs the settings to name no other."""
    monkeypatch.setattr(machine, "DISK_SPACE_BYTES", 2**62)
    yield {"data_dir": str(world.postgres._data_dir)}


@case("database", r"cannot reach the database at 127\.0\.0\.1:\d+; nothing was done")
def no_database(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield {"database_url": f"postgresql://tallystick_app@127.0.0.1:{free_port()}/tallystick"}


@case("database", 'the database refused: database "nowhere" does not exist')
def a_database_that_does_not_exist(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings("nowhere")


@case("database_version", r"the database is PostgreSQL [\d.]+; 99 or later is needed")
def an_old_server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setattr(server, "OLDEST", 99)
    yield world.settings(world.database())


@case("newer_database", r"the database is PostgreSQL [\d.]+; this release was tested up to 14")
def a_server_of_the_future(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setattr(server, "NEWEST", 14)
    yield world.settings(world.database())


@case("encoding", "has the encoding SQL_ASCII, and UTF8 is needed: CREATE DATABASE")
def bytes_as_text(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(world.database("TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"))


@case("encoding", "has the encoding LATIN1, and UTF8 is needed: CREATE DATABASE")
def an_encoding_without_most_letters(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(world.database("TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"))


@case("durability", "the database has fsync off: a crash would lose payments that were answered")
def no_fsync(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield from _server_setting(world, "fsync", "off")


@case("durability", "the database has synchronous_commit off: a crash would lose payments that were answered")
def commits_that_do_not_wait(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    world.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    yield world.settings(name)


@case("full_page_writes", "the database has full_page_writes off")
def pages_half_written(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield from _server_setting(world, "full_page_writes", "off")


@case("writable", r"the database doctor_\d+ is read-only")
def a_read_only_database(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    world.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    yield world.settings(name)


@case(
    "application_role",
    'the role stranger may not act as tallystick_app; as an administrator: GRANT tallystick_app TO "',
)
def a_login_without_the_role(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    world.run("CREATE ROLE stranger LOGIN")
    try:
        yield world.settings(world.database(), app="stranger")
    finally:
        world.run("DROP ROLE stranger")


@case("application_role", "the role half may not act as tallystick_app; .* WITH SET TRUE")
def a_member_without_set(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    world.run("CREATE ROLE half LOGIN", "GRANT tallystick_app TO half WITH SET FALSE")
    try:
        yield world.settings(world.database(), app="half")
    finally:
        world.run("DROP ROLE half")


@case("owner_role", "tallystick_app is missing, and tallystick_owner may not create it .*CREATEROLE.* CREATE ROLE")
def an_owner_without_createrole(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    world.run("ALTER ROLE tallystick_app RENAME TO elsewhere")
    try:
        yield world.settings(world.database(), app="elsewhere")
    finally:
        world.run("ALTER ROLE elsewhere RENAME TO tallystick_app")


@case("owner_role", "the role newcomer may not act as tallystick_app, nor grant that to itself .*admin option")
def an_owner_without_the_admin_option(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    world.run("CREATE ROLE newcomer LOGIN CREATEROLE", f"ALTER DATABASE {name} OWNER TO newcomer")
    try:
        yield world.settings(name, owner="newcomer")
    finally:
        world.run(f"ALTER DATABASE {name} OWNER TO {OWNER_ROLE}", "DROP ROLE newcomer")


@case("owner_role", "the role guest may not create tables in the schema public: `migrate` needs the owner")
def an_owner_who_owns_nothing(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    world.run("CREATE ROLE guest LOGIN", "GRANT tallystick_app TO guest")
    try:
        yield world.settings(world.database(), owner="guest")
    finally:
        world.run("DROP ROLE guest")


@case("clock", "660 s ahead of the database's; set it")
def a_clock_that_is_far_off(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    set_host_clock(monkeypatch, 660_000)
    yield world.settings(world.database())


@case("schema", "the database schema is missing or too old; run `tallystick migrate`")
def no_schema(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(world.database("TEMPLATE template0"))


@case("schema_release", "the database has another schema than this release needs")
def a_schema_of_another_release(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    world.run("ALTER TABLE payment DROP COLUMN amount_late", database=name)
    yield world.settings(name)


@case(
    "sealing_keys",
    "the sealing key [0-9a-f]{8} of the record is not here: sealing.key is missing from the data directory; put it",
)
def a_lost_sealing_key(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield world.settings(_sealed(world))


@case(
    "sealing_keys", "the sealing key [0-9a-f]{8} of the record is not here: this process has [0-9a-f]{8}; put it back"
)
def a_machine_with_another_sealing_key(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    another = base64.b64encode(b"another one, as little a secret!").decode()
    yield world.settings(_sealed(world)) | {"sealing_keys": another}


def _sealed(world: World) -> str:
    """A database on which a process has registered its key."""
    name = world.database()

    async def start() -> None:
        async with open_runtime(SETTINGS, world.url(APP_ROLE, name)):
            pass

    asyncio.run(start())
    return name


@case("exponents", "exponents_changed: ")
def payments_counted_otherwise(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    sample = asyncio.run(make_sample(world.url(APP_ROLE, name), "doctor"))
    change = f"UPDATE payment SET exponent = 2, provider_exponent = 3 WHERE payment_id = '{sample.captured}'"
    world.run("UPDATE payment SET exponent = 2, provider_exponent = 2", change, database=name)
    yield world.settings(name)


@case("server_connections", r"the database doctor_\d+ lets 21 connections in; 2 API processes and a worker open 37 ")
def a_database_that_lets_few_in(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    world.run(f"ALTER DATABASE {name} CONNECTION LIMIT 21")
    yield world.settings(name)


@case(
    "open_work",
    r"the provider stripe is not configured here and has \d+ open payments?, which waits? .*TALLYSTICK_STRIPE_…",
)
def open_work_of_another_provider(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    asyncio.run(make_sample(world.url(APP_ROLE, name), "doctor"))
    world.run(
        "UPDATE payment SET provider = 'stripe', exponent = NULL, provider_exponent = NULL",
        "UPDATE attempt SET provider = 'stripe'",
        database=name,
    )
    yield world.settings(name)


@case("open_work", r"the account old of simulator is not configured here and has \d+ open payments?, which waits? ")
def open_work_at_another_account(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    name = world.database()
    asyncio.run(make_sample(world.url(APP_ROLE, name), "doctor"))
    world.run("UPDATE attempt SET account = 'old'", database=name)
    yield world.settings(name)


@case("merchant_defaults", "2 merchants have the default provider strpe, which does not exist")
def defaults_that_do_not_exist(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield _with_defaults(world, "strpe", "strpe", "simulator")


@case("merchant_defaults", "1 merchant has the default provider adyen, which is not configured here")
def a_default_without_a_key(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield _with_defaults(world, "adyen")


@case("merchant_defaults", "1 merchant has the default provider simulator, which is off")
def a_default_that_is_off(world: World, _: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    yield _with_defaults(world, "simulator") | {"simulator": "off"}


def _with_defaults(world: World, *defaults: str) -> dict[str, str]:
    name = world.database()
    rows = ", ".join(f"('m{number}', '{default}', now())" for number, default in enumerate(defaults))
    world.run(f"INSERT INTO merchant (merchant_id, default_provider, created_at) VALUES {rows}", database=name)
    return world.settings(name)


class Log:
    """What a role logs at its start."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **more: object) -> None:
        self.lines.append(("info", event, more))

    def warning(self, event: str, **more: object) -> None:
        self.lines.append(("warning", event, more))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(start, "log", log)
    return log


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Log, tmp_path: Path) -> Any:
    """A command that ends once its checks let it go on."""

    def went_on(*_: object) -> list[str]:
        raise TallystickError(WENT_ON)

    async def works(*_: object) -> None:
        went_on()

    monkeypatch.setattr("tallystick.cli.serve.serve_api", went_on)
    monkeypatch.setattr("tallystick.cli.console.serve_console", went_on)
    monkeypatch.setattr("tallystick.cli.work.work_until_signalled", works)
    monkeypatch.setattr("tallystick.cli.migrate.apply_migrations", went_on)
    monkeypatch.setattr("tallystick.run.up.migrate", went_on)

    def run(*arguments: str, **settings: str) -> Ran:
        given = {"data_dir": str(tmp_path), "port": str(free_port()), "simulator_port": str(free_port())} | settings
        return run_here(monkeypatch, capsys, *arguments, **given)

    return run


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_found_and_a_start_says_the_same(
    world: World, command: Any, log: Log, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    expected, made = CASES[name]
    with made(world, monkeypatch) as settings:
        ran = command("doctor", "--json", **settings)
        found = json.loads(ran.out)["findings"]
        ours = [each for each in found if each["check"] == expected.check]
        assert len(ours) == 1 and re.search(expected.says, ours[0]["says"]), found
        assert ran.code == (0 if all(each["level"] == "warn" for each in found) else 1)
        for role in _started(name, expected.check):
            log.lines.clear()
            _starts_as_doctor_says(command(role, **settings), role, found, log)


def _started(name: str, check: str) -> tuple[str, ...]:
    """At full depth every role; else, in turn, one of those that ask this check as they start and one of the others."""
    if DEEP:
        return COMMANDS
    at_start = next(each.at_start for each in CHECKS if each.name == check)
    place = list(CASES).index(name)
    sides = ([role for role in COMMANDS if (role in at_start) is asks] for asks in (True, False))
    return tuple(side[place % len(side)] for side in sides if side)


def _starts_as_doctor_says(ran: Ran, role: str, found: list[dict[str, str]], log: Log) -> None:
    asked = {check.name for check in CHECKS if role in check.at_start}
    of_role = [each for each in found if each["check"] in asked]
    refused = [each["says"] for each in of_role if each["level"] == "refuse"]
    said = [_without_numbers(each) for each in (ran.err, *(event for _, event, _ in log.lines))]
    away = role in ROLES and any("cannot reach the database" in says for says in refused)
    assert ran.code == (EXIT_AWAY if away else EXIT_MISCONFIGURED), role
    assert (WENT_ON in ran.err) == (not refused), (role, ran.err)
    for says in refused or [each["says"] for each in of_role]:
        assert any(_without_numbers(says) in each for each in said), (role, says, said)


def _without_numbers(text: str) -> str:
    """Free bytes and clocks go on meanwhile; two event loops have two words for a refused connection."""
    return re.sub(r"\d+", "…", re.sub(r": \[Errno.*", "", text))


def test_every_check_has_a_case() -> None:
    assert {expected.check for expected, _ in CASES.values()} == {check.name for check in CHECKS}


def test_nothing_is_found_where_all_is_well(world: World, command: Any, log: Log) -> None:
    settings = world.settings(world.database())
    ran = command("doctor", "--json", **settings)
    assert (ran.code, json.loads(ran.out)["findings"]) == (0, [])
    assert [each["name"] for each in json.loads(ran.out)["checks"] if each["asked"]] == list(LEVEL_OF)
    table = command("doctor", **settings)
    assert table.code == 0 and table.out.count(" ok ") == len(CHECKS)
    for role in COMMANDS:
        assert WENT_ON in command(role, **settings).err
    assert [line for line in log.lines if line[0] != "info"] == []


def test_the_application_alone_is_not_asked_for_the_owner(world: World, command: Any) -> None:
    """A running process does not know the owner's URL, and need not be able to create tables."""
    ran = command("doctor", "--json", database_url=world.settings(world.database())["database_url"])
    assert ran.code == 0
    assert [each["name"] for each in json.loads(ran.out)["checks"] if not each["asked"]] == ["owner_role"]


def test_a_role_says_in_one_line_what_it_starts_with(world: World, command: Any, log: Log) -> None:
    name = world.database()
    url = world.url(APP_ROLE, name).replace(f"{APP_ROLE}@", f"{APP_ROLE}:hush@")
    assert "hush" in url
    for role in ("serve", "work"):
        log.lines.clear()
        port = str(free_port())
        command(role, database_url=url, port=port, stripe_api_key="sk_test_hush", simulator="on")
        [(level, event, line)] = log.lines
        assert (level, event) == ("info", "starting")
        assert line.get("address") == (f"http://127.0.0.1:{port}" if role == "serve" else None)
        assert str(line.pop("database")).endswith(f":5432/{name}")
        version = line.pop("database_version")
        assert isinstance(version, str) and re.match(r"1[5-8]\.", version)
        line.pop("address", None)
        assert line == {
            "role": role,
            "version": __version__,
            "providers": ["simulator", "stripe"],
            "default_provider": "simulator",
            "schema": newest_revision(),
        }
        assert "hush" not in repr(log.lines)


def test_a_provider_that_is_down_keeps_no_process_from_starting(world: World, command: Any) -> None:
    """Nothing listens where the test acquirer should be."""
    settings = world.settings(world.database()) | {"simulator_url": f"http://127.0.0.1:{free_port()}"}
    assert command("doctor", **settings).code == 0
    for role in COMMANDS:
        assert WENT_ON in command(role, **settings).err


def test_a_start_raises_its_own_limit_of_descriptors(
    world: World, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 1_048_576))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: given.append((what, limits)))
    command("work", **world.settings(world.database()))
    [(what, (soft, hard))] = given
    assert what == resource.RLIMIT_NOFILE and 1_024 < soft <= hard == 1_048_576


def test_the_page_holds_the_table_that_the_code_runs_on(command: Any) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "operate" / "doctor.md"
    table = command("doctor", "--markdown").out
    assert table.count("\n") == len(CHECKS) + 2
    assert table in page.read_text(encoding="utf-8"), "put `tallystick doctor --markdown` into docs/operate/doctor.md"


def test_an_owner_that_is_no_superuser_can_use_one_url(world: World, command: Any) -> None:
    """Who creates a role is a member of it with the admin option alone, since PostgreSQL 16."""
    world.run("ALTER ROLE tallystick_app RENAME TO elsewhere", "CREATE ROLE sole LOGIN CREATEROLE")
    name = world.database("TEMPLATE template0")
    world.run(f"ALTER DATABASE {name} OWNER TO sole")
    try:
        assert apply_migrations(world.url("sole", name))
        ran = command("doctor", "--json", database_url=world.url("sole", name))
        assert (ran.code, json.loads(ran.out)["findings"]) == (0, [])
    finally:
        world.run(f"DROP DATABASE {name}", "DROP ROLE tallystick_app", "DROP ROLE sole")
        world.run("ALTER ROLE elsewhere RENAME TO tallystick_app")
