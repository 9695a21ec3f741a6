"""Pooling over all of a sequence, plane or volume."""

import jax
from jax import lax

from jseq.functional.adaptive_max_pooling import adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d
from jseq.functional.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d


def global_avg_pool1d(x: jax.Array) -> jax.Array:
    """Averages over a sequence, without its axes: `adaptive_avg_pool1d(x, 1)` squeezed.

    Args:
        x: floats of shape (..., T, C).

    Output: (..., C).

    Raises:
        ShapeError, DtypeError: x of too few axes, without elements, or of integers.

    >>> import jax.numpy as jnp
    >>> global_avg_pool1d(jnp.ones((4, 8))).shape
    (8,)
    """
    return lax.squeeze(adaptive_avg_pool1d(x, 1), range(x.ndim - 2, x.ndim - 1))


def global_avg_pool2d(x: jax.Array) -> jax.Array:
    """Averages over a plane, without its axes: `adaptive_avg_pool2d(x, 1)` squeezed.

    Args:
        x: floats of shape (..., H, W, C).

    Output: (..., C).

    Raises:
        ShapeError, DtypeError: x of too few axes, without elements, or of integers.

    >>> import jax.numpy as jnp
    >>> global_avg_pool2d(jnp.ones((4, 4, 8))).shape
    (8,)
    """
    return lax.squeeze(adaptive_avg_pool2d(x, 1), range(x.ndim - 3, x.ndim - 1))


def global_avg_pool3d(x: jax.Array) -> jax.Array:
    """Averages over a volume, without its axes: `adaptive_avg_pool3d(x, 1)` squeezed.

    Args:
        x: floats of shape (..., D, H, W, C).

    Output: (..., C).

    Raises:
        ShapeError, DtypeError: x of too few axes, without elements, or of integers.

    >>> import jax.numpy as jnp
    >>> global_avg_pool3d(jnp.ones((4, 4, 4, 8))).shape
    (8,)
    """
    return lax.squeeze(adaptive_avg_pool3d(x, 1), range(x.ndim - 4, x.ndim - 1))


def global_max_pool1d(x: jax.Array) -> jax.Array:
    """Takes the maximum of a sequence, without its axes: `adaptive_max_pool1d(x, 1)` squeezed.

    Args:
        x: floats of shape (..., T, C).

    Output: (..., C).

    Raises:
        ShapeError, DtypeError: x of too few axes, without elements, or of integers.

    >>> import jax.numpy as jnp
    >>> global_max_pool1d(jnp.ones((4, 8))).shape
    (8,)
    """
    return lax.squeeze(adaptive_max_pool1d(x, 1), range(x.ndim - 2, x.ndim - 1))


def global_max_pool2d(x: jax.Array) -> jax.Array:
    """Takes the maximum of a plane, without its axes: `adaptive_max_pool2d(x, 1)` squeezed.

    Args:
        x: floats of shape (..., H, W, C).

    Output: (..., C).

    Raises:
        ShapeError, DtypeError: x of too few axes, without elements, or of integers.

    >>> import jax.numpy as jnp
    >>> global_max_pool2d(jnp.ones((4, 4, 8))).shape
    (8,)
    """
    return lax.squeeze(adaptive_max_pool2d(x, 1), range(x.ndim - 3, x.ndim - 1))


def global_max_pool3d(x: jax.Array) -> jax.Array:
    """Takes the maximum of a volume, without its axes: `adaptive_max_pool3d(x, 1)` squeezed.

    Args:
        x: floats of shape (..., D, H, W, C).

    Output: (..., C).

    Raises:
        ShapeError, DtypeError: x of too few axes, without elements, or of integers.

    >>> import jax.numpy as jnp
    >>> global_max_pool3d(jnp.ones((4, 4, 4, 8))).shape
    (8,)
    """
    return lax.squeeze(adaptive_max_pool3d(x, 1), range(x.ndim - 4, x.ndim - 1))
