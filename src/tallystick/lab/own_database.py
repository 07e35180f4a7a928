"""A database of one's own as the place of a demonstration or a benchmark: an empty one, or one that is named twice."""

from __future__ import annotations

from typing import Final

import psycopg

from tallystick.domain.errors import TallystickError
from tallystick.record.postgres import sql
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.record.postgres.hosts import conninfo_for_writing
from tallystick.settings.load import Settings

_STATEMENTS: Final = sql.load("doctor.sql")

#: A database that takes longer to connect is not usable.
_CONNECT_TIMEOUT_S: Final = 10


class NotEmpty(TallystickError):
    """The database has tables, and its name was not repeated."""


def own_database(settings: Settings, into: str | None) -> DatabaseUrls | None:
    """The URLs of the settings, or None for the embedded database. ``into``: the name as the caller repeats it. Raises
    NotEmpty, also where another name is repeated, and what the database raises."""
    if settings.database_url is None:
        if into is not None:
            raise NotEmpty("--into repeats the name of a database of your own, and TALLYSTICK_DATABASE_URL names none")
        return None
    urls = DatabaseUrls(settings.migration_database_url or settings.database_url, settings.database_url)
    for url in dict.fromkeys(urls):
        _require_empty_or_named(url, into)
    return urls


def _require_empty_or_named(url: str, into: str | None) -> None:
    with psycopg.connect(conninfo_for_writing(url), connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        row = connection.execute(_STATEMENTS["relations"]).fetchone()
        assert row is not None, "an aggregate has a row"
    name, relations = row
    if into is not None and into != name:
        raise NotEmpty(f"--into names {into}, and the URL the database {name}; nothing was done")
    if relations and into is None:
        raise NotEmpty(
            f"the database {name} is not empty: it has {relations} tables or views. Payments that nobody asked for"
            f" would be made there: take an empty database, or repeat its name to allow it (--into {name})."
            " Without TALLYSTICK_DATABASE_URL an embedded database is made"
        )
