"""Values of an ONNX graph: tensors with a shape, a dtype and, where they are kept transposed, an order of axes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np

from jseq.errors import ShapeError

if TYPE_CHECKING:
    from jseq._interop.onnx.nodes import Nodes


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph, with `+`, `-`, `*`, `/` and unary minus, which add nodes.

    ONNX wants the channels first where jseq has them last. No tensor is transposed before it has to be: a value
    may be kept with its axes in another order, and layers that do not mind the order compute on it as it is.

    Attributes:
        graph: the graph that it belongs to.
        name: the name of the stored tensor.
        stored: its shape.
        dtype: its dtype, as numpy has it.
        perm: where each axis of the value lies in the stored tensor; None where they are in order.
    """

    graph: "Nodes"
    name: str
    stored: tuple[Any, ...]
    dtype: np.dtype[Any]
    perm: tuple[int, ...] | None = None
    __array_ufunc__: ClassVar[None] = None  # so that array * value comes here, and not to numpy

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape that the layers see; the batch axis is a symbol."""
        return self.stored if self.perm is None else tuple(self.stored[i] for i in self.perm)

    @property
    def ndim(self) -> int:
        return len(self.stored)

    @property
    def floating(self) -> bool:
        return bool(jnp.issubdtype(self.dtype, jnp.floating))

    def place(self, axis: int) -> int:
        """Where an axis lies in the stored tensor."""
        axis %= max(self.ndim, 1)
        return axis if self.perm is None else self.perm[axis]

    def __add__(self, other: Any) -> "Value":
        return self.graph.map("Add", self, other)

    def __radd__(self, other: Any) -> "Value":
        return self.graph.map("Add", other, self)

    def __sub__(self, other: Any) -> "Value":
        return self.graph.map("Sub", self, other)

    def __rsub__(self, other: Any) -> "Value":
        return self.graph.map("Sub", other, self)

    def __mul__(self, other: Any) -> "Value":
        return self.graph.map("Mul", self, other)

    def __rmul__(self, other: Any) -> "Value":
        return self.graph.map("Mul", other, self)

    def __truediv__(self, other: Any) -> "Value":
        return self.graph.map("Div", self, other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self.graph.map("Div", other, self)

    def __neg__(self) -> "Value":
        return self.graph.map("Neg", self)


def ordered(perm: tuple[int, ...]) -> tuple[int, ...] | None:
    """The order of axes, None for the plain one."""
    return None if perm == tuple(range(len(perm))) else perm


def is_one(size: Any) -> bool:
    """Whether a size is 1; a symbol is not."""
    return isinstance(size, int) and size == 1


def inverse(perm: tuple[int, ...]) -> tuple[int, ...]:
    """The order that undoes this one."""
    return tuple(perm.index(i) for i in range(len(perm)))


def broadcast(*shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shape of arrays side by side, by NumPy's rules; sizes may be symbols."""
    rank = max(map(len, shapes))
    full = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(common(sizes, shapes) for sizes in zip(*full, strict=True))


def common(sizes: tuple[Any, ...], shapes: tuple[Any, ...]) -> Any:
    """The one size beside 1; refuses several, as where an input was taken for one that has a batch axis."""
    sizes = tuple(n for n in sizes if not is_one(n))
    if any(n != sizes[0] for n in sizes):
        raise ShapeError(f"expected shapes that broadcast, got {' and '.join(map(str, shapes))}. Axis 0 of an input "
                         "counts as the batch where it is as long: give an example whose batch is no other size, "
                         "or with batch=None.")  # fmt: skip
    return sizes[0] if sizes else 1
