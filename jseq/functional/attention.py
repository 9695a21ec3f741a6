"""Scaled dot-product attention and its masks."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import DtypeError, OptionError, ShapeError, describe, expect_float, expect_key, expect_rank
from jseq.functional.blocked_attention import Plan, attend_blocked
from jseq.functional.dense_attention import attend_dense, visible
from jseq.functional.dropout import check_probability
from jseq.functional.fused_attention import attend_fused, fits
from jseq.functional.sharded import varying_alike

# From this many keys on, blocks beat one product over all of them (CPU, forward and gradient, of the
# einsum on the unmoved axes): causal 0.8, 0.5, 0.25 to 0.5, 0.16 at 256, 512, 1024, 2048; full 0.7, 0.7,
# 0.4, 0.3; one product 0.9, 0.9, 0.6, 0.6. At 128 keys the two are level.
BLOCKED_FROM = 256

_FORM = "(..., T, heads, head_dim)"


def causal_mask(length: int, window: int | None = None) -> jax.Array:
    """Makes the mask under which a query sees itself and what stands before it.

    `mask[t, s] = (s <= t) and (s > t - window)`.

    Args:
        length: the number of queries and of keys.
        window: how many keys a query sees at most, itself included; None for all before it.

    Output: (length, length), boolean, True where the query (row) may see the key (column).

    Raises:
        OptionError: the window is less than 1.

    >>> causal_mask(3, window=2).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    return visible(length, length, check_window(window, True))


