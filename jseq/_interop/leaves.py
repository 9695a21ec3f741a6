"""The places of params and state, and what torch calls them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from jseq._interop.moves import Move
from jseq.errors import ParamsError


@dataclass(frozen=True)
class Leaf:
    """A place in params or state, as torch has it.

    Attributes:
        tree: "params" or "state".
        index: its number among the leaves of that tree.
        copy: where in the leaf it is, along its leading axes: one index for each `repeat` around it.
        shape: of this copy, in jseq.
        moves: the way to torch's axes, one move after the other.
    """

    tree: str
    index: int
    copy: tuple[int, ...]
    shape: tuple[int, ...]
    moves: tuple[Move, ...] = ()

    @property
    def moved(self) -> tuple[int, ...]:
        """The shape after the moves."""
        return self.moves[-1].merged if self.moves else self.shape

    def by(self, move: Move) -> "Leaf":
        """The leaf with one more move on its way to torch."""
        return dataclasses.replace(self, moves=(*self.moves, move))

    def one(self, i: int, n: int) -> "Leaf":
        """One of the n copies on the leading axis."""
        if self.shape[:1] != (n,):
            raise ParamsError(f"expected {self.tree} with a leading axis of {n}, got {self.shape}.")
        return dataclasses.replace(self, copy=(*self.copy, i), shape=self.shape[1:])

    def to_torch(self, array: Any) -> Any:
        """This copy of jseq's leaf, in torch's axes."""
        array = array[self.copy]
        for move in self.moves:
            array = move.to_torch(array)
        return array

    def to_jseq(self, array: Any) -> Any:
        """torch's array in jseq's axes."""
        for move in reversed(self.moves):
            array = move.to_jseq(array)
        return array


@dataclass(frozen=True)
class Entry:
    """An entry of torch's state dict: its name, the one that older torch gave it ("" for none), and its leaf."""

    name: str
    legacy: str
    leaf: Leaf

    def under(self, name: str) -> "Entry":
        """The entry as the child of this name has it."""
        return Entry(f"{name}.{self.name}" if self.name else name, self.legacy and f"{name}.{self.legacy}", self.leaf)
