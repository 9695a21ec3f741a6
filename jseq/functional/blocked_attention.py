"""Attention over long sequences, a block of queries at a time: memory linear in the length."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jseq.functional.sharded import split_axes

# Of 64, 128 and 256 queries a block, 128 was fastest or level at lengths 128 to 1024 on CPU.
BLOCK = 128
# A causal block reads the keys up to its segment's end, so that shapes stay static: eight segments
# compute (1 + 1/8) / 2 of the square, and the graph does not grow with the length.
SEGMENTS = 8


def accumulator(dtype: jax.typing.DTypeLike) -> jax.typing.DTypeLike:
    """The type to sum in: float32 for narrower ones (jnp.promote_types refuses under strict promotion)."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


class Plan(NamedTuple):
    """What is static about one call; `window` is the number of keys that a query sees, itself included."""

    length: int
    keys: int
    scale: float
    is_causal: bool
    window: int | None


class _Segment(NamedTuple):
    """Blocks `first`, ..., `first + number - 1`, which read `width` keys each."""

    first: int
    number: int
    width: int


def attend_blocked(plan: Plan, query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Attends with one set of keys for a group of query heads: `softmax(scale q k^T) v`.

    The scores exist for one block of queries at a time, blocks above the diagonal are skipped, and the
    backward pass computes the scores again from the saved log-sums (Dao et al. 2022, algorithm 4).
    That backward pass is plain JAX, so reverse mode differentiates it again (second derivatives then
    keep all scores); forward mode is what `jax.custom_vjp` forbids.

    Args:
        plan: what is static: lengths, scale, causality.
        query: the queries, of shape (N, group, length, head_dim).
        key: of shape (N, keys, head_dim).
        value: of shape (N, keys, value_dim).
        mask: of shape (N, keys), True where a key may be seen, or None for all.

    Output: (N, group, length, value_dim); zeros for a query that sees no key.
    """
    n, group, length, _ = query.shape
    count = -(-length // BLOCK)
    pad = ((0, 0), (0, 0), (0, count * BLOCK - length), (0, 0))
    blocks = jnp.pad(query, pad).reshape(n, group, count, BLOCK, query.shape[-1])
    blocks = jnp.swapaxes(blocks, 1, 2).reshape(n, count, group * BLOCK, query.shape[-1])
    y: Any = _attend(plan, blocks, key, value, mask)
    y = jnp.swapaxes(y.reshape(n, count, group, BLOCK, value.shape[-1]), 1, 2)
    return y.reshape(n, group, count * BLOCK, value.shape[-1])[:, :, :length]


def _each(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function for each of N: one after the other on CPU, where the scores of one stay in the cache.

    Forward and gradient of 8 heads of 1024 tokens take 0.67 of the time of all at once (one thread).
    """

    def in_turn(*args: Any) -> Any:
        return lax.map(lambda own: function(*own), args)

    if split_axes(args[0])[0]:  # over a mesh, where no device can take the turns of others
        return jax.vmap(function)(*args)
    return lax.platform_dependent(*args, cpu=in_turn, default=jax.vmap(function))


def _segments(plan: Plan) -> list[_Segment]:
    """Cuts the blocks of queries into runs that read the same number of keys each."""
    count = -(-plan.length // BLOCK)
    if not plan.is_causal:
        return [_Segment(0, count, plan.keys)]
    run = -(-count // SEGMENTS)
    if plan.window is not None and BLOCK + plan.window - 1 < min(plan.keys, run * BLOCK * 2):
        return [_Segment(0, count, BLOCK + plan.window - 1)]
    return [
        _Segment(first, min(run, count - first), min((first + run) * BLOCK, plan.keys))
        for first in range(0, count, run)
    ]


def _walk(segment: _Segment, step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, blocks: Any) -> tuple[Any, Any]:
    """Scans the blocks of a segment; a single block needs no loop, and its slices become static."""
    first, count, _ = segment
    numbers = jnp.arange(first, first + count, dtype=jnp.int32)
    own = jax.tree.map(lambda a: a[first : first + count], blocks)
    if count > 1:
        return lax.scan(step, carry, (numbers, own))
    carry, y = step(carry, (first, jax.tree.map(lambda a: a[0], own)))
    return carry, jax.tree.map(lambda a: a[None], y)


def _start(plan: Plan, width: int, block: Any) -> Any:
    """The first of the keys that a block reads: 0, unless a window lets it start later."""
    start, last = (block + 1) * BLOCK - width, plan.keys - width
    return min(max(start, 0), last) if isinstance(block, int) else jnp.clip(start, 0, last)


def _take(a: jax.Array, start: Any, width: int) -> jax.Array:
    return a if width == a.shape[-2] else lax.dynamic_slice_in_dim(a, start, width, axis=-2)


def _add(total: jax.Array, start: Any, part: jax.Array) -> jax.Array:
    old = _take(total, start, part.shape[-2])
    return lax.dynamic_update_slice_in_dim(total, old + part, start, axis=-2)


def _product(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """A product summed in float32 at least."""
    return jnp.einsum(subscripts, a, b, preferred_element_type=accumulator(a.dtype))


def _hide(plan: Plan, block: Any, s: jax.Array, mask: jax.Array | None, rows: int) -> jax.Array:
    """Puts -inf where a query may not look; the queries are axis `rows` of the scores, the keys the other."""
    width = s.shape[1 - rows]
    start = _start(plan, width, block)
    if plan.is_causal:
        # With query heads in a group, the rows are group times the same positions. The remainder of a power of two
        # is a mask of bits: `%` took as long as all the rest of the forward pass.
        row = block * BLOCK + (lax.broadcasted_iota(jnp.int32, s.shape, rows) & (BLOCK - 1))
        col = start + lax.broadcasted_iota(jnp.int32, s.shape, 1 - rows)
        seen = col <= row if plan.window is None else (col <= row) & (col > row - plan.window)
        s = jnp.where(seen, s, -jnp.inf)
    if mask is None:
        return s
    own = mask if width == plan.keys else lax.dynamic_slice_in_dim(mask, start, width, axis=-1)
    return jnp.where(jnp.expand_dims(own, rows), s, -jnp.inf)


def _forward(
    plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """The output and the log-sum of exponentials for every block of queries (count, rows, d) and its keys."""

    def step(width: int, carry: None, inputs: Any) -> tuple[None, tuple[jax.Array, jax.Array]]:
        block, q_block = inputs
        start = _start(plan, width, block)
        s = _hide(plan, block, _product("td,sd->ts", q_block, _take(k, start, width)) * plan.scale, mask, 0)
        # The result does not depend on the shift, so its derivative is zero: not one to compute.
        top = lax.stop_gradient(s.max(axis=-1, keepdims=True))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        weights = jnp.exp(s - top)
        total = weights.sum(axis=-1, keepdims=True)
        total = jnp.where(total == 0, 1.0, total)
        y = _product("ts,sd->td", weights.astype(v.dtype), _take(v, start, width)) / total
        return None, (y.astype(v.dtype), (top + jnp.log(total))[:, 0])

    parts = [_walk(seg, functools.partial(step, seg.width), None, q)[1] for seg in _segments(plan)]
    return jnp.concatenate([y for y, _ in parts]), jnp.concatenate([norm for _, norm in parts])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    return _attend_fwd(plan, q, k, v, mask)[0]


def _attend_fwd(plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, Any]:
    y, norm = _each(functools.partial(_forward, plan), q, k, v, mask)
    return y, (q, k, v, mask, y, norm)


def _attend_bwd(plan: Plan, residuals: Any, dy: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    return *_each(functools.partial(_backward, plan), *residuals, dy), None


def _backward(
    plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array, mask: Any, y: jax.Array, norm: jax.Array, dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The gradients of q (count, rows, d), k and v. The scores stand keys by queries: so the products are faster."""
    wide = accumulator(q.dtype)
    mean = (dy.astype(wide) * y.astype(wide)).sum(axis=-1)

    def step(width: int, carry: Any, inputs: Any) -> Any:
        block, (q_block, dy_block, norm_block, mean_block) = inputs
        start = _start(plan, width, block)
        k_own, v_own = _take(k, start, width), _take(v, start, width)
        s = _hide(plan, block, _product("sd,td->st", k_own, q_block) * plan.scale, mask, 1)
        weights = jnp.exp(s - norm_block[None])
        dweights = _product("sd,td->st", v_own, dy_block)
        ds = (weights * (dweights - mean_block[None]) * plan.scale).astype(q.dtype)
        dq = _product("sd,st->dt", k_own, ds).astype(q.dtype).T
        dk = _add(carry[0], start, _product("st,td->sd", ds, q_block))
        dv = _add(carry[1], start, _product("st,td->sd", weights.astype(v.dtype), dy_block))
        return (dk, dv), dq

    carry: Any = (jnp.zeros_like(k, wide), jnp.zeros_like(v, wide))
    dq: list[jax.Array] = []
    for seg in _segments(plan):
        carry, part = _walk(seg, functools.partial(step, seg.width), carry, (q, dy, norm, mean))
        dq.append(part)
    return jnp.concatenate(dq), carry[0].astype(k.dtype), carry[1].astype(v.dtype)


_attend.defvjp(_attend_fwd, _attend_bwd)
