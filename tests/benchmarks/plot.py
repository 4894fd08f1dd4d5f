"""Curves as SVG: how many times dearer, by how many times larger. Pure; the same figures give the same file."""

from collections.abc import Iterator, Sequence
from html import escape
from math import log10
from typing import Any, Final

WIDTH, HEIGHT = 300, 230
LEFT, TOP, RIGHT, BOTTOM = 52, 30, 20, 30
COLUMNS: Final = 3
LEGEND_LINE: Final = 14
APART: Final = 12
"""Labels that are nearer than this to one another cannot be read."""
COLOURS: Final = ("#1f6f8b", "#c8553d", "#588157", "#8e5572", "#b8860b", "#444444")
STYLE: Final = (
    "text{font:11px sans-serif;fill:#333}.t{font-weight:bold}.a{stroke:#bbb;fill:none}"
    ".g{stroke:#bbb;stroke-dasharray:3 3;fill:none}.c{fill:none;stroke-width:1.8}"
)


def growth_svg(grows: dict[str, Any]) -> str:
    """A panel for each of what grows; a dashed line where cost would grow as the size does."""
    legend = max(len(grown["costs"]) for grown in grows.values()) * LEGEND_LINE
    rows = -(-len(grows) // COLUMNS)
    panels = "".join(
        f'<g transform="translate({place % COLUMNS * WIDTH} {place // COLUMNS * (HEIGHT + legend)})">'
        f"{_panel(name, grown)}</g>"
        for place, (name, grown) in enumerate(grows.items())
    )
    width, height = COLUMNS * WIDTH, rows * (HEIGHT + legend)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{panels}</svg>\n'
    )


def _panel(name: str, grown: dict[str, Any]) -> str:
    sizes, costs = grown["sizes"], {what: _times(each) for what, each in grown["costs"].items()}
    larger = _times(sizes)
    highest = max([larger[-1], *(max(each) for each in costs.values())])
    lowest = min([1.0, *(min(each) for each in costs.values())])

    def points(values: Sequence[float]) -> str:
        return " ".join(
            f"{_at(x, 1.0, larger[-1], LEFT, WIDTH - RIGHT):.1f},{_at(y, lowest, highest, HEIGHT - BOTTOM, TOP):.1f}"
            for x, y in zip(larger, values, strict=True)
        )

    lines = [
        f'<polyline class="c" stroke="{COLOURS[place % len(COLOURS)]}" points="{points(each)}"/>'
        for place, each in enumerate(costs.values())
    ]
    frame = f'<path class="a" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    guide = f'<polyline class="g" points="{points(larger)}"/>'
    title = f'<text class="t" x="{LEFT}" y="16">{escape(name)}</text>'
    labels = "".join([*_size_labels(sizes, larger), *_cost_labels(lowest, highest), *_legend(list(costs))])
    return title + frame + guide + "".join(lines) + labels


def _size_labels(sizes: Sequence[int], larger: Sequence[float]) -> Iterator[str]:
    for size, times in zip(sizes, larger, strict=True):
        x = _at(times, 1.0, larger[-1], LEFT, WIDTH - RIGHT)
        # The last one would reach into the panel beside it, or out of the picture.
        anchor, x = ("end", x + RIGHT / 2) if size == sizes[-1] else ("middle", x)
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="{anchor}">{size:,}</text>'


def _cost_labels(lowest: float, highest: float) -> Iterator[str]:
    """What it cost at first, and the dearest; the cheapest where there is room for it."""
    first = _at(1.0, lowest, highest, HEIGHT - BOTTOM, TOP)
    for times in sorted({lowest, 1.0, highest}):
        y = _at(times, lowest, highest, HEIGHT - BOTTOM, TOP)
        if times == 1.0 or abs(y - first) >= APART:
            told = f"{times:,.0f}" if times >= 100 else f"{times:.3g}"
            yield f'<text x="{LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">× {told}</text>'


def _legend(names: Sequence[str]) -> Iterator[str]:
    for place, name in enumerate(names):
        y = HEIGHT + place * LEGEND_LINE
        yield f'<rect x="{LEFT}" y="{y - 6}" width="14" height="3" fill="{COLOURS[place % len(COLOURS)]}"/>'
        yield f'<text x="{LEFT + 20}" y="{y}">{escape(name)}</text>'


def _times(values: Sequence[float]) -> list[float]:
    """Each as a multiple of the first; what costs nothing at first is compared with the smallest that it costs."""
    first = values[0] or min((each for each in values if each), default=1.0)
    return [max(each / first, 1e-3) for each in values]


def _at(value: float, low: float, high: float, start: float, end: float) -> float:
    """Where a value lies on a logarithmic axis from `start` to `end`."""
    span = log10(high / low) if high > low else 1.0
    return start + (end - start) * log10(value / low) / span
