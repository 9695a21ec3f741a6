"""Multi-head attention from its weights: projections, heads, masks, and the projection out."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq.errors import DtypeError, ShapeError, describe, expect_features, expect_float, expect_rank
from jseq.functional.apart import whole
from jseq.functional.attention import scaled_dot_product_attention
from jseq.functional.dense_attention import visible
from jseq.functional.linear import linear


def split_heads(x: jax.Array, num_heads: int) -> jax.Array:
    """Splits the features into heads: (..., T, heads * head_dim) to (..., T, heads, head_dim)."""
    return x.reshape(*x.shape[:-1], num_heads, x.shape[-1] // num_heads)


def merge_heads(x: jax.Array) -> jax.Array:
    """Undoes `split_heads`."""
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def join_masks(mask: jax.Array | None, key_padding_mask: jax.Array | None, key: jax.Array) -> jax.Array | None:
    """Joins a mask over scores with one over keys: both must allow a key (numbers add up).

    Args:
        mask: broadcastable to (..., heads, T, S), or None. Boolean: True may be seen. Floating: added to the scores.
        key_padding_mask: of shape (..., S) with key's leading axes, or None. The same meaning.
        key: the keys (..., S, features), whose shape the second must have.

    Output: broadcastable to (..., heads, T, S), or None.

    Raises:
        ShapeError: key_padding_mask does not broadcast to (..., S).
        DtypeError: a mask is of integers.

    >>> join_masks(None, jnp.array([True, False]), jnp.ones((2, 4))).shape
    (1, 1, 2)
    """
    if key_padding_mask is None:
        return mask
    full = key.shape[:-1]
    short = len(full) - key_padding_mask.ndim
    if short < 0 or any(n not in (1, m) for n, m in zip(key_padding_mask.shape, full[short:], strict=True)):
        raise ShapeError(
            f"expected key_padding_mask of shape (..., S) = {full}, one entry a key, got {describe(key_padding_mask)}."
        )
    over_keys = key_padding_mask[..., None, None, :]
    if mask is None:
        return over_keys
    for name, a in (("mask", mask), ("key_padding_mask", over_keys)):
        if not (a.dtype == jnp.bool_ or jnp.issubdtype(a.dtype, jnp.floating)):
            raise DtypeError(f"expected {name} boolean (True: may be seen) or floating, got {describe(a)}.")
    return _both(mask, over_keys)


def _both(mask: jax.Array, other: jax.Array) -> jax.Array:
    """Both masks at once: what both allow, or the sum."""
    rank = max(mask.ndim, other.ndim)
    mask, other = (a.reshape((1,) * (rank - a.ndim) + a.shape) for a in (mask, other))
    if mask.dtype == other.dtype == jnp.bool_:
        return mask & other
    floating = other.dtype if mask.dtype == jnp.bool_ else mask.dtype
    return _added(mask, floating) + _added(other, floating)


def _added(mask: jax.Array, dtype: Any) -> jax.Array:
    """A mask as numbers to add: 0 for True and -inf for False."""
    if mask.dtype == jnp.bool_:
        return jnp.where(mask, jnp.zeros((), dtype), jnp.full((), -jnp.inf, dtype))
    return mask.astype(dtype)


def multihead_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    num_heads: int,
    in_proj_weight: jax.Array | tuple[jax.Array, jax.Array, jax.Array],
    in_proj_bias: jax.Array | None,
    out_proj_weight: jax.Array,
    out_proj_bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    key_padding_mask: jax.Array | None = None,
    *,
    bias_k: jax.Array | None = None,
    bias_v: jax.Array | None = None,
    add_zero_attn: bool = False,
    p: float = 0.0,
    is_causal: bool = False,
    dropout_key: jax.Array | None = None,
    train: bool = False,
) -> jax.Array:
    """Attends with several heads: `concat_h(softmax(q_h k_h^T / sqrt(head_dim) + mask) v_h) W_out + b_out`.

    If query, key and value are one array, they are projected by one product.

    Args:
        query, key, value: the inputs, of one floating dtype.
        num_heads: how many heads share the features.
        in_proj_weight: (E, 3 E) for all three, or a tuple of (E, E), (kdim, E), (vdim, E).
        in_proj_bias: (3 E,), or None.
        out_proj_weight: (E, E).
        out_proj_bias: (E,), or None.
        mask: broadcastable to (..., heads, T, S). Boolean: True MAY be seen (torch's `attn_mask` is the
            inverse). Floating: added to the scores.
        key_padding_mask: (..., S). Boolean: True is a real key (torch's is the inverse).
        bias_k, bias_v: one more key and value, of E features, that every query sees; or None.
        add_zero_attn: adds one more key and value of zeros.
        p: probability of dropping a weight of the softmax, in training only.
        is_causal: query t sees the keys 0 to t, and the added ones.
        dropout_key: PRNG key, needed when train and p > 0.
        train: whether to drop.

    Input: query (..., T, E), key (..., S, kdim), value (..., S, vdim).
    Output: (..., T, E).

    Raises:
        ShapeError: the inputs, the weights or the masks do not fit together.
        DtypeError: the inputs are not floating, or of different dtypes; or a mask is of integers.
        CallError: dropout without a key.

    Follows torch.nn.functional.multi_head_attention_forward (Vaswani et al. 2017, arXiv:1706.03762).

    >>> x, w = jnp.ones((2, 5, 8)), jnp.ones((8, 24))
    >>> multihead_attention(x, x, x, 4, w, None, w[:, :8]).shape
    (2, 5, 8)
    """
    for name, a in (("query", query), ("key", key), ("value", value)):
        expect_float(a)
        expect_rank(a, 2, "(..., T, features)", f"This is {name}. Add the missing axis: one step is x[None].")
    mask = join_masks(mask, key_padding_mask, key)
    q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    steps = k.shape[-2]
    k, v = _add_keys(k, v, bias_k, bias_v, add_zero_attn)
    if k.shape[-2] > steps:
        mask = _mask_with_added_keys(mask, q.shape[-2], steps, k.shape[-2] - steps, is_causal)
        is_causal = False
    q, k, v = (split_heads(a, num_heads) for a in (q, k, v))
    y = scaled_dot_product_attention(q, k, v, mask, p=p, is_causal=is_causal, dropout_key=dropout_key, train=train)
    return linear(merge_heads(y), out_proj_weight, out_proj_bias)


def _project(query: jax.Array, key: jax.Array, value: jax.Array, weight: Any, bias: jax.Array | None) -> Any:
    """Queries, keys and values by as few products as there are different inputs."""
    parts = (None,) * 3 if bias is None else jnp.split(bias, 3)
    if isinstance(weight, tuple):
        for name, x, w in zip(("query", "key", "value"), (query, key, value), weight, strict=True):
            expect_features(x, w.shape[0], "(..., T, {})", f"This is {name}.")
        return [linear(x, w, b) for x, w, b in zip((query, key, value), weight, parts, strict=True)]
    size = weight.shape[0]
    for name, x in (("query", query), ("key", key), ("value", value)):
        expect_features(x, size, "(..., T, {})", "" if query is key else f"This is {name}.")
    if query is key and key is value:
        return jnp.split(whole(linear(query, weight, bias)), 3, axis=-1)
    q = linear(query, weight[:, :size], parts[0])
    if key is value:
        return q, *jnp.split(linear(key, weight[:, size:], None if bias is None else bias[size:]), 2, axis=-1)
    return q, linear(key, weight[:, size : 2 * size], parts[1]), linear(value, weight[:, 2 * size :], parts[2])


def _add_keys(
    k: jax.Array, v: jax.Array, bias_k: jax.Array | None, bias_v: jax.Array | None, zero: bool
) -> tuple[jax.Array, jax.Array]:
    """Appends the learned key and value, then those of zeros."""
    shape = (*k.shape[:-2], 1, k.shape[-1])
    if bias_k is not None and bias_v is not None:
        rows = (b.astype(k.dtype).reshape((1,) * (k.ndim - 1) + (-1,)) for b in (bias_k, bias_v))
        k, v = (
            jnp.concatenate([a, jnp.broadcast_to(row, shape)], axis=-2) for a, row in zip((k, v), rows, strict=True)
        )
    if zero:
        k, v = (jnp.concatenate([a, jnp.zeros(shape, a.dtype)], axis=-2) for a in (k, v))
    return k, v


def _mask_with_added_keys(
    mask: jax.Array | None, length: int, keys: int, added: int, is_causal: bool
) -> jax.Array | None:
    """Widens the mask so that every query sees the added keys."""
    if is_causal:
        seen = visible(length, keys, None)
        mask = seen if mask is None else _both(mask, seen)
    if mask is None:
        return None
    mask = jnp.broadcast_to(mask, (*mask.shape[:-1], keys))
    more = jnp.full((*mask.shape[:-1], added), True if mask.dtype == jnp.bool_ else 0, mask.dtype)
    return jnp.concatenate([mask, more], axis=-1)
