"""Pictures of figures beside their floors: groups of horizontal bars, as SVG that reads on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 860
LEFT = 20
SCALE_WIDTH = 460
BAR_HEIGHT = 16
BAR_STEP = 20
GROUP_GAP = 30
LARGEST = 2.2
"""Shares beyond are cut off, with a mark."""
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.name { font-weight: 600; }
.small { font-size: 12px; fill: #59636e; }
.ours { fill: #0b6bcb; }
.floor { fill: #c3ccd6; }
.line { stroke: #59636e; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9198a1; }
  .ours { fill: #4c9aff; }
  .floor { fill: #444c56; }
  .line { stroke: #9198a1; }
}"""


class Bar(NamedTuple):
    """One bar: its name, its length as a share of the floor (1.0), and the figure beside it."""

    name: str
    share: float
    figure: str
    ours: bool


class Group(NamedTuple):
    """A figure and its floors."""

    name: str
    bars: Sequence[Bar]


def picture(title: str, groups: Sequence[Group]) -> str:
    """The whole picture; the dashed line is the floor of each group."""
    height = 50 + sum(GROUP_GAP + BAR_STEP * len(group.bars) for group in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
    ]
    top = 40
    for group in groups:
        parts += _group(group, top)
        top += GROUP_GAP + BAR_STEP * len(group.bars)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _group(group: Group, top: int) -> Iterator[str]:
    yield f'<text class="name" x="{LEFT}" y="{top + 14}">{escape(group.name)}</text>'
    first = top + 20
    for number, bar in enumerate(group.bars):
        y = first + number * BAR_STEP
        length = max(2.0, min(bar.share, LARGEST) / LARGEST * SCALE_WIDTH)
        kind = "ours" if bar.ours else "floor"
        yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="2"/>'
        more = " …" if bar.share > LARGEST else ""
        yield (
            f'<text class="small" x="{LEFT + length + 8:.1f}" y="{y + 12}">{more}{escape(bar.name)}: '
            f"{escape(bar.figure)}</text>"
        )
    x = LEFT + SCALE_WIDTH / LARGEST
    bottom = first + BAR_STEP * len(group.bars) - 2
    yield f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{first - 2}" y2="{bottom}"/>'
