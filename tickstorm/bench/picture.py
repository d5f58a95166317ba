"""A picture of latencies: their percentiles as HDR histograms are drawn, as SVG. Pure.

To the right each step is a tenth of what is left to 100 %, so that the rare and slow get as much
room as the rest; upwards the milliseconds rise by powers of ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 36, 64, 52
_MIN_DECADES, _MAX_DECADES = 3, 6
"""How many nines of a percentage there are to the right."""
_LOWEST_MS = 0.001

_STYLE = """
  .paper { fill: #ffffff } text { font: 12px system-ui, sans-serif; fill: #3d4450 }
  .title { font-size: 15px; font-weight: 600; fill: #14181f }
  .grid { stroke: #dfe3e8; stroke-width: 1 } .fine { stroke: #f0f2f4; stroke-width: 1 }
  .curve { fill: none; stroke-width: 2; stroke-linejoin: round }
  .c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .t0 { fill: #0969da } .t1 { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0f141a } text { fill: #a9b4c0 } .title { fill: #eef2f6 }
    .grid { stroke: #2a323c } .fine { stroke: #1a2129 }
    .c0 { stroke: #58a6ff } .c1 { stroke: #f0883e } .t0 { fill: #58a6ff } .t1 { fill: #f0883e }
  }
"""


class Curve(NamedTuple):
    """A histogram as a line.

    Attributes:
        name: for the legend.
        points: percentiles, 0 to 100, and milliseconds, both rising.
    """

    name: str
    points: Sequence[tuple[float, float]]


class _Scale(NamedTuple):
    """Where a percentile and a latency are on the paper."""

    decades: int
    lowest: int
    highest: int

    def x(self, percentile: float) -> float:
        left = max(1 - percentile / 100, 10.0**-self.decades)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * -log10(left) / self.decades

    def y(self, ms: float) -> float:
        part = (log10(max(ms, _LOWEST_MS)) - self.lowest) / (self.highest - self.lowest)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * part


def draw(title: str, curves: Sequence[Curve]) -> str:
    """Return a picture of at most two curves, none of them empty, as an SVG document."""
    scale = _scale(curves)
    body = [*_grid(scale), *_curves(scale, curves), *_words(title, curves)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _scale(curves: Iterable[Curve]) -> _Scale:
    points = [point for curve in curves for point in curve.points]
    values = [max(ms, _LOWEST_MS) for _, ms in points]
    rarest = min((1 - percentile / 100 for percentile, _ in points if percentile < 100), default=1)
    decades = min(_MAX_DECADES, max(_MIN_DECADES, ceil(-log10(rarest))))
    lowest = floor(log10(min(values)))
    return _Scale(decades, lowest, max(lowest + 1, ceil(log10(max(values)))))


def _grid(scale: _Scale) -> Iterable[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for decade in range(scale.lowest, scale.highest + 1):
        y = scale.y(10.0**decade)
        for part in range(2, 10) if decade < scale.highest else ():
            fine = scale.y(part * 10.0**decade)
            yield f'<path class="fine" d="M{_LEFT} {fine:.1f}H{right}"/>'
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_time(decade)}</text>'
    for percentile in (0.0, 50.0, *(100 - 10.0 ** (2 - nines) for nines in _nines(scale))):
        x = scale.x(percentile)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        label = f"{percentile:.6g} %"
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>'


def _time(decade: int) -> str:
    if decade >= 3:
        return f"{10 ** (decade - 3):,} s"
    return f"{10.0**decade:.{max(0, -decade)}f} ms"


def _nines(scale: _Scale) -> Iterable[int]:
    return range(1, scale.decades + 1)


def _curves(scale: _Scale, curves: Sequence[Curve]) -> Iterable[str]:
    for number, curve in enumerate(curves):
        places = " ".join(f"{scale.x(at):.1f},{scale.y(ms):.1f}" for at, ms in curve.points)
        yield f'<polyline class="curve c{number}" points="{places}"/>'


def _words(title: str, curves: Sequence[Curve]) -> Iterable[str]:
    yield f'<text class="title" x="{_LEFT}" y="26">{escape(title)}</text>'
    for number, curve in enumerate(curves):
        x = _LEFT + number * 250
        yield f'<path class="curve c{number}" d="M{x} 44h18"/>'
        yield f'<text class="t{number}" x="{x + 24}" y="48">{escape(curve.name)}</text>'
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    yield f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">percentile</text>'
