"""A picture as SVG.

Colours are attributes, so that any viewer shows them; a style makes them dark where the page is. Fonts are the
reader's: texts were measured for the widest.
"""

import html
import re
from collections.abc import Iterator, Sequence

from jseq._tools.captions import text_width
from jseq._tools.picture import Box, Frame, Picture, Wire

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Of each family: the fill and the line, on light pages and on dark ones.
COLOURS = {
    "linear": ("#e1edfb", "#4a86c8", "#1d3450", "#6aa5e0"),
    "embedding": ("#fde8d7", "#d98a3d", "#452f1b", "#e0a160"),
    "norm": ("#fbf1cb", "#c6a02f", "#3b3417", "#cfb04a"),
    "activation": ("#e0f3e2", "#55a362", "#1c3823", "#6dbb79"),
    "pooling": ("#ece4f9", "#8d68c9", "#31254a", "#ab8be0"),
    "attention": ("#fbe1e8", "#cf5b7c", "#462331", "#e58aa4"),
    "dropout": ("#eceef1", "#96a0ab", "#2c3138", "#8a95a1"),
    "recurrent": ("#d9f1ef", "#3d9f97", "#163836", "#5fbdb5"),
    "group": ("#eef0f6", "#7d87a6", "#272c3b", "#97a1c0"),
    "other": ("#f4f5f7", "#8b95a3", "#2a2e35", "#8e98a6"),
    "io": ("#ffffff", "#6b7785", "#17191d", "#97a2ae"),
    "frame0": ("#f8f9fb", "#cdd4dd", "#1c1f24", "#434a54"),
    "frame1": ("#ffffff", "#cdd4dd", "#15171a", "#434a54"),
    "page": ("#ffffff", "none", "#131416", "none"),
    "wire": ("none", "#7a8594", "none", "#8b96a3"),
    "head": ("#7a8594", "none", "#8b96a3", "none"),
    "ink": ("#1c2733", "none", "#e7eaee", "none"),
    "soft": ("#5a6674", "none", "#a3adb8", "none"),
}
# Pages that choose a theme themselves: those of furo and of other Sphinx themes, JupyterLab.
DARK, LIGHT = "[data-theme=dark],[data-jp-theme-light=false]", "[data-theme=light],[data-jp-theme-light=true]"
CORNER = 7.0  # the radius of a wire's corners
SHIFT = 4.0  # between the sheets of a stack
TITLE, NAME, SMALL = 12.0, 11.0, 10.0  # sizes of texts


def written(picture: Picture) -> str:
    """The picture as SVG."""
    width, height = f"{picture.width:.0f}", f"{picture.height:.0f}"
    about = html.escape(picture.about)
    lines = [
        f'<rect width="{width}" height="{height}" rx="8" {paint("page")}/>',
        *(line for frame in picture.frames for line in framed(frame)),
        *(line for wire in picture.wires for line in wired(wire)),
        *(line for box in picture.boxes for line in boxed(box)),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="jseq-picture" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="{FONT}" role="img" aria-label="{about}">'
    )
    used = sorted({name for line in lines for name in re.findall('class="(\\w+)"', line)})
    return "\n".join([head, f"<style>{style(used)}</style>", *lines, "</svg>"])


def style(names: Sequence[str]) -> str:
    """What makes a picture dark where its page is, and lets it shrink on narrow pages."""

    def rules(where: str, column: int) -> str:
        shades = {name: COLOURS[name][column : column + 2] for name in names}
        return "".join(f"{where}.jseq-picture .{name}{{fill:{a};stroke:{b}}}" for name, (a, b) in shades.items())

    return (
        f".jseq-picture{{max-width:100%;height:auto}}@media(prefers-color-scheme:dark){{{rules('', 2)}}}"
        f"{rules(f':is({DARK}) ', 2)}{rules(f':is({LIGHT}) ', 0)}"
    )


def paint(name: str) -> str:
    """Fill and line, by a class that the style can change."""
    fill, line, _, _ = COLOURS[name]
    return f'class="{name}" fill="{fill}" stroke="{line}"'


def number(value: float) -> str:
    """A coordinate."""
    return f"{round(value, 1):g}"


def rectangle(x: float, y: float, width: float, height: float, corner: float, name: str) -> str:
    """A rectangle with round corners."""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect {place} rx="{number(corner)}" {paint(name)}/>'


def text(
    x: float, y: float, content: str, size: float, name: str = "ink", anchor: str = "start", more: str = ""
) -> str:
    """A line of text."""
    place = f'x="{number(x)}" y="{number(y)}" font-size="{size:g}" text-anchor="{anchor}"'
    return f"<text {place} {paint(name)}{more}>{html.escape(content)}</text>"


