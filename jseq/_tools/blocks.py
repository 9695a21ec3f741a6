"""Pieces of a picture, placed relative to an axis at x = 0: data comes in at the top and goes out at the bottom."""

from dataclasses import dataclass, field

from jseq._tools.picture import Box, Frame, Point, Wire

GAP = 22.0  # from a box to the next
OUT = 16.0  # from the end of a part to what follows it
BEND = 9.0  # from where data comes in to where a wire turns off
LANE = 15.0  # between a skip and what it goes around
APART = 26.0  # between branches
PORT = 26.0  # between the wires that come into one box
ROUND = 20.0  # the size of a join


@dataclass(eq=False)
class Block:
    """Things in their places.

    Attributes:
        left, right: how far they reach from the axis.
    """

    left: float = 0
    right: float = 0
    height: float = 0
    boxes: list[Box] = field(default_factory=list[Box])
    frames: list[Frame] = field(default_factory=list[Frame])
    wires: list[Wire] = field(default_factory=list[Wire])

    def put(self, other: "Block", x: float, y: float) -> None:
        """Puts another block in here."""
        self.boxes += (box.moved(x, y) for box in other.boxes)
        self.frames += (frame.moved(x, y) for frame in other.frames)
        self.wires += (wire.moved(x, y) for wire in other.wires)
        self.reach(x - other.left, x + other.right)
        self.height = max(self.height, y + other.height)

    def reach(self, *xs: float) -> None:
        """Makes room to the left and right."""
        self.left, self.right = max(self.left, -min(xs)), max(self.right, *xs)

    def wire(self, *points: Point, arrow: bool = False, curved: bool = False) -> None:
        """Lays a wire; corners that lie on a straight line are left out."""
        kept = [points[0]]
        for before, here, after in zip(points, points[1:], points[2:], strict=False):
            if here != kept[-1] and not (before[0] == here[0] == after[0] or before[1] == here[1] == after[1]):
                kept.append(here)
        self.wires.append(Wire((*kept, points[-1]), arrow, curved))
        self.reach(*(x for x, _ in points))
        self.height = max(self.height, *(y for _, y in points))


@dataclass(eq=False)
class Node:
    """What is placed as one thing: a box, boxes that are attached to each other, a frame.

    Attributes:
        numbers: of its units, by which wires call it.
        reads: the numbers of those that it reads.
        block: itself.
        kind: "box", "join" or "frame".
    """

    numbers: tuple[int, ...]
    reads: frozenset[int]
    block: Block
    kind: str
