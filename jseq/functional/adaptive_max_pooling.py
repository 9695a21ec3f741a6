"""Max pooling to a given size with the variable windows of torch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jseq.functional.adaptive_pooling import OutputSize, adaptive_counts, adaptive_windows
from jseq.functional.max_windows import Arrays, first_maximum, flat_indices, reduce_windows
from jseq.functional.pool_windows import pool_options
from jseq.functional.resample import resample


def _maximum_axis(arrays: Arrays, axis: int, count: int) -> Arrays:
    """Takes the maximum of the windows of one axis; they differ by one or two elements in width."""
    start, end = adaptive_windows(arrays[0].shape[axis], count)
    width = int((end - start).max())
    # A window that is too narrow reads its last element again, and the first of equals stays.
    reads = np.minimum(start[:, None] + np.arange(width), end[:, None] - 1).reshape(-1)
    one_hot = (reads[:, None] == np.arange(arrays[0].shape[axis])).astype(np.float64)
    values = resample(arrays[0], axis, one_hot)
    taken = (values, *(jnp.take(a, reads, axis=axis, mode="clip") for a in arrays[1:]))
    shape_after = (count, *values.shape[axis + 1 : -1])
    n = arrays[0].ndim - 1 - axis
    return reduce_windows(first_maximum, taken, shape_after, pool_options(n, (width,) + (1,) * (n - 1)))


def _adaptive_max(x: jax.Array, n: int, output_size: OutputSize, return_indices: bool) -> Any:
    counts, sizes = adaptive_counts(x, n, output_size), x.shape[-1 - n : -1]
    arrays = (x, flat_indices(x, n)) if return_indices else (x,)
    if all(size % count == 0 for size, count in zip(sizes, counts, strict=True)):
        kernel = [size // count for size, count in zip(sizes, counts, strict=True)]
        arrays = reduce_windows(first_maximum, arrays, counts, pool_options(n, kernel))
    else:
        for i, count in reversed(list(enumerate(counts))):
            arrays = _maximum_axis(arrays, x.ndim - 1 - n + i, count)
    return arrays if return_indices else arrays[0]


def adaptive_max_pool1d(x: jax.Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """Takes maxima of a sequence down to a given size. Equal to `torch.nn.functional.adaptive_max_pool1d`.

    Window i reaches from floor(i * in / out) to ceil((i + 1) * in / out).

    Args:
        x: floats of shape (..., T, C).
        output_size: the size after pooling, in elements: one number; None keeps it.
        return_indices: whether to return also where each maximum was.

    Output: (..., T_out, C), or (values, int32 indices in the flattened axis of
        each channel).

    Raises:
        OptionError, ShapeError, DtypeError: a size that cannot be, x of too few axes or of integers.

    >>> adaptive_max_pool1d(jnp.array([[1.0], [2.0], [6.0]]), 2)[:, 0]
    Array([2., 6.], dtype=float32)
    """
    return _adaptive_max(x, 1, output_size, return_indices)


def adaptive_max_pool2d(x: jax.Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """Takes maxima of a plane down to a given size. Equal to `torch.nn.functional.adaptive_max_pool2d`.

    Window i reaches from floor(i * in / out) to ceil((i + 1) * in / out).

    Args:
        x: floats of shape (..., H, W, C).
        output_size: the size after pooling, in elements: one number or one per axis; None keeps it.
        return_indices: whether to return also where each maximum was.

    Output: (..., H_out, W_out, C), or (values, int32 indices in the flattened plane of
        each channel).

    Raises:
        OptionError, ShapeError, DtypeError: a size that cannot be, x of too few axes or of integers.

    >>> adaptive_max_pool2d(jnp.arange(9.0).reshape(3, 3, 1), 1).ravel()
    Array([8.], dtype=float32)
    """
    return _adaptive_max(x, 2, output_size, return_indices)


def adaptive_max_pool3d(x: jax.Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """Takes maxima of a volume down to a given size. Equal to `torch.nn.functional.adaptive_max_pool3d`.

    Window i reaches from floor(i * in / out) to ceil((i + 1) * in / out).

    Args:
        x: floats of shape (..., D, H, W, C).
        output_size: the size after pooling, in elements: one number or one per axis; None keeps it.
        return_indices: whether to return also where each maximum was.

    Output: (..., D_out, H_out, W_out, C), or (values, int32 indices in the flattened volume of
        each channel).

    Raises:
        OptionError, ShapeError, DtypeError: a size that cannot be, x of too few axes or of integers.

    >>> adaptive_max_pool3d(jnp.ones((3, 4, 5, 8)), (None, 2, 2)).shape
    (3, 2, 2, 8)
    """
    return _adaptive_max(x, 3, output_size, return_indices)
