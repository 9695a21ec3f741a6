"""Where the first number that is not finite came from: what `jseq.debug.find_nonfinite` returns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jseq._core.checks import by_path
from jseq._tools import tables
from jseq.errors import describe

HEADER = ("", "array", "finite range", "mean", "std", "NaN", "inf")


@dataclass(frozen=True)
class Statistics:
    """Figures of one array; low, high, mean and std are those of its finite numbers, NaN where there are none."""

    name: str
    array: str
    low: float
    high: float
    mean: float
    std: float
    nans: int
    infs: int

    def cells(self) -> list[str]:
        """One row of text."""
        figures = [f"{self.mean:.3g}", f"{self.std:.3g}", f"{self.nans:,}", f"{self.infs:,}"]
        return [self.name, self.array, f"{self.low:.4g} .. {self.high:.4g}", *figures]


@dataclass(frozen=True, repr=False)
class NonFinite:
    """The layer that made the first number that is not finite; prints with statistics of what it was given.

    Attributes:
        direction: "forward" or "backward".
        path: where the layer stands: "encoder.0"; "" for the model itself.
        layer: the layer in one line.
        copy: which copy of it, as indices into the stacks of `repeat` and `ensemble`; `()` where there is one.
        what: what happened, in words.
        x, params: what the layer was given: enough to apply it by itself.
    """

    direction: str
    path: str
    layer: str
    copy: tuple[int, ...]
    what: str
    x: Any
    params: Any

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """Figures of x and of each of the params."""
        return tuple(statistics("x", self.x)) + tuple(statistics("params", self.params))

    def __str__(self) -> str:
        where = f' at "{self.path}"' if self.path else ""
        copy = f", copy {', '.join(map(str, self.copy))}" if self.copy else ""
        first = f"{self.direction}: {self.layer}{where}{copy} {self.what}"
        return first + "\n" + tables.as_text(HEADER, [row.cells() for row in self.statistics], [])

    __repr__ = __str__


def statistics(name: str, tree: Any) -> Iterator[Statistics]:
    """Figures of every array of a tree, named by its path."""
    for path, leaf in by_path(tree).items():
        array = np.asarray(leaf)
        wide = np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)
        fine = wide[np.isfinite(wide)]
        low, high, mean, std = map(
            float, (fine.min(), fine.max(), fine.mean(), fine.std()) if fine.size else [np.nan] * 4
        )
        nans, infs = int(np.isnan(wide).sum()), int(np.isinf(wide).sum())
        yield Statistics(f"{name}.{path}" if path else name, describe(leaf), low, high, mean, std, nans, infs)
