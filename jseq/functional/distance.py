"""Similarity of and distance between vectors of the last axis."""

import jax
import jax.numpy as jnp

from jseq.errors import DtypeError, ShapeError, describe
from jseq.functional.activation import floating
from jseq.functional.activation_smooth import widen
from jseq.functional.activation_softmax import check_axis
from jseq.functional.vector_norm import vector_norm


def _pair(x1: jax.Array, x2: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Brings both to one shape, by NumPy's rules."""
    x1, x2 = floating(x1), floating(x2)
    if x1.dtype != x2.dtype:
        raise DtypeError(
            f"expected x1 and x2 of one dtype, got {describe((x1, x2))}. Call it with x2.astype(x1.dtype)."
        )
    try:
        shape = jnp.broadcast_shapes(x1.shape, x2.shape)
    except ValueError:
        raise ShapeError(
            f"expected x1 and x2 of one shape, got {describe((x1, x2))}. "
            "For all pairs call it with x1[..., :, None, :] and x2[..., None, :, :]."
        ) from None
    return jnp.broadcast_to(x1, shape), jnp.broadcast_to(x2, shape)


def cosine_similarity(x1: jax.Array, x2: jax.Array, dim: int = -1, eps: float = 1e-8) -> jax.Array:
    """Measures the angle between vectors: y = x1 . x2 / (max(||x1||, eps) max(||x2||, eps)).

    Args: dim: the axis of the vectors; the last by default, where torch's is 1 (its channels).
        eps: the smallest norm to divide by.
    Input: two arrays (..., F) that broadcast, floating, of one dtype. Output: (...) of that dtype.
    Raises: ShapeError if they do not broadcast or have no axis dim; DtypeError for integers or two dtypes.
    Follows `torch.nn.functional.cosine_similarity`.

    >>> cosine_similarity(jnp.array([1.0, 0.0]), jnp.array([[2.0, 0.0], [0.0, 3.0]])).tolist()
    [1.0, 0.0]
    """
    x1, x2 = _pair(x1, x2)
    check_axis(x1, dim)
    a, b = (_unit(widen(x), dim, eps) for x in (x1, x2))
    return jnp.sum(a * b, axis=dim).astype(x1.dtype)


def _unit(x: jax.Array, dim: int, eps: float) -> jax.Array:
    length = vector_norm(x, 2.0, dim, keepdims=True)
    return x / jnp.where(length < eps, jnp.full_like(length, eps), length)


def pairwise_distance(
    x1: jax.Array, x2: jax.Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> jax.Array:
    """Measures the distance between vectors: y = ||x1 - x2 + eps||_p over the last axis.

    Args: p: which norm. eps: added to each difference, as in torch. keepdim: keep the last axis as 1.
    Input: two arrays (..., F) that broadcast, floating, of one dtype. Output: (...) or (..., 1).
    Raises: ShapeError if they do not broadcast or are scalars; DtypeError for integers or two dtypes.
    Follows `torch.nn.functional.pairwise_distance`.

    >>> pairwise_distance(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0])).round(3).tolist()
    5.0
    """
    x1, x2 = _pair(x1, x2)
    check_axis(x1, -1)
    difference = widen(x1) - widen(x2) + eps
    return vector_norm(difference, p, -1, keepdims=keepdim).astype(x1.dtype)
