"""The lifecycle of a payment as a drawing, with the path that one payment took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from markupsafe import Markup, escape
from msgspec import Struct

from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.table import NEW

#: Where each state stands: the middle of its box. Time goes to the right.
PLACES: Final[Mapping[str, tuple[int, int]]] = {
    NEW: (22, 130),
    "authorizing": (125, 130),
    "requires_action": (125, 36),
    "authorized": (300, 130),
    "capturing": (430, 60),
    "canceling": (430, 200),
    "captured": (590, 60),
    "canceled": (590, 130),
    "expired": (590, 200),
    "declined": (125, 224),
    "failed": (300, 224),
}

_WIDTH: Final = 660
_HEIGHT: Final = 250

#: Half a box.
_HALF_WIDTH: Final = 56
_HALF_HEIGHT: Final = 15


class Taken(Struct, frozen=True, kw_only=True):
    """One step of the path: from a state to another, which is the ``number``-th."""

    before: str
    after: str
    number: int


def path_of(states: Sequence[str]) -> list[Taken]:
    """The steps that change the state, of the states in the order in which they were entered."""
    moves = [(before, after) for before, after in pairwise(states) if before != after]
    return [Taken(before=before, after=after, number=number) for number, (before, after) in enumerate(moves, 1)]


def state_graph(states: Sequence[str]) -> Markup:
    """The drawing. ``states``: those that the payment entered, the first is ``NEW``."""
    taken = path_of(states)
    numbers: dict[tuple[str, str], list[int]] = {}
    for each in taken:
        numbers.setdefault((each.before, each.after), []).append(each.number)
    edges = sorted(
        {(before, edge.to) for before, edges in PAYMENT.edges.items() for edge in edges.values() if edge.to != before}
        | numbers.keys(),
        key=lambda edge: edge in numbers,  # the path is drawn above the rest
    )
    parts = [_edge(before, after, numbers.get((before, after), ())) for before, after in edges if after in PLACES]
    entered, now = set(states), states[-1] if states else ""
    parts += [_box(state, entered=state in entered, now=state == now) for state in PLACES]
    says = " → ".join([taken[0].before if taken else NEW, *(each.after for each in taken)])
    return Markup('<svg class="graph" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, f"The path: {says}", Markup("").join(parts)
    )


def _box(state: str, *, entered: bool, now: bool) -> Markup:
    x, y = PLACES[state]
    kind = "state now" if now else "state entered" if entered else "state"
    if state == NEW:
        return Markup('<circle class="{}" cx="{}" cy="{}" r="7"/>').format(kind, x, y)
    return Markup(
        '<g class="{}"><rect x="{}" y="{}" width="{}" height="{}" rx="6"/><text x="{}" y="{}">{}</text></g>'
    ).format(
        kind,
        x - _HALF_WIDTH,
        y - _HALF_HEIGHT,
        2 * _HALF_WIDTH,
        2 * _HALF_HEIGHT,
        x,
        y + 4,
        escape(state.replace("_", " ")),
    )


def _edge(before: str, after: str, numbers: Sequence[int]) -> Markup:
    """A line between two boxes, with a head; of the path also the number of the step."""
    (x1, y1), (x2, y2) = _border(PLACES[before], PLACES[after]), _border(PLACES[after], PLACES[before])
    kind = "edge taken" if numbers else "edge"
    line = Markup('<g class="{}"><line x1="{:.0f}" y1="{:.0f}" x2="{:.0f}" y2="{:.0f}"/>{}').format(
        kind, x1, y1, x2, y2, _head(x1, y1, x2, y2)
    )
    label = Markup("")
    if numbers:
        label = Markup('<circle cx="{:.0f}" cy="{:.0f}" r="9"/><text x="{:.0f}" y="{:.0f}">{}</text>').format(
            (x1 + x2) / 2, (y1 + y2) / 2, (x1 + x2) / 2, (y1 + y2) / 2 + 4, ",".join(map(str, numbers))
        )
    return line + label + Markup("</g>")


def _head(x1: float, y1: float, x2: float, y2: float) -> Markup:
    length = max(1.0, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    corners = [(x2, y2), (x2 - 8 * ux - 4 * uy, y2 - 8 * uy + 4 * ux), (x2 - 8 * ux + 4 * uy, y2 - 8 * uy - 4 * ux)]
    return Markup('<polygon points="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in corners))


def _border(inside: tuple[int, int], towards: tuple[int, int]) -> tuple[float, float]:
    """Where the line from the middle of one box to another one leaves it. Lines both ways stand beside each other."""
    dx, dy = towards[0] - inside[0], towards[1] - inside[1]
    half = (_HALF_WIDTH, _HALF_HEIGHT) if inside != PLACES[NEW] else (8, 8)
    scale = min(half[0] / abs(dx) if dx else 99.0, half[1] / abs(dy) if dy else 99.0)
    shift = 5 if inside < towards else -5
    aside = (0, shift) if abs(dx) > abs(dy) else (shift, 0)
    return inside[0] + dx * scale + aside[0], inside[1] + dy * scale + aside[1]
