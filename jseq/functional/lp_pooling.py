"""Power-average pooling over windows, channels-last, with the arithmetic of torch."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import OptionError
from jseq.functional.average_pooling import accumulator, average_windows
from jseq.functional.pool_windows import Pool, Size, pool_options, prepare
from jseq.functional.pooling import max_pool1d, max_pool2d, max_pool3d


def norm_exponent(norm_type: float) -> float:
    """Returns the exponent of a power-average pooling, checked.

    >>> norm_exponent(2)
    2
    """
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float)) or not abs(norm_type) > 0:
        raise OptionError(f"norm_type must be a number other than 0, got {norm_type!r}.")
    return int(norm_type) if math.isfinite(norm_type) and norm_type == int(norm_type) else norm_type


def _lp_pool(x: jax.Array, n: int, norm_type: float, pool: Pool) -> jax.Array:
    exponent = norm_exponent(norm_type)
    prepare(x, n, pool)
    if math.isinf(exponent):
        largest = (max_pool1d, max_pool2d, max_pool3d)[n - 1]
        # not jnp.abs, whose gradient at 0 is 1; torch's is 0
        magnitude = x * lax.stop_gradient(jnp.sign(x))
        y = magnitude if exponent > 0 else -magnitude
        y = largest(y, pool.kernel, pool.stride, ceil_mode=pool.ceil_mode)
        return y if exponent > 0 else -y
    powers = x.astype(accumulator(x.dtype)) ** exponent
    total = average_windows(powers, n, pool, True, None) * math.prod(pool.kernel)
    # the root has an infinite slope at 0, where torch defines the gradient as 0
    zero = total == 0
    root = jnp.where(zero, jnp.ones_like(total), total) ** (1.0 / exponent)
    limit = jnp.full_like(total, 0.0 if exponent > 0 else math.inf)
    return jnp.where(zero, limit, root).astype(x.dtype)


def lp_pool1d(
    x: jax.Array,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes `(sum of x**p) ** (1/p)` over each window of a sequence; p = inf takes the largest `|x|`.

    Args:
        x: floats of shape (..., T, C).
        norm_type: the exponent p, not 0; as in torch no absolute value is taken unless it is infinite.
        kernel_size: size of the window, in elements: one number.
        stride: step between windows; None is `kernel_size`.
        ceil_mode: whether a last window may hang over the end of the input.

    Output: (..., T_out, C). Where the sum is 0, so is the gradient, as in torch.

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> lp_pool1d(jnp.array([[3.0], [4.0]]), 2, 2)
    Array([[5.]], dtype=float32)
    """
    return _lp_pool(x, 1, norm_type, pool_options(1, kernel_size, stride, ceil_mode=ceil_mode))


def lp_pool2d(
    x: jax.Array,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes `(sum of x**p) ** (1/p)` over each window of a plane; p = inf takes the largest `|x|`.

    Args:
        x: floats of shape (..., H, W, C).
        norm_type: the exponent p, not 0; as in torch no absolute value is taken unless it is infinite.
        kernel_size: size of the window, in elements: one number or one per axis.
        stride: step between windows; None is `kernel_size`.
        ceil_mode: whether a last window may hang over the end of the input.

    Output: (..., H_out, W_out, C). Where the sum is 0, so is the gradient, as in torch.

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> lp_pool2d(jnp.ones((4, 4, 1)), 2, 2)[..., 0]
    Array([[2., 2.],
           [2., 2.]], dtype=float32)
    """
    return _lp_pool(x, 2, norm_type, pool_options(2, kernel_size, stride, ceil_mode=ceil_mode))


def lp_pool3d(
    x: jax.Array,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> jax.Array:
    """Takes `(sum of x**p) ** (1/p)` over each window of a volume; p = inf takes the largest `|x|`.

    Args:
        x: floats of shape (..., D, H, W, C).
        norm_type: the exponent p, not 0; as in torch no absolute value is taken unless it is infinite.
        kernel_size: size of the window, in elements: one number or one per axis.
        stride: step between windows; None is `kernel_size`.
        ceil_mode: whether a last window may hang over the end of the input.

    Output: (..., D_out, H_out, W_out, C). Where the sum is 0, so is the gradient, as in torch.

    Raises:
        OptionError, ShapeError, DtypeError: an option that cannot be, x too small or of integers.

    >>> lp_pool3d(jnp.ones((4, 4, 4, 8)), 2, 2).shape
    (2, 2, 2, 8)
    """
    return _lp_pool(x, 3, norm_type, pool_options(3, kernel_size, stride, ceil_mode=ceil_mode))
