"""Which handler a path and a method have: the routes as a tree of path segments.

Every request that has a handler goes to it from here, past the framework, whose way to it would cost more than reading
the request does (decision 0084).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from litestar.types import HTTPScope, Receive, Scope
from msgspec import Struct

from tallystick.interfaces.api.http import HttpResponse

Handler = Callable[[Scope, Receive], Awaitable[HttpResponse]]


class Route(Struct, frozen=True):
    """One method on one path; ``path`` names its parameters in braces, each a whole segment."""

    method: str
    path: str
    handle: Handler

    @property
    def methods(self) -> tuple[str, ...]:
        """A GET is a HEAD too: the response leaves its body out."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


class _Node:
    """The paths that share their first segments."""

    __slots__ = ("any_segment", "by_method", "segments")

    def __init__(self) -> None:
        self.segments: dict[str, _Node] = {}
        self.any_segment: _Node | None = None
        self.by_method: dict[str, tuple[Handler, tuple[str, ...]]] = {}  # with the names of the parameters, in order


class Dispatcher:
    """The routes of one process. A segment that is named in a route goes before a parameter in its place."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def handler(self, scope: HTTPScope) -> Handler | None:
        """The handler of a request, whose ``path_params`` are then in the scope; None where no route has its path and
        method. The path is as it was sent: other spellings are refused before."""
        node, values = self._root, []
        for segment in scope["path"].split("/"):
            named = node.segments.get(segment)
            if named is None:
                if node.any_segment is None:
                    return None
                named = node.any_segment
                values.append(segment)
            node = named
        found = node.by_method.get(scope["method"])
        if found is None:
            return None
        handle, names = found
        scope["path_params"] = dict(zip(names, values, strict=True))
        return handle

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path.split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.any_segment = node.any_segment or _Node()
                node = node.any_segment
            else:
                node = node.segments.setdefault(segment, _Node())
        for method in route.methods:
            if method in node.by_method:
                raise ValueError(f"two routes for {method} {route.path}")
            node.by_method[method] = (route.handle, tuple(names))
