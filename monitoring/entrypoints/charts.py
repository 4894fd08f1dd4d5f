"""Charts over time as inline SVG: pure functions from numbers to text, in the words of the page's style sheet.

Every mark takes a class, not a colour: the colours stand in one place. Texts are escaped here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 1040
LEFT: Final = 44
RIGHT: Final = 150
TOP: Final = 14
BOTTOM: Final = 22
LABEL_GAP: Final = 14.0
"""Least distance of two labels, in pixels: the height of a line of text."""

DAYS_PER_TICK: Final = (1, 2, 5, 7, 14, 28, 56, 112, 365)
PIXELS_PER_DATE: Final = 70
"""A date is some 40 pixels wide, and dates that nearly touch read as one."""


class Point(NamedTuple):
    at: datetime
    value: float


class Between(NamedTuple):
    at: datetime
    low: float
    high: float


class Marker(NamedTuple):
    """Something that happened; `style` is the class of its line."""

    at: datetime
    text: str
    style: str


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time that all charts of a page share."""

    start: datetime
    end: datetime

    def share(self, moment: datetime) -> float:
        return (moment - self.start) / max(self.end - self.start, timedelta(seconds=1))

    def ticks(self, *, at_most: int) -> list[datetime]:
        """Midnights, a round number of days apart, and no more than `at_most` of them within eleven years."""
        days = (self.end - self.start) / timedelta(days=1)
        step = next((each for each in DAYS_PER_TICK if days / each < at_most), DAYS_PER_TICK[-1])
        first = self.start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        count = max(0, int((self.end - first) / timedelta(days=step)) + 1) if self.end >= first else 0
        return [first + timedelta(days=step * i) for i in range(count)]


@dataclass
class Chart:
    """One panel. Marks are added in the order in which they are drawn, values are in the panel's own unit."""

    title: str
    span: Span
    low: float
    high: float
    height: int = 168
    width: int = WIDTH
    _marks: list[str] = field(default_factory=list)
    _labels: list[tuple[float, str, str]] = field(default_factory=list)

    def x(self, moment: datetime) -> float:
        return LEFT + self.span.share(moment) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def grid(self, ticks: Iterable[float], show: str) -> None:
        """Horizontal lines with their values, written with the format `show`, and the dates below."""
        for tick in ticks:
            y = self.y(tick)
            self._add(f'<line class="grid" x1="{LEFT}" x2="{self._right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            self._text(LEFT - 8, y + 4, format(tick, show), "tick end")
        for moment in self.span.ticks(at_most=(self._right - LEFT) // PIXELS_PER_DATE):
            self._text(self.x(moment), self.height - 5, f"{moment.day} {moment:%b}", "tick middle")

    def line(self, points: Sequence[Point], style: str) -> None:
        if len(points) == 1:
            x, y = self.x(points[0].at), self.y(points[0].value)
            self._add(f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>')
        elif points:
            path = " ".join(f"{self.x(each.at):.1f},{self.y(each.value):.1f}" for each in points)
            self._add(f'<polyline class="line {style}" points="{path}"/>')

    def band(self, between: Sequence[Between], style: str) -> None:
        """The area from `low` to `high` over time."""
        if len(between) > 1:
            upper = [f"{self.x(each.at):.1f},{self.y(each.high):.1f}" for each in between]
            lower = [f"{self.x(each.at):.1f},{self.y(each.low):.1f}" for each in reversed(between)]
            self._add(f'<polygon class="band {style}" points="{" ".join(upper + lower)}"/>')

    def level(self, value: float, text: str) -> None:
        """A horizontal line that means something, with its words at the left."""
        y = self.y(value)
        self._add(f'<line class="level" x1="{LEFT}" x2="{self._right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        self._text(LEFT + 4, y - 5, text, "tick")

    def later(self, since: datetime, text: str) -> None:
        """Shade what cannot be known yet."""
        begin = max(self.x(since), LEFT)
        width = self._right - begin
        if width > 1:
            area = f'x="{begin:.1f}" y="{TOP}" width="{width:.1f}" height="{self.height - TOP - BOTTOM}"'
            self._add(f'<rect class="later" {area}/>')
        if width > 7 * len(text):
            self._text(begin + width / 2, self.height - BOTTOM - 8, text, "tick middle")

    def label(self, value: float, text: str, style: str) -> None:
        """Words at the right end, at the height of a value; labels that would overlap are moved apart."""
        self._labels.append((self.y(value), text, style))

    def note(self, point: Point, text: str, style: str) -> None:
        """Words right behind a point inside the chart."""
        self._text(self.x(point.at) + 6, self.y(point.value) + 4, text, f"label {style}")

    def markers(self, markers: Iterable[Marker], *, named: bool) -> None:
        for marker in markers:
            if not self.span.start <= marker.at <= self.span.end:
                continue
            x = self.x(marker.at)
            self._add(
                f'<line class="marker {marker.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{0 if named else TOP}" '
                f'y2="{self.height - BOTTOM}"><title>{escape(marker.text)}</title></line>'
            )

    def svg(self) -> str:
        for y, text, style in _apart(self._labels, TOP + 4, self.height - BOTTOM):
            self._text(self._right + 8, y + 4, text, f"label {style}")
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join(self._marks)}</svg>"
        )

    @property
    def _right(self) -> int:
        return self.width - RIGHT

    def _text(self, x: float, y: float, text: str, style: str) -> None:
        self._add(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def _add(self, mark: str) -> None:
        self._marks.append(mark)


def marker_strip(span: Span, markers: Sequence[Marker], *, width: int = WIDTH) -> str:
    """The markers' words above the first chart, in as many rows as keep them apart."""
    chart = Chart("What happened when", span, 0, 1, width=width)
    rows: list[float] = []
    placed = []
    for marker in sorted(markers):
        if not span.start <= marker.at <= span.end:
            continue
        x, length = chart.x(marker.at), 6.6 * len(marker.text) + 14
        begin = min(max(x, LEFT), width - length)
        row = next((i for i, taken in enumerate(rows) if taken <= begin), len(rows))
        rows[row:] = [begin + length, *rows[row + 1 :]]
        placed.append((marker, x, begin, row))
    if not placed:
        return ""
    height = 18 * len(rows) + 4
    marks = "".join(_strip_mark(*each, height) for each in placed)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="What happened when">{marks}</svg>'


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that span [low, high]."""
    raw = max(high - low, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _strip_mark(marker: Marker, x: float, begin: float, row: int, height: int) -> str:
    y = 18 * row + 13
    return (
        f'<line class="marker {marker.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{height}"/>'
        f'<text class="event {marker.style}" x="{begin + 5:.1f}" y="{y}">{escape(marker.text)}</text>'
    )


def _apart(labels: Iterable[tuple[float, str, str]], top: float, bottom: float) -> list[tuple[float, str, str]]:
    """The labels from top to bottom, each at least `LABEL_GAP` below the one before, all of them inside."""
    placed: list[tuple[float, str, str]] = []
    for y, text, style in sorted(labels):
        placed.append((max(y, placed[-1][0] + LABEL_GAP if placed else top), text, style))
    overshoot = max(0.0, placed[-1][0] - bottom) if placed else 0.0
    return [(y - overshoot, text, style) for y, text, style in placed]
