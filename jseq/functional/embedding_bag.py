"""Bags of embeddings: the rows of several ids, reduced to one."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq.errors import OptionError, ShapeError, describe, expect_rank
from jseq.functional.embedding import check_padding_idx, embedding, expect_ids

MODES = ("sum", "mean", "max")


def check_mode(mode: str, per_sample_weights: Any = None) -> None:
    """Refuses an unknown reduction, and weights where the reduction is not a sum."""
    if mode not in MODES:
        raise OptionError(f"expected mode to be one of {MODES}, got {mode!r}.")
    if per_sample_weights is not None and mode != "sum":
        raise OptionError(f'expected mode="sum" with per_sample_weights, got mode={mode!r}.')


def embedding_bag(
    ids: jax.Array,
    weight: jax.Array,
    mode: str = "mean",
    offsets: jax.Array | None = None,
    per_sample_weights: jax.Array | None = None,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    include_last_offset: bool = False,
) -> jax.Array:
    """Looks up the rows of each bag of ids and reduces them: y = sum, mean or max of weight[ids].

    An empty bag gives 0. An id outside the table gives NaN, as in `embedding`. Among equal largest values
    "max" shares the gradient equally, where torch gives it to one.

    Args:
        weight: the table, shape (num_embeddings, embedding_dim).
        mode: "sum", "mean" or "max".
        offsets: shape (B,): ids is then one row, and bag i starts at offsets[i], the first at 0.
        per_sample_weights: factors of the rows, of the shape of ids; only for "sum".
        padding_idx: an id that does not count.
        max_norm, norm_type, scale_grad_by_freq: as in `embedding` (torch 2.13 on CPU divides bags of sums by
            wrong counts: three ids 2 beside one id 0 and two ids 1 give 3 / 2 for the row 2, not 3 / 3).
        include_last_offset: whether offsets ends with the number of ids: one bag fewer.
    Input: (..., L) integers, or (N,) with offsets. Output: (..., embedding_dim), or (B, embedding_dim).
    Raises: DtypeError for ids that are no integers; OptionError for a bad mode or padding_idx;
        ShapeError for ids without an axis, or of other rank than 1 with offsets.
    Follows `torch.nn.functional.embedding_bag`.

    >>> table = jnp.array([[1.0], [2.0], [4.0]])
    >>> embedding_bag(jnp.array([[0, 1], [2, 2]]), table).tolist()
    [[1.5], [4.0]]
    >>> embedding_bag(jnp.array([0, 1, 2]), table, "sum", jnp.array([0, 2])).tolist()
    [[3.0], [4.0]]
    """
    check_mode(mode, per_sample_weights)
    ids = expect_ids(ids)
    _check_shapes(ids, offsets, per_sample_weights)
    padding = check_padding_idx(padding_idx, weight.shape[0])
    rows = embedding(ids, weight, None, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * jnp.expand_dims(per_sample_weights, -1).astype(rows.dtype)
    counts = jnp.ones(ids.shape, bool) if padding is None else ids != padding
    neutral = jnp.full_like(rows, -jnp.inf if mode == "max" else 0.0)
    rows = jnp.where(jnp.expand_dims(counts, -1), rows, neutral)
    if offsets is None:
        return _reduce_last(rows, counts, mode)
    return _reduce_segments(rows, counts, mode, offsets, include_last_offset)


def _check_shapes(ids: jax.Array, offsets: Any, per_sample_weights: Any) -> None:
    expect_rank(ids, 1, "(..., L)")
    if offsets is not None and ids.ndim != 1:
        raise ShapeError(f"expected x of shape (N,) with offsets, got {describe(ids)}. Leave offsets out, or ravel x.")
    if per_sample_weights is not None and per_sample_weights.shape != ids.shape:
        raise ShapeError(
            f"expected per_sample_weights of the shape of x, {describe(ids)}, "
            f"got {describe(per_sample_weights)}. Give one factor for each id."
        )


def _reduce_last(rows: jax.Array, counts: jax.Array, mode: str) -> jax.Array:
    number = jnp.expand_dims(jnp.sum(counts, axis=-1), -1)
    if mode == "max":
        return _finish(jnp.max(rows, axis=-2, initial=-jnp.inf), number, mode)
    return _finish(jnp.sum(rows, axis=-2), number, mode)


def _reduce_segments(
    rows: jax.Array, counts: jax.Array, mode: str, offsets: jax.Array, include_last_offset: bool
) -> jax.Array:
    starts = offsets[:-1] if include_last_offset else offsets
    bags = starts.shape[0]
    bag = jnp.searchsorted(starts, jnp.arange(rows.shape[0], dtype=starts.dtype), side="right") - 1
    number = jnp.expand_dims(jax.ops.segment_sum(counts.astype(jnp.int32), bag, bags), -1)
    reduce = jax.ops.segment_max if mode == "max" else jax.ops.segment_sum
    return _finish(reduce(rows, bag, bags), number, mode)


def _finish(y: jax.Array, number: jax.Array, mode: str) -> jax.Array:
    if mode == "mean":
        return y / jnp.maximum(number, 1).astype(y.dtype)
    return jnp.where(number > 0, y, jnp.zeros_like(y)) if mode == "max" else y