def length_mask(lengths: jax.Array, size: int) -> jax.Array:
    """Makes the mask of the positions within each length: `mask[..., t] = t < lengths[...]`.

    Args:
        lengths: integers, of any shape (...).
        size: the padded length.

    Output: (..., size), boolean. For attention over padded keys: `length_mask(n, S)[..., None, None, :]`.

    Raises:
        DtypeError: lengths are not integers.

    >>> length_mask(jnp.array([1, 3]), 3).astype(int).tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    lengths = jnp.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise DtypeError(f"expected integer lengths, got {describe(lengths)}.")
    places = jnp.arange(size, dtype=lengths.dtype).reshape((1,) * lengths.ndim + (size,))
    return places < lengths[..., None]


def check_window(window: int | None, is_causal: bool) -> int | None:
    """Refuses a window that is no positive integer, or that stands without is_causal."""
    if window is None:
        return None
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise OptionError(f"expected window to be an integer of at least 1 or None, got {window!r}.")
    if not is_causal:
        raise OptionError(f"a window looks back only: window={window} needs is_causal=True.")
    return window


def scaled_dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None = None,
    *,
    p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    window: int | None = None,
    dropout_key: jax.Array | None = None,
    train: bool = False,
) -> jax.Array:
    """Averages the values, weighted by how well queries match keys: `softmax(scale q k^T + mask) v`.

    A query that may see no key gives zeros, as torch's does. Scores and softmax are float32 at least.

    From 256 keys on (without dropout, and with no mask but a boolean one over keys alone) the scores are
    computed a block of queries at a time, in memory linear in the length, with an own backward pass:
    reverse mode works to any order, forward mode (`jax.jvp`, `jax.jacfwd`) does not. On an NVIDIA GPU (Ampere or newer)
    half precision without mask and dropout, of even lengths from 64 on, is cuDNN's kernel, of which the same is true;
    under `plain_attention` it is not.

    Args:
        query, key, value: of one floating dtype; heads stand before the last axis.
        mask: broadcastable to (..., heads, T, S). Boolean: True may be seen. Floating: added to the scores.
        p: probability of dropping a weight, in training only.
        is_causal: query t sees the keys 0 to t, also where T and S differ; may be combined with a mask.
        scale: factor of the products, a number; None for `1 / sqrt(head_dim)`.
        enable_gqa: lets key and value have fewer heads: consecutive query heads share one of theirs.
        window: with is_causal, how many keys a query sees at most, itself included.
        dropout_key: PRNG key of the dropped weights, needed when train and p > 0.
        train: whether to drop weights.

    Input: query (..., T, heads, head_dim), key (..., S, kv_heads, head_dim), value (..., S, kv_heads, d).
    Output: (..., T, heads, d).

    Raises:
        ShapeError: the shapes do not fit together, or kv_heads differs from heads without enable_gqa.
        DtypeError: the inputs are not floating, or of different dtypes; or the mask is of integers.
        OptionError: p is outside 0 to 1, or the window is not positive or stands without is_causal.
        CallError: dropout without a dropout_key.

    Follows torch.nn.functional.scaled_dot_product_attention, with the heads after the time axis.

    >>> q, kv = jnp.ones((2, 5, 4, 8)), jnp.ones((2, 7, 4, 8))
    >>> scaled_dot_product_attention(q, kv, kv).shape
    (2, 5, 4, 8)
    """
    _check_inputs(query, key, value, enable_gqa)
    check_window(window, is_causal)
    check_probability(p)
    mask = _check_mask(mask, query, key)
    drop = p if train else 0.0
    if drop:
        expect_key(dropout_key, "dropout_key=jax.random.key(0) with train=True")
    scale = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    plan = Plan(query.shape[-3], key.shape[-3], float(scale), is_causal, window)
    plain = functools.partial(_plain, plan, drop, dropout_key)
    if drop or mask is not None or not fits(plan, query, value):
        return plain(mask, query, key, value)
    fused = functools.partial(_fused, plan, functools.partial(plain, None))
    return lax.platform_dependent(query, key, value, cuda=fused, default=functools.partial(plain, None))


def _plain(plan: Plan, p: float, dropout_key: Any, mask: Any, query: Any, key: Any, value: Any) -> jax.Array:
    """Attends in JAX, in blocks where that pays."""
    q, k, v = (jnp.swapaxes(a, -3, -2) for a in (query, key, value))
    if not p and _are_many(plan) and _is_key_mask(mask):
        y = _blocked(plan, q, k, v, mask)
    else:
        y = attend_dense(plan, q, k, v, mask, p, dropout_key)
    return jnp.swapaxes(y, -3, -2)


def _fused(plan: Plan, plain: Any, *args: jax.Array) -> jax.Array:
    """Attends by cuDNN, which wants one axis before the time."""
    y: Any = attend_fused(plan, plain, *(a.reshape(-1, *a.shape[-3:]) for a in args))
    return y.reshape(args[0].shape)


def _are_many(plan: Plan) -> bool:
    """Whether blocks of keys pay. A length left open by `jax.export` is no int, and takes the path of any length."""
    return isinstance(plan.keys, int) and plan.keys >= BLOCKED_FROM and plan.length >= 2


def _check_inputs(query: jax.Array, key: jax.Array, value: jax.Array, enable_gqa: bool) -> None:
    for name, a in (("query", query), ("key", key), ("value", value)):
        expect_float(a)
        expect_rank(a, 3, _FORM, f"This is {name}: split its features into heads.")
    if not query.dtype == key.dtype == value.dtype:
        raise DtypeError(
            f"expected query, key and value of one dtype, got {describe((query, key, value))}. "
            "Call it with key.astype(query.dtype) and value.astype(query.dtype)."
        )
    together = describe((query, key, value))
    lead, heads, features = query.shape[:-3], query.shape[-2], query.shape[-1]
    if key.shape[:-3] != lead or key.shape[-1] != features or key.shape[:-1] != value.shape[:-1]:
        raise ShapeError(
            "expected query (..., T, heads, head_dim), key (..., S, heads, head_dim) and "
            f"value (..., S, heads, d), equal where the letters are, got {together}."
        )
    groups = key.shape[-2]
    if heads != groups and not (enable_gqa and groups and heads % groups == 0):
        fix = "kv_heads must divide heads." if enable_gqa else "For grouped queries pass enable_gqa=True."
        raise ShapeError(f"expected as many heads in key as in query, got {together}. {fix}")


def _check_mask(mask: jax.Array | None, query: jax.Array, key: jax.Array) -> jax.Array | None:
    """Gives the mask the full rank, after checking that it broadcasts to the scores."""
    if mask is None:
        return None
    full = (*query.shape[:-3], query.shape[-2], query.shape[-3], key.shape[-3])
    if not (mask.dtype == jnp.bool_ or jnp.issubdtype(mask.dtype, jnp.floating)):
        raise DtypeError(f"expected a boolean (True: may be seen) or floating mask, got {describe(mask)}.")
    shape = (1,) * (len(full) - mask.ndim) + mask.shape
    if len(shape) != len(full) or any(n not in (1, m) for n, m in zip(shape, full, strict=True)):
        raise ShapeError(
            f"expected a mask that broadcasts to (..., heads, T, S) = {full}, got {describe(mask)}. "
            "A mask over keys (..., S) is mask[..., None, None, :]."
        )
    return mask.reshape(shape)


def _is_key_mask(mask: jax.Array | None) -> bool:
    """Whether a mask is boolean and the same for all heads and queries (or None)."""
    return mask is None or (mask.dtype == jnp.bool_ and mask.shape[-3:-1] == (1, 1))


def _blocked(plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Attends blockwise; q (..., heads, T, d), k and v (..., kv_heads, S, d)."""
    q, k, v, mask = varying_alike((q, k, v, mask))
    lead, heads, kv_heads = q.shape[:-3], q.shape[-3], k.shape[-3]
    n = math.prod(lead) * kv_heads
    if mask is not None:
        mask = jnp.broadcast_to(mask, (*lead, kv_heads, 1, plan.keys)).reshape(n, plan.keys)
    group = heads // max(kv_heads, 1)
    q = q.reshape(*lead, kv_heads, group, *q.shape[-2:]).reshape(n, group, *q.shape[-2:])
    y = attend_blocked(plan, q, k.reshape(n, *k.shape[-2:]), v.reshape(n, *v.shape[-2:]), mask)
    return y.reshape(*lead, kv_heads, *y.shape[1:]).reshape(*lead, heads, *y.shape[-2:])
