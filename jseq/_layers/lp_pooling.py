"""Norms of windows of one, two and three spatial axes."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.lp_pooling import norm_exponent
from jseq.functional.pool_windows import pool_options

Size = int | tuple[int, ...]


def lp_pooling(n: int, norm_type: float, kernel_size: Size, stride: Size | None, ceil_mode: bool) -> Any:
    """The pair of lp_pool1d, 2d and 3d; `n` is the number of spatial axes."""
    norm_exponent(norm_type)
    pool_options(n, kernel_size, stride, 0, 1, ceil_mode)
    function = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[n - 1]

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return function(x, norm_type, kernel_size, stride, ceil_mode)

    return no_params, apply


@layer
def lp_pool1d(norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False):
    """Takes the p-norm of windows of a sequence: `y = (sum of x**p) ** (1/p)`, for each channel.

    Args:
        norm_type: the exponent p, not 0: 1 is the sum, infinity the largest |x|. As in torch no absolute value
            is taken before a finite power, so with an odd p a negative sum gives NaN.
        kernel_size: size of the window, in steps.
        stride: step of the window; None is `kernel_size`.
        ceil_mode: keeps a last window that hangs over the edge.

    Input: `(..., T, C)`, floating.
    Output: `(..., T', C)`, `T' = (T - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: a norm of 0, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.LPPool1d`; where the sum is 0 the gradient is 0, as there.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.lp_pool1d(2, 2).apply((), jnp.ones((8, 32, 3))).shape
        (8, 16, 3)
    """
    return lp_pooling(1, norm_type, kernel_size, stride, ceil_mode)


@layer
def lp_pool2d(norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False):
    """Takes the p-norm of windows of an image: `y = (sum of x**p) ** (1/p)`, for each channel.

    Args:
        norm_type: the exponent p, not 0: 1 is the sum, infinity the largest |x|. As in torch no absolute value
            is taken before a finite power, so with an odd p a negative sum gives NaN.
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        stride: step of the window; None is `kernel_size`.
        ceil_mode: keeps a last window that hangs over the edge.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., H', W', C)`, `H' = (H - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: a norm of 0, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.LPPool2d`; where the sum is 0 the gradient is 0, as there.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.lp_pool2d(2, 2).apply((), jnp.ones((8, 32, 32, 3))).shape
        (8, 16, 16, 3)
    """
    return lp_pooling(2, norm_type, kernel_size, stride, ceil_mode)


@layer
def lp_pool3d(norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False):
    """Takes the p-norm of windows of a volume: `y = (sum of x**p) ** (1/p)`, for each channel.

    Args:
        norm_type: the exponent p, not 0: 1 is the sum, infinity the largest |x|. As in torch no absolute value
            is taken before a finite power, so with an odd p a negative sum gives NaN.
        kernel_size: size of the window, in voxels; a number, or one for each of D, H and W.
        stride: step of the window; None is `kernel_size`.
        ceil_mode: keeps a last window that hangs over the edge.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., D', H', W', C)`, `D' = (D - kernel_size) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: a norm of 0, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.LPPool3d`; where the sum is 0 the gradient is 0, as there.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.lp_pool3d(2, 2).apply((), jnp.ones((8, 8, 8, 8, 3))).shape
        (8, 4, 4, 4, 3)
    """
    return lp_pooling(3, norm_type, kernel_size, stride, ceil_mode)
