"""Means and maxima over all of a sequence, image or volume."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params


@layer
def global_avg_pool1d():
    """Takes the mean over all of a sequence, for each channel, and drops its axes.

    Input: `(..., T, C)`, floating.
    Output: `(..., C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        DtypeError: x is not floating.

    torch writes it as `AdaptiveAvgPool1d(1)` and `Flatten`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.global_avg_pool1d().apply((), jnp.ones((8, 32, 3))).shape
        (8, 3)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.global_avg_pool1d(x)

    return no_params, apply


@layer
def global_avg_pool2d():
    """Takes the mean over all of an image, for each channel, and drops its axes.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        DtypeError: x is not floating.

    torch writes it as `AdaptiveAvgPool2d(1)` and `Flatten`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.global_avg_pool2d().apply((), jnp.ones((8, 32, 32, 3))).shape
        (8, 3)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.global_avg_pool2d(x)

    return no_params, apply


@layer
def global_avg_pool3d():
    """Takes the mean over all of a volume, for each channel, and drops its axes.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        DtypeError: x is not floating.

    torch writes it as `AdaptiveAvgPool3d(1)` and `Flatten`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.global_avg_pool3d().apply((), jnp.ones((8, 8, 8, 8, 3))).shape
        (8, 3)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.global_avg_pool3d(x)

    return no_params, apply


@layer
def global_max_pool1d():
    """Takes the maximum over all of a sequence, for each channel, and drops its axes.

    Input: `(..., T, C)`, floating.
    Output: `(..., C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        DtypeError: x is not floating.

    torch writes it as `AdaptiveMaxPool1d(1)` and `Flatten`; at ties the first maximum gets the gradient.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.global_max_pool1d().apply((), jnp.ones((8, 32, 3))).shape
        (8, 3)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.global_max_pool1d(x)

    return no_params, apply


@layer
def global_max_pool2d():
    """Takes the maximum over all of an image, for each channel, and drops its axes.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        DtypeError: x is not floating.

    torch writes it as `AdaptiveMaxPool2d(1)` and `Flatten`; at ties the first maximum gets the gradient.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.global_max_pool2d().apply((), jnp.ones((8, 32, 32, 3))).shape
        (8, 3)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.global_max_pool2d(x)

    return no_params, apply


@layer
def global_max_pool3d():
    """Takes the maximum over all of a volume, for each channel, and drops its axes.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        DtypeError: x is not floating.

    torch writes it as `AdaptiveMaxPool3d(1)` and `Flatten`; at ties the first maximum gets the gradient.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.global_max_pool3d().apply((), jnp.ones((8, 8, 8, 8, 3))).shape
        (8, 3)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.global_max_pool3d(x)

    return no_params, apply
