"""Where things stand in a picture: layers below each other, branches side by side, skips around."""

from collections.abc import Sequence
from dataclasses import dataclass

from jseq._tools.blocks import APART, BEND, GAP, LANE, OUT, PORT, ROUND, Block, Node
from jseq._tools.picture import Point
from jseq._tools.tangles import tangled


def chain(nodes: Sequence[Node], entry: int, exits: frozenset[int], head: float = GAP, tail: float = 0) -> Block:
    """Places nodes, given in an order in which each follows those that it reads.

    Those that all data passes through stand on the axis. What lies between two of them falls into parts that do not
    know of each other, which stand side by side.

    Args:
        entry: the number of what data comes in from.
        exits: the numbers of what it goes out from.
        head, tail: the lengths of the wires at the top and at the bottom.
    """
    end = len(nodes) + 1
    index = {number: i for i, node in enumerate(nodes, 1) for number in node.numbers} | {entry: 0}
    wires = {(index[n], i) for i, node in enumerate(nodes, 1) for n in node.reads if n in index}
    wires |= {(index[n], end) for n in exits if n in index}
    read, reading = {a for a, _ in wires}, {b for _, b in wires}
    links = (
        wires | {(0, i) for i in range(1, end) if i not in reading} | {(i, end) for i in range(1, end) if i not in read}
    )
    stops = [i for i in range(1, end) if not any(a < i < b for a, b in links)]
    block, here, origin = Block(), 0, entry
    for stop in [*stops, end]:
        target = nodes[stop - 1] if stop < end else None
        between, direct = nodes[here : stop - 1], (here, stop) in wires
        reads = target.reads if target else exits
        first = Section(block, block.height, origin, target, reads, head if here == 0 else GAP, tail)
        y = first.placed(between, direct)
        if target:
            block.put(target.block, 0, y)
            origin = target.numbers[-1]
        here = stop
    return block


@dataclass
class Section:
    """What lies between one node on the axis and the next, `target`, or the bottom."""

    block: Block
    y: float
    origin: int
    target: Node | None
    reads: frozenset[int]
    head: float
    tail: float

    def placed(self, between: Sequence[Node], direct: bool) -> float:
        """Places it; the height at which the next node stands."""
        if not between:
            return self.line(direct)
        parts = components(between)
        if len(parts) > 1:
            return self.columns(parts, direct)
        exits = self.reads.intersection(*[[n for node in between for n in node.numbers]])
        if not direct:
            self.block.put(tangled(between, self.origin, exits, self.head), 0, self.y)
            return self.leave(self.block.height, bool(exits))
        inner = chain(between, self.origin, exits, self.head)
        if any(self.origin in node.reads for node in between):
            self.block.wire((0, self.y), (0, self.y + BEND))
            self.block.put(inner, 0, self.y + BEND)
        else:
            self.block.put(inner, 0, self.y + 2 * BEND)
        bottom = self.block.height
        if self.target is None or self.target.kind == "frame":
            lane = inner.right + LANE
            self.block.wire((0, self.y), (0, self.y + BEND), (lane, self.y + BEND), (lane, bottom + 4), (0, bottom + 4))
            return self.leave(bottom, True, 4 + OUT)
        lane = max(inner.right, self.target.block.right) + LANE
        y = self.leave(bottom, bool(exits))
        middle, edge = y + first_height(self.target) / 2, self.target.block.boxes[0].width / 2
        self.block.wire(
            (0, self.y), (0, self.y + BEND), (lane, self.y + BEND), (lane, middle), (edge, middle), arrow=True
        )
        return y

    def line(self, real: bool) -> float:
        """A wire straight on."""
        length = self.tail if self.target is None else self.head
        if not real:
            return self.y + (length if self.y and self.target else 0)
        self.block.wire((0, self.y), (0, self.y + length), arrow=self.pointed)
        return self.y + length

    @property
    def pointed(self) -> bool:
        """Whether a wire ends here: it goes on into a frame."""
        return self.target is not None and self.target.kind != "frame"

    def leave(self, y: float, real: bool, length: float = OUT) -> float:
        """The end of a part that stands on the axis."""
        length = max(length, self.tail) if self.target is None else length
        if real:
            self.block.wire((0, y), (0, y + length), arrow=self.pointed)
        return y + length

    def columns(self, parts: Sequence[Sequence[Node]], direct: bool) -> float:
        """Parts side by side, in the middle of the height that the tallest needs; a skip as one without width."""
        inside = [frozenset(n for node in part for n in node.numbers) for part in parts]
        blocks = [
            chain(part, self.origin, self.reads & own, self.head) for part, own in zip(parts, inside, strict=True)
        ]
        entered = [any(self.origin in node.reads for node in part) for part in parts]
        left = [bool(self.reads & own) for own in inside]
        if direct:
            blocks, entered, left = [*blocks, Block()], [*entered, True], [*left, True]
        top = self.y + (BEND if any(entered) else 0)
        height = max(block.height for block in blocks)
        xs = side_by_side(blocks)
        ends: list[Point] = []
        for block, x, enters, leaves in zip(blocks, xs, entered, left, strict=True):
            start = top + (height - block.height) / 2
            if enters:
                self.block.wire((0, self.y), (0, top), (x, top), (x, start))
            self.block.put(block, x, start)
            if leaves:
                ends.append((x, start + block.height))
        return self.joined(ends, top + height)

    def joined(self, ends: Sequence[Point], bottom: float) -> float:
        """Brings wires together; the height at which the next node stands."""
        bus = bottom + BEND
        if self.target and self.target.kind == "join":
            for x, y in ends:
                side = 0.0 if abs(x) < ROUND else self.target.block.right if x > 0 else -self.target.block.left
                middle = bus + ROUND / 2
                self.block.wire((x, y), (x, middle), (side, middle), arrow=True) if side else self.block.wire(
                    (x, y), (x, bottom), (0, bottom), (0, bus), arrow=True
                )
            return bus
        length = self.tail if self.target is None else GAP - BEND
        spread = PORT if self.pointed else 0.0
        for i, (x, y) in enumerate(ends):
            port = (i - (len(ends) - 1) / 2) * spread
            self.block.wire((x, y), (x, bus), (port, bus), (port, bus + length), arrow=self.pointed)
        return bus + length


def side_by_side(blocks: Sequence[Block]) -> list[float]:
    """The axes of blocks that stand next to each other, around 0."""
    total = sum(block.left + block.right for block in blocks) + APART * (len(blocks) - 1)
    xs: list[float] = []
    x = -total / 2
    for block in blocks:
        xs.append(x + block.left)
        x += block.left + block.right + APART
    return xs


def first_height(node: Node) -> float:
    """The height of the box that wires into a node point at."""
    return node.block.boxes[0].height


def components(nodes: Sequence[Node]) -> list[list[Node]]:
    """Parts of which none reads another, in the order of their first nodes."""
    parts: list[list[Node]] = []
    for node in nodes:
        mine = [part for part in parts if any(n in node.reads for other in part for n in other.numbers)]
        merged = [*sorted((other for part in mine for other in part), key=lambda other: other.numbers), node]
        at = parts.index(mine[0]) if mine else len(parts)
        parts = [part for part in parts if part not in mine]
        parts.insert(at, merged)
    return parts
