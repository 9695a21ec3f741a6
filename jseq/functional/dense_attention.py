"""Attention with all scores at once: masks of any shape, dropout, forward and reverse mode."""

import jax
import jax.numpy as jnp

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
    """Attends with all scores at once; q (..., heads, T, d), k and v (..., kv_heads, S, d)."""
    lead, heads, kv_heads = q.shape[:-3], q.shape[-3], k.shape[-3]
    grouped = (*lead, kv_heads, heads // max(kv_heads, 1) * plan.length)
    wide = accumulator(q.dtype)
    q = q.reshape(*grouped, q.shape[-1])
    scores = jnp.einsum("...td,...sd->...ts", q, k, preferred_element_type=wide) * plan.scale
    weights = _softmax(plan, scores.reshape(*lead, heads, plan.length, plan.keys), mask)
    weights = weights.astype(v.dtype)
    weights = dropout(weights, p, key=dropout_key, train=p > 0)
    y = jnp.einsum("...ts,...sd->...td", weights.reshape(*grouped, plan.keys), v)
    return y.reshape(*lead, heads, plan.length, v.shape[-1])


def _softmax(plan: Plan, scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The weights (..., heads, T, S): a row that sees nothing is all zeros."""
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
    if seen is None:
        return jax.nn.softmax(scores, axis=-1)
    weights = jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(scores.dtype).min), axis=-1)
    return jnp.where(seen, weights, 0)