def framed(frame: Frame) -> Iterator[str]:
    """What is drawn around layers: a stack of sheets if they stand there more than once."""
    name = f"frame{frame.level % 2}"
    yield f"<g><title>{html.escape(frame.about)}</title>"
    for i in (2, 1, 0) if frame.badge else (0,):
        yield rectangle(frame.x + SHIFT * i, frame.y + SHIFT * i, frame.width, frame.height, 8, name)
    if frame.label:
        yield text(frame.x + 11, frame.y + 17, frame.label, NAME, "soft", more=' font-weight="600"')
    right = frame.x + frame.width - 11
    if frame.badge:
        yield text(right, frame.y + 17, frame.badge, TITLE, "ink", "end", ' font-weight="700"')
    if frame.note:
        yield text(right, frame.y + (31 if frame.badge else 17), frame.note, SMALL, "soft", "end")
    yield "</g>"


def wired(wire: Wire) -> Iterator[str]:
    """A wire with round corners."""
    points = wire.points
    path = f"M{number(points[0][0])} {number(points[0][1])}"
    (x, y), (before_x, before_y) = points[-1], points[-2]
    if wire.arrow:  # the line ends within the arrow's head
        dx, dy = (0.0, 1.0) if wire.curved else direction(before_x, before_y, x, y)
        end = x - 4 * dx, y - 4 * dy
    else:
        dx, dy, end = 0.0, 0.0, (x, y)
    if wire.curved:
        middle = number((before_y + end[1]) / 2)
        path += f"C{number(before_x)} {middle} {number(end[0])} {middle} {number(end[0])} {number(end[1])}"
    else:
        path += "".join(corners([*points[:-1], end]))
    yield f'<path d="{path}" stroke-width="1.4" {paint("wire")}/>'
    if wire.arrow:
        sides = [(x - 7 * dx + 3.6 * dy * s, y - 7 * dy + 3.6 * dx * s) for s in (1, -1)]
        outline = " ".join(f"{number(a)},{number(b)}" for a, b in ((x, y), *sides))
        yield f'<polygon points="{outline}" {paint("head")}/>'


def corners(points: list[tuple[float, float]]) -> Iterator[str]:
    """A line through points, round at the corners."""
    for (ax, ay), (bx, by), (cx, cy) in zip(points, points[1:], points[2:], strict=False):
        r = min(CORNER, (abs(bx - ax) + abs(by - ay)) / 2, (abs(cx - bx) + abs(cy - by)) / 2)
        dx, dy = direction(ax, ay, bx, by)
        ex, ey = direction(bx, by, cx, cy)
        yield f"L{number(bx - r * dx)} {number(by - r * dy)}"
        yield f"Q{number(bx)} {number(by)} {number(bx + r * ex)} {number(by + r * ey)}"
    yield f"L{number(points[-1][0])} {number(points[-1][1])}"


def direction(ax: float, ay: float, bx: float, by: float) -> tuple[float, float]:
    """Where a straight line goes."""
    length = max(abs(bx - ax), abs(by - ay)) or 1.0
    return (bx - ax) / length, (by - ay) / length


def boxed(box: Box) -> Iterator[str]:
    """A box and what it says."""
    yield f"<g><title>{html.escape(box.about)}</title>"
    if box.kind == "join":
        corner, name = box.height / 2, "io"
    else:
        corner, name = (5.0, box.family) if box.kind == "layer" else (box.height / 2, "io")
    for i in (2, 1, 0) if box.copies > 1 else (0,):
        yield rectangle(box.x + SHIFT * i, box.y + SHIFT * i, box.width, box.height, corner, name)
    centre = box.x + box.width / 2
    if box.kind == "join":
        size = 15.0 if len(box.title) == 1 else NAME
        yield text(centre, box.y + box.height / 2 + size * 0.35, box.title, size, "ink", "middle")
    else:
        yield from texts(box)
    yield "</g>"


def texts(box: Box) -> Iterator[str]:
    """Title, name and shape in a first line, arguments and figures in a second; all in one where that is all."""
    left, right = box.x + 10, box.x + box.width - 10
    if box.kind != "layer":
        left, right = box.x + 14, box.x + box.width - 14
    two = box.height > 30
    y = box.y + (16 if two else box.height / 2 + TITLE * 0.35)
    yield text(left, y, box.title, TITLE, more=' font-weight="600"')
    x = left + text_width(box.title, TITLE, bold=True) + 5
    if box.name:
        yield text(x, y, box.name, NAME, "soft", more=' font-style="italic"')
        x += text_width(box.name, NAME) + 5
    if box.shape:
        yield text(right, y, box.shape, SMALL, "soft", "end")
    if box.detail:
        yield text(left if two else x, box.y + 30 if two else y, box.detail, SMALL, "soft")
    if box.note:
        yield text(right, box.y + 30 if two else y, box.note, SMALL, "soft", "end")
