"""Geometry of the charts that the server draws: pure; templates turn it into SVG and into the table behind it.

The plot is a unit-less box stretched to its place (``preserveAspectRatio="none"``); labels are HTML around it, so that
text keeps its size on a phone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PLOT_HEIGHT = 100.0
SLOT = 10.0
BAR = 7.0


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket: ``label`` for the table and tooltip, ``short`` for the axis, calls that were fine and that failed.

    ``href`` is where the bucket's own figures are, linked in the table.
    """

    label: str
    short: str
    good: int
    bad: int = 0
    href: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar in plot coordinates; ``title`` is its tooltip."""

    slot: float
    x: float
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float
    title: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar chart ready for the template. ``ticks`` are the axis values from the top; ``axis`` has a label
    a bar, mostly empty; ``unit`` is what bars count."""

    id: str
    title: str
    description: str
    width: float
    bars: tuple[Bar, ...]
    ticks: tuple[int, int, int]
    axis: tuple[str, ...]
    points: tuple[Point, ...]
    unit: str = "calls"

    @property
    def empty(self) -> bool:
        return all(point.good + point.bad == 0 for point in self.points)


@dataclass(frozen=True, slots=True)
class Share:
    """One row of a ranking; ``fill`` is 0 to 1000 of the largest."""

    name: str
    href: str
    calls: int
    failed: int
    fill: int


def shares(rows: Sequence[tuple[str, str, int, int]]) -> tuple[Share, ...]:
    """A ranking of (name, address, calls, failed), with bars relative to the largest."""
    largest = max((calls for _, _, calls, _ in rows), default=0) or 1
    return tuple(Share(name, href, calls, failed, calls * 1000 // largest) for name, href, calls, failed in rows)


def nice_ceiling(value: int) -> int:
    """The least of 2, 4, 10, 20, 40, 60, 80, 100 … not below ``value``, so that half of it is whole."""
    scale = 1
    while True:
        for step in (2, 4, 6, 8, 10):
            if step * scale >= value:
                return step * scale
        scale *= 10


def bar_chart(chart_id: str, title: str, points: Sequence[Point], unit: str = "calls") -> BarChart:
    """Lay the points out; a bucket with any call is at least a hair high, so that it can be seen."""
    top = nice_ceiling(max((p.good + p.bad for p in points), default=0))
    bars = []
    for index, point in enumerate(points):
        good, bad = (_height(value, top) for value in (point.good, point.bad))
        bars.append(
            Bar(
                slot=index * SLOT,
                x=round(index * SLOT + (SLOT - BAR) / 2, 2),
                good_y=round(PLOT_HEIGHT - good, 2),
                good_height=good,
                bad_y=round(PLOT_HEIGHT - good - bad, 2),
                bad_height=bad,
                title=f"{point.label}: {point.good + point.bad:,} {unit}"
                + (f", {point.bad:,} failed" * bool(point.bad)),
            )
        )
    total, failed = sum(p.good + p.bad for p in points), sum(p.bad for p in points)
    of_them = f", {failed:,} failed," if failed else ""
    description = f"{total:,} {unit}{of_them} in {len(points)} intervals; the highest axis mark is {top:,}."
    last, step = len(points) - 1, _axis_step(len(points))
    axis = tuple("" if (last - index) % step else point.short for index, point in enumerate(points))
    ticks = (top, top // 2, 0)
    return BarChart(chart_id, title, description, len(points) * SLOT, tuple(bars), ticks, axis, tuple(points), unit)


def _height(value: int, top: int) -> float:
    return max(round(value / top * PLOT_HEIGHT, 2), 1.2) if value else 0.0


def _axis_step(count: int) -> int:
    """Every how many bars a label fits on a phone."""
    return 3 if count <= 12 else 6 if count <= 24 else 7
