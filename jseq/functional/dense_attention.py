"""Attention with all scores at once: masks of any shape, dropout, forward and reverse mode."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.apart import turned
from jseq.functional.blocked_attention import Plan, accumulator
from jseq.functional.dropout import dropout


def visible(length: int, keys: int, window: int | None) -> jax.Array:
    """Which keys (columns) a query (row) sees under causality, aligned top left: (length, keys)."""
    row, col = jnp.arange(length)[:, None], jnp.arange(keys)[None, :]
    return col <= row if window is None else (col <= row) & (col > row - window)


def attend_dense(
    plan: Plan,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    mask: jax.Array | None,
    p: float,
    dropout_key: jax.Array | None,
) -> jax.Array:
    """Attends with all scores at once; q (..., heads, T, d), k and v (..., kv_heads, S, d).

    On CPU the sums of the exponentials divide the output, not the weights: forward and gradient in 0.86 to 0.99 of the
    time at three shapes, a training step of 12 transformer blocks in 0.95. XLA:GPU has a kernel for a whole softmax.
    """
    heads = q.shape[-3]
    q = _grouped(q, k.shape[-3])
    k, v = (turned(a, q.shape[-2]) for a in (k, v))
    scores = jnp.einsum("...td,...sd->...ts", q, k, preferred_element_type=accumulator(q.dtype)) * plan.scale
    scores, seen = _seen(plan, _ungrouped(scores, heads, plan.length), mask)
    late, whole = (partial(form, p=p) for form in (_divided_late, _softmax))
    return lax.platform_dependent(scores, seen, v, dropout_key, cpu=late, default=whole)


def _grouped(a: jax.Array, kv_heads: int) -> jax.Array:
    """Puts the queries of the heads that share keys in one axis: (..., heads, T, n) to (..., kv_heads, group * T, n).

    In two steps, as beside a batch that is split over a mesh JAX reshapes no two pairs of axes at once.
    """
    *lead, heads, length, n = a.shape
    if heads == kv_heads:
        return a
    apart = a.reshape(*lead, kv_heads, heads // max(kv_heads, 1), length, n)
    return apart.reshape(*lead, kv_heads, heads // max(kv_heads, 1) * length, n)


def _ungrouped(a: jax.Array, heads: int, length: int) -> jax.Array:
    """The inverse of `_grouped`."""
    *lead, kv_heads, _, n = a.shape
    if heads == kv_heads:
        return a
    return a.reshape(*lead, kv_heads, heads // max(kv_heads, 1), length, n).reshape(*lead, heads, length, n)


def _seen(plan: Plan, scores: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
    """The scores with a floating mask added, and which of them count: None for all."""
    seen = None
    if plan.is_causal:
        seen = visible(plan.length, plan.keys, plan.window)
        seen = seen.reshape((1,) * (scores.ndim - 2) + seen.shape)
    if mask is not None:
        if mask.dtype != jnp.bool_:
            # Minus infinity leaves by `seen`: softmax of a row of it would be NaN, and so its gradient.
            finite = mask > -jnp.inf
            scores = scores + jnp.where(finite, mask, 0).astype(scores.dtype)
            mask = finite
        seen = mask if seen is None else seen & mask
    return scores, seen


def _average(
    weights: jax.Array, v: jax.Array, p: float, key: jax.Array | None, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Adds up values by weights (..., heads, T, S), some of which are dropped: (..., heads, T, d) of the dtype."""
    weights = dropout(weights.astype(v.dtype), p, key=key, train=p > 0)
    rows = _grouped(weights, v.shape[-3])
    y = jnp.einsum("...ts,...sd->...td", rows, v, preferred_element_type=dtype)
    return _ungrouped(y, *weights.shape[-3:-1])


def _softmax(scores: jax.Array, seen: jax.Array | None, v: jax.Array, key: jax.Array | None, p: float) -> jax.Array:
    """A row that sees nothing is all zeros."""
    if seen is None:
        weights = jax.nn.softmax(scores, axis=-1)
    else:
        weights = jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(scores.dtype).min), axis=-1)
        weights = jnp.where(seen, weights, 0)
    return _average(weights, v, p, key, v.dtype)


def _divided_late(
    scores: jax.Array, seen: jax.Array | None, v: jax.Array, key: jax.Array | None, p: float
) -> jax.Array:
    """The same, with weights that are exponentials."""
    if seen is not None:
        scores = jnp.where(seen, scores, -jnp.inf)
    # The result does not depend on the shift, so its derivative is zero: not one to compute. Both bounds are for rows
    # that see nothing, the sum of all others is 1 or more; as `where` they took a third of the forward pass. The
    # weights of such rows are zero and so are their gradients, whatever the derivative of the bound: it needs none.
    top = lax.stop_gradient(scores.max(axis=-1, keepdims=True, initial=jnp.finfo(scores.dtype).min))
    weights = jnp.exp(scores - top)
    total = weights.sum(axis=-1, keepdims=True)
    total = total + lax.stop_gradient(jnp.maximum(0.5 - total, 0))
    return (_average(weights, v, p, key, scores.dtype) / total).astype(v.dtype)
