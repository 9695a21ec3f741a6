"""What `draw` returns: boxes, frames and wires with their places, which can be read, and written as SVG."""

import dataclasses
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A layer, a join, an input or an output; from (x, y), its upper left corner, in pixels.

    Attributes:
        kind: "layer", "join", "input", "output", "port" (one of several inputs of a frame).
        family: what it is coloured by: "linear", "norm", "activation", "pooling", ...
        path: where its params stand, as in `summary`.
        title, name, detail, shape, note: the texts: the kind of layer, its name in the model, its arguments, what it
            gives, its figures.
        about: what is shown when the pointer rests on it.
        copies: how many equal layers it stands for.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    family: str
    path: str
    title: str
    name: str = ""
    detail: str = ""
    shape: str = ""
    note: str = ""
    about: str = ""
    copies: int = 1

    def moved(self, x: float, y: float) -> "Box":
        """The same further to the right and down."""
        return dataclasses.replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True)
class Frame:
    """What is drawn around the layers of a combinator.

    Attributes:
        label: its name, and what it is.
        badge: how often its inside stands there: "x 12"; "" for once.
        note: its figures.
        level: how many frames it stands in.
        about: what is shown when the pointer rests on it.
    """

    x: float
    y: float
    width: float
    height: float
    path: str
    label: str
    badge: str = ""
    note: str = ""
    level: int = 0
    about: str = ""

    def moved(self, x: float, y: float) -> "Frame":
        """The same further to the right and down."""
        return dataclasses.replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True)
class Wire:
    """A piece of a wire.

    Attributes:
        points: its corners, in the direction of the data.
        arrow: whether it ends in an arrow.
        curved: whether it is a curve between two points instead.
    """

    points: tuple[Point, ...]
    arrow: bool = False
    curved: bool = False

    def moved(self, x: float, y: float) -> "Wire":
        """The same further to the right and down."""
        return dataclasses.replace(self, points=tuple((a + x, b + y) for a, b in self.points))


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture of a model: shown in notebooks, written by `save`.

    Attributes:
        boxes: the layers, joins, inputs and outputs, in the order of the calls.
        frames: what is drawn around some of them, each before those inside it.
        wires: the lines between them, piece by piece.
        width, height: the size in pixels.
        about: the model in one line.
    """

    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]
    wires: tuple[Wire, ...]
    width: float
    height: float
    about: str

    @property
    def svg(self) -> str:
        """The picture as SVG, for a file or within HTML; in dark surroundings it is dark."""
        from jseq._tools import svg

        return svg.written(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the picture to a file, `model.svg`."""
        Path(fspath(path)).write_text(self.svg + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The places of everything as numbers and text, as `json.dumps` takes them."""
        return dataclasses.asdict(self)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:  # within the page it follows the page's own theme, and shows what the pointer is at
        return self.svg

    def __repr__(self) -> str:
        size = f"{self.width:.0f} by {self.height:.0f} pixels"
        return f'<Picture of {self.about}: {len(self.boxes)} boxes, {size}; .save("model.svg") writes it>'
