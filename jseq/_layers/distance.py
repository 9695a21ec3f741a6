"""Similarity of and distance between two arrays of vectors."""

from typing import Any

import jax

from jseq import functional as F
from jseq._layers.pairs import two_arrays
from jseq.core import layer, no_params


@layer
def cosine_similarity(dim: int = -1, eps: float = 1e-8):
    """Measures the angle between vectors: `y = x1 . x2 / (max(||x1||, eps) * max(||x2||, eps))`.

    Args:
        dim: the axis of the vectors; the default is the features, the last axis (torch's is axis 1, its channels).
        eps: smallest norm to divide by.

    Input: `(x1, x2)`, two arrays `(..., F)` that broadcast, floating, of one dtype.
    Output: `(...)`, without the axis `dim`, of that dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x1 and x2 do not broadcast, or have no such axis.
        DtypeError: x is no tuple of two arrays, one is not floating, or their dtypes differ.

    Follows `torch.nn.CosineSimilarity`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.cosine_similarity().apply((), (jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 2.0]])))
        Array([0.], dtype=float32)
    """

    def apply(params: tuple[()], x: Any) -> jax.Array:
        return F.cosine_similarity(*two_arrays(x), dim, eps)

    return no_params, apply


@layer
def pairwise_distance(p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
    """Measures the distance between vectors: `y = ||x1 - x2 + eps||_p` over the last axis.

    Args:
        p: which norm.
        eps: added to every difference, so that the root has a gradient at equal vectors.
        keepdim: whether to keep the last axis, with size 1.

    Input: `(x1, x2)`, two arrays `(..., F)` that broadcast, floating, of one dtype.
    Output: `(...)`, or `(..., 1)` with keepdim, of that dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x1 and x2 do not broadcast.
        DtypeError: x is no tuple of two arrays, one is not floating, or their dtypes differ.

    Follows `torch.nn.PairwiseDistance`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.pairwise_distance(eps=0.0).apply((), (jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 4.0]])))
        Array([5.], dtype=float32)
    """

    def apply(params: tuple[()], x: Any) -> jax.Array:
        return F.pairwise_distance(*two_arrays(x), p, eps, keepdim)

    return no_params, apply
