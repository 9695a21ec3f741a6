"""Max pooling over windows, channels-last, with the arithmetic of torch."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.functional.max_windows import first_maximum, flat_indices, reduce_windows
from jseq.functional.pool_windows import Pool, Size, pad_spatial, pool_options, prepare, reduce_window


def _max_pool(x: jax.Array, n: int, pool: Pool, return_indices: bool) -> Any:
    _, counts = prepare(x, n, pool)
    arrays = (pad_spatial(x, pool, counts, -jnp.inf),)
    if return_indices:
        arrays = (*arrays, pad_spatial(flat_indices(x, n), pool, counts, -1))
        return reduce_windows(first_maximum, arrays, counts, pool)

    def sliced(x: jax.Array) -> jax.Array:
        return reduce_windows(first_maximum, (x,), counts, pool)[0]

    # Of windows that overlap, slices took 1.2 to 1.4 of reduce_window's time on an H200, of others 0.6. (Of dilated
    # windows reduce_window has no gradient, and of float64 XLA:GPU packs half of the bits beside the tangent's.)
    if not pool.overlapping or any(d > 1 for d in pool.dilation) or arrays[0].dtype.itemsize > 4:
        return sliced(arrays[0])
    whole = partial(reduce_window, operation=lax.max, start=-np.inf, pool=pool)
    return lax.platform_dependent(arrays[0], cpu=sliced, default=whole)


def max_pool1d(
    x: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes the largest element of each window of a sequence.

    Equal to `torch.nn.functional.max_pool1d`: of equal elements the first gets the gradient, and NaN wins.

    Args:
        x: floats of shape (..., T, C).
        kernel_size: size of the window, in elements: one number.
        stride: step between windows; None is `kernel_size`.
        padding: elements of -inf added at both ends, at most half a window.
        dilation: step between the elements of a window.
        ceil_mode: whether a last window may hang over the end of the input.
        return_indices: whether to return also where each maximum was.

    Output: (..., T_out, C), or (values, int32 indices in the flattened axis of each channel).

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> max_pool1d(jnp.array([[1.0], [3.0], [2.0], [0.0]]), 2)[:, 0]
    Array([3., 2.], dtype=float32)
    """
    pool = pool_options(1, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(x, 1, pool, return_indices)


def max_pool2d(
    x: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes the largest element of each window over the last two axes before the channels.

    Equal to `torch.nn.functional.max_pool2d`: of equal elements the first gets the gradient, and NaN wins.

    Args:
        x: floats of shape (..., H, W, C).
        kernel_size: size of the window, in elements: one number or one per axis.
        stride: step between windows; None is `kernel_size`.
        padding: elements of -inf added at both ends, at most half a window.
        dilation: step between the elements of a window.
        ceil_mode: whether a last window may hang over the end of the input.
        return_indices: whether to return also where each maximum was.

    Output: (..., H_out, W_out, C), or (values, int32 indices in the flattened plane of each channel).

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> max_pool2d(jnp.arange(16.0).reshape(4, 4, 1), 2)[..., 0]
    Array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    pool = pool_options(2, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(x, 2, pool, return_indices)


def max_pool3d(
    x: jax.Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes the largest element of each window over the last three axes before the channels.

    Equal to `torch.nn.functional.max_pool3d`: of equal elements the first gets the gradient, and NaN wins.

    Args:
        x: floats of shape (..., D, H, W, C).
        kernel_size: size of the window, in elements: one number or one per axis.
        stride: step between windows; None is `kernel_size`.
        padding: elements of -inf added at both ends, at most half a window.
        dilation: step between the elements of a window.
        ceil_mode: whether a last window may hang over the end of the input.
        return_indices: whether to return also where each maximum was.

    Output: (..., D_out, H_out, W_out, C), or (values, int32 indices in the flattened volume of each channel).

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> max_pool3d(jnp.ones((4, 4, 4, 8)), 2).shape
    (2, 2, 2, 8)
    """
    pool = pool_options(3, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(x, 3, pool, return_indices)
