"""How the axes of arrays move between jseq and torch: one description for both directions."""

from dataclasses import dataclass
from typing import Any

from jseq._core.values import constructor_name
from jseq.core import Layer

# The place in jseq's weight of each axis of torch's, by the layer whose weight it is. Leaves of another rank (biases,
# statistics), and all leaves of every other layer (embeddings, norms), are the same in both.
TRANSPOSED = (1, 0)
ORDERS = {
    **dict.fromkeys(("linear", "multihead_attention", "grouped_query_attention", "swiglu", "geglu"), TRANSPOSED),
    **dict.fromkeys(("rnn", "lstm", "gru", "rnn_cell", "lstm_cell", "gru_cell"), TRANSPOSED),
    "bilinear": (2, 0, 1),
    "conv1d": (2, 1, 0),
    **dict.fromkeys(("conv2d", "separable_conv2d", "squeeze_excitation"), (3, 2, 0, 1)),
    "conv3d": (4, 3, 0, 1, 2),
}
TRANSPOSED_CONVOLUTIONS = {"conv_transpose1d": 1, "conv_transpose2d": 2, "conv_transpose3d": 3}


@dataclass(frozen=True)
class Move:
    """Splits the axes of jseq's array, puts the pieces in another order, and merges them to torch's axes.

    Attributes:
        shape: of jseq's array.
        split: the same, with some axes taken apart.
        order: the place in `split` of each piece.
        merged: the shape of torch's array.

    Example:
        >>> import numpy as np
        >>> move = Move.permutation((5, 3), (1, 0))
        >>> move.to_torch(np.ones((5, 3))).shape, move.to_jseq(np.ones((3, 5))).shape
        ((3, 5), (5, 3))
    """

    shape: tuple[int, ...]
    split: tuple[int, ...]
    order: tuple[int, ...]
    merged: tuple[int, ...]

    @classmethod
    def permutation(cls, shape: tuple[int, ...], order: tuple[int, ...]) -> "Move":
        """The move that only changes the order of the axes."""
        return cls(shape, shape, order, tuple(shape[axis] for axis in order))

    @property
    def permutes(self) -> bool:
        """Whether it only changes the order of the axes."""
        return self.split == self.shape and self.merged == tuple(self.shape[axis] for axis in self.order)

    def to_torch(self, array: Any) -> Any:
        """jseq's array in torch's axes."""
        return array.reshape(self.split).transpose(self.order).reshape(self.merged)

    def to_jseq(self, array: Any) -> Any:
        """torch's array in jseq's axes."""
        moved = tuple(self.split[piece] for piece in self.order)
        back = tuple(self.order.index(piece) for piece in range(len(self.order)))
        return array.reshape(moved).transpose(back).reshape(self.shape)


def move_of(layer: Layer, shape: tuple[int, ...]) -> Move:
    """The move of one leaf, of this shape, of the params or state of a leaf layer."""
    name = constructor_name(layer.constructor).removeprefix("jseq.")  # a layer of the user's own keeps its module
    if TRANSPOSED_CONVOLUTIONS.get(name) == len(shape) - 2:
        return transposed_convolution(shape, layer.arguments["groups"])
    order = ORDERS.get(name, ())
    return Move.permutation(shape, order if len(order) == len(shape) else tuple(range(len(shape))))


def transposed_convolution(shape: tuple[int, ...], groups: int) -> Move:
    """`(*window, in / groups, out)` to `(in, out / groups, *window)`: out is cut into groups, which go with in."""
    *window, inside, out = shape
    if groups == 1:
        return Move.permutation(shape, (len(window), len(window) + 1, *range(len(window))))
    size, count = out // groups, len(window)
    return Move(shape, (*window, inside, groups, size), (count + 1, count, count + 2, *range(count)),
                (groups * inside, size, *window))  # fmt: skip
