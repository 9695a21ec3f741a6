"""The windows of pooling: their options, how many there are, and slices of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from jseq.errors import OptionError, ShapeError, describe, expect_float, expect_rank
from jseq.functional.windows import per_axis

Size = int | Sequence[int]

FORMS = {1: "(..., T, C)", 2: "(..., H, W, C)", 3: "(..., D, H, W, C)"}


class Pool(NamedTuple):
    """The options of a pooling, one number per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool

    @property
    def span(self) -> tuple[int, ...]:
        """How far a window reaches, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def overlapping(self) -> bool:
        """Whether neighbouring windows share elements."""
        return any(s < span for s, span in zip(self.stride, self.span, strict=True))


def pool_options(
    n: int,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Pool:
    """Returns the options of a pooling over `n` axes, checked; the stride defaults to the kernel.

    Raises:
        OptionError: an option is no integer or too small, or a padding exceeds half the window.

    >>> pool_options(2, 3, stride=2, padding=(1, 0)).padding
    (1, 0)
    """
    kernel = per_axis(kernel_size, n, "kernel_size")
    strides = kernel if stride is None else per_axis(stride, n, "stride")
    pads = per_axis(padding, n, "padding", minimum=0)
    pool = Pool(kernel, strides, pads, per_axis(dilation, n, "dilation"), bool(ceil_mode))
    if any(p > span // 2 for p, span in zip(pads, pool.span, strict=True)):
        raise OptionError(
            f"padding must be at most half the window, got padding {padding!r} for "
            f"kernel_size {kernel_size!r} and dilation {dilation!r}."
        )
    return pool


def pool_sizes(sizes: Sequence[int], pool: Pool) -> tuple[int, ...]:
    """Returns how many windows there are on each axis, by the rule of torch.

    In ceil mode a window may hang over the end, but must start inside the input or the left padding.

    >>> pool_sizes((5, 6), pool_options(2, 2, ceil_mode=True))
    (3, 3)
    """
    counts: list[int] = []
    for size, span, stride, padding in zip(sizes, pool.span, pool.stride, pool.padding, strict=True):
        room = size + 2 * padding - span
        count = (room + stride - 1 if pool.ceil_mode else room) // stride + 1
        if pool.ceil_mode and (count - 1) * stride >= size + padding:
            count -= 1
        counts.append(count)
    return tuple(counts)


def prepare(x: jax.Array, n: int, pool: Pool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Checks x and returns its spatial sizes and how many windows there are on each axis."""
    expect_rank(x, n + 1, FORMS[n])
    expect_float(x)
    sizes = x.shape[-1 - n : -1]
    counts = pool_sizes(sizes, pool)
    if any(count < 1 for count in counts) or any(size < 1 for size in sizes):
        raise ShapeError(
            f"expected x of shape {FORMS[n]} that holds a window of {pool.span} with padding "
            f"{pool.padding}, got {describe(x)}. Pool with a smaller kernel_size."
        )
    return sizes, counts


def pad_spatial(x: jax.Array, pool: Pool, counts: Sequence[int], value: float | int) -> jax.Array:
    """Pads the spatial axes of x so that every window fits."""
    n = len(counts)
    sizes = x.shape[-1 - n : -1]
    high = [  # 0 is said, not computed, where it is known: a size that jax.export leaves open has no maximum
        max((count - 1) * s + span - size - low, 0) if low or pool.ceil_mode else 0
        for count, s, span, size, low in zip(counts, pool.stride, pool.span, sizes, pool.padding, strict=True)
    ]
    if not any(high) and not any(pool.padding):
        return x
    spatial = [(low, up, 0) for low, up in zip(pool.padding, high, strict=True)]
    batch = [(0, 0, 0)] * (x.ndim - 1 - n)
    return lax.pad(x, np.asarray(value, x.dtype), [*batch, *spatial, (0, 0, 0)])


def window_slice(x: jax.Array, offset: Sequence[int], counts: Sequence[int], pool: Pool) -> jax.Array:
    """Returns the element at one offset of every window: a strided slice."""
    lead = x.ndim - 1 - len(counts)
    start = [o * d for o, d in zip(offset, pool.dilation, strict=True)]
    limit = [a + (c - 1) * s + 1 for a, c, s in zip(start, counts, pool.stride, strict=True)]
    first, last, step = [0] * lead, list(x.shape[:lead]), [1] * lead
    return lax.slice(x, [*first, *start, 0], [*last, *limit, x.shape[-1]], [*step, *pool.stride, 1])


def reduce_window(x: jax.Array, operation: Callable[..., Any], start: float, pool: Pool) -> jax.Array:
    """Reduces every window of the padded x by XLA's own operation: slow on CPU, quick on GPU. There is no dilation."""
    lead = (1,) * (x.ndim - 1 - len(pool.kernel))
    window, stride = (*lead, *pool.kernel, 1), (*lead, *pool.stride, 1)
    # numpy's number: under jit jnp's is traced, and then lax sees no sum or maximum and has no gradient for it
    return lax.reduce_window(x, np.asarray(start, x.dtype), operation, window, stride, "VALID")


def along_axis(pool: Pool, axis: int) -> Pool:
    """Returns the pooling of one spatial axis alone, without padding."""
    n = len(pool.kernel)

    def only(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(v if i == axis else 1 for i, v in enumerate(values))

    return Pool(only(pool.kernel), only(pool.stride), (0,) * n, only(pool.dilation), False)
