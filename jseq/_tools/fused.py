"""What `jseq.fuse` returns: a model with its params and state, and a report of what was done."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax

from jseq._tools import tables
from jseq.core import Layer


@dataclass(frozen=True)
class Fusion:
    """What became of one layer.

    Attributes:
        path: where its params stood in the model as it was: "encoder.0"; "*" for each of several copies.
        layer: the layer in one line.
        what: "folded" into the weights of another layer; "removed", since it does nothing in evaluation; "merged",
            its weights computed once and for all; "flattened", its layers put among those around it; "replaced" by a
            scale and a bias; "left" as it is.
        into: the path that it was folded into; "" for the others.
        why: what was in the way of folding; "" where nothing was.
    """

    path: str
    layer: str
    what: str
    into: str = ""
    why: str = ""

    @property
    def text(self) -> str:
        """What was done, in words."""
        done = f"{self.what} into {self.into}" if self.into else self.what
        return f"{done}: {self.why}" if self.why else done


@dataclass(frozen=True, repr=False)
class Fused:
    """A model folded for inference; unpacks to `model, params, state`, and prints its report.

    Attributes:
        model, params, state: the folded model; `state` is None where none was given.
        rows: what became of each layer that was touched, or could not be.
        before: numbers in params and in state before folding.
    """

    model: Layer
    params: Any
    state: Any
    rows: tuple[Fusion, ...]
    before: tuple[int, int]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.params, self.state))

    def __str__(self) -> str:
        after = numbers(self.params), numbers(self.state)
        changes = (f"{name} {a:,} -> {b:,}" for name, a, b in zip(("params", "state"), self.before, after, strict=True))
        pair = "with_state(model)" if self.model.keeps_state else "the plain pair"
        rows = [[row.path, tables.shortened(row.layer), row.text] for row in self.rows]
        return tables.as_text(("path", "layer", "what was done"), rows, [f"{', '.join(changes)}; apply it with {pair}"])

    __repr__ = __str__


def numbers(tree: Any) -> int:
    """How many numbers a tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
