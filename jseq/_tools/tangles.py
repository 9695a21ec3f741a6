"""Wires that chains and branches cannot say: skips that overlap, and any other wiring of layers in rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jseq._tools.blocks import APART, BEND, GAP, LANE, PORT, Block, Node

Edge = tuple[int, int]
ROW = 2 * GAP  # between rows
SWEEPS = 8  # over the rows, down and up, to straighten wires
THREAD = 12.0  # the room of a wire that passes a row


def tangled(nodes: Sequence[Node], entry: int, exits: frozenset[int], head: float) -> Block:
    """Places nodes that neither follow each other nor fall apart: in one column if they can, else in rows."""
    end = len(nodes) + 1
    index = {number: i for i, node in enumerate(nodes, 1) for number in node.numbers} | {entry: 0}
    edges = {(index[n], i) for i, node in enumerate(nodes, 1) for n in node.reads if n in index}
    edges |= {(index[n], end) for n in exits if n in index}
    if all((i, i + 1) in edges for i in range(1, end)):
        return column(nodes, edges, head)
    return Rows(nodes, edges, head).placed()


def column(nodes: Sequence[Node], edges: set[Edge], head: float) -> Block:
    """Places nodes below each other, with skips around them in lanes of their own."""
    block = Block()
    tops, bottoms = [0.0], [0.0]
    for i, node in enumerate(nodes, 1):
        y = block.height + (head if i == 1 else GAP) + BEND / 2
        if (i - 1, i) in edges:
            block.wire((0, block.height), (0, y), arrow=node.kind != "frame")
        block.put(node.block, 0, y)
        tops.append(block.height - node.block.height)
        bottoms.append(block.height)
    end = len(nodes) + 1
    tops.append(block.height + BEND)
    if (end - 1, end) in edges:
        block.wire((0, block.height), (0, block.height + 2 * BEND))
    skips = sorted((edge for edge in edges if edge[1] - edge[0] > 1), key=lambda edge: (edge[1] - edge[0], edge))
    lanes, first = lanes_of(skips), block.right
    for a, b in skips:
        x, y = first + LANE * (lanes[a, b] + 1), bottoms[a] + BEND / 2
        node = nodes[b - 1] if b < end else None
        if node is None or node.kind == "frame":
            block.wire((0, y), (x, y), (x, tops[b] - BEND / 2), (0, tops[b] - BEND / 2))
            continue
        into = sorted((edge for edge in skips if edge[1] == b), reverse=True)
        height = node.block.boxes[0].height
        middle = tops[b] + height * (into.index((a, b)) + 1) / (len(into) + 1)
        block.wire((0, y), (x, y), (x, middle), (node.block.boxes[0].width / 2, middle), arrow=True)
    return block


def lanes_of(skips: Sequence[Edge]) -> Mapping[Edge, int]:
    """A lane for each skip, the shortest inside; two that overlap have two."""
    lanes: dict[Edge, int] = {}
    for a, b in skips:
        taken = {lane for (c, d), lane in lanes.items() if a < d and c < b}
        lanes[a, b] = next(i for i in range(len(lanes) + 1) if i not in taken)
    return lanes


@dataclass
class Rows:
    """Nodes in rows, each below all that it reads; a wire that passes a row has a place in it."""

    nodes: Sequence[Node]
    edges: set[Edge]
    head: float

    def __post_init__(self) -> None:
        end = len(self.nodes) + 1
        self.row = [0] * (end + 1)
        for i in range(1, end):
            self.row[i] = 1 + max((self.row[a] for a, b in self.edges if b == i), default=0)
        self.row[end] = 1 + max(self.row)
        self.rows: list[list[Edge]] = [[] for _ in range(self.row[end] + 1)]
        for i in range(end + 1):
            self.rows[self.row[i]].append((i, i))
        for a, b in sorted(self.edges):
            for between in range(self.row[a] + 1, self.row[b]):
                self.rows[between].append((a, b))
        self.x: dict[tuple[int, Edge], float] = {}

    def above(self, row: int, item: Edge) -> list[tuple[int, Edge]]:
        """What an item of a row hangs from, in the row above."""
        sources = [a for a, b in self.edges if b == item[1]] if item[0] == item[1] else [item[0]]
        edges = [(a, item[1]) for a in sources]
        return [(row - 1, (a, a) if self.row[a] == row - 1 else (a, b)) for a, b in edges]

    def width(self, item: Edge) -> tuple[float, float]:
        """How far an item reaches to the left and right."""
        if item[0] != item[1]:
            return THREAD / 2, THREAD / 2
        if not 0 < item[0] <= len(self.nodes):
            return 0.0, 0.0
        block = self.nodes[item[0] - 1].block
        return block.left, block.right

    def arrange(self) -> None:
        """Gives every item its place in its row: near what it hangs from and what hangs from it."""
        neighbours: dict[tuple[int, Edge], list[tuple[int, Edge]]] = {(0, (0, 0)): []}
        self.x[0, (0, 0)] = 0.0
        for row, items in enumerate(self.rows[1:], 1):
            for item in items:
                neighbours[row, item] = self.above(row, item)
                for above in neighbours[row, item]:
                    neighbours[above].append((row, item))
                self.x[row, item] = mean([self.x[above] for above in self.above(row, item)])
            items.sort(key=lambda item, row=row: (self.x[row, item], item))
            self.settle(row, [self.x[row, item] for item in items])
        middle = range(1, len(self.rows) - 1)
        for row in [*middle, *reversed(middle)] * SWEEPS:
            self.settle(row, [mean([self.x[other] for other in neighbours[row, item]]) for item in self.rows[row]])
        shift = mean([self.x[1, item] for item in self.rows[1]])
        self.x = {place: x - shift for place, x in self.x.items()}
        self.x[0, (0, 0)] = self.x[len(self.rows) - 1, self.rows[-1][0]] = 0.0

    def settle(self, row: int, wanted: Sequence[float]) -> None:
        """Moves the items of a row to where they are wanted, but for overlaps."""
        for item, x in zip(self.rows[row], self.apart(self.rows[row], wanted), strict=True):
            self.x[row, item] = x

    def apart(self, items: Sequence[Edge], wanted: Sequence[float]) -> list[float]:
        """Places as near to the wanted ones as can be, in this order and without overlaps (isotonic regression)."""
        offsets = [0.0]
        for before, item in pairwise(items):
            offsets.append(offsets[-1] + self.width(before)[1] + APART + self.width(item)[0])
        pools: list[tuple[float, int]] = []  # the mean of each pool, and how many are in it
        for x, offset in zip(wanted, offsets, strict=True):
            value, count = x - offset, 1
            while pools and pools[-1][0] > value:
                other, n = pools.pop()
                value, count = (value * count + other * n) / (count + n), count + n
            pools.append((value, count))
        flat = [value for value, count in pools for _ in range(count)]
        return [value + offset for value, offset in zip(flat, offsets, strict=True)]

    def placed(self) -> Block:
        """The nodes and the curves between them."""
        self.arrange()
        block = Block()
        y = bottom = 0.0
        ends: dict[tuple[int, Edge], tuple[float, float]] = {(0, (0, 0)): (0.0, 0.0)}
        for row, items in enumerate(self.rows[1:], 1):
            y = bottom + (max(ROW, self.head) if any(self.above(row, item) for item in items) else 0)
            height = max(self.height(item) for item in items)
            for item in items:
                x = self.x[row, item]
                self.hang(block, row, item, y, ends)
                if item[0] == item[1] and 0 < item[0] <= len(self.nodes):
                    block.put(self.nodes[item[0] - 1].block, x, y)
                if any(a == item[0] for a, _ in self.edges) and self.height(item) < height:
                    block.wire((x, y + self.height(item)), (x, y + height))
                ends[row, item] = x, y + height
            bottom = y + height
        return block

    def height(self, item: Edge) -> float:
        """The height of an item."""
        return self.nodes[item[0] - 1].block.height if item[0] == item[1] and 0 < item[0] <= len(self.nodes) else 0.0

    def hang(
        self, block: Block, row: int, item: Edge, y: float, ends: Mapping[tuple[int, Edge], tuple[float, float]]
    ) -> None:
        """Lays the curves that come into an item."""
        sources = sorted(self.above(row, item), key=lambda source: ends[source][0])
        real = item[0] == item[1] and item[0] <= len(self.nodes)
        node = self.nodes[item[0] - 1] if real else None
        room = 0.0
        if node is not None and node.kind != "frame":
            room = min(PORT, node.block.boxes[0].width * 0.7 / max(len(sources), 1))
        for i, source in enumerate(sources):
            x = self.x[row, item] + (i - (len(sources) - 1) / 2) * room
            block.wire(ends[source], (x, y), curved=True, arrow=node is not None and node.kind != "frame")


def mean(xs: Sequence[float]) -> float:
    """The mean; 0 of none."""
    return sum(xs) / len(xs) if xs else 0.0
