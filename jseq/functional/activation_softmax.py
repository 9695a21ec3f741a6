"""Softmax and its relatives. They run in float32 for half-precision input."""

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import ShapeError, describe, expect_rank
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen


def check_axis(x: jax.Array, dim: int) -> None:
    """Refuses an axis that x does not have."""
    if not -x.ndim <= dim < x.ndim:
        raise ShapeError(
            f"expected x with an axis {dim}, got {describe(x)}. Choose dim from {-x.ndim} to {x.ndim - 1}."
            if x.ndim
            else f"expected x with an axis {dim}, got {describe(x)}. Add one: x[None]."
        )


def _shift(x: jax.Array, dim: int) -> jax.Array:
    # The result does not depend on the shift, so it needs no derivative. `initial` allows an empty axis.
    return x - lax.stop_gradient(jnp.max(x, axis=dim, keepdims=True, initial=-jnp.inf))


def softmax(x: jax.Array, dim: int = -1) -> jax.Array:
    """Turns scores into probabilities: y_i = exp(x_i) / sum_j exp(x_j) along one axis.

    Args: dim: the axis; the last by default (torch has no default).
    Input: (...), floating. Output: the same shape and dtype.
    Raises: ShapeError if x has no such axis; DtypeError for integers.
    Follows `torch.nn.functional.softmax`.

    >>> softmax(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    x = floating(x)
    check_axis(x, dim)
    e = jnp.exp(_shift(widen(x), dim))
    return (e / jnp.sum(e, axis=dim, keepdims=True)).astype(x.dtype)


def log_softmax(x: jax.Array, dim: int = -1) -> jax.Array:
    """Takes the logarithm of the softmax: y_i = x_i - log(sum_j exp(x_j)) along one axis.

    Args: dim: the axis; the last by default (torch has no default).
    Input: (...), floating. Output: the same shape and dtype.
    Raises: ShapeError if x has no such axis; DtypeError for integers.
    Follows `torch.nn.functional.log_softmax`.

    >>> log_softmax(jnp.array([0.0, -1e4])).tolist()
    [0.0, -10000.0]
    """
    x = floating(x)
    check_axis(x, dim)
    shifted = _shift(widen(x), dim)
    total = jnp.sum(jnp.exp(shifted), axis=dim, keepdims=True)
    return (shifted - jnp.log(total)).astype(x.dtype)


def softmin(x: jax.Array, dim: int = -1) -> jax.Array:
    """Turns costs into probabilities: y_i = exp(-x_i) / sum_j exp(-x_j) along one axis.

    Args: dim: the axis; the last by default (torch has no default).
    Input: (...), floating. Output: the same shape and dtype.
    Raises: ShapeError if x has no such axis; DtypeError for integers.
    Follows `torch.nn.functional.softmin`.

    >>> softmin(jnp.array([0.0, 1e4])).tolist()
    [1.0, 0.0]
    """
    return softmax(-floating(x), dim)


def softmax2d(x: jax.Array) -> jax.Array:
    """Turns the channels of each pixel into probabilities: softmax over the last axis of an image.

    Input: (..., H, W, C), floating. Output: the same shape and dtype.
    Raises: ShapeError for fewer than three axes; DtypeError for integers.
    Follows `torch.nn.Softmax2d` with the channels last.

    >>> softmax2d(jnp.zeros((1, 1, 2))).tolist()
    [[[0.5, 0.5]]]
    """
    expect_rank(x, 3, "(..., H, W, C)")
    return softmax(x, -1)
