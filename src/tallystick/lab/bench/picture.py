"""The curves of ``bench growth`` as a picture."""

from __future__ import annotations

from typing import Any, Final

from tallystick.domain.errors import TallystickError
from tallystick.lab.bench.growth import GrowthFigures

#: Wide enough for five names in a line above the chart.
WIDTH_PX: Final = 960
HEIGHT_PX: Final = 480


class NoPicture(TallystickError):
    """leather is not installed: it comes with the extra ``bench``."""


def drawing() -> Any:
    """leather. Raises NoPicture."""
    try:
        import leather
    except ModuleNotFoundError as error:
        raise NoPicture("leather draws the picture: pip install 'tallystick[bench]'") from error
    return leather


def draw_growth(figures: GrowthFigures, subtitle: str) -> str:
    """SVG: each figure of the filled databases by the empty one's, over payments. Raises NoPicture."""
    chart = drawing().Chart(f"By the empty database's own figure. {subtitle}")
    for name in figures.points[0].ratios():
        chart.add_line([(point.payments / 1e6, point.ratios()[name]) for point in figures.points], name=name)
    highest = max(ratio for point in figures.points for ratio in point.ratios().values())
    chart.add_x_axis(name="payments, millions")
    chart.add_y_scale(0, highest * 1.05)  # from 0: half is half as high
    picture: str = chart.to_svg(width=WIDTH_PX, height=HEIGHT_PX)
    return picture
