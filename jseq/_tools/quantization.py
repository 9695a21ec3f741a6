"""What `jseq.quantize` returns: a model with its params, and a report of what was quantised."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jseq._tools import tables
from jseq.core import Layer


@dataclass(frozen=True)
class Quantization:
    """What became of one weight.

    Attributes:
        path: where it stands in params: "encoder.0.weight".
        shape: its shape.
        bits: 8 or 4; those of its own dtype where it was left.
        bytes_before: its size before.
        bytes_after: its size after, that of its scales included.
        error: length of the change, divided by the length of the weight.
        why: why it was left; "" where it was not.
    """

    path: str
    shape: tuple[int, ...]
    bits: int
    bytes_before: int
    bytes_after: int
    error: float
    why: str = ""

    @property
    def cells(self) -> list[str]:
        """The row as text."""
        done = f"left: {self.why}" if self.why else f"{self.bits} bits"
        sizes = [tables.in_bytes(size) for size in (self.bytes_before, self.bytes_after)]
        return [self.path, str(self.shape), done, *sizes, "" if self.why else f"{self.error:.2%}"]


@dataclass(frozen=True, repr=False)
class Quantized:
    """A model whose weights are held in few bits; unpacks to `model, params`, and prints its report.

    Attributes:
        model, params: the quantised model. State, if it keeps some, is that of the model as it was.
        rows: what became of each weight, in the order of the params.
        bytes_before, bytes_after: the sizes of params as a whole.
    """

    model: Layer
    params: Any
    rows: tuple[Quantization, ...]
    bytes_before: int
    bytes_after: int

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.params))

    def __str__(self) -> str:
        before, after = (tables.in_bytes(size) for size in (self.bytes_before, self.bytes_after))
        total = f"params {before} -> {after}, {self.bytes_before / max(self.bytes_after, 1):.2f} times smaller"
        header = ("path", "shape", "what was done", "before", "after", "error")
        return tables.as_text(header, [row.cells for row in self.rows], [total])

    __repr__ = __str__
