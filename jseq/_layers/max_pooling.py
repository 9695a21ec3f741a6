"""Maxima over windows of one, two and three spatial axes."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.pool_windows import pool_options

Size = int | tuple[int, ...]


def max_pooling(
    n: int,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    return_indices: bool,
    ceil_mode: bool,
) -> Any:
    """The pair of max_pool1d, 2d and 3d; `n` is the number of spatial axes."""
    pool_options(n, kernel_size, stride, padding, dilation, ceil_mode)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]

    def apply(params: tuple[()], x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return function(x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)

    return no_params, apply


@layer
def max_pool1d(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    return_indices: bool = False,
    ceil_mode: bool = False,
):
    """Takes the maximum over windows of a sequence, for each channel.

    Args:
        kernel_size: size of the window, in steps.
        stride: step of the window; None is `kernel_size`.
        padding: steps of minus infinity around the sequence, at most half the window.
        dilation: distance between the window's steps.
        return_indices: also returns where each maximum stands in the flattened sequence: `(y, indices)`.
        ceil_mode: keeps a last window that hangs over the edge.

    Input: `(..., T, C)`, floating.
    Output: `(..., T', C)`, `T' = (T + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.MaxPool1d`; at ties the first maximum gets the gradient, as there.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.max_pool1d(2).apply((), jnp.ones((8, 32, 3))).shape
        (8, 16, 3)
    """
    return max_pooling(1, kernel_size, stride, padding, dilation, return_indices, ceil_mode)


@layer
def max_pool2d(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    return_indices: bool = False,
    ceil_mode: bool = False,
):
    """Takes the maximum over windows of an image, for each channel.

    Args:
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        stride: step of the window; None is `kernel_size`.
        padding: pixels of minus infinity around the image, at most half the window.
        dilation: distance between the window's pixels.
        return_indices: also returns where each maximum stands in the flattened image: `(y, indices)`.
        ceil_mode: keeps a last window that hangs over the edge.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., H', W', C)`, `H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.MaxPool2d`; at ties the first maximum gets the gradient, as there.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.max_pool2d(2).apply((), jnp.ones((8, 32, 32, 3))).shape
        (8, 16, 16, 3)
    """
    return max_pooling(2, kernel_size, stride, padding, dilation, return_indices, ceil_mode)


@layer
def max_pool3d(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    return_indices: bool = False,
    ceil_mode: bool = False,
):
    """Takes the maximum over windows of a volume, for each channel.

    Args:
        kernel_size: size of the window, in voxels; a number, or one for each of D, H and W.
        stride: step of the window; None is `kernel_size`.
        padding: voxels of minus infinity around the volume, at most half the window.
        dilation: distance between the window's voxels.
        return_indices: also returns where each maximum stands in the flattened volume: `(y, indices)`.
        ceil_mode: keeps a last window that hangs over the edge.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., D', H', W', C)`, `D' = (D + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.MaxPool3d`; at ties the first maximum gets the gradient, as there.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.max_pool3d(2).apply((), jnp.ones((8, 8, 8, 8, 3))).shape
        (8, 4, 4, 4, 3)
    """
    return max_pooling(3, kernel_size, stride, padding, dilation, return_indices, ceil_mode)
