"""Functions of arrays that change shapes and that no layer is: views, entries, windows of the sizes of arrays.

As those of `array_functions` they are values in torch's order of axes. Those that read sizes take a tuple: the array,
and those that the sizes are read off.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq import functional as F
from jseq._layers.array_sizes import Size, check_word, number, numbers, parted
from jseq.errors import ShapeError, describe


@dataclass(frozen=True)
class Reshaped:
    """`x.reshape(sizes)`; "expand" repeats axes of size 1 in place of that, "repeat" the whole array along each."""

    sizes: tuple[Size, ...]
    how: str = "reshape"

    def __post_init__(self):
        check_word("how", self.how, ("reshape", "expand", "repeat"))

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        sizes = numbers(self.sizes, others)
        if self.how == "reshape":
            return array.reshape(sizes)
        if self.how == "repeat":
            return jnp.tile(array, sizes)
        own = (1,) * (len(sizes) - array.ndim) + array.shape
        return jnp.broadcast_to(array.reshape(own), [n if n != -1 else m for n, m in zip(sizes, own, strict=True)])


@dataclass(frozen=True)
class Indexed:
    """`x[index]`: numbers, ("slice", start, stop, step), "..." and None."""

    index: tuple[Any, ...]

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        index = tuple(self.place(one, others) for one in self.index)
        if all(isinstance(size, int) for size in array.shape):
            # JAX moves a number that is too large to the last entry; slices take what there is, in torch too.
            entries = tuple(slice(None) if isinstance(one, slice) else one for one in index)
            try:
                np.broadcast_to(False, array.shape)[entries]
            except IndexError as error:
                raise ShapeError(f"the index does not fit {describe(array)}: {error}.") from None
        return array[index]

    def place(self, one: Any, others: tuple[Any, ...]) -> Any:
        if one == "...":
            return ...
        if isinstance(one, tuple) and one[0] == "slice":
            return slice(*(number(part, others) for part in one[1:]))  # pyright: ignore
        return number(one, others)


@dataclass(frozen=True)
class Resized:
    """`interpolate` of the n axes before the channels to sizes of arrays."""

    sizes: tuple[Size, ...]
    mode: str
    align_corners: bool | None

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        sizes = numbers(self.sizes, others)
        return F.interpolate(array, len(sizes), sizes, mode=self.mode, align_corners=self.align_corners)


@dataclass(frozen=True)
class PooledWhole:
    """The mean or the maximum over windows as large as the image, which leave axes of size 1."""

    operation: str
    sizes: tuple[Size, ...]

    def __post_init__(self):
        check_word("operation", self.operation, ("mean", "max"))

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        sizes = numbers(self.sizes, others)
        if array.shape[-1 - len(sizes) : -1] != sizes:
            raise ShapeError(f"expected windows as large as the image, got {sizes} for {describe(array)}.")
        pool = jnp.mean if self.operation == "mean" else jnp.max
        return pool(array, tuple(range(-1 - len(sizes), -1)), keepdims=True)


@dataclass(frozen=True)
class Returned:
    """The outputs of a forward, some of which are None."""

    given: tuple[bool, ...]

    def __call__(self, x: Any) -> Any:
        arrays = iter(x if isinstance(x, tuple) else (x,))  # pyright: ignore
        return tuple(next(arrays) if given else None for given in self.given)


@dataclass(frozen=True)
class Padded:
    """An array with this value around it: so many before and after the last axis, then before and after the next."""

    sizes: tuple[Size, ...]
    value: float

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        sizes = numbers(self.sizes, others)
        pairs = [(*pair, 0) for pair in zip(sizes[::2], sizes[1::2], strict=True)]
        around = [(0, 0, 0)] * (array.ndim - len(pairs)) + pairs[::-1]
        return jax.lax.pad(array, jnp.asarray(self.value, array.dtype), around)


@dataclass(frozen=True)
class Swapped:
    """Two axes of an array exchanged."""

    a: int
    b: int

    def __call__(self, x: Any) -> Any:
        return jnp.swapaxes(x, self.a, self.b)


@dataclass(frozen=True)
class Aligned:
    """Arrays with as many axes each: those that lack some get axes of size 1 in front."""

    def __call__(self, x: Any) -> Any:
        rank = max(a.ndim for a in x)
        return tuple(a.reshape((1,) * (rank - a.ndim) + a.shape) for a in x)


@dataclass(frozen=True)
class Stacked:
    """Arrays side by side along a new axis."""

    axis: int

    def __call__(self, x: Any) -> Any:
        return jnp.stack(x if isinstance(x, tuple) else (x,), self.axis)  # pyright: ignore


@dataclass(frozen=True)
class Counted:
    """The numbers from start to stop, of the sizes of arrays; its input says nothing else."""

    start: Size
    stop: Size

    def __call__(self, x: Any) -> Any:
        _, others = parted(x)
        return jnp.arange(number(self.start, others), number(self.stop, others), dtype=int)
