"""Sizes of arrays as values: what `x.shape[1]` and `c // 2` are before x comes."""

import operator
from collections.abc import Callable
from typing import Any

# A number; ("size", i, axis), the size of an axis of the i-th array; ("shape", i, 0), all of its sizes; or
# (operation, one size, another).
Size = Any
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv, "pow": operator.pow,
}  # fmt: skip


def number(size: Size, arrays: tuple[Any, ...]) -> Any:
    """A size of these arrays."""
    if not isinstance(size, tuple):
        return size
    name, one, other = size
    return arrays[one].shape[other] if name == "size" else OPERATIONS[name](number(one, arrays), number(other, arrays))


def numbers(sizes: tuple[Size, ...], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sizes of these arrays."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple) and sizes[0][0] == "shape":
        return arrays[sizes[0][1]].shape
    return tuple(number(size, arrays) for size in sizes)


def parted(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """The array, and those that sizes are read off."""
    return (x[0], x[1:]) if isinstance(x, tuple) else (x, ())  # pyright: ignore
