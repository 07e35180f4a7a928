"""PostgreSQL's own array types, told to asyncpg when a connection is opened.

asyncpg knows the types of single values, and asks the server about arrays: on every connection, before the first
statement that has one, with a query of its catalogs that takes the server some 15 ms to plan. The answer is always the
same: these types have fixed numbers (PostgreSQL's ``pg_type.dat``).
"""

from __future__ import annotations

from typing import Any, Final

#: Name of the element's type -> its number, and that of the array.
ARRAYS: Final = {
    "bool": (16, 1000),
    "bytea": (17, 1001),
    "int8": (20, 1016),
    "int2": (21, 1005),
    "int4": (23, 1007),
    "json": (114, 199),
    "float8": (701, 1022),
    "varchar": (1043, 1015),
    "date": (1082, 1182),
    "timestamp": (1114, 1115),
    "timestamptz": (1184, 1185),
    "interval": (1186, 1187),
    "numeric": (1700, 1231),
    "uuid": (2950, 2951),
    "jsonb": (3802, 3807),
}

#: As asyncpg's own query returns them.
_RECORDS: Final = [
    {
        "oid": array,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element,
        "elemdelim": b",",
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
        "elemtype_name": name,
    }
    for name, (element, array) in ARRAYS.items()
]


def know_arrays(connection: Any) -> None:
    """From now on this connection of asyncpg asks about none of them. There is no public way to tell it: where a later
    version has no such place, it asks."""
    protocol: Any = getattr(connection, "_protocol", None)
    settings: Any = protocol.get_settings() if hasattr(protocol, "get_settings") else None
    if hasattr(settings, "register_data_types"):
        settings.register_data_types(_RECORDS)
