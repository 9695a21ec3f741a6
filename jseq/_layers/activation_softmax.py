"""Softmax and its relatives."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params


@layer
def softmax(dim: int = -1):
    """Turns numbers into probabilities along one axis: `y_i = exp(x_i) / sum_j exp(x_j)`.

    Args:
        dim: the axis; the default is the features. (torch guesses from the rank without it.)

    Input: `(...)`, floating. Half-precision input is summed in float32.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis.
        DtypeError: x is not floating.

    Follows `torch.nn.Softmax`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.softmax().apply((), jnp.array([1.0, 1.0]))
        Array([0.5, 0.5], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.softmax(x, dim)

    return no_params, apply


@layer
def log_softmax(dim: int = -1):
    """The logarithm of softmax: `y_i = x_i - log(sum_j exp(x_j))`.

    Args:
        dim: the axis; the default is the features.

    Input: `(...)`, floating. Half-precision input is summed in float32.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis.
        DtypeError: x is not floating.

    Follows `torch.nn.LogSoftmax`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.log_softmax().apply((), jnp.array([1.0, 1.0])).round(4)
        Array([-0.6931, -0.6931], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.log_softmax(x, dim)

    return no_params, apply


@layer
def softmin(dim: int = -1):
    """Turns costs into probabilities along one axis: `y_i = exp(-x_i) / sum_j exp(-x_j)`.

    Args:
        dim: the axis; the default is the features. (torch guesses from the rank without it.)

    Input: `(...)`, floating. Half-precision input is summed in float32.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axis.
        DtypeError: x is not floating.

    Follows `torch.nn.Softmin`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.softmin().apply((), jnp.array([0.0, 1000.0]))
        Array([1., 0.], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.softmin(x, dim)

    return no_params, apply


@layer
def softmax2d():
    """Turns the channels of each pixel into probabilities: `y[h, w, i] = exp(x[h, w, i]) / sum_j exp(x[h, w, j])`.

    Input: `(..., H, W, C)`, floating. Half-precision input is summed in float32.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has fewer than three axes.
        DtypeError: x is not floating.

    Follows `torch.nn.Softmax2d` with the channels last, where it is `softmax(-1)` of an image.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.softmax2d().apply((), jnp.zeros((1, 1, 2)))
        Array([[[0.5, 0.5]]], dtype=float32)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.softmax2d(x)

    return no_params, apply
