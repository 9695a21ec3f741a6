"""Functions of arrays that no layer is, in torch's order of axes: values, as specs are, for `lift`.

Those that read sizes take a tuple: the array, and those that the sizes are read off.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq import functional as F
from jseq._layers.arithmetic import OPERATIONS
from jseq._layers.array_sizes import Size, number, numbers, parted
from jseq.errors import ShapeError, describe


@dataclass(frozen=True)
class Reshaped:
    """`x.reshape(sizes)`; "expand" repeats axes of size 1 in place of that, "repeat" the whole array along each."""

    sizes: tuple[Size, ...]
    how: str = "reshape"

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
class Reduced:
    """A sum and its like over some axes, None for all."""

    operation: str
    axes: tuple[int, ...] | None
    keepdims: bool

    def __call__(self, x: Any) -> Any:
        function = getattr(jax.nn if self.operation == "logsumexp" else jnp, self.operation)
        return function(x, axis=self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class Scaled:
    """An array and a size of an array: `x * x.shape[-1] ** -0.5`."""

    operation: str
    size: Size
    reverse: bool

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        value = number(self.size, others)
        compute = OPERATIONS[self.operation]
        return compute(value, array) if self.reverse else compute(array, value)


@dataclass(frozen=True)
class Clamped:
    """Each element between two numbers, None for no bound."""

    low: float | None
    high: float | None

    def __call__(self, x: Any) -> Any:
        return jnp.clip(x, self.low, self.high)


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

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        sizes = numbers(self.sizes, others)
        if array.shape[-1 - len(sizes) : -1] != sizes:
            raise ShapeError(f"expected windows as large as the image, got {sizes} for {describe(array)}.")
        return getattr(jnp, self.operation)(array, tuple(range(-1 - len(sizes), -1)), keepdims=True)


@dataclass(frozen=True)
class Returned:
    """The outputs of a forward, some of which are None."""

    given: tuple[bool, ...]

    def __call__(self, x: Any) -> Any:
        arrays = iter(x if isinstance(x, tuple) else (x,))  # pyright: ignore
        return tuple(next(arrays) if given else None for given in self.given)


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
class Multiplied:
    """The matrix product of two arrays."""

    def __call__(self, x: Any) -> Any:
        a, b = x
        if a.ndim > b.ndim == 2:
            return F.linear(a, b)
        rank = max(a.ndim, b.ndim) if min(a.ndim, b.ndim) > 1 else 0
        a, b = (c.reshape((1,) * (rank - c.ndim) + c.shape) for c in (a, b))
        return jnp.matmul(a, b)


@dataclass(frozen=True)
class Summed:
    """Einstein's sum."""

    equation: str

    def __call__(self, x: Any) -> Any:
        return jnp.einsum(self.equation, *(x if isinstance(x, tuple) else (x,)))  # pyright: ignore


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
        return jnp.arange(number(self.start, others), number(self.stop, others), dtype=jnp.int32)


@dataclass(frozen=True)
class Compared:
    """Each element beside a number: `x == 0`."""

    operation: str
    value: float

    def __call__(self, x: Any) -> Any:
        return getattr(jnp, self.operation)(x, jnp.asarray(self.value, x.dtype))


@dataclass(frozen=True)
class Filled:
    """An array with this value where a mask is True."""

    value: float

    def __call__(self, x: Any) -> Any:
        array, mask = Aligned()(x)
        return jnp.where(mask, jnp.asarray(self.value, array.dtype), array)


@dataclass(frozen=True)
class Normalised:
    """`x / max(|x|, eps)` along an axis."""

    axis: int
    eps: float

    def __call__(self, x: Any) -> Any:
        square = jnp.sum(x * x, self.axis, keepdims=True)
        least = self.eps * self.eps
        # The square root has no finite derivative at 0.
        return x * jnp.where(square > least, jax.lax.rsqrt(jnp.maximum(square, least)), 1 / self.eps)


@dataclass(frozen=True)
class Attended:
    """`scaled_dot_product_attention` of (..., heads, T, d), and a mask or none."""

    is_causal: bool
    scale: float | None
    enable_gqa: bool

    def __call__(self, x: Any) -> Any:
        q, k, v = (jnp.swapaxes(a, -3, -2) for a in x[:3])
        mask = x[3] if len(x) > 3 else None
        scale = 1 / math.sqrt(q.shape[-1]) if self.scale is None else self.scale
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=self.is_causal, scale=scale,
                                           enable_gqa=self.enable_gqa)  # fmt: skip
        return jnp.swapaxes(y, -3, -2)
