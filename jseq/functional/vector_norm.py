"""The norm of vectors, with torch's derivative 0 at the zero vector."""

import math

import jax
import jax.numpy as jnp


def vector_norm(x: jax.Array, p: float = 2.0, axis: int = -1, keepdims: bool = False) -> jax.Array:
    """Measures vectors: ||x||_p = sum(|x|^p)^(1/p); p = inf is the largest |x|, p = 0 counts the nonzero.

    Args: p: which norm. axis: of the vectors. keepdims: keep that axis as 1.
    Input: (...), floating. Output: the same dtype, without the axis.
    Follows `torch.linalg.vector_norm`; the derivative at the zero vector is 0.

    >>> vector_norm(jnp.array([3.0, -4.0])).tolist(), vector_norm(jnp.array([3.0, -4.0]), 1).tolist()
    (5.0, 7.0)
    """
    size = jnp.abs(x)
    if math.isinf(p):
        extreme = jnp.max if p > 0 else jnp.min
        return extreme(size, axis=axis, keepdims=keepdims)
    if p == 0:
        return jnp.sum(x != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
    if p == 1:
        return jnp.sum(size, axis=axis, keepdims=keepdims)
    total = jnp.sum(x * x if p == 2 else _power(size, p), axis=axis, keepdims=keepdims)
    zero = total == 0
    # The root's derivative at 0 is infinite, and infinity times 0 is NaN: keep 0 out of it.
    inner = jnp.where(zero, jnp.ones_like(total), total)
    root = jnp.sqrt(inner) if p == 2 else inner ** (1 / p)
    return jnp.where(zero, jnp.zeros_like(total), root)


def _power(size: jax.Array, p: float) -> jax.Array:
    positive = jnp.where(size > 0, size, jnp.ones_like(size))
    at_zero = jnp.full_like(size, 0.0 if p > 0 else math.inf)
    return jnp.where(size > 0, positive**p, at_zero)
