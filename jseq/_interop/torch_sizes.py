"""Sizes of arrays as numbers in a traced forward: `x.shape[1]`, `x.size(0)`, `c // 2`; and what else is no array."""

from typing import Any

from jseq._interop.torch_functions import function_name, is_call
from jseq._interop.torch_layers import moved_axis
from jseq._interop.torch_steps import Steps, Value
from jseq._layers.array_sizes import OPERATIONS, Size
from jseq.errors import ConversionError

UNSHAPED = ("shape", "ndim", "device", "dtype")  # attributes that are no array


def is_sizes(node: Any) -> bool:
    """Whether a node is `x.shape` or `x.size()`."""
    name = function_name(node) if is_call(node) else ""
    return (name == "getattr" and node.args[1] == "shape") or (name == "size" and len(node.args) == 1)


def axis_of(node: Any) -> tuple[Any, int] | None:
    """The array and the axis whose size a node is; None if it is none."""
    if not is_call(node):
        return None
    name = function_name(node)
    if name == "size" and len(node.args) == 2 and isinstance(node.args[1], int):
        return node.args
    if name == "getitem" and is_sizes(node.args[0]) and isinstance(node.args[1], int):
        return node.args[0].args[0], node.args[1]
    return None


def is_shape(node: Any) -> bool:
    """Whether a node is about shapes, devices and dtypes alone, and makes no array."""
    if not is_call(node):
        return False
    name = function_name(node)
    if name == "getattr":
        return node.args[1] in UNSHAPED
    if name in OPERATIONS and len(node.args) == 2:
        return all(isinstance(one, int | float | tuple) or is_shape(one) for one in node.args)
    return name in ("size", "dim") or (name == "getitem" and is_sizes(node.args[0]))


class Sizes:
    """Sizes as a step says them, and the arrays that they are read off."""

    def __init__(self, steps: Steps):
        self.steps, self.arrays = steps, list[Value]()

    def of(self, value: Any) -> Size:
        """A number, or a node that is one, as a value."""
        if value is None or isinstance(value, int | float):
            return value
        if is_call(value) and function_name(value) in OPERATIONS and is_shape(value):
            return (function_name(value), *(self.of(one) for one in value.args))
        found = axis_of(value)
        if found is None:
            raise ConversionError(f"the size {value!r:.40} is not known; known are numbers, x.shape[0], x.size(1), and "
                                  "sums, products and quotients of these.")  # fmt: skip
        return self.size(self.steps.of(found[0]), found[1])

    def size(self, array: Value, axis: int) -> Size:
        """The size of an axis, counted as torch does."""
        if array not in self.arrays:
            self.arrays.append(array)
        return ("size", self.arrays.index(array), moved_axis(axis, array.layout))

    def all(self, sizes: tuple[Any, ...]) -> tuple[Size, ...]:
        """Several: one by one, or as one node that is `x.shape`, a slice of it, or a sum of such."""
        found = self.joined(sizes[0]) if len(sizes) == 1 and axis_of(sizes[0]) is None else None
        return tuple(self.of(size) for size in sizes) if found is None else found

    def joined(self, node: Any) -> tuple[Size, ...] | None:
        """The sizes that a tuple, or a node that is one, says; None if it is none."""
        if isinstance(node, tuple | list):
            return tuple(self.of(size) for size in node)  # pyright: ignore
        if is_sizes(node):
            return self.like(self.steps.of(node.args[0]), slice(None))
        if not is_call(node):
            return None
        if function_name(node) == "getitem" and is_sizes(node.args[0]) and isinstance(node.args[1], slice):
            return self.like(self.steps.of(node.args[0].args[0]), node.args[1])
        parts = [self.joined(part) for part in node.args] if function_name(node) == "add" else [None]
        return None if None in parts else tuple(size for part in parts for size in part or ())

    def like(self, array: Value, part: slice) -> tuple[Size, ...]:
        """Sizes of an array; as one if their number is not known."""
        if array.axes.number is not None:
            return tuple(self.size(array, axis) for axis in range(array.axes.number)[part])
        self.size(array, 0)
        return (("shape", self.arrays.index(array), (part.start, part.stop, part.step)),)


def counted(sizes: tuple[Size, ...]) -> int | None:
    """How many sizes these are, if that is known."""
    return None if any(isinstance(size, tuple) and size[0] == "shape" for size in sizes) else len(sizes)
