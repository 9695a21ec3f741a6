"""How `draw` makes its picture: wires by tracing, boxes with texts that fit, places."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from jseq._tools import captions
from jseq._tools.blocks import ROUND, Block, Node
from jseq._tools.captions import TIMES, fitted, text_width
from jseq._tools.labels import CHAINS, Labels, Names, walk
from jseq._tools.picture import Box, Frame, Picture
from jseq._tools.places import places
from jseq._tools.placing import chain
from jseq._tools.summarising import one_line, summarised
from jseq._tools.svg import NAME, SHIFT, SMALL, TITLE
from jseq._tools.wiring import Region, Unit, wired
from jseq.core import Layer

ALWAYS_OPEN = {"residual", "branch", "parallel"}
NAMING = {"sequential", "graph"}  # the names in them are the user's
ATTACHED = {"norm", "activation", "dropout"}  # drawn close to the layer before
ROUND_LAYERS = {"add": "+", "multiply": TIMES}
NARROWEST, WIDEST, FIGURES = 150.0, 300.0, 100.0  # of boxes; how much wider with figures
SLAB, LINE, TWO = 22.0, 26.0, 38.0  # the heights of boxes: attached, of one line, of two
CLOSE = 2.0  # between attached boxes
EDGE = 10.0  # from the edge of a box to its texts
MARGIN = 16.0  # around the picture
PAD = 14.0  # between a frame and what is in it
INTO = 13.0  # from the label of a frame to what is in it


def drawn(model: Layer, x: Any, depth: int | None, figures: bool, context: Any) -> Picture:
    """The picture of a model."""

    def opens(names: Names, layer: Layer, around: Layer | None) -> bool | None:
        if depth is not None and len(names) >= depth:
            return None
        if layer.name in ALWAYS_OPEN or (not names and not layer.wraps):
            return True
        named = around is not None and around.name in NAMING and not names[-1].isdigit()
        return layer.name in CHAINS and not named

    region, here = wired(model, x, context, opens), list(places(model))
    rows = summarised(model, x, False, None, context).rows if figures else ()
    figures_of = {place.names: row for place, row in zip(here, rows, strict=False)}
    labels = Labels({place.names: place.path for place in here}, figures_of, region)
    block = Drawing(labels).block(region)
    x, y = MARGIN + math.ceil(block.left), MARGIN
    return Picture(
        boxes=tuple(box.moved(x, y) for box in block.boxes),
        frames=tuple(frame.moved(x, y) for frame in block.frames),
        wires=tuple(wire.moved(x, y) for wire in block.wires),
        width=x + math.ceil(block.right) + MARGIN,
        height=block.height + 2 * MARGIN,
        about=one_line(model),
    )


@dataclass
class Drawing:
    """Makes boxes and frames of units; all boxes of layers have one width."""

    say: Labels

    def __post_init__(self) -> None:
        needed = [math.ceil(self.needed(unit)) for unit in walk(self.say.region) if unit.kind == "layer"]
        self.width = min(max([NARROWEST, *needed]), WIDEST + (FIGURES if self.say.rows else 0))

    def block(self, region: Region) -> Block:
        """The whole."""
        return chain(self.nodes(region, 0, 1), -1, frozenset())

    def nodes(self, region: Region, level: int, copies: int) -> list[Node]:
        """The nodes of a region: a norm, an activation or a dropout is attached to the layer that it alone reads."""
        readers = Counter(n for unit in region.units for n in unit.reads) + Counter(region.gives)
        made: list[Node] = []
        for unit in region.units:
            before = next((node for node in made if unit.reads == frozenset(node.numbers[-1:])), None)
            close = unit.layer and not unit.inside and unit.plain and captions.family(unit.layer) in ATTACHED
            if close and before and before.kind == "box" and unit.copies == 1 and readers[before.numbers[-1]] == 1:
                below = before.block.height + CLOSE
                before.block.put(around(self.box(unit, copies, attached=True)), 0, below)
                before.numbers += (unit.number,)
            elif unit.inside:
                made.append(Node((unit.number,), unit.reads, self.frame(unit, unit.inside, level, copies), "frame"))
            else:
                box = self.box(unit, copies)
                open_below = box.kind == "layer" and box.copies == 1 and box.family != "group"
                kind = "box" if open_below else "join" if box.width == ROUND else "end"
                made.append(Node((unit.number,), unit.reads, around(box), kind))
        return made

    def needed(self, unit: Unit) -> float:
        """The width that the texts of a layer's box ask for."""
        say = self.say
        first = text_width(say.title(unit), TITLE, bold=True) + text_width(say.shape(unit), SMALL) + EDGE
        first += text_width(say.name(unit), NAME) + 5 if say.name(unit) else 0
        second = text_width(say.detail(unit), SMALL) + (text_width(say.note(unit), SMALL) + EDGE if say.rows else 0)
        one = unit.layer and captions.family(unit.layer) in ATTACHED
        return 2 * EDGE + (first + second + 5 if one and not say.rows else max(first, second))

    def box(self, unit: Unit, copies: int, attached: bool = False) -> Box:
        """The box of a unit that is no frame, and as much of its texts as fits."""
        say = self.say
        if unit.layer is None or unit.layer.name in ROUND_LAYERS:
            return self.round_box(unit)
        family, detail, note = captions.family(unit.layer), say.detail(unit), say.note(unit, copies)
        two = bool(note and not attached) or bool(detail and family not in ATTACHED)
        room = self.width - 2 * EDGE
        line = Line(room)
        title = line.take(say.title(unit), TITLE, bold=True)
        name = line.take(say.name(unit), NAME, 5)
        shape = "" if attached else line.take(say.shape(unit), SMALL, EDGE)
        second = Line(room) if two else line
        note = second.take(note, SMALL, 5)
        detail = second.take(detail, SMALL, 5 if note or not two else 0)
        height = TWO if two else SLAB if attached else LINE
        return Box(0, 0, self.width, height, "layer", family, say.path(unit), title, name, detail, shape, note,
                   say.about(unit), unit.copies * say.times(unit))  # fmt: skip

    def round_box(self, unit: Unit) -> Box:
        """A join, an input or an output."""
        about = self.say.about(unit)
        if unit.kind in ("layer", "join"):
            title = ROUND_LAYERS[unit.layer.name] if unit.layer else unit.label
            width = ROUND if len(title) == 1 else text_width(title, NAME) + 22
            shape = self.say.shape(unit)
            return Box(0, 0, width, ROUND, "join", "io", self.say.path(unit), title, shape=shape, about=about)
        title = fitted(("" if unit.kind == "port" else unit.kind) + unit.label, WIDEST, TITLE, bold=True)
        shape = fitted(self.say.shape(unit), WIDEST, SMALL)
        width = text_width(title, TITLE, bold=True) + text_width(shape, SMALL) + 4 * EDGE
        return Box(0, 0, width, LINE, unit.kind, "io", "", title, shape=shape, about=about)

    def frame(self, unit: Unit, inside: Region, level: int, copies: int) -> Block:
        """A frame with what is in it."""
        say = self.say
        label, badge, note = say.label(unit), say.badge(unit), say.note(unit, copies)
        inner = chain(self.nodes(inside, level + 1, copies * say.times(unit)), 0, inside.gives, INTO, PAD)
        top = 34.0 if badge and note else 22.0 if label or badge or note else 4.0
        left = max(inner.left + PAD, text_width(label, NAME, bold=True) + 22)
        right = max(inner.right + PAD, text_width(badge, TITLE, bold=True) + 22, text_width(note, SMALL) + 22)
        height = top + inner.height
        block = Block(left, right)
        block.frames.append(Frame(-left, 0, left + right, height, say.path(unit), label, badge, note, level,
                                  say.about(unit)))  # fmt: skip
        if any(0 in one.reads for one in inside.units):
            block.wire((0, 0), (0, top))
        block.put(inner, 0, top)
        if badge:
            block.reach(right + 2 * SHIFT)
            block.wire((0, height), (0, height + 2 * SHIFT))
        return block


@dataclass
class Line:
    """The room that is left in a line of text."""

    room: float

    def take(self, text: str, size: float, gap: float = 0, bold: bool = False) -> str:
        """As much of a text as fits behind a gap; nothing rather than a letter or two."""
        shown = fitted(text, self.room - gap, size, bold) if self.room > 20 else ""
        self.room -= text_width(shown, size, bold) + gap if shown else 0
        return shown


def around(box: Box) -> Block:
    """A block of one box, in the middle; of a stack, all sheets."""
    half, sheets = box.width / 2, 2 * SHIFT if box.copies > 1 else 0
    block = Block(half, half + sheets, box.height, [box.moved(-half, 0)])
    if sheets:
        block.wire((0, box.height), (0, box.height + sheets))
    return block
