"""What `summary` returns: rows of figures, first as data, then as a table."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jseq._tools import tables
from jseq.errors import describe


@dataclass(frozen=True)
class Row:
    """One layer, with all that is inside it.

    Attributes:
        path: where its params stand: "encoder.0"; "" for the model, "*" for each of several copies; "0-31" in a
            run of equal layers.
        layer: the layer in one line.
        kind: the name of its constructor; "lift" for a plain function.
        depth: how deep it stands; 0 for the model.
        y: the shape and dtype of what it gives, a `jax.ShapeDtypeStruct` or a tree of them; None if it is not applied.
            Inside `repeat`, `ensemble` and their like that of one copy.
        params, state: the number of numbers that it holds.
        flops: operations of a forward pass.
        step_flops: operations of a training step, forward and backward; None if there is none.
        kept_bytes: bytes of the arrays that the forward pass keeps for the backward pass; None if there is none.
        copies: how many equal layers this row stands for; its figures are of all of them together.
    """

    path: str
    layer: str
    kind: str
    depth: int
    y: Any
    params: int
    state: int
    flops: float
    step_flops: float | None
    kept_bytes: int | None
    copies: int = 1

    @property
    def output(self) -> str:
        """What it gives, as text: `float32[32,10]`."""
        return "" if self.y is None else describe(self.y)


@dataclass(frozen=True, repr=False)
class Summary:
    """What `jseq.summary` found: a table when printed, in rich, and in notebooks.

    Attributes:
        rows: one for the model and one for each layer inside, each before those inside it.
        train: whether the forward pass was that of training.
        params_bytes, state_bytes, input_bytes: bytes of these trees.
        peak_bytes: estimate of the most memory that a forward pass takes, params and input included.
        step_peak_bytes: the same of a training step, with gradients and without an optimiser; None if there is none.
        trouble: why there is no training step; None if there is one.
    """

    rows: tuple[Row, ...]
    train: bool
    params_bytes: int
    state_bytes: int
    input_bytes: int
    peak_bytes: int
    step_peak_bytes: int | None
    trouble: str | None = None

    @property
    def total(self) -> Row:
        """The row of the whole model."""
        return self.rows[0]

    @property
    def collapsed(self) -> tuple[Row, ...]:
        """The rows of the table: runs of equal neighbours in one row, which has the figures of all of them."""
        return tuple(merged(list(self.rows)))

    def to_dict(self) -> dict[str, Any]:
        """All figures as numbers and text, as `json.dumps` takes them."""
        rows: list[dict[str, Any]] = []
        for row in self.rows:
            own = {field.name: getattr(row, field.name) for field in dataclasses.fields(row) if field.name != "y"}
            rows.append({**own, "output": row.output})
        others = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "rows"}
        return {**others, "rows": rows}

    def __str__(self) -> str:
        return tables.as_text(tables.HEADER, self.cells(), tables.totals(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return tables.as_html(tables.HEADER, self.cells(), tables.totals(self))

    def __rich__(self) -> Any:
        return tables.as_rich(tables.HEADER, self.cells(), tables.totals(self))

    def cells(self) -> list[list[str]]:
        """The table as text."""
        return [tables.cells(row) for row in self.collapsed]


def merged(rows: Sequence[Row]) -> Iterator[Row]:
    """Puts runs of equal neighbours together, from the inside out; rows of the same depth, with all below them."""
    blocks = [[*block] for block in split(rows)]
    blocks = [[block[0], *merged(block[1:])] for block in blocks]
    start = 0
    while start < len(blocks):
        stop = start + 1
        while stop < len(blocks) and alike(blocks[start], blocks[stop]):
            stop += 1
        yield from blocks[start] if stop == start + 1 else together(blocks[start:stop])
        start = stop


def split(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cuts rows into those of the least depth, each with all below it."""
    starts = [i for i, row in enumerate(rows) if row.depth == rows[0].depth]
    for start, stop in zip(starts, [*starts, len(rows)][1:], strict=True):
        yield rows[start:stop]


def last_name(row: Row) -> str:
    """The name of a row among its siblings."""
    return row.path.rpartition(".")[2]


def alike(first: Sequence[Row], second: Sequence[Row]) -> bool:
    """Whether two blocks are equal but for their numbers among their siblings."""
    names = last_name(first[0]), last_name(second[0])
    if names[0] == names[1] or not (names[0].isdigit() and names[1].isdigit()) or len(first) != len(second):
        return False
    places = [len(block[0].path) for block in (first, second)]
    return all(
        dataclasses.replace(a, path=a.path[places[0] :]) == dataclasses.replace(b, path=b.path[places[1] :])
        for a, b in zip(first, second, strict=True)
    )


def together(blocks: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """One block for equal ones, with the figures of all of them."""
    n, first = len(blocks), blocks[0][0].path
    path = f"{first}-{last_name(blocks[-1][0])}"
    for row in blocks[0]:
        yield dataclasses.replace(
            row,
            path=path + row.path[len(first) :],
            copies=n * row.copies,
            params=n * row.params,
            state=n * row.state,
            flops=n * row.flops,
            step_flops=None if row.step_flops is None else n * row.step_flops,
            kept_bytes=None if row.kept_bytes is None else n * row.kept_bytes,
        )
