"""Filters of lists of work: as they stand in an address, and as a form brings them along."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode

from tallystick.interfaces.console.forms import Form
from tallystick.interfaces.console.page import PageRequest
from tallystick.oversight.console import WorkFilter

#: Characters of a filter's value and of a filter's name.
VALUE_CHARS: Final = 200

#: The filters of every list, in the order of the form.
_FILTERS: Final = ("merchant", "provider", "kind", "own", "owner", "age")

#: Values of the filter ``age``, in words and hours: rows that wait at least so long.
AGES: Final[Mapping[str, tuple[str, int]]] = {
    "1h": ("an hour", 1),
    "1d": ("a day", 24),
    "3d": ("3 days", 72),
    "7d": ("a week", 168),
}

#: Values of the filter ``owner`` that are no names. Operators who are called so are asked for by ``operator:…``.
ME: Final = "me"
NOBODY: Final = "nobody"


def work_filter(request: PageRequest) -> WorkFilter:
    """The filters of an address, within what the viewer may see."""
    named = asked_filters(request)
    owner, age = named.pop("owner", None), named.pop("age", None)
    return WorkFilter(
        merchants=request.viewer.merchants,
        owner={ME: request.viewer.actor, NOBODY: ""}.get(owner, owner) if owner else None,
        waiting_since=request.runtime.clock.now() - timedelta(hours=AGES[age][1]) if age else None,
        **named,
    )


def asked_filters(request: PageRequest) -> dict[str, str]:
    """The filters that are set, as they stand in the address."""
    named = {name: request.query.get(name, "").strip()[:VALUE_CHARS] for name in _FILTERS}
    if named["age"] not in AGES:
        named["age"] = ""
    return {name: value for name, value in named.items() if value}


def query_of(request: PageRequest, **more: str) -> str:
    """The filters as an address has them; what is not set is left out."""
    return urlencode({**asked_filters(request), **more})


def filters_of(form: Form) -> str:
    """The filters of the list that a form came from, as an address has them."""
    try:
        sent = parse_qsl(form.get("query"), max_num_fields=len(_FILTERS))
    except ValueError:
        return ""
    return urlencode([(name, value[:VALUE_CHARS]) for name, value in sent if name in _FILTERS])
