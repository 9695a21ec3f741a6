"""Looking up rows of a table by number: embeddings and bags of them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from jseq.errors import DtypeError, OptionError, describe, expect_array
from jseq.functional.vector_norm import vector_norm


def check_padding_idx(padding_idx: int | None, num_embeddings: int) -> int | None:
    """Refuses a padding row that is not in the table; counts a negative one from the end."""
    if padding_idx is None:
        return None
    if not -num_embeddings <= padding_idx < num_embeddings:
        raise OptionError(
            f"expected padding_idx from {-num_embeddings} to {num_embeddings - 1} "
            f"(num_embeddings={num_embeddings}), got {padding_idx!r}."
        )
    return padding_idx % num_embeddings


def expect_ids(ids: Any) -> jax.Array:
    """Refuses ids that are no integers."""
    expect_array(ids, "an array of ids")
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise DtypeError(
            f"expected x of an integer dtype (ids), got {describe(ids)}. Call it with x.astype(jnp.int32)."
        )
    return jnp.asarray(ids)


def embedding(
    ids: jax.Array,
    weight: jax.Array,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
) -> jax.Array:
    """Looks up rows of a table: y = weight[ids].

    An id outside [0, num_embeddings), negative ones too, gives a row of NaN (the largest finite row would
    be wrong in silence; under jit nothing can be raised).

    Args:
        weight: the table, shape (num_embeddings, embedding_dim).
        padding_idx: a row that gets no gradient.
        max_norm: rows longer than this are scaled down to it, in the result; torch rewrites the table.
        norm_type: the p of that norm.
        scale_grad_by_freq: divides the gradient of a row by how often its id occurs in ids.
    Input: (...), integers. Output: (..., embedding_dim) of the dtype of weight.
    Raises: DtypeError for ids that are no integers; OptionError for a padding_idx outside the table.
    Follows `torch.nn.functional.embedding`.

    >>> embedding(jnp.array([1, 0, 9]), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[3.0, 4.0], [1.0, 2.0], [nan, nan]]
    """
    ids, weight = expect_ids(ids), jnp.asarray(weight)  # params may be NumPy's, which know no `.at`
    padding = check_padding_idx(padding_idx, weight.shape[0])
    rows = _look_up(weight, ids)
    if scale_grad_by_freq:
        rows = _scale_gradient(rows, 1 / jnp.maximum(_count(ids, weight), 1))
    if padding is not None:
        rows = jnp.where(jnp.expand_dims(ids == padding, -1), jax.lax.stop_gradient(rows), rows)
    return rows if max_norm is None else _shorten(rows, max_norm, norm_type)


def _look_up(weight: jax.Array, ids: jax.Array) -> jax.Array:
    picker: Any = weight.at[ids]
    # On a mesh of explicit axes gathers and scatters refuse to guess the sharding of their result.
    out = PartitionSpec(*_spec(ids), *([None] * (weight.ndim - 1))) if _explicit(ids) else None
    return picker.get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False, out_sharding=out)


def _explicit(x: jax.Array) -> bool:
    mesh: Any = jax.typeof(x).sharding.mesh
    return not mesh.empty and AxisType.Explicit in mesh.axis_types


def _spec(x: jax.Array) -> Any:
    return jax.typeof(x).sharding.spec


def _count(ids: jax.Array, weight: jax.Array) -> jax.Array:
    counts: Any = jnp.zeros(weight.shape[:1], weight.dtype)
    counts = counts.at[ids].add(
        jnp.ones_like(ids, dtype=weight.dtype),
        mode="drop",
        wrap_negative_indices=False,
        out_sharding=PartitionSpec(None) if _explicit(ids) else None,
    )
    return jnp.expand_dims(_look_up(counts, ids), -1)


@jax.custom_jvp
def _scale_gradient(rows: jax.Array, scale: jax.Array) -> jax.Array:
    return rows


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (rows, scale), (t, _) = primals, tangents
    return rows, t * scale


def _shorten(rows: jax.Array, max_norm: float, norm_type: float) -> jax.Array:
    length = vector_norm(rows, norm_type, -1, keepdims=True)
    # 1e-7 is torch's, so that the result is not longer than max_norm by rounding.
    return jnp.where(length > max_norm, rows * (max_norm / (length + 1e-7)), rows)
