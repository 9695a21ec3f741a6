"""Pooling over windows."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.pool_windows import pool_options

Size = int | tuple[int, ...]


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
    pool_options(2, kernel_size, stride, padding, dilation, ceil_mode)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)

    return no_params, apply


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
        divisor_override: divides the sum by this instead of the number of pixels.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., H', W', C)`, `H' = (H + 2 padding - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: padding above half the window, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AvgPool2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.avg_pool2d(2).apply((), jnp.ones((8, 32, 32, 3))).shape
        (8, 16, 16, 3)
    """
    pool_options(2, kernel_size, stride, padding, 1, ceil_mode)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    return no_params, apply
