"""The database named by the settings, for commands that must not create one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tallystick.record.postgres.embedded.keeper import Announce
from tallystick.record.postgres.embedded.server import DatabaseUnavailable, DatabaseUrls, resolve_database
from tallystick.settings.load import Settings


@contextmanager
def existing_database(settings: Settings, keep: Announce | None = None) -> Iterator[DatabaseUrls]:
    """The database, which must exist: a command that reads must not create one. ``keep`` as of ``resolve_database``.
    Raises DatabaseUnavailable."""
    if settings.database_url is None and not (Path(settings.data_dir) / "postgres" / "PG_VERSION").exists():
        raise DatabaseUnavailable(
            f"there is no database in {settings.data_dir}; name one with --data-dir or TALLYSTICK_DATABASE_URL,"
            " or create one with `tallystick up` or `tallystick migrate`"
        )
    with resolve_database(settings, keep) as database:
        yield database
