"""Normalisation over the features: layer norm, RMS norm, and vectors of unit length."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import OptionError, ShapeError, describe
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen
from jseq.functional.activation_softmax import check_axis
from jseq.functional.apart import apart
from jseq.functional.standardise import inverse_root, mean_over, scale_and_shift, standardise
from jseq.functional.vector_norm import vector_norm


def normalised_axes(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """Writes the normalised shape as a tuple: 3 becomes (3,)."""
    if isinstance(normalized_shape, int):
        return (normalized_shape,)
    shape = tuple(int(n) for n in normalized_shape)
    if not shape:
        raise OptionError("expected normalized_shape of at least one axis, got (). Give the last axes of x.")
    return shape


def _trailing(x: jax.Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = normalised_axes(normalized_shape)
    if x.shape[-len(shape) :] != shape:
        form = ", ".join(str(n) for n in shape)
        raise ShapeError(f"expected x of shape (..., {form}), got {describe(x)}.")
    return tuple(range(-len(shape), 0))


def layer_norm(
    x: jax.Array,
    normalized_shape: int | Sequence[int],
    weight: jax.Array | None = None,
    bias: jax.Array | None = None,
    eps: float = 1e-5,
) -> jax.Array:
    """Normalises each example over its last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        normalized_shape: the last axes of x, as their sizes; mean and (biased) var are over them.
        weight, bias: of that shape, or None for 1 and 0.
        eps: added to the variance.
    Input: (..., *normalized_shape), floating. Output: the same shape and dtype.
    Raises: ShapeError if x ends otherwise; DtypeError for integers.
    Follows `torch.nn.functional.layer_norm` (Ba et al. 2016, arXiv:1607.06450).

    >>> layer_norm(jnp.array([1.0, 3.0]), 2).round(3).tolist()
    [-1.0, 1.0]
    """
    x = floating(x)
    axes = _trailing(x, normalized_shape)
    y, _, _ = standardise(widen(x), weight, bias, eps, partial(mean_over, axes))
    return y.astype(x.dtype)


def rms_norm(
    x: jax.Array,
    normalized_shape: int | Sequence[int],
    weight: jax.Array | None = None,
    eps: float | None = None,
) -> jax.Array:
    """Scales each example to a mean square of 1: y = x / sqrt(mean(x^2) + eps) * weight.

    Args:
        normalized_shape: the last axes of x, as their sizes; the mean is over them.
        weight: of that shape, or None for 1.
        eps: added to the mean square; None is the spacing of floats at 1 in the dtype computed in:
            1.19e-7 (float32, also for half precision), 2.2e-16 (float64).
    Input: (..., *normalized_shape), floating. Output: the same shape and dtype.
    Raises: ShapeError if x ends otherwise; DtypeError for integers.
    Follows `torch.nn.functional.rms_norm` (Zhang and Sennrich 2019, arXiv:1910.07467).

    >>> rms_norm(jnp.array([3.0, 3.0]), 2).round(3).tolist()
    [1.0, 1.0]
    """
    x = floating(x)
    axes = _trailing(x, normalized_shape)
    wide = apart(widen(x))
    added = float(jnp.finfo(wide.dtype).eps) if eps is None else eps
    square = mean_over(axes, lax.mul(wide, wide))
    return scale_and_shift(lax.mul(wide, inverse_root(square, added)), weight, None).astype(x.dtype)


def normalize(x: jax.Array, p: float = 2.0, dim: int = -1, eps: float = 1e-12) -> jax.Array:
    """Scales vectors to length 1: y = x / max(||x||_p, eps).

    Args: p: which norm. dim: the axis of the vectors; the last by default, as torch's 1 is the channels.
        eps: the smallest divisor.
    Input: (...), floating. Output: the same shape and dtype.
    Raises: ShapeError if x has no such axis; DtypeError for integers.
    Follows `torch.nn.functional.normalize`.

    >>> normalize(jnp.array([3.0, 4.0])).round(3).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    x = floating(x)
    check_axis(x, dim)
    wide = widen(x)
    length = vector_norm(wide, p, dim, keepdims=True)
    return (wide / jnp.where(length < eps, jnp.full_like(length, eps), length)).astype(x.dtype)
