"""The rows of the console's table that a list of work has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from tallystick.interfaces.console.act_on_many import act_on, preview, ticked
from tallystick.interfaces.console.page import Answer, Page, PageRequest
from tallystick.interfaces.console.work_list import WorkPage, export, item_page, list_page, save_filter


def pages_of(page: WorkPage) -> tuple[Page, ...]:
    """The list, its file, one row, its filters, and each act with its preview."""
    return tuple(_pages(page))


def _pages(page: WorkPage) -> Iterator[Page]:
    yield _page(page, "list", page.path, list_page, group=page.group)
    yield _page(page, "file", f"{page.path}.csv", export)
    yield _page(page, "filters", f"{page.path}/filters", save_filter, method="POST")
    if page.acts:
        yield _page(page, "ticked", f"{page.path}/preview", ticked, method="POST")
    for act in page.acts:
        more: dict[str, Any] = {"right": act.right}
        path = f"{page.path}/{act.name}"
        yield _page(page, f"preview_{act.name}", f"{path}/preview", _of(preview, page, act), **more)
        yield _page(page, f"do_{act.name}", path, _of(act_on, page, act), method="POST", fresh=act.fresh, **more)
    yield _page(page, "row", f"{page.path}/rows/{{item_id:{page.id_in_path}}}", item_page)


def _page(page: WorkPage, name: str, path: str, handle: Callable[..., Awaitable[Answer]], **more: Any) -> Page:
    bound: Callable[[PageRequest], Awaitable[Answer]] = handle if isinstance(handle, partial) else partial(handle, page)
    row: dict[str, Any] = {"handle": bound, "right": "read", "title": page.title, **more}
    return Page(name=f"{page.name}_{name}", path=path, **row)


def _of(handle: Callable[..., Awaitable[Answer]], *bound: object) -> Callable[[PageRequest], Awaitable[Answer]]:
    return partial(handle, *bound)
