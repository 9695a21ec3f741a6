"""Partial inverses of max pooling."""

from typing import Any

import jax

from jseq import functional as F
from jseq._layers.pairs import two_arrays
from jseq.core import layer, no_params
from jseq.functional.pool_windows import pool_options
from jseq.functional.windows import per_axis

Size = int | tuple[int, ...]


def unpooling(n: int, kernel_size: Size, stride: Size | None, padding: Size, output_size: Size | None) -> Any:
    """The pair of max_unpool1d, 2d and 3d; `n` is the number of spatial axes."""
    pool_options(n, kernel_size, stride, padding)
    if output_size is not None:
        per_axis(output_size, n, "output_size")
    function = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[n - 1]

    def apply(params: tuple[()], x: Any) -> jax.Array:
        return function(*two_arrays(x), kernel_size, stride, padding, output_size)

    return no_params, apply


@layer
def max_unpool1d(kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, output_size: Size | None = None):
    """Puts maxima back to where they were in a sequence, and 0 elsewhere: `y[indices[i]] = x[i]`, for each channel.

    Args:
        kernel_size: size of the window of the pooling to undo, in steps.
        stride: its step; None is `kernel_size`.
        padding: its padding.
        output_size: size of y, less than a stride away from the one below, where the stride leaves it open
            (torch takes it in the call).

    Input: `(x, indices)`, as `max_pool1d(..., return_indices=True)` returns them: both `(..., T, C)`,
        x floating, indices integers into the flattened sequence.
    Output: `(..., T', C)`, `T' = (T - 1) stride - 2 padding + kernel_size`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or indices have another shape.
        OptionError: padding above half the window, a size below 1, an output size too far away.
        DtypeError: x is no pair, x is not floating, indices are no integers.

    Follows `torch.nn.MaxUnpool1d`; an index beyond y is ignored (torch raises an error).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> pool = jseq.max_pool1d(2, return_indices=True)
        >>> jseq.max_unpool1d(2).apply((), pool.apply((), jnp.ones((8, 32, 3)))).shape
        (8, 32, 3)
    """
    return unpooling(1, kernel_size, stride, padding, output_size)


@layer
def max_unpool2d(kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, output_size: Size | None = None):
    """Puts maxima back to where they were in an image, and 0 elsewhere: `y[indices[i]] = x[i]`, for each channel.

    Args:
        kernel_size: size of the window of the pooling to undo, in pixels; a number, or one for each of H and W.
        stride: its step; None is `kernel_size`.
        padding: its padding.
        output_size: size of y, less than a stride away from the one below, where the stride leaves it open
            (torch takes it in the call).

    Input: `(x, indices)`, as `max_pool2d(..., return_indices=True)` returns them: both `(..., H, W, C)`,
        x floating, indices integers into the flattened image.
    Output: `(..., H', W', C)`, `H' = (H - 1) stride - 2 padding + kernel_size`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or indices have another shape.
        OptionError: padding above half the window, a size below 1, an output size too far away.
        DtypeError: x is no pair, x is not floating, indices are no integers.

    Follows `torch.nn.MaxUnpool2d`; an index beyond y is ignored (torch raises an error).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> pool = jseq.max_pool2d(2, return_indices=True)
        >>> jseq.max_unpool2d(2).apply((), pool.apply((), jnp.ones((8, 4, 4, 3)))).shape
        (8, 4, 4, 3)
    """
    return unpooling(2, kernel_size, stride, padding, output_size)


@layer
def max_unpool3d(kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, output_size: Size | None = None):
    """Puts maxima back to where they were in a volume, and 0 elsewhere: `y[indices[i]] = x[i]`, for each channel.

    Args:
        kernel_size: size of the window of the pooling to undo, in voxels; a number, or one for each of D, H and W.
        stride: its step; None is `kernel_size`.
        padding: its padding.
        output_size: size of y, less than a stride away from the one below, where the stride leaves it open
            (torch takes it in the call).

    Input: `(x, indices)`, as `max_pool3d(..., return_indices=True)` returns them: both `(..., D, H, W, C)`,
        x floating, indices integers into the flattened volume.
    Output: `(..., D', H', W', C)`, `D' = (D - 1) stride - 2 padding + kernel_size`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or indices have another shape.
        OptionError: padding above half the window, a size below 1, an output size too far away.
        DtypeError: x is no pair, x is not floating, indices are no integers.

    Follows `torch.nn.MaxUnpool3d`; an index beyond y is ignored (torch raises an error).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> pool = jseq.max_pool3d(2, return_indices=True)
        >>> jseq.max_unpool3d(2).apply((), pool.apply((), jnp.ones((8, 4, 4, 4, 3)))).shape
        (8, 4, 4, 4, 3)
    """
    return unpooling(3, kernel_size, stride, padding, output_size)
