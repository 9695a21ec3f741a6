"""Average pooling over windows, channels-last, with the arithmetic of torch."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jseq.errors import OptionError
from jseq.functional.pool_windows import (
    Pool,
    Size,
    along_axis,
    pad_spatial,
    pool_options,
    prepare,
    reduce_window,
    window_slice,
)
from jseq.functional.terms import linearly

# Slices added up take 0.2 to 0.6 of reduce_window's time with the gradient up to this many elements on
# CPU (2x2, 3x3); wider windows are faster axis by axis (7x7: 0.1 instead of 0.7).
_SLICED_AT_ONCE = 9
_WIDEST_SLICED = 8


def accumulator(dtype: DTypeLike) -> np.dtype[Any]:
    """Returns the dtype to sum in: at least float32.

    >>> accumulator(jnp.bfloat16), accumulator(jnp.float64)
    (dtype('float32'), dtype('float64'))
    """
    return jnp.dtype(jnp.float32) if jnp.dtype(dtype).itemsize < 4 else jnp.dtype(dtype)


def check_divisor(divisor_override: int | None) -> None:
    """Refuses a divisor that is no whole number, or 0.

    >>> check_divisor(0)
    Traceback (most recent call last):
        ...
    jseq.errors.OptionError: divisor_override must be a whole number other than 0, got 0. \
Leave it None to divide by the window's size.
    """
    whole = isinstance(divisor_override, int) and not isinstance(divisor_override, bool)
    if divisor_override is not None and not (whole and divisor_override):
        raise OptionError(
            f"divisor_override must be a whole number other than 0, got {divisor_override!r}. "
            "Leave it None to divide by the window's size."
        )


def _sum_slices(x: jax.Array, counts: Sequence[int], pool: Pool) -> jax.Array:
    offsets = itertools.product(*(range(k) for k in pool.kernel))
    slices = (window_slice(x, offset, counts, pool) for offset in offsets)
    total = next(slices)
    for piece in slices:
        total = lax.add(total, piece)
    return total


def _sum_windows(x: jax.Array, counts: Sequence[int], pool: Pool) -> jax.Array:
    """Sums each window of the padded x."""
    if math.prod(pool.kernel) <= _SLICED_AT_ONCE:
        return _sum_slices(x, counts, pool)
    lead = x.ndim - 1 - len(counts)
    sizes = list(x.shape[lead:-1])
    for axis in reversed(range(len(counts))):
        one = along_axis(pool, axis)
        sizes[axis] = counts[axis]
        if one.kernel[axis] <= _WIDEST_SLICED:
            x = _sum_slices(x, sizes, one)
        else:  # a program of one operation, however wide the window
            x = lax.slice_in_dim(x, 0, (counts[axis] - 1) * one.stride[axis] + one.kernel[axis], axis=lead + axis)
            x = reduce_window(x, lax.add, 0, one)
    return x


def _divisors(sizes: Sequence[int], counts: Sequence[int], pool: Pool, include_pad: bool) -> np.ndarray:
    """Returns how many elements each window averages over; what hangs over the padding never counts."""
    total = np.ones((), np.int64)
    axes = zip(sizes, counts, pool.kernel, pool.stride, pool.padding, strict=True)
    for size, count, kernel, stride, padding in axes:
        start = np.arange(count) * stride - padding
        end = np.minimum(start + kernel, size + padding)
        width = end - start if include_pad else np.minimum(end, size) - np.maximum(start, 0)
        total = total[..., None] * width
    return total[..., None]


def average_windows(
    x: jax.Array, n: int, pool: Pool, count_include_pad: bool, divisor_override: int | None
) -> jax.Array:
    """Averages each window over `n` spatial axes; `avg_pool2d` says how."""
    sizes, counts = prepare(x, n, pool)
    check_divisor(divisor_override)
    dtype = accumulator(x.dtype)
    padded = pad_spatial(x.astype(dtype), pool, counts, 0)
    whole = partial(reduce_window, operation=lax.add, start=0, pool=pool)
    summed = partial(lax.platform_dependent, cpu=partial(_sum_windows, counts=counts, pool=pool), default=whole)
    total = linearly(padded, summed)
    divisors = _divisors(sizes, counts, pool, count_include_pad)
    if divisor_override is not None or np.all(divisors == divisors.flat[0]):
        one = divisors.flat[0] if divisor_override is None else divisor_override
        return lax.div(total, np.asarray(one, dtype)).astype(x.dtype)
    divisor = lax.expand_dims(np.asarray(divisors, dtype), range(x.ndim - 1 - n))
    return lax.div(total, divisor).astype(x.dtype)


def avg_pool1d(
    x: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Averages each window of a sequence. Equal to `torch.nn.functional.avg_pool1d`.

    Args:
        x: floats of shape (..., T, C); half precision is summed in float32.
        kernel_size: size of the window, in elements: one number.
        stride: step between windows; None is `kernel_size`.
        padding: zeros added at both ends, at most half a window.
        ceil_mode: whether a last window may hang over the end of the input.
        count_include_pad: whether the padding counts in the divisor.

    Output: (..., T_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> avg_pool1d(jnp.array([[1.0], [3.0], [2.0], [0.0]]), 2)[:, 0]
    Array([2., 1.], dtype=float32)
    """
    pool = pool_options(1, kernel_size, stride, padding, 1, ceil_mode)
    return average_windows(x, 1, pool, count_include_pad, None)


def avg_pool2d(
    x: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> jax.Array:
    """Averages each window of a plane. Equal to `torch.nn.functional.avg_pool2d`.

    Args:
        x: floats of shape (..., H, W, C); half precision is summed in float32.
        kernel_size: size of the window, in elements: one number or one per axis.
        stride: step between windows; None is `kernel_size`.
        padding: zeros added at both ends, at most half a window.
        ceil_mode: whether a last window may hang over the end of the input.
        count_include_pad: whether the padding counts in the divisor.
        divisor_override: what to divide the sums by instead.

    Output: (..., H_out, W_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> avg_pool2d(jnp.arange(16.0).reshape(4, 4, 1), 2)[..., 0]
    Array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    pool = pool_options(2, kernel_size, stride, padding, 1, ceil_mode)
    return average_windows(x, 2, pool, count_include_pad, divisor_override)


def avg_pool3d(
    x: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> jax.Array:
    """Averages each window of a volume. Equal to `torch.nn.functional.avg_pool3d`.

    Args:
        x: floats of shape (..., D, H, W, C); half precision is summed in float32.
        kernel_size: size of the window, in elements: one number or one per axis.
        stride: step between windows; None is `kernel_size`.
        padding: zeros added at both ends, at most half a window.
        ceil_mode: whether a last window may hang over the end of the input.
        count_include_pad: whether the padding counts in the divisor.
        divisor_override: what to divide the sums by instead.

    Output: (..., D_out, H_out, W_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> avg_pool3d(jnp.ones((4, 4, 4, 8)), 2).shape
    (2, 2, 2, 8)
    """
    pool = pool_options(3, kernel_size, stride, padding, 1, ceil_mode)
    return average_windows(x, 3, pool, count_include_pad, divisor_override)
