"""How `draw` makes its picture: wires by tracing, texts, places."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jseq._tools import captions
from jseq._tools.blocks import ROUND, Block, Node
from jseq._tools.captions import TIMES, fitted, text_width, widest
from jseq._tools.picture import Box, Frame, Picture
from jseq._tools.placing import chain
from jseq._tools.places import places
from jseq._tools.report import Row
from jseq._tools.summarising import one_line, summarised
from jseq._tools.svg import NAME, SHIFT, SMALL, TITLE
from jseq._tools.tables import counted
from jseq._tools.wiring import Region, Unit, wired
from jseq.core import Layer
from jseq.errors import describe

Names = tuple[str, ...]
# What only says how its layers are wired: they are drawn in the open.
OPEN = {"sequential", "mlp", "graph", "with_memory"}
ALWAYS_OPEN = {"residual", "branch", "parallel"}
CHAINS = {"sequential", "graph"}  # whose names are the user's
ATTACHED = {"norm", "activation", "dropout"}  # drawn close to the layer before
ROUND_LAYERS = {"add": "+", "multiply": TIMES}
NARROWEST, WIDEST = 150.0, 300.0
MARGIN = 16.0
SLAB, LINE, TWO = 22.0, 26.0, 38.0  # the heights of boxes
CLOSE = 2.0  # between attached boxes
INTO = 13.0  # from the label of a frame to what is in it
PAD = 14.0  # between a frame and what is in it


def drawn(model: Layer, x: Any, depth: int | None, figures: bool, context: Any) -> Picture:
    """The picture of a model."""

    def opens(names: Names, layer: Layer, around: Layer | None) -> bool | None:
        if depth is not None and len(names) >= depth:
            return None
        if layer.name in ALWAYS_OPEN or (not names and not layer.wraps):
            return True
        return layer.name in OPEN and not named(names, around)

    region = wired(model, x, context, opens)
    rows = dict[Names, Row]()
    if figures:
        found = summarised(model, x, False, None, context)
        rows = {place.names: row for place, row in zip(places(model), found.rows, strict=True)}
    return Drawing({place.names: place.path for place in places(model)}, rows, region).picture(model)


def named(names: Names, around: Layer | None) -> bool:
    """Whether the last name is one that the user gave, in a chain."""
    return around is not None and around.name in CHAINS and not names[-1].isdigit()


@dataclass
class Drawing:
    """Makes boxes of units.

    Attributes:
        paths: where params stand, by names.
        rows: the figures, by names; nothing if they are not wanted.
        region: all units.
    """

    paths: Mapping[Names, str]
    rows: Mapping[Names, Row]
    region: Region

    def __post_init__(self) -> None:
        units = list(walk(self.region))
        floats = Counter(str(leaf.dtype) for unit in units if unit.layer for leaf in jax.tree.leaves(unit.y))
        self.usual = floats.most_common(1)[0][0] if floats else ""
        self.seen = Counter(unit.names for unit in units if unit.kind == "layer")
        needed = [self.needed(unit) for unit in units if unit.kind == "layer"]
        self.width = min(max([NARROWEST, *map(math.ceil, needed)]), WIDEST + (100 if self.rows else 0))

    def picture(self, model: Layer) -> Picture:
        """Everything in its place."""
        block = chain(self.nodes(self.region, 0, 1), -1, frozenset())
        x, y = MARGIN + block.left, MARGIN
        return Picture(
            tuple(box.moved(x, y) for box in block.boxes),
            tuple(frame.moved(x, y) for frame in block.frames),
            tuple(wire.moved(x, y) for wire in block.wires),
            block.left + block.right + 2 * MARGIN,
            block.height + 2 * MARGIN,
            one_line(model),
        )

    def nodes(self, region: Region, level: int, copies: int) -> list[Node]:
        """The nodes of a region: what follows a layer closely is attached to it."""
        readers = Counter(n for unit in region.units for n in unit.reads) + Counter(region.gives)
        made: list[Node] = []
        for unit in region.units:
            before = next((node for node in made if unit.reads == {node.numbers[-1]}), None)
            close = unit.kind == "layer" and unit.copies == 1 and unit.plain and self.family(unit) in ATTACHED
            if close and before and before.kind == "box" and readers[before.numbers[-1]] == 1:
                box = self.box(unit, copies, attached=True)
                below = before.block.height + CLOSE
                before.block.put(around(box), 0, below)
                before.numbers += (unit.number,)
            else:
                made.append(self.node(unit, level, copies))
        return made

    def node(self, unit: Unit, level: int, copies: int) -> Node:
        """A node of one unit."""
        numbers = (unit.number,)
        if unit.inside:
            return Node(numbers, unit.reads, self.frame(unit, level, copies), "frame")
        box = self.box(unit, copies)
        kind = "join" if box.kind == "join" and len(box.title) == 1 else "box" if unit.kind == "layer" else "end"
        return Node(numbers, unit.reads, around(box), kind)

    def family(self, unit: Unit) -> str:
        """The family of a unit."""
        return captions.family(unit.layer) if unit.layer else "io"

    def name(self, unit: Unit) -> str:
        """The name that a layer has in its model; "" for a number."""
        last = unit.names[-1] if unit.names else ""
        return "" if last.isdigit() or last in ("layer", "shortcut") else last

    def path(self, unit: Unit) -> str:
        """Where the params stand."""
        path = self.paths[unit.names]
        if unit.copies > 1:
            stem, _, first = path.rpartition(".")
            path = ".".join(part for part in (stem, f"{first}-{int(first) + unit.copies - 1}") if part)
        return path

    def shape(self, unit: Unit, attached: bool) -> str:
        """What a box says of its output: nothing if it is attached and changes no shape."""
        if attached:
            return ""
        return captions.shape_text(unit.y, self.usual if unit.kind == "layer" else "")

    def detail(self, unit: Unit) -> str:
        """The arguments of a layer, in short."""
        shared = "shared" if self.seen[unit.names] > 1 and self.name(unit) else ""
        return ", ".join(part for part in (captions.detail(unit.layer), shared) if part) if unit.layer else ""

    def note(self, unit: Unit, copies: int) -> str:
        """The figures of a layer, of one copy of those around it."""
        row = self.rows.get(unit.names)
        if row is None:
            return ""
        times = unit.copies / copies
        parts = [f"{counted(round(row.params * times))} params"] if row.params else []
        parts += [f"{counted(row.flops * times)} FLOPs"] if row.flops else []
        return " \N{MIDDLE DOT} ".join(parts)

    def badge(self, unit: Unit) -> str:
        """How often a box stands there."""
        return f"{TIMES} {unit.copies}" if unit.copies > 1 else ""

    def needed(self, unit: Unit) -> float:
        """The width that the texts of a box ask for."""
        assert unit.layer is not None
        name, badge = self.name(unit), self.badge(unit)
        first = widest([(captions.title(unit.layer) + badge, TITLE, True), (name, NAME, False)])
        first += widest([(self.shape(unit, attached=False), SMALL, False)])
        second = widest([(self.detail(unit) + self.note(unit, 1), SMALL, False)])
        if self.family(unit) in ATTACHED:
            return 20 + 5 + first + second + (5 if name else 0)
        return 20 + max(first + 10 + (5 if name else 0), second + 10)

    def box(self, unit: Unit, copies: int, attached: bool = False) -> Box:
        """The box of a unit that is no frame."""
        if unit.layer is None or unit.layer.name in ROUND_LAYERS:
            return self.plain_box(unit)
        title, name, family = captions.title(unit.layer), self.name(unit), self.family(unit)
        title = " ".join(part for part in (title, self.badge(unit)) if part)
        detail, note, shape = self.detail(unit), self.note(unit, copies), self.shape(unit, attached)
        two = bool(note and not attached) or (bool(detail) and family not in ATTACHED)
        room = self.width - 20
        title = fitted(title, room, TITLE, bold=True)
        left = room - text_width(title, TITLE, bold=True)
        shape = fitted(shape, left - 10, SMALL) if shape else ""
        left -= text_width(shape, SMALL) + (10 if shape else 0)
        name = fitted(name, left - 5, NAME) if name and left > 20 else ""
        if not two:
            left -= text_width(name, NAME) + (5 if name else 0)
        room = room if two else left - 5
        note = fitted(note, room, SMALL) if note and room > 20 else ""
        room -= text_width(note, SMALL) + (10 if note else 0)
        detail = fitted(detail, room, SMALL) if detail and room > 20 else ""
        height = TWO if two else SLAB if attached else LINE
        return Box(0, 0, self.width, height, "layer", family, self.path(unit), title, name, detail, shape, note,
                   self.about(unit), unit.copies)  # fmt: skip

    def plain_box(self, unit: Unit) -> Box:
        """A join, an input or an output."""
        shape = self.shape(unit, attached=False)
        if unit.kind in ("layer", "join"):
            title = ROUND_LAYERS[unit.layer.name] if unit.layer else unit.label
            width = ROUND if len(title) == 1 else text_width(title, NAME) + 22
            return Box(0, 0, width, ROUND, "join", "io", self.paths.get(unit.names, ""), title, about=self.about(unit))
        kind = "" if unit.kind == "port" else unit.kind
        title = fitted(f"{kind}{unit.label}", WIDEST / 2, TITLE, bold=True)
        shape = fitted(shape, WIDEST, SMALL)
        width = text_width(title, TITLE, bold=True) + text_width(shape, SMALL) + 40
        return Box(0, 0, width, LINE, unit.kind, "io", "", title, shape=shape, about=self.about(unit))

    def about(self, unit: Unit) -> str:
        """What is shown of a unit when the pointer rests on it."""
        gives = describe(unit.y)
        if unit.layer is None:
            return f"{unit.kind} {unit.label}: {gives}"
        lines = [f"{self.path(unit)}: {one_line(unit.layer)}" if self.path(unit) else one_line(unit.layer), gives]
        return "\n".join([*lines, *filter(None, [self.note(unit, 1)])])

    def frame(self, unit: Unit, level: int, copies: int) -> Block:
        """A frame with what is in it."""
        assert unit.inside is not None and unit.layer is not None
        label, badge = self.label(unit), self.badge(unit)
        times = unit.layer.arguments.get("n") if unit.layer.name in ("repeat", "ensemble") else None
        badge = f"{TIMES} {times}" if times else badge
        note = self.note(unit, copies)
        inner = chain(self.nodes(unit.inside, level + 1, copies * (times or 1)), 0, unit.inside.gives, INTO, PAD)
        top = 34.0 if badge and note else 22.0 if label or badge or note else 4.0
        block = Block()
        if any(0 in one.reads for one in unit.inside.units):
            block.wire((0, 0), (0, top))
        left, right = inner.left + PAD, inner.right + PAD
        left = max(left, text_width(label, NAME, bold=True) + 22)
        right = max(right, text_width(badge, TITLE, bold=True) + 22, text_width(note, SMALL) + 22)
        block.frames.append(Frame(-left, 0, left + right, top + inner.height, self.path(unit), label, badge, note, level,
                                  self.about(unit)))  # fmt: skip
        block.put(inner, 0, top)
        block.reach(-left, right)
        if badge:
            block.reach(right + 2 * SHIFT)
            block.wire((0, block.height), (0, block.height + 2 * SHIFT))
        return block

    def label(self, unit: Unit) -> str:
        """What a frame is called: its name, and what it is unless it is a chain."""
        assert unit.layer is not None
        kind = "" if unit.layer.name in OPEN and (self.name(unit) or unit.copies > 1) else unit.layer.name
        return " \N{MIDDLE DOT} ".join(part for part in (self.name(unit), kind) if part)


def around(box: Box) -> Block:
    """A block of one box, in the middle."""
    return Block(box.width / 2, box.width / 2, box.height, [box.moved(-box.width / 2, 0)])


def walk(region: Region) -> Iterator[Unit]:
    """All units, those in frames too."""
    for unit in region.units:
        yield unit
        if unit.inside:
            yield from walk(unit.inside)
