"""Means over windows of one, two and three spatial axes."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.average_pooling import check_divisor
from jseq.functional.pool_windows import pool_options

Size = int | tuple[int, ...]


def average_pooling(
    n: int,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The pair of avg_pool1d, 2d and 3d; `n` is the number of spatial axes."""
    pool_options(n, kernel_size, stride, padding, 1, ceil_mode)
    check_divisor(divisor_override)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        if n == 1:
            return F.avg_pool1d(x, kernel_size, stride, padding, ceil_mode, count_include_pad)
        function = F.avg_pool2d if n == 2 else F.avg_pool3d
        return function(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    return no_params, apply


@layer
def avg_pool1d(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
):
    """Takes the mean over windows of a sequence, for each channel.

    Args:
        kernel_size: size of the window, in steps.
        stride: step of the window; None is `kernel_size`.
        padding: steps of zero around the sequence, at most half the window.
        ceil_mode: keeps a last window that hangs over the edge.
        count_include_pad: whether the padding counts in the mean.

    Input: `(..., T, C)`, floating.
    Output: `(..., T', C)`, `T' = (T + 2 padding - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AvgPool1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.avg_pool1d(2).apply((), jnp.ones((8, 32, 3))).shape
        (8, 16, 3)
    """
    return average_pooling(1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@layer
def avg_pool2d(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
):
    """Takes the mean over windows of an image, for each channel.

    Args:
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        stride: step of the window; None is `kernel_size`.
        padding: pixels of zero around the image, at most half the window.
        ceil_mode: keeps a last window that hangs over the edge.
        count_include_pad: whether the padding counts in the mean.
        divisor_override: divides the sum by this instead of the number of pixels; not 0.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., H', W', C)`, `H' = (H + 2 padding - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1, a divisor of 0.
        DtypeError: x is not floating.

    Follows `torch.nn.AvgPool2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.avg_pool2d(2).apply((), jnp.ones((8, 32, 32, 3))).shape
        (8, 16, 16, 3)
    """
    return average_pooling(2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@layer
def avg_pool3d(
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
):
    """Takes the mean over windows of a volume, for each channel.

    Args:
        kernel_size: size of the window, in voxels; a number, or one for each of D, H and W.
        stride: step of the window; None is `kernel_size`.
        padding: voxels of zero around the volume, at most half the window.
        ceil_mode: keeps a last window that hangs over the edge.
        count_include_pad: whether the padding counts in the mean.
        divisor_override: divides the sum by this instead of the number of voxels; not 0.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., D', H', W', C)`, `D' = (D + 2 padding - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1, a divisor of 0.
        DtypeError: x is not floating.

    Follows `torch.nn.AvgPool3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.avg_pool3d(2).apply((), jnp.ones((8, 8, 8, 8, 3))).shape
        (8, 4, 4, 4, 3)
    """
    return average_pooling(3, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
