"""Pooling to a given size with the variable windows of torch, and over whole planes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jseq.errors import ShapeError, describe, expect_float, expect_rank
from jseq.functional.average_pooling import accumulator, average_windows
from jseq.functional.pool_windows import FORMS, pool_options
from jseq.functional.resample import resample
from jseq.functional.windows import per_axis

OutputSize = int | None | Sequence[int | None]


def output_sizes(output_size: OutputSize, n: int) -> tuple[int | None, ...]:
    """Returns the size wanted on each of `n` axes; None keeps it.

    Raises:
        OptionError: a size that is no integer, is less than one, or there is not one for each axis.

    >>> output_sizes((None, 3), 2), output_sizes(1, 2)
    ((None, 3), (1, 1))
    """
    many = isinstance(output_size, (list, tuple))
    sizes: Sequence[int | None] = output_size if many else (output_size,) * n  # type: ignore[assignment]
    numbers = per_axis([1 if s is None else s for s in sizes], n, "output_size")
    return tuple(None if s is None else number for s, number in zip(sizes, numbers, strict=True))


def adaptive_counts(x: jax.Array, n: int, output_size: OutputSize) -> tuple[int, ...]:
    """Checks x and returns the size after pooling on each axis."""
    wanted = output_sizes(output_size, n)
    expect_rank(x, n + 1, FORMS[n])
    expect_float(x)
    sizes = x.shape[-1 - n : -1]
    if any(size < 1 for size in sizes):
        raise ShapeError(f"expected x of shape {FORMS[n]} with elements on each axis, got {describe(x)}.")
    return tuple(size if count is None else count for size, count in zip(sizes, wanted, strict=True))


def adaptive_windows(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each window starts and ends: floor(i size / count) to ceil((i + 1) size / count)."""
    i = np.arange(count)
    return i * size // count, -(-(i + 1) * size // count)


def _mean_axis(x: jax.Array, axis: int, count: int) -> jax.Array:
    """Averages the windows of one axis."""
    size = x.shape[axis]
    start, end = (v[:, None] for v in adaptive_windows(size, count))
    inside = (np.arange(size) >= start) & (np.arange(size) < end)
    return x if size == count else resample(x, axis, inside / (end - start))


def adaptive_average(x: jax.Array, n: int, counts: Sequence[int]) -> jax.Array:
    """Averages windows that cover `n` axes evenly; `adaptive_avg_pool2d` says how."""
    sizes, lead = x.shape[-1 - n : -1], x.ndim - 1 - n
    y = x.astype(accumulator(x.dtype))
    if all(count == 1 for count in counts):
        return jnp.mean(y, axis=tuple(range(lead, x.ndim - 1)), keepdims=True).astype(x.dtype)
    if all(size % count == 0 for size, count in zip(sizes, counts, strict=True)):
        kernel = [size // count for size, count in zip(sizes, counts, strict=True)]
        return average_windows(x, n, pool_options(n, kernel), True, None)
    for i, count in reversed(list(enumerate(counts))):
        y = _mean_axis(y, lead + i, count)
    return y.astype(x.dtype)


def adaptive_avg_pool1d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Averages a sequence down to a given size. Equal to `torch.nn.functional.adaptive_avg_pool1d`.

    Window i reaches from floor(i * in / out) to ceil((i + 1) * in / out).

    Args:
        x: floats of shape (..., T, C); half precision is summed in float32.
        output_size: the size after pooling, in elements: one number; None keeps it.

    Output: (..., T_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: a size that cannot be, x of too few axes or of integers.

    >>> adaptive_avg_pool1d(jnp.array([[1.0], [2.0], [6.0]]), 2)[:, 0]
    Array([1.5, 4. ], dtype=float32)
    """
    return adaptive_average(x, 1, adaptive_counts(x, 1, output_size))


def adaptive_avg_pool2d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Averages a plane down to a given size. Equal to `torch.nn.functional.adaptive_avg_pool2d`.

    Window i reaches from floor(i * in / out) to ceil((i + 1) * in / out).

    Args:
        x: floats of shape (..., H, W, C); half precision is summed in float32.
        output_size: the size after pooling, in elements: one number or one per axis; None keeps it.

    Output: (..., H_out, W_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: a size that cannot be, x of too few axes or of integers.

    >>> adaptive_avg_pool2d(jnp.arange(9.0).reshape(3, 3, 1), 1).ravel()
    Array([4.], dtype=float32)
    """
    return adaptive_average(x, 2, adaptive_counts(x, 2, output_size))


def adaptive_avg_pool3d(x: jax.Array, output_size: OutputSize) -> jax.Array:
    """Averages a volume down to a given size. Equal to `torch.nn.functional.adaptive_avg_pool3d`.

    Window i reaches from floor(i * in / out) to ceil((i + 1) * in / out).

    Args:
        x: floats of shape (..., D, H, W, C); half precision is summed in float32.
        output_size: the size after pooling, in elements: one number or one per axis; None keeps it.

    Output: (..., D_out, H_out, W_out, C).

    Raises:
        OptionError, ShapeError, DtypeError: a size that cannot be, x of too few axes or of integers.

    >>> adaptive_avg_pool3d(jnp.ones((3, 4, 5, 8)), (None, 2, 2)).shape
    (3, 2, 2, 8)
    """
    return adaptive_average(x, 3, adaptive_counts(x, 3, output_size))
