"""Pictures as SVG text, by a few lines of our own: bars, a latency curve, a line. No script, nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10

INK, SOFT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLOURS = ("#2f6fde", "#e8853a", "#2d9d78", "#9b5fc0", "#c2455f", "#6b7a3a")
WIDTH = 860
LEFT = 250

Series = tuple[str, Sequence[tuple[float, float]]]


def bars(rows: Sequence[tuple[str, float]], unit: str) -> str:
    """Draw horizontal bars, one a row, with its figure."""
    top = max((value for _, value in rows), default=1.0) or 1.0
    room = WIDTH - LEFT - 110
    parts = []
    for number, (name, value) in enumerate(rows):
        y = 26 * number
        length = max(1.0, room * value / top)
        parts.append(
            _text(LEFT - 10, y + 16, name, anchor="end")
            + f'<rect x="{LEFT}" y="{y + 3}" width="{length:.1f}" height="18" rx="3" fill="{COLOURS[0]}"/>'
            + _text(LEFT + length + 8, y + 16, f"{value:,.0f} {unit}", colour=SOFT)
        )
    return _svg(26 * len(rows) + 6, "".join(parts))


def percentiles(series: Sequence[Series]) -> str:
    """Draw latency against percentile as HDR histograms do: each step to the right is one nine more."""
    nines = 4.0
    values = [ns for _, points in series for _, ns in points if ns > 0]
    low, high = 10 ** int(log10(min(values))), 10 ** (int(log10(max(values))) + 1)
    return _plot(
        [(name, [(min(nines, -log10(max(1 - q / 100, 1e-9))), ns) for q, ns in points]) for name, points in series],
        x_ticks=[(0, "0 %"), (0.301, "50 %"), (1, "90 %"), (2, "99 %"), (3, "99.9 %"), (4, "99.99 %")],
        y_ticks=[(10**power, _time(10**power)) for power in range(round(log10(low)), round(log10(high)) + 1)],
        x_title="percentile",
    )


def curve(points: Sequence[tuple[float, float]], x_title: str, y_title: str) -> str:
    """Draw one line on linear axes."""
    top = max(y for _, y in points) or 1.0
    right = max(x for x, _ in points) or 1.0
    return _plot(
        [("", points)],
        x_ticks=[(right * part / 4, f"{right * part / 4:,.0f}") for part in range(5)],
        y_ticks=[(top * part / 4, f"{top * part / 4:,.2f} {y_title}") for part in range(5)],
        x_title=x_title,
        is_log=False,
    )


def _plot(
    series: Sequence[Series],
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    x_title: str,
    *,
    is_log: bool = True,
) -> str:
    left, top, height, width = 90, 14, 260, WIDTH - 120
    x_max, y_min, y_max = x_ticks[-1][0], y_ticks[0][0], y_ticks[-1][0]

    def x(value: float) -> float:
        return left + width * value / x_max

    def y(value: float) -> float:
        if is_log:
            part = (log10(max(value, y_min)) - log10(y_min)) / (log10(y_max) - log10(y_min))
        else:
            part = (value - y_min) / ((y_max - y_min) or 1.0)
        return top + height * (1 - part)

    parts = []
    for at, name in x_ticks:
        parts.append(f'<line x1="{x(at):.1f}" y1="{top}" x2="{x(at):.1f}" y2="{top + height}" stroke="{GRID}"/>')
        parts.append(_text(x(at), top + height + 18, name, anchor="middle", colour=SOFT))
    for at, name in y_ticks:
        parts.append(f'<line x1="{left}" y1="{y(at):.1f}" x2="{left + width}" y2="{y(at):.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, y(at) + 4, name, anchor="end", colour=SOFT))
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>')
        if name:
            parts.append(f'<rect x="{left + 14}" y="{top + 8 + 20 * number}" width="14" height="4" fill="{colour}"/>')
            parts.append(_text(left + 36, top + 14 + 20 * number, name))
    parts.append(_text(left + width / 2, top + height + 38, x_title, anchor="middle", colour=SOFT))
    return _svg(top + height + 46, "".join(parts))


def _time(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:g} {unit}"
    return f"{ns:g} ns"


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _svg(height: float, inside: str) -> str:
    style = 'font-family="system-ui, sans-serif" font-size="13"'
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="100%" {style}>{inside}</svg>'
