"""Plots as SVG, drawn on the server by leather. Colours and fonts are the stylesheet's: nothing here has a style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from xml.etree import ElementTree

import leather
from markupsafe import Markup
from msgspec import Struct

#: Units of the drawing: as wide as a telephone, so that its letters are legible there.
WIDTH: Final = 420
HEIGHT: Final = 170

#: Letters of the axes, in the same units.
_FONT: Final = 11

#: What the stylesheet decides.
_STYLED: Final = ("fill", "stroke", "font-family", "font-size", "stroke-width")

#: Lines with a colour of their own; the stylesheet has as many.
COLOURS: Final = 6

#: Labels of the time axis: more would run into each other.
_TICKS: Final = 4


class Line(Struct, frozen=True, kw_only=True):
    """One line of a plot: its ``name`` in the legend, and (time, value) in the order of time."""

    name: str
    points: Sequence[tuple[datetime, int]]


class Mark(Struct, frozen=True, kw_only=True):
    """Something that happened at a time, such as a release: a vertical line with a title."""

    at: datetime
    title: str


class Plot(Struct, frozen=True, kw_only=True):
    """A drawing, and what its lines are. ``svg`` None: nothing was counted. ``figures``: (time, the value of each
    line), the newest first, of times at which anything was counted."""

    title: str
    svg: Markup | None
    legend: Sequence[str]
    figures: Sequence[tuple[datetime, Sequence[int]]] = ()


def plot(
    title: str, lines: Sequence[Line], marks: Sequence[Mark], since: datetime, until: datetime, step_s: int
) -> Plot:
    """Lines over time, from ``since`` to ``until``. A step without a value is a zero: nothing was counted there. The
    step that is not over yet is left out."""
    drawn = [each for each in lines if each.points]
    if not drawn:
        return Plot(title=title, svg=None, legend=())
    chart = leather.Chart()
    most = max(1, *(value for each in drawn for _, value in each.points))
    times = _Times(_naive(since), _naive(until))
    chart.set_x_scale(times)
    chart.set_y_scale(_Levels(0, most))
    chart.set_x_axis(leather.Axis(_times(since, until), _clock(until - since)))
    chart.set_y_axis(leather.Axis(_levels(most), lambda value, *_: f"{value:,}"))
    for each in drawn:
        chart.add_series(leather.Series(_with_zeros(each.points, since, until, step_s)), _Line("line"))
    group = _drawn(chart)
    canvas = group.find(".//g[@class='axis left']/..")
    if canvas is not None:
        _add_marks(canvas, [each for each in marks if since <= each.at <= until], times)
    return Plot(title=title, svg=_svg(group, title), legend=[each.name for each in drawn], figures=_figures(drawn))


def _figures(lines: Sequence[Line]) -> list[tuple[datetime, Sequence[int]]]:
    values = [dict(each.points) for each in lines]
    times = sorted({at for each in values for at in each}, reverse=True)
    return [(at, [each.get(at, 0) for each in values]) for at in times]


class _Times(leather.Temporal):  # type: ignore[misc]  # it ships no types
    def project(self, value: datetime, range_min: float, range_max: float) -> float:
        """Where a time stands: leather's own axis reaches beyond the first and the last one."""
        return float(
            range_min + (range_max - range_min) * ((value - self._data_min) / (self._data_max - self._data_min))
        )


class _Levels(leather.Linear):  # type: ignore[misc]  # it ships no types
    def project(self, value: Any, range_min: float, range_max: float) -> float:
        """The same of a number."""
        return float(range_min + (range_max - range_min) * float(value) / float(self._data_max))


class _Line(leather.Line):  # type: ignore[misc]  # it ships no types
    def legend_to_svg(self, *_: Any) -> list[Any]:
        """The legend is text of the page."""
        return []


def _drawn(chart: Any) -> ElementTree.Element:
    theme = leather.theme
    theme.margin = 0.012
    theme.legend_font_char_height = theme.legend_gap = 0
    theme.tick_font_char_height, theme.tick_font_char_width = _FONT + 3, 7
    group: ElementTree.Element = chart.to_svg_group(WIDTH, HEIGHT)
    for number, series in enumerate(group.iter("g")):
        if number == 0 and (background := series.find("rect")) is not None:
            series.remove(background)
    for number, series in enumerate(group.findall(".//g[@class='series lines']")):
        series.set("class", f"line line-{number % COLOURS}")
    for element in group.iter():
        for name in _STYLED:
            if name != "fill" or element.get("fill") != "none":
                element.attrib.pop(name, None)
    return group


def _add_marks(canvas: ElementTree.Element, marks: Sequence[Mark], times: Any) -> None:
    """Vertical lines as high and as wide as the axis's own."""
    level = canvas.find("./g[@class='axis left']/g/line")
    column = canvas.find("./g[@class='axis bottom']/g/line")
    if level is None or column is None:
        return
    width, height = float(level.get("x2", "0")), float(column.get("y2", "0"))
    for mark in marks:
        x = f"{times.project(_naive(mark.at), 0, width):.1f}"
        group = ElementTree.SubElement(canvas, "g", {"class": "mark"})
        ElementTree.SubElement(group, "title").text = mark.title
        ElementTree.SubElement(group, "line", {"x1": x, "x2": x, "y1": "0", "y2": str(height)})
        ElementTree.SubElement(group, "circle", {"cx": x, "cy": "2", "r": "3"})


def _svg(group: ElementTree.Element, title: str) -> Markup:
    root = ElementTree.Element(
        "svg", {"class": "plot", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": title}
    )
    root.append(group)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _with_zeros(
    points: Sequence[tuple[datetime, int]], since: datetime, until: datetime, step_s: int
) -> list[tuple[datetime, int]]:
    known: Mapping[datetime, int] = dict(points)
    step = timedelta(seconds=step_s)
    first = datetime.fromtimestamp((since.timestamp() // step_s + 1) * step_s, UTC)
    steps = [first + step * number for number in range((until - first) // step)]
    return [(_naive(at), known.get(at, 0)) for at in steps]


def _times(since: datetime, until: datetime) -> list[datetime]:
    """Whole hours, or midnights."""
    unit_s = 86_400 if until - since > timedelta(days=1) else 3_600
    step_s = max(1, round((until - since).total_seconds() / unit_s / _TICKS)) * unit_s
    first = (since.timestamp() // step_s + 1) * step_s
    found = [datetime.fromtimestamp(first + step_s * number, UTC) for number in range(_TICKS + 1)]
    return [_naive(each) for each in found if each <= until]


def _clock(span: timedelta) -> Any:
    pattern = "%H:%M" if span <= timedelta(days=1) else "%d %b"
    return lambda value, *_: value.strftime(pattern)


def _naive(at: datetime) -> datetime:
    """As leather's scales of time want it: UTC without saying so."""
    return at.astimezone(UTC).replace(tzinfo=None)


def _levels(most: int) -> list[int]:
    return sorted({0, most // 2, most}) if most > 1 else [0, 1]
