"""Fixtures that every suite shares: one real PostgreSQL for the session, a fresh merchant for each test.

What only some suites need is imported where it is needed: every worker loads this file.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import ssl
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tallystick.access import passwords
from tallystick.kit.logs import configure_logging
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.load import secret_names
from tests.support.database import DEEP, Database, NewDatabase
from tests.support.letters import new_letters
from tests.support.needs import MARKERS, fast_files, forbid_programs, markers_of, place_of, scattered
from tests.support.summary import FAST_FILES, PASSED_OVER, Summary, passed_over

if TYPE_CHECKING:
    from tests.support.clusters import Clusters

# Derandomized: a run that fails here fails everywhere. The deep profile looks further, from new seeds each time.
_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "default", max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=_CHECKS
)
settings.register_profile("deep", max_examples=2_000, database=None, deadline=None, suppress_health_check=_CHECKS)
settings.load_profile("deep" if DEEP else "default")


#: Files in memory, on Linux.
MEMORY: Final = Path("/dev/shm")

#: Room for the databases of three workers and of programs that they start: a whole run writes about a gigabyte in each,
#: and five at full depth, where the workers themselves take up to 2.5 each.
ROOM_BYTES: Final = (32 if DEEP else 8) * 2**30

#: Objects between two looks for garbage in the youngest generation, and looks at one before one at the next: the tests'
#: garbage is small beside what they import.
GARBAGE: Final = (50_000, 20, 100)

#: A directory that all workers of this run have.
SHARED: Final = pytest.StashKey[Path]()


configure_logging("error", secret_names(CONNECTOR_SETTINGS))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tallystick")
    group.addoption("--keep-results", metavar="FILE", help="keep the results for a run that adds them to its own")
    group.addoption("--add-results", metavar="FILE", help="count the results that an earlier run kept")
    group.addoption("--suites", action="store_true", help="print a line a suite and the slowest tests")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning} (given by tests/support/needs.py, never by hand)")
    config.stash[SHARED] = _shared_directory(config)
    config.stash[PASSED_OVER] = passed_over(config)
    summarizes = any(config.getoption(name) for name in ("--keep-results", "--add-results", "--suites"))
    if summarizes and not _is_worker(config):
        config.pluginmanager.register(Summary(config), "summary")


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")  # of pytest-xdist


def _shared_directory(config: pytest.Config) -> Path:
    """Made by the process that starts the workers, and removed with all that is in it when they have ended."""
    if _is_worker(config):
        return Path(config.workerinput["shared"])  # type: ignore[attr-defined]  # of pytest-xdist
    made = tempfile.TemporaryDirectory(prefix="tally-", dir=MEMORY if _has_room() else None, ignore_cleanup_errors=True)
    config.add_cleanup(made.cleanup)
    return Path(made.name)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    node.workerinput["shared"] = str(node.config.stash[SHARED])


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is made while tests are collected stays until the run ends: no garbage is looked for in it, and later less
    often than by default, which takes 7 % of the fast tests' time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What the run before this one has run whole is not imported again."""
    return True if collection_path in config.stash[PASSED_OVER] else None


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadscope``: a group on one worker."""
    from tests.support.groups import Groups

    return Groups(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in markers_of(item):
            item.add_marker(marker)
    if config.getoption("--keep-results"):
        _note_fast_files(config, items)
    items.sort(key=place_of)
    alike = [name for name, number in Counter(item.nodeid for item in items).items() if number > 1]
    if alike:  # of these pytest-xdist would run one each, and say nothing
        raise pytest.UsageError(f"more than one test of one name: {alike}")
    if apart := scattered(items):
        raise pytest.UsageError(f"their files belong into a table of tests/support/needs.py: {apart}")


def _note_fast_files(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before any test is deselected."""
    files = fast_files(items)
    if _is_worker(config):
        config.workeroutput["fast_files"] = files  # type: ignore[attr-defined]  # of pytest-xdist
    else:
        config.stash[FAST_FILES] = files


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    with _only_what_it_may(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with _only_what_it_may(item):
        return (yield)


def _only_what_it_may(item: pytest.Item) -> AbstractContextManager[None]:
    """Not while it ends: the last test's end is that of all fixtures."""
    return forbid_programs(item.nodeid) if item.get_closest_marker("fast") else nullcontext()


@pytest.fixture(scope="session", autouse=True)
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where there is memory for it, temporary files of the tests and of the programs that they start are kept there, so
    that no commit and no new database waits for a disk: tests kill programs, and never cut the power. pytest's own stay
    where people look for them."""
    tmp_path_factory.getbasetemp()
    if not _has_room():
        yield
        return
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="tally-", dir=MEMORY, ignore_cleanup_errors=True) as path,
    ):
        patch.setattr(tempfile, "tempdir", path)
        patch.setenv("TMPDIR", path)
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities() -> Iterator[None]:
    """Trusted authorities are read once from each place where they are: each HTTP client and each worker that sends
    messages reads them, which takes 50 ms. Nobody changes a client's context once it is made."""
    read, contexts = ssl.create_default_context, dict[object, ssl.SSLContext]()

    def context(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH, **given: Any) -> ssl.SSLContext:
        places = (*sorted(given.items()), *(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")))
        if purpose is not ssl.Purpose.SERVER_AUTH:
            return read(purpose, **given)
        if places not in contexts:
            contexts[places] = read(purpose, **given)
        return contexts[places]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", context)
        yield


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Passwords that tests make in this process protect nothing: their hashes take no 46 MiB and 60 ms each. Programs
    that tests start hash at full cost."""
    cost = "$argon2id$v=19$m=64,t=1,p=1$"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_NOBODY", passwords._NOBODY.replace(passwords._COST, cost))
        patch.setattr(passwords, "_COST", cost)
        patch.setattr(passwords, "MEMORY_KIB", 64)
        yield


@pytest.fixture(scope="session")
def data_dir(memory: None) -> Iterator[Path]:
    """A data directory with a short path: a Unix socket's name is at most 107 bytes long."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _has_room() -> bool:
    """Whether there are files in memory, and memory for so many."""
    free = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() else 0
    return min(free, psutil.virtual_memory().available) >= ROOM_BYTES


@pytest.fixture
def own_dir() -> Iterator[Path]:
    """A directory of this test alone, where the database's user may go: pytest closes the way to its own at the start
    of every session, also of one beside this."""
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def clusters(memory: None, pytestconfig: pytest.Config) -> Clusters:
    """Puts a PostgreSQL with the schema into a data directory, sooner than the first start there makes one."""
    from tests.support.clusters import Clusters

    return Clusters(pytestconfig.stash[SHARED])


@pytest.fixture(scope="session")
def new_database(data_dir: Path, clusters: Clusters) -> Iterator[NewDatabase]:
    """Makes databases with the schema, on one real PostgreSQL from the wheel."""
    import psycopg

    from tallystick.record.postgres.embedded.server import DATABASE, OWNER_ROLE, EmbeddedPostgres

    clusters.put_into(data_dir)
    with EmbeddedPostgres(data_dir) as postgres:
        template, admin_url = postgres.urls(), postgres.superuser_url("postgres")
        numbers = count(1)
        with psycopg.connect(admin_url, autocommit=True) as admin:
            # A hundred databases and more are made here, and autovacuum would start a process up to ten times a second
            # to look at them in turn. Tests of what it does say VACUUM or ANALYZE.
            admin.execute("ALTER SYSTEM SET autovacuum = off")
            admin.execute("SELECT pg_reload_conf()")

            def make() -> Database:
                name = f"test_{next(numbers)}"
                statement = f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {OWNER_ROLE}"
                try:
                    admin.execute(statement)
                except psycopg.OperationalError:  # a test has restarted the server
                    with psycopg.connect(admin_url, autocommit=True) as another:
                        another.execute(statement)
                return Database(*(url.replace(f"/{DATABASE}?", f"/{name}?") for url in template))

            yield make
        _end_at_once(data_dir)


def _end_at_once(data_dir: Path) -> None:
    """Nobody reads it again, and a stop would write what is in memory."""
    with suppress(FileNotFoundError, psutil.NoSuchProcess):  # it has ended
        server = psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))
        server.send_signal(signal.SIGQUIT)
        server.wait(60)


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """A database for one module: recovery works for every merchant there is, also for those of other tests."""
    return new_database()


@pytest.fixture
def fresh_merchant() -> str:
    """A merchant that no other test knows."""
    return "m" + new_letters()
