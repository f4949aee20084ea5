"""Charts as SVG, drawn here: bars, and latency by percentile. Light and dark pages alike.

The percentile axis is that of HdrHistogram: each step to the right has a tenth of the requests of
the one before, so that the slowest ones, who are what a percentile is about, have the most room.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 860
_COLORS = ("#2f6fde", "#e0702a", "#2a9d6f", "#b0489a", "#8a8f98", "#c2a01e", "#5a4fcf", "#d0433f")
_STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "fill:#1f2328}"
    ".title{font-size:17px;font-weight:600}.muted{fill:#656d76;font-size:12px}"
    ".page{fill:#fff}.grid{stroke:#d8dee4;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.muted{fill:#9198a1}"
    ".page{fill:#0d1117}.grid{stroke:#30363d}}"
)


class Bar(NamedTuple):
    """`value` is drawn; `text`, where given, stands at its end in place of the number."""

    label: str
    value: float
    text: str = ""
    strong: bool = False


class Series(NamedTuple):
    """(percentile, value) points, rising."""

    label: str
    points: Sequence[tuple[float, float]]


def bar_chart(title: str, bars: Sequence[Bar], *, note: str = "") -> str:
    """Horizontal bars, one a line; the strong ones are ours."""
    left, top, line = 280, 64 if note else 48, 34
    bars = [bar if bar.text else bar._replace(text=f"{bar.value:,.0f}") for bar in bars]
    right = 32 + 7.5 * max((len(bar.text) for bar in bars), default=0)
    height = top + line * len(bars) + 16
    most = max((bar.value for bar in bars), default=0.0) or 1.0
    scale = (WIDTH - left - right) / most
    parts = [_text(24, 32, title, "title")]
    if note:
        parts.append(_text(24, 52, note, "muted"))
    for number, bar in enumerate(bars):
        y = top + line * number
        width = max(bar.value * scale, 1.0)
        parts += [
            _text(left - 12, y + 20, bar.label, anchor="end"),
            f'<rect x="{left}" y="{y + 5}" width="{width:.1f}" height="{line - 12}" rx="4" '
            f'fill="{_COLORS[0] if bar.strong else _COLORS[4]}"/>',
            _text(left + width + 8, y + 20, bar.text),
        ]
    return _document(height, title, parts)


def percentile_chart(title: str, series: Sequence[Series], *, unit: str = "ms") -> str:
    """Latency by percentile; the vertical axis is logarithmic."""
    left, right, top, plot = 84, 44, 86, 300
    bottom, width = top + plot, WIDTH - left - right
    drawn = [Series(one.label, [p for p in one.points if p[1] > 0]) for one in series]
    values = [value for one in drawn for _, value in one.points] or [1.0]
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    farthest = max((_place(p) for one in drawn for p, _ in one.points if p < 100), default=1.0)
    reach = max(math.ceil(farthest - 1e-9), 3)

    def x(percent: float) -> float:
        return left + width * min(_place(percent), reach) / reach

    def y(value: float) -> float:
        return bottom - plot * (math.log10(value) - low) / (high - low)

    parts = [_text(24, 32, title, "title")]
    for power in range(low, high + 1):
        level = y(10.0**power)
        parts.append(_line(left, level, WIDTH - right, level))
        parts.append(_text(left - 10, level + 4, f"{10.0**power:g} {unit}", "muted", "end"))
    for percent in (0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999):
        if _place(percent) <= reach:
            parts.append(_line(x(percent), top, x(percent), bottom))
            parts.append(_text(x(percent), bottom + 22, f"{percent:g} %", "muted", "middle"))
    parts.append(
        _text(left + width / 2, bottom + 46, "of requests are answered within", "muted", "middle")
    )
    label_x = 24.0
    for number, one in enumerate(drawn):
        color = _COLORS[number % len(_COLORS)]
        points = " ".join(f"{x(p):.1f},{y(value):.1f}" for p, value in one.points)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )
        parts.append(
            f'<rect x="{label_x:.0f}" y="50" width="14" height="14" rx="3" fill="{color}"/>'
        )
        parts.append(_text(label_x + 20, 62, one.label))
        label_x += 46 + 7.2 * len(one.label)
    return _document(bottom + 64, title, parts)


def _place(percent: float) -> float:
    """0 for 0 %, 1 for 90 %, 2 for 99 %, and so on; 100 % is farther than any."""
    return math.inf if percent >= 100 else -math.log10(1 - percent / 100)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    given = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{given}>{escape(text)}</text>'


def _document(height: int, title: str, parts: Iterable[str]) -> str:
    return "\n".join(_wrapped(height, title, parts)) + "\n"


def _wrapped(height: int, title: str, parts: Iterable[str]) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">'
    )
    yield f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    yield f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>'
    yield from parts
    yield "</svg>"
